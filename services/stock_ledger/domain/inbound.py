"""What is expected to arrive of one product at one site, and when.

Stream  ``inbound-{site_id}|{sku}``
Rule    the last word about a delivery counts; its receipt, not this, makes it stock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.kernel.domain.decider import Decider, Kind
from services.stock_ledger.domain.persistent_map import PersistentMap

# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class InboundExpected:
    """A delivery is on its way; no quantity: it will not come.

    Attributes:
        source_id: What its receipt will carry.
        quantity: Base units.
        due_at: When it is to be there.
    """

    source_id: str
    quantity: int
    due_at: datetime


type Event = InboundExpected


# Commands.


@dataclass(frozen=True, slots=True)
class Expect:
    """Quantity: 0 withdraws it."""

    source_id: str
    quantity: int
    due_at: datetime


type _Delivery = tuple[int, datetime]

_NONE: PersistentMap[_Delivery] = PersistentMap()


@dataclass(frozen=True, slots=True)
class Inbound:
    """State: the last word about every delivery that is not withdrawn."""

    deliveries: PersistentMap[_Delivery] = field(default_factory=lambda: _NONE)


def decide(command: Expect, inbound: Inbound) -> Sequence[Event]:
    known = inbound.deliveries.get(command.source_id)
    if known is None and command.quantity == 0:
        return []
    if known == (command.quantity, command.due_at):
        return []
    return [InboundExpected(command.source_id, command.quantity, command.due_at)]


def evolve(inbound: Inbound, event: Event) -> Inbound:
    delivery = (event.quantity, event.due_at)
    return Inbound(inbound.deliveries.including(event.source_id, delivery))


RULE: Decider[Expect, Inbound, Event] = Decider(Inbound(), decide, evolve)
INBOUND: Kind[Expect, Inbound, Event] = Kind("inbound", RULE)
