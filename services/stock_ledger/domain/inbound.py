"""What is expected to arrive of one product at one site, and when.

Stream  ``inbound-{site_id}|{sku}``
Rule    the last word about a delivery counts; its receipt, not this, makes it stock.

A despatch has lines, and what comes of it comes in receipts that name the despatch: in whatever
parts, in whatever order, each counted once. A receipt that carries the very id of a delivery needs
no name of it; the read model sees that by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind
from services.stock_ledger.domain.calls import NO_CALL, Call, CallNoted, NoteCall, including, noted
from services.stock_ledger.domain.persistent_map import PersistentMap

# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class InboundExpected:
    """A delivery is on its way; no quantity: it will not come.

    Attributes:
        source_id: What its receipt will carry.
        quantity: Base units; of a despatch, of all its lines together.
        due_at: When it is to be there.
        line_id: The line of the despatch that is news, by the source's id; empty: it has none.
        line_quantity: Of that line.
        command_id: Of the call that said so.
        content: What that call said, as a digest.
    """

    source_id: str
    quantity: int
    due_at: datetime
    line_id: str = ""
    line_quantity: int = 0
    command_id: str = ""
    content: str = ""


@dataclass(frozen=True, slots=True)
class InboundArrived:
    """Some of a despatch came, or was lost on the way: it is not expected any more.

    Attributes:
        source_id: The despatch.
        receipt_id: By the source's id.
        quantity: Base units; negative when a receipt is taken back.
        total: With all before.
    """

    source_id: str
    receipt_id: str
    quantity: int
    total: int


type Event = InboundExpected | InboundArrived | CallNoted


# Commands.


@dataclass(frozen=True, slots=True)
class Expect:
    """Quantity: 0 withdraws it."""

    source_id: str
    quantity: int
    due_at: datetime
    call: Call = NO_CALL


@dataclass(frozen=True, slots=True)
class Announce:
    """A line of a despatch is on its way. Quantity: 0 withdraws it.

    Repeat: the shipment that says so was counted before: no news of a line that is known.
    """

    despatch_id: str
    line_id: str
    quantity: int
    due_at: datetime
    call: Call = NO_CALL
    is_repeat: bool = False


@dataclass(frozen=True, slots=True)
class Arrive:
    """So much of a despatch came by this receipt."""

    despatch_id: str
    receipt_id: str
    quantity: int


type Command = Expect | Announce | Arrive | NoteCall
type _Delivery = tuple[int, datetime]

_NONE: PersistentMap[_Delivery] = PersistentMap()
_NOTHING: PersistentMap[int] = PersistentMap()


@dataclass(frozen=True, slots=True)
class Inbound:
    """State: the last word about every delivery, and what came of despatches.

    Attributes:
        deliveries: Quantity and time by source id or despatch.
        lines: The same by line of a despatch.
        arrived: Base units by despatch.
        receipts: Base units by receipt.
        calls: The newest that said what is expected, oldest first.
    """

    deliveries: PersistentMap[_Delivery] = field(default_factory=lambda: _NONE)
    lines: PersistentMap[_Delivery] = field(default_factory=lambda: _NONE)
    arrived: PersistentMap[int] = field(default_factory=lambda: _NOTHING)
    receipts: PersistentMap[int] = field(default_factory=lambda: _NOTHING)
    calls: tuple[Call, ...] = ()


def decide(command: Command, inbound: Inbound) -> Sequence[Event]:  # noqa: PLR0911 - one per kind
    match command:
        case Expect(source_id, quantity, due_at, call):
            known = inbound.deliveries.get(source_id)
            if known == (quantity, due_at) or (known is None and quantity == 0):
                return []
            return [
                InboundExpected(
                    *(source_id, quantity, due_at),
                    command_id=call.command_id,
                    content=call.content,
                )
            ]
        case Announce(despatch_id, line_id, quantity, due_at, call, is_repeat):
            told = inbound.lines.get(_line(despatch_id, line_id))
            is_known = quantity == 0 if told is None else is_repeat or told == (quantity, due_at)
            if is_known:
                return []
            before = inbound.deliveries.get(despatch_id)
            total = (before[0] if before else 0) + quantity - (told[0] if told else 0)
            return [
                InboundExpected(
                    *(despatch_id, max(total, 0), due_at, line_id, quantity),
                    *(call.command_id, call.content),
                )
            ]
        case Arrive(despatch_id, receipt_id, quantity):
            if inbound.receipts.get(_line(despatch_id, receipt_id)) is not None:
                return []  # the receipt itself tells a repeat from another one with its id
            total = (inbound.arrived.get(despatch_id) or 0) + quantity
            return [InboundArrived(despatch_id, receipt_id, quantity, total)]
        case NoteCall():
            return noted(command, inbound.calls)
        case _:
            assert_never(command)


def _line(despatch_id: str, line_id: str) -> str:
    return f"{despatch_id}\x1f{line_id}"


def evolve(inbound: Inbound, event: Event) -> Inbound:
    match event:
        case InboundExpected(source_id, quantity, due_at, line_id, line_quantity, by, content):
            deliveries = inbound.deliveries.including(source_id, (quantity, due_at))
            lines = inbound.lines
            if line_id:
                lines = lines.including(_line(source_id, line_id), (line_quantity, due_at))
            calls = including(inbound.calls, by, content)
            return replace(inbound, deliveries=deliveries, lines=lines, calls=calls)
        case InboundArrived(source_id, receipt_id, quantity, total):
            return replace(
                inbound,
                arrived=inbound.arrived.including(source_id, total),
                receipts=inbound.receipts.including(_line(source_id, receipt_id), quantity),
            )
        case CallNoted(by, content):
            return replace(inbound, calls=including(inbound.calls, by, content, changes=0))
        case _:
            assert_never(event)


RULE: Decider[Command, Inbound, Event] = Decider(Inbound(), decide, evolve)
INBOUND: Kind[Command, Inbound, Event] = Kind("inbound", RULE)
