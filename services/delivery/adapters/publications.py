"""What others learn: the facts that move an order on. Expectations and wrong codes are private."""

from collections.abc import Sequence
from typing import assert_never

from oms.common.v1.common_pb2 import GroupLine
from oms.delivery.v1 import delivery_events_pb2 as wire

from services.delivery.domain import handover_events, shipment
from services.delivery.domain.handover_events import (
    CameEarly,
    CustomerArrived,
    HandedOver,
    HandoverCancelled,
    HandoverExpected,
    HandoverLinesChanged,
    MadeReady,
    WrongCodeGiven,
)
from services.delivery.domain.lines import Line
from services.delivery.domain.shipment import (
    Delivered,
    HandedToCarrier,
    ShipmentCancelled,
    ShipmentExpected,
    ShipmentLinesChanged,
)
from services.kernel.domain.messages import Recorded


def publish(  # noqa: PLR0911 - one per event
    recorded: Recorded[handover_events.Event | shipment.Event],
) -> wire.DeliveryEvent | None:
    """Return the public event, or nothing for a private one."""
    group_id = recorded.key
    event = recorded.event
    match event:
        case MadeReady(order_id, site_id):
            return wire.DeliveryEvent(
                ready_for_pickup=wire.ReadyForPickup(
                    order_id=order_id, group_id=group_id, site_id=site_id
                )
            )
        case CustomerArrived(order_id, site_id, _):
            return wire.DeliveryEvent(
                customer_arrived=wire.CustomerArrived(
                    order_id=order_id, group_id=group_id, site_id=site_id
                )
            )
        case HandedOver(order_id, source_site_id, handover_site_id, lines):
            return wire.DeliveryEvent(
                handed_over=wire.HandedOver(
                    order_id=order_id,
                    group_id=group_id,
                    source_site_id=source_site_id,
                    handover_site_id=handover_site_id,
                    lines=_lines(lines),
                )
            )
        case HandedToCarrier(order_id, source_site_id, carrier_id, _, lines):
            return wire.DeliveryEvent(
                handed_to_carrier=wire.HandedToCarrier(
                    order_id=order_id,
                    group_id=group_id,
                    source_site_id=source_site_id,
                    carrier_id=carrier_id,
                    lines=_lines(lines),
                )
            )
        case Delivered(order_id, source_site_id, carrier_id, lines):
            return wire.DeliveryEvent(
                delivered=wire.Delivered(
                    order_id=order_id,
                    group_id=group_id,
                    source_site_id=source_site_id,
                    carrier_id=carrier_id,
                    lines=_lines(lines),
                )
            )
        case HandoverExpected() | HandoverLinesChanged() | HandoverCancelled():
            return None
        case CameEarly() | WrongCodeGiven():
            return None
        case ShipmentExpected() | ShipmentLinesChanged() | ShipmentCancelled():
            return None
        case _:
            assert_never(event)


def _lines(lines: Sequence[Line]) -> list[GroupLine]:
    return [GroupLine(line_id=line.line_id, sku=line.sku, quantity=line.quantity) for line in lines]
