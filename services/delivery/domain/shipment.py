"""One group that a carrier takes to the customer.

Stream  ``shipment-{group_id}``
Rule    a carrier takes the goods once, and only what he has can he deliver.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, StrEnum, auto
from typing import assert_never

from services.delivery.domain.lines import Line
from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected

# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class ShipmentExpected:
    order_id: str
    source_site_id: str
    lines: tuple[Line, ...]
    promised_at: datetime | None


@dataclass(frozen=True, slots=True)
class ShipmentLinesChanged:
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class HandedToCarrier:
    order_id: str
    source_site_id: str
    carrier_id: str
    tracking_reference: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    order_id: str
    source_site_id: str
    carrier_id: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class ShipmentCancelled:
    """The order was cancelled."""


type Event = (
    ShipmentExpected | ShipmentLinesChanged | HandedToCarrier | Delivered | ShipmentCancelled
)


# Commands.


@dataclass(frozen=True, slots=True)
class ExpectShipment:
    order_id: str
    source_site_id: str
    lines: tuple[Line, ...]
    promised_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HandToCarrier:
    carrier_id: str
    tracking_reference: str


@dataclass(frozen=True, slots=True)
class RecordDelivered:
    """The carrier says that the customer has the goods."""


@dataclass(frozen=True, slots=True)
class CancelShipment:
    """The order is cancelled."""


type Command = ExpectShipment | HandToCarrier | RecordDelivered | CancelShipment


class Refusal(StrEnum):
    STEP_CONFLICT = "STEP_CONFLICT"


# State: only what the rules need.


class Phase(Enum):
    UNKNOWN = auto()
    EXPECTED = auto()
    WITH_CARRIER = auto()
    DELIVERED = auto()
    CANCELLED = auto()


@dataclass(frozen=True, slots=True)
class Shipment:
    phase: Phase = Phase.UNKNOWN
    order_id: str = ""
    source_site_id: str = ""
    lines: tuple[Line, ...] = ()
    carrier_id: str = ""
    tracking_reference: str = ""


def decide(command: Command, shipment: Shipment) -> Sequence[Event]:
    match command:
        case ExpectShipment(order_id, source_site_id, lines, promised_at):
            if shipment.phase is Phase.UNKNOWN:
                return [ShipmentExpected(order_id, source_site_id, lines, promised_at)]
            is_newer = shipment.phase is Phase.EXPECTED and lines != shipment.lines
            return [ShipmentLinesChanged(lines)] if is_newer else []
        case HandToCarrier():
            return _hand_to_carrier(command, shipment)
        case RecordDelivered():
            return _record_delivered(shipment)
        case CancelShipment():
            # What has left the house comes back as a return, not by a cancellation.
            return [ShipmentCancelled()] if shipment.phase is Phase.EXPECTED else []
        case _:
            assert_never(command)


def _hand_to_carrier(command: HandToCarrier, shipment: Shipment) -> Sequence[Event]:
    if shipment.phase is Phase.EXPECTED:
        return [
            HandedToCarrier(
                shipment.order_id,
                shipment.source_site_id,
                command.carrier_id,
                command.tracking_reference,
                shipment.lines,
            )
        ]
    if shipment.phase is Phase.CANCELLED:
        raise Rejected(
            Refusal.STEP_CONFLICT, "the order was cancelled; put the goods back on the shelf"
        )
    if (shipment.carrier_id, shipment.tracking_reference) != (
        command.carrier_id,
        command.tracking_reference,
    ):
        raise Rejected(
            Refusal.STEP_CONFLICT,
            f"carrier {shipment.carrier_id} has the goods already, under another reference",
        )
    return []


def _record_delivered(shipment: Shipment) -> Sequence[Event]:
    if shipment.phase is Phase.DELIVERED:
        return []
    if shipment.phase is not Phase.WITH_CARRIER:
        raise Rejected(
            Refusal.STEP_CONFLICT, "no carrier has the goods; record who took them first"
        )
    return [
        Delivered(shipment.order_id, shipment.source_site_id, shipment.carrier_id, shipment.lines)
    ]


def evolve(shipment: Shipment, event: Event) -> Shipment:
    match event:
        case ShipmentExpected(order_id, source_site_id, lines, _):
            return Shipment(Phase.EXPECTED, order_id, source_site_id, lines)
        case ShipmentLinesChanged(lines):
            return replace(shipment, lines=lines)
        case HandedToCarrier(_, _, carrier_id, tracking_reference, _):
            return replace(
                shipment,
                phase=Phase.WITH_CARRIER,
                carrier_id=carrier_id,
                tracking_reference=tracking_reference,
            )
        case Delivered():
            return replace(shipment, phase=Phase.DELIVERED)
        case ShipmentCancelled():
            return replace(shipment, phase=Phase.CANCELLED)
        case _:
            assert_never(event)


SHIPMENT_DECIDER: Decider[Command, Shipment, Event] = Decider(Shipment(), decide, evolve)
SHIPMENT: Kind[Command, Shipment, Event] = Kind("shipment", SHIPMENT_DECIDER)
