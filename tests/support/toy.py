"""A toy service for tests of the kernel: a counter that counts what it hears."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from oms.common.v1.common_pb2 import Money
from oms.order.v1.order_events_pb2 import OrderEvent, PaymentCaptured

from services.kernel.adapters.event_codec import EventCodec
from services.kernel.application.feeds import Envelope
from services.kernel.application.work import Sql, Work
from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected
from services.kernel.domain.messages import Recorded
from services.kernel.entrypoints.listen import listen
from services.kernel.main import Kernel, Service
from services.kernel.read_models.read_model import ReadModel

MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Added:
    amount: int


@dataclass(frozen=True, slots=True)
class Add:
    amount: int


class Refusal(StrEnum):
    TOO_MUCH = "TOO_MUCH"


def decide(command: Add, total: int) -> Sequence[Added]:
    if total + command.amount > MOST:
        raise Rejected(Refusal.TOO_MUCH, "the counter is full")
    return [Added(command.amount)]


COUNTER: Kind[Add, int, Added] = Kind(
    "counter", Decider(0, decide, lambda total, event: total + event.amount)
)
CODEC = EventCodec({"counter.added.v1": Added})


async def _add_up(added: Iterable[tuple[str, str, int, int]], sql: Sql) -> None:
    """Add to the totals, of many additions in one statement: tenant, key, amount, version."""
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for tenant, key, amount, version in added:
        known = totals.get((tenant, key), (0, 0))
        totals[tenant, key] = (known[0] + amount, version)
    await sql.execute(
        "INSERT INTO counter_totals (tenant, key, total, version)"
        " SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::integer[])"
        " ON CONFLICT (tenant, key) DO UPDATE SET"
        " total = counter_totals.total + excluded.total, version = excluded.version",
        [tenant for tenant, _ in totals],
        [key for _, key in totals],
        [total for total, _ in totals.values()],
        [version for _, version in totals.values()],
    )


async def _project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    await _add_up(((r.tenant, r.key, r.event.amount, r.version) for r in batch), sql)


TOTALS = ReadModel("counter_totals", ("counter_totals",), _project)
TABLES = (
    "CREATE TABLE IF NOT EXISTS counter_totals (tenant text, key text, total bigint NOT NULL,"
    " version integer NOT NULL, PRIMARY KEY (tenant, key));"
    "GRANT ALL ON counter_totals TO oms_app"
)


def publish(recorded: Recorded[Any]) -> OrderEvent:
    """The counter speaks on the order's feed, in the words of a captured payment."""
    return OrderEvent(
        payment_captured=PaymentCaptured(
            order_id=recorded.key,
            amount=Money(amount_minor=recorded.event.amount, currency="EUR"),
        )
    )


def source(_: Kernel) -> Service:
    """A service whose events are the additions that tests command."""
    return Service(name="order", codec=CODEC, publish=publish, read_models=(TOTALS,))


class Poison(Exception):
    """The handler's bug."""


class Sink:
    """A service that adds up what it hears; it fails on the amounts in ``poison``."""

    def __init__(self) -> None:
        self.poison: set[int] = set()
        self.calls = 0
        self.is_urgent = False

    def build(self, _: Kernel) -> Service:
        return Service(
            name="sourcing",
            codec=CODEC,
            publish=lambda _: None,
            read_models=(TOTALS,),
            subscriptions=(
                listen(
                    OrderEvent,
                    group="sink",
                    hears=("payment_captured",),
                    hear=self._hear,
                    is_urgent=self.is_urgent,
                ),
            ),
        )

    async def _hear(self, event: OrderEvent, envelope: Envelope, work: Work) -> None:
        self.calls += 1
        amount = event.payment_captured.amount.amount_minor
        if amount in self.poison:
            raise Poison(amount)
        await work.handle(COUNTER, event.payment_captured.order_id, Add(amount))


class Table:
    """A service that keeps what it hears in a table, as every service does with others' facts."""

    def build(self, _: Kernel) -> Service:
        return Service(
            name="sourcing",
            codec=CODEC,
            publish=lambda _: None,
            subscriptions=(
                listen(
                    OrderEvent,
                    group="sink",
                    hears=("payment_captured",),
                    prepare=self._prepare,
                    hear=self._hear,
                ),
            ),
        )

    async def _prepare(self, messages: Sequence[tuple[OrderEvent, Envelope]], work: Work) -> None:
        paid = [(event.payment_captured, envelope) for event, envelope in messages]
        await _add_up(
            (
                (envelope.tenant, one.order_id, one.amount.amount_minor, envelope.stream_version)
                for one, envelope in paid
            ),
            work.sql,
        )

    async def _hear(self, event: OrderEvent, envelope: Envelope, work: Work) -> None:
        """Nothing is left to do for a single message."""
