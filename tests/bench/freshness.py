"""How old the stock is that people are shown: from a commit until the read models have it."""

import asyncio
import contextlib
import itertools
import random  # noqa: TID251 - seeded load
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import asyncpg
from oms.stock_ledger.v1 import hot_stock_service_pb2 as wire
from oms.stock_ledger.v1.stock_ledger_events_pb2 import StockLine

from services.kernel.adapters.database import with_database
from tests.bench.ledger import ledger
from tests.bench.reservations import Platform, receive
from tests.bench.result import Result, percentile, tell

_PAIRS, _UNITS = 500, 100_000
_CONNECTIONS = 4
# Baskets of one line a second; 0: 512 at any time, as many as the ledger takes.
_OFFERED_PER_S = (200, 2_000, 0)
_AT_ONCE = 512
_FOR_S, _CATCHES_UP_WITHIN_S = 15.0, 60.0
_LOOK_EVERY_S = 0.01
_TARGET_MS = 500
_LOOK = (
    "SELECT coalesce(max(notification_id), 0),"
    " (SELECT min(position) FROM checkpoints WHERE name <> 'relay') FROM events"
)


@dataclass
class _Looks:
    """What the log and the read models held, at moments of a run.

    Attributes:
        heads: Position of the newest event, and when it was seen.
        shown: Position up to which every read model is filled, and when that was seen.
        took_s: Of each look.
    """

    heads: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    shown: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    took_s: list[float] = field(default_factory=list[float])

    async def go_on(self, connection: asyncpg.Connection) -> None:
        """Look a hundred times a second, until cancelled."""
        while True:
            began = time.perf_counter()
            [(head, shown)] = await connection.fetch(_LOOK)
            now = time.perf_counter()
            # The head was there at the latest when the look began to be answered.
            self.heads.append((head, began))
            self.shown.append((shown, now))
            self.took_s.append(now - began)
            await asyncio.sleep(_LOOK_EVERY_S)

    def is_level(self) -> bool:
        return bool(self.heads) and self.shown[-1][0] >= self.heads[-1][0]

    def ages_s(self) -> list[float]:
        """Return, for each newest event that was seen, how long until it was shown."""
        ages: list[float] = []
        shown = iter(self.shown)
        position, at = next(shown)
        for head, seen_at in self.heads:
            while position < head:
                position, at = next(shown)
            ages.append(max(0.0, at - seen_at))
        return ages


async def freshness(postgres_dsn: str) -> AsyncIterator[Result]:
    """Reserve at several rates while the newest commit and the read models are looked at.

    What is measured is too long by up to one look and one pause, 10 ms. Reference: such a look,
    one short query on the same server at the same time.
    """
    async with ledger(postgres_dsn, _CONNECTIONS) as (channels, name):
        await receive(channels[0], [("paris", f"P{n}", _UNITS) for n in range(_PAIRS)])
        platform = Platform(channels)
        carriers = [asyncio.create_task(platform.carry(channel)) for channel in channels]
        connection = await asyncpg.connect(with_database(postgres_dsn, name))
        try:
            for offered in _OFFERED_PER_S:
                tell(f"freshness: {offered or 'as many as go'} a second")
                looks = _Looks()
                looking = asyncio.create_task(looks.go_on(connection))
                held = await _load(platform, offered)
                async with asyncio.timeout(_CATCHES_UP_WITHIN_S):
                    while not looks.is_level():
                        await asyncio.sleep(_LOOK_EVERY_S)
                looking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await looking
                for result in _results(looks, offered, held):
                    yield result
        finally:
            await connection.close()
            for carrier in carriers:
                carrier.cancel()


async def _load(platform: Platform, offered_per_s: int) -> float:
    """Reserve for a while; return how many were held a second."""
    rng = random.Random(offered_per_s)  # noqa: S311 - seeded load
    numbers = itertools.count()
    held = 0
    began = time.perf_counter()

    async def buy() -> None:
        nonlocal held
        line = StockLine(site_id="paris", sku=f"P{rng.randrange(_PAIRS)}", quantity=1)
        wanted = wire.BatchReservation(
            reservation_id=f"F{offered_per_s}-{next(numbers)}", lines=[line]
        )
        answer = await platform.reserve(wanted)
        held += answer.outcome == wire.BATCH_OUTCOME_HELD

    async def again_and_again() -> None:
        while time.perf_counter() - began < _FOR_S:
            await buy()

    async with asyncio.TaskGroup() as group:
        if not offered_per_s:
            for _ in range(_AT_ONCE):
                group.create_task(again_and_again())
        due_s = 0.0
        while offered_per_s and due_s < _FOR_S:
            due_s += rng.expovariate(offered_per_s)
            await asyncio.sleep(max(0.0, began + due_s - time.perf_counter()))
            group.create_task(buy())
    return held / (time.perf_counter() - began)


def _results(looks: _Looks, offered_per_s: int, held_per_s: float) -> Sequence[Result]:
    ages = looks.ages_s()
    return [
        Result(
            "freshness",
            percentile(ages, share) * 1000,
            "ms",
            reference="one look at the log and the checkpoints",
            reference_value=percentile(looks.took_s, share) * 1000,
            target=_TARGET_MS if share == 0.99 else None,
            is_less_better=True,
            params={
                "offered_per_s": offered_per_s or "as many as go",
                "held_per_s": round(held_per_s),
                "looks": len(ages),
                "percentile": share * 100,
            },
        )
        for share in (0.5, 0.99)
    ]
