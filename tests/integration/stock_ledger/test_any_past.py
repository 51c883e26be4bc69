"""Any question of any past, after any history: what a replay of the log says, bucket by bucket.

The replay here shares nothing with the code but the log: it reads the stored JSON and adds up.
"""

import contextlib
import json
import random  # noqa: TID251 - seeded
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire

from services.kernel.domain.errors import NotFound, Rejected
from services.kernel.domain.messages import Cause as Why
from services.kernel.entrypoints.calls import CALLER, Caller
from services.stock_ledger.application.batch_reservations import Round, Wanted
from services.stock_ledger.application.feeds import Step, Told, post
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.application.many_holds import ManyHolds
from services.stock_ledger.application.moving import move_to
from services.stock_ledger.domain.entry import Cause, Report
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.stock_commands import HandOver, Pick
from services.stock_ledger.domain.stock_item import stock_key
from services.stock_ledger.entrypoints.grpc_server import StockLedgerGrpc
from services.stock_ledger.read_models import balance_marks, explanation
from services.stock_ledger.read_models.availability import alternatives
from services.stock_ledger.read_models.begun_reservations import begun
from tests.support.stack import TENANT, Stack, running

pytestmark = pytest.mark.stack
NOTHING: Any = None
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BUCKETS = ("free", "held", "allocated", "picked", "quarantine", "damaged")
PAIRS = [(site_id, sku) for site_id in ("paris", "lyon") for sku in ("milk", "tea", "rare")]
MANY = PAIRS[0]  # most of what happens happens here, so that it has marks
EVER, ALWAYS = datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class Clock:
    at = NOON + timedelta(days=1)

    def now(self) -> datetime:
        return self.at


@dataclass(frozen=True)
class Moved:
    """What the log has, taken apart."""

    version: int
    cause: str
    occurred_at: datetime
    recorded_at: datetime
    gained: Mapping[str, int]


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def stamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made


class Ledger:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.host = stack["stock_ledger"]
        self.promises = Reservations(timedelta(minutes=15), alternatives)
        self.grpc = StockLedgerGrpc(self.host.runner, self.host.reader, Clock(), self.promises)
        self.turn = 0

    async def do(self, rng: random.Random) -> None:
        """Let one thing happen: late as often as not, sometimes again, often out of place."""
        self.turn += 1
        n = self.turn if rng.random() > 0.1 else max(self.turn - 1, 1)
        site_id, sku = MANY if rng.random() < 0.7 else rng.choice(PAIRS)
        key, one = stock_key(site_id, sku), f"R{rng.randint(1, 12)}"
        when = minute(self.turn - rng.choice([0, 0, 0, 20, 60]))

        def told(cause: Cause, most: int) -> list[Told | Step]:
            rows = range(rng.choice([1, 1, 5]))
            return [
                Told(
                    *(row, key, cause),
                    Report(
                        f"{cause}-{n}-{row}",
                        rng.randint(1, most),
                        when - timedelta(minutes=rng.randint(0, 9)),
                    ),
                )
                for row in rows
            ]

        async def hold_many(work: Any) -> Any:
            needs = ((stock_key(*MANY), 1),)
            wanted = [
                Wanted(f"{self.turn}-{m}", (Line(*MANY, 1),), needs, timedelta(minutes=5))
                for m in range(3)
            ]
            asked = Round(work.cause, [(Why(TENANT, f"hot-{self.turn}"), wanted)])
            return await ManyHolds(begun).hold(work, asked, is_owner=True, is_first=True)

        def step(of: Any) -> list[Told | Step]:
            return [Step(0, key, (of(one, rng.randint(1, 3), f"{of.__name__}-{n}", when),))]

        lines = [Line(site_id, sku, rng.randint(1, 6))]
        told_rows = {
            cause: told(cause, most)
            for cause, most in (
                *((Cause.GOODS_RECEIPT, 9), (Cause.TILL_SALE, 3), (Cause.BREAKAGE, 2)),
                *((Cause.RETURN_QUARANTINE, 2), (Cause.QUARANTINE_DESTROYED, 1)),
            )
        }
        units: list[Any] = [
            *(lambda work, rows=rows: post(work, rows) for rows in told_rows.values()),
            lambda work: post(work, told_rows[Cause.GOODS_RECEIPT]),
            lambda work: post(work, step(Pick)),
            lambda work: post(work, step(HandOver)),
            lambda work: self.promises.reserve_plan(work, one, 1, lines),
            lambda work: self.promises.reserve(work, one, lines, None),
            lambda work: self.promises.confirm(work, one, refuse=False),
            lambda work: self.promises.release(work, one),
            lambda work: self.promises.end(work, one, "cancelled"),
            lambda work: move_to(work, one, ("paris", "lyon"), {}, alternatives),
            hold_many,
        ]
        if rng.random() < 0.12:
            await self.see(rng, site_id, sku, when)
            return
        with contextlib.suppress(Rejected, NotFound):
            await self.host.runner.execute(Why(TENANT, f"turn-{self.turn}"), rng.choice(units))

    async def see(self, rng: random.Random, site_id: str, sku: str, when: datetime) -> None:
        row = wire.ImageRow(
            site_id=site_id, sku=sku, quantity=rng.randint(0, 30), source_id=f"i-{self.turn}"
        )
        request = wire.PostImagesRequest(
            request_id=f"image-{self.turn}",
            kind=rng.choice([wire.IMAGE_KIND_IMAGE, wire.IMAGE_KIND_STOCKTAKE]),
            basis=rng.choice([wire.IMAGE_BASIS_PHYSICAL, wire.IMAGE_BASIS_AVAILABLE]),
            is_picked_included=rng.random() < 0.5,
            occurred_at=stamp(when),
            rows=[row],
        )
        await self.grpc.PostImages(request, NOTHING)

    async def log(self, pair: tuple[str, str]) -> list[Moved]:
        rows = await self.host.database.sql.fetch(
            "SELECT originator_version, recorded_at, state FROM events WHERE originator_id = $1"
            " ORDER BY originator_version",
            f"{TENANT}/stock-{stock_key(*pair)}",
        )
        return [moved for row in rows for moved in taken_apart(*row)]

    async def images(self, pair: tuple[str, str]) -> dict[datetime, dict[str, Any]]:
        """Return what was seen of a pair by the images that were applied, by their times."""
        rows = await self.host.database.sql.fetch(
            "SELECT state FROM events WHERE originator_id = $1 ORDER BY originator_version",
            f"{TENANT}/stock-{stock_key(*pair)}",
        )
        entries = [json.loads(row[0]) for row in rows]
        return {
            datetime.fromisoformat(entry["occurred_at"]): entry["image"]
            for entry in entries
            if entry["cause"] in ("image", "stocktake")
        }


def taken_apart(version: int, recorded_at: datetime, state: bytes) -> list[Moved]:
    entry = json.loads(state)
    cause, postings = entry["cause"], entry["postings"]
    assert sum(one["quantity"] for one in postings) == 0
    if not entry.get("reports"):
        gained = {one["account"]: one["quantity"] for one in postings}
        at = datetime.fromisoformat(entry["occurred_at"])
        return [Moved(version, cause, at, recorded_at, gained)]
    gains, loses = (one["account"] for one in postings)
    return [
        Moved(
            *(version, cause, datetime.fromisoformat(one["occurred_at"]), recorded_at),
            {gains: one["quantity"], loses: -one["quantity"]},
        )
        for one in entry["reports"]
    ]


def replayed(
    log: list[Moved], as_of: datetime, known_at: datetime, since: datetime = EVER
) -> dict[str, int]:
    found = [one for one in log if since < one.occurred_at <= as_of and one.recorded_at <= known_at]
    return {
        **{bucket: sum(one.gained.get(bucket, 0) for one in found) for bucket in BUCKETS},
        "on_hand": sum(one.gained.get(bucket, 0) for one in found for bucket in BUCKETS),
    }


def shown(level: wire.StockLevel | wire.CauseTotal) -> dict[str, int]:
    names = ("free", "held", "allocated", "picked", "on_hand")
    return {name: getattr(level, name) for name in names}


def only_shown(balance: Mapping[str, int]) -> dict[str, int]:
    return {name: balance[name] for name in ("free", "held", "allocated", "picked", "on_hand")}


@pytest.fixture
async def ledger(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ledger]:
    for module in (balance_marks, explanation):
        monkeypatch.setattr(module, "BLOCK", 8)  # many marks, of few entries each
    monkeypatch.setattr(explanation, "_CHUNK", 16)
    CALLER.set(Caller(TENANT, "key-1", frozenset({"stock:write"}), "correlation", ""))
    async with running(postgres_dsn, ["stock_ledger"], clock=Clock()) as stack:
        yield Ledger(stack)


@pytest.mark.parametrize("seed", [1, 2])
async def test_any_question_of_any_past_is_answered_as_a_replay_answers_it(
    ledger: Ledger, seed: int
) -> None:
    CALLER.set(Caller(TENANT, "key-1", frozenset({"stock:write"}), "correlation", ""))
    rng = random.Random(seed)  # noqa: S311 - a test
    for _ in range(160):
        await ledger.do(rng)
    await ledger.stack.settle()
    sql = ledger.host.database.sql
    assert await sql.fetchval("SELECT count(*) FROM balance_mark") >= 8
    logs = {pair: await ledger.log(pair) for pair in PAIRS}
    assert {"image", "stocktake", "image_offset", "hold", "pick"} <= {m.cause for m in logs[MANY]}
    for pair, log in logs.items():
        for at, image in (await ledger.images(pair)).items():
            then = replayed(log, at, ALWAYS)
            seen = then["on_hand"] if image["basis"] == "physical" else then["free"]
            if image["has_picked"] != (image["basis"] == "physical"):
                seen += then["picked"] if image["has_picked"] else -then["picked"]
            assert seen == image["counted"], (pair, at)
    everything = [one for log in logs.values() for one in log]
    for _ in range(40):
        question = Question(ledger, logs, rng, everything)
        await question.pairs()
        await question.pages()
        await question.difference()
        await question.explanation()
        await question.entries()


class Question:
    """A time, and another; asked in every way that there is."""

    def __init__(
        self,
        ledger: Ledger,
        logs: Mapping[tuple[str, str], list[Moved]],
        rng: random.Random,
        everything: list[Moved],
    ) -> None:
        self.grpc, self.logs = ledger.grpc, logs
        exactly, known = rng.choice(everything), rng.choice(everything)
        self.as_of = rng.choice([exactly.occurred_at, minute(rng.uniform(-70, 170)), ALWAYS])
        self.known_at = rng.choice([known.recorded_at, ALWAYS])
        self.since = min(rng.choice([minute(rng.uniform(-70, 170)), EVER]), self.as_of)
        self.pair = rng.choice([MANY, *PAIRS])
        self.clocks: dict[str, Any] = {}
        if self.as_of != ALWAYS:
            self.clocks["as_of"] = stamp(self.as_of)
        if self.known_at != ALWAYS:
            self.clocks["known_at"] = stamp(self.known_at)

    def right(self, pair: tuple[str, str]) -> dict[str, int]:
        return only_shown(replayed(self.logs[pair], self.as_of, self.known_at))

    async def pairs(self) -> None:
        asked = [wire.SiteSku(site_id=site_id, sku=sku) for site_id, sku in PAIRS]
        request = wire.GetAvailabilityRequest(pairs=asked, **self.clocks)
        answer: Any = await self.grpc.GetAvailability(request, NOTHING)
        if not isinstance(answer, wire.GetAvailabilityResponse):  # of now, it is bytes already
            answer = wire.GetAvailabilityResponse.FromString(answer.message)
        assert [shown(one) for one in answer.levels] == [self.right(pair) for pair in PAIRS]

    async def pages(self) -> None:
        site_id, sku = self.pair
        of_site: dict[str, Any] = {"site_id": site_id, "page_size": 2, **self.clocks}
        of_sku: dict[str, Any] = {"sku": sku, "page_size": 1, **self.clocks}
        asked: list[tuple[Any, Any, dict[str, Any]]] = [
            (self.grpc.ListSiteStock, wire.ListSiteStockRequest, of_site),
            (self.grpc.GetSkuAvailability, wire.GetSkuAvailabilityRequest, of_sku),
        ]
        for method, request, given in asked:
            levels: list[Any] = []
            token = ""
            while token or not levels:
                page = await method(request(page_token=token, **given), NOTHING)
                levels += page.levels
                token = page.next_page_token
                if not token:
                    break
            expected = {
                pair: self.right(pair)
                for pair in PAIRS
                if self.logs[pair]
                and (pair[0] == site_id if "site_id" in given else pair[1] == sku)
            }
            assert {(one.site_id, one.sku): shown(one) for one in levels} == expected
            assert len(levels) == len(expected)

    async def difference(self) -> None:
        asked = [wire.SiteSku(site_id=site_id, sku=sku) for site_id, sku in PAIRS]
        times: dict[str, Any] = {"since": stamp(self.since)}
        if self.as_of != ALWAYS:
            times["until"] = stamp(self.as_of)
        if self.known_at != ALWAYS:
            times["known_at"] = stamp(self.known_at)
        request = wire.CompareStockRequest(pairs=asked, **times)
        answer = await self.grpc.CompareStock(request, NOTHING)
        for pair, one in zip(PAIRS, answer.differences, strict=True):
            before = replayed(self.logs[pair], self.since, self.known_at)
            assert shown(one.before) == only_shown(before)
            assert shown(one.after) == self.right(pair)

    async def explanation(self) -> None:
        site_id, sku = self.pair
        given: dict[str, Any] = {"site_id": site_id, "sku": sku, "page_size": 7, **self.clocks}
        if self.since != EVER:
            given["since"] = stamp(self.since)
        first = await self.grpc.ExplainStock(wire.ExplainStockRequest(**given), NOTHING)
        log = self.logs[self.pair]
        assert shown(first.closing) == self.right(self.pair)
        assert shown(first.opening) == only_shown(replayed(log, self.since, self.known_at))
        found = [
            one
            for one in log
            if self.since < one.occurred_at <= self.as_of and one.recorded_at <= self.known_at
        ]
        assert {cause.cause: shown(cause) for cause in first.causes} == {
            cause: only_shown(
                replayed([one for one in found if one.cause == cause], ALWAYS, ALWAYS)
            )
            for cause in {one.cause for one in found}
        }
        listed, token = list(first.entries), first.next_page_token
        while token:
            request = wire.ExplainStockRequest(page_token=token, **given)
            page = await self.grpc.ExplainStock(request, NOTHING)
            listed, token = [*listed, *page.entries], page.next_page_token
        self.are_listed(listed, found)

    async def entries(self) -> None:
        site_id, sku = self.pair
        if "as_of" not in self.clocks:
            return  # then entries are listed whole
        given: dict[str, Any] = {"site_id": site_id, "sku": sku, "page_size": 9, **self.clocks}
        listed: list[Any] = []
        token = ""
        while True:
            request = wire.ListEntriesRequest(page_token=token, **given)
            page = await self.grpc.ListEntries(request, NOTHING)
            listed, token = [*listed, *page.entries], page.next_page_token
            if not token:
                break
        found = [
            one
            for one in self.logs[self.pair]
            if one.occurred_at <= self.as_of and one.recorded_at <= self.known_at
        ]
        self.are_listed(listed, found)

    @staticmethod
    def are_listed(listed: list[Any], found: list[Moved]) -> None:
        """Newest first, each version once, and each with what it moved in that stretch."""
        versions = [one.version for one in listed]
        assert versions == sorted({one.version for one in found}, reverse=True)
        for entry in listed:
            of_it: dict[str, int] = {}
            for one in found:
                if one.version == entry.version:
                    for account, quantity in one.gained.items():
                        of_it[account] = of_it.get(account, 0) + quantity
            told = {one.account: one.quantity for one in entry.postings}
            assert {a: q for a, q in told.items() if q} == {a: q for a, q in of_it.items() if q}
