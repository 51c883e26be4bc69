"""Who watches promises hears of every change at once, and takes little from everybody else."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from oms.stock_ledger.v1 import promise_service_pb2 as wire

from services.kernel.entrypoints.calls import CALLER, Caller
from services.stock_ledger.entrypoints import promise_server
from services.stock_ledger.entrypoints.promise_server import PromiseGrpc
from services.stock_ledger.read_models import promises
from services.stock_ledger.read_models.promises import Confidence, Promise

NOTHING: Any = None
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
TEA = Promise("paris", "tea", 5, 5, 0, 0, 0, 0, Confidence.HIGH, NOW, NOW, 1)


class Shelf:
    """What there is, and those who wait for it to move; one look takes a while."""

    sql: Any = None

    def __init__(self) -> None:
        self.now = TEA
        self.looks_now = self.most_looks = self.looks = 0
        self.look_s = 0.0
        self.moved = asyncio.Condition()

    async def projected(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s), self.moved:
                await self.moved.wait()
        except TimeoutError:
            return

    async def move(self, quantity: int) -> None:
        self.now = replace(self.now, free=quantity, version=self.now.version + 1)
        async with self.moved:
            self.moved.notify_all()

    async def of_pairs(self, *_: Any) -> list[Promise]:
        self.looks += 1
        self.looks_now += 1
        self.most_looks = max(self.looks_now, self.most_looks)
        found = self.now
        await asyncio.sleep(self.look_s)
        self.looks_now -= 1
        return [found]


class Clock:
    def now(self) -> datetime:
        return NOW


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    CALLER.set(Caller("demo", "key-1", frozenset({"stock:read"}), "correlation", ""))
    found = Shelf()
    monkeypatch.setattr(promises, "of_pairs", found.of_pairs)
    monkeypatch.setattr(promise_server, "_LEAST_PAUSE_S", 0.02)
    return found


def watch(server: PromiseGrpc) -> AsyncIterator[wire.WatchPromisesResponse]:
    pairs = [wire.PromisePair(site_id="paris", sku="tea")]
    return server.WatchPromises(wire.WatchPromisesRequest(pairs=pairs), NOTHING)


async def closed(*watches: Any) -> None:
    for one in watches:
        await one.aclose()


@pytest.mark.parametrize("after_s", [0.0, 0.005, 0.03, 0.2])
async def test_what_moves_while_it_looks_or_rests_is_told_at_once(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, after_s: float
) -> None:
    monkeypatch.setattr(promise_server, "_LOOK_S", 30.0)
    shelf.look_s = 0.01
    reader: Any = shelf
    watching = watch(PromiseGrpc(reader, reader, Clock()))
    async with asyncio.timeout(5):
        assert [one.free for one in (await anext(watching)).promises] == [5]
        news = asyncio.ensure_future(anext(watching))
        await asyncio.sleep(after_s)
        await shelf.move(4)
        assert [one.free for one in (await news).promises] == [4]
    await closed(watching)


async def test_many_who_watch_look_in_turn_and_less_often(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promise_server, "_LOOK_S", 0.01)
    shelf.look_s = 0.02
    reader: Any = shelf
    server = PromiseGrpc(reader, reader, Clock())
    watches = [watch(server) for _ in range(20)]
    await asyncio.gather(*(anext(one) for one in watches))
    waiting = [asyncio.ensure_future(anext(one)) for one in watches]
    shelf.looks = 0
    await asyncio.sleep(0.6)
    assert shelf.most_looks <= 2
    assert shelf.looks < 45  # they could have been sixty
    await shelf.move(3)
    async with asyncio.timeout(5):
        told = await asyncio.gather(*waiting)
    assert [one.promises[0].free for one in told] == [3] * 20
    await closed(*watches)


async def test_who_leaves_leaves_nothing_behind(shelf: Shelf) -> None:
    before = len(asyncio.all_tasks())
    reader: Any = shelf
    watching = watch(PromiseGrpc(reader, reader, Clock()))
    await anext(watching)
    await closed(watching)
    assert len(asyncio.all_tasks()) == before
