"""Stored names of the events of delivery."""

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
from services.delivery.domain.shipment import (
    Delivered,
    HandedToCarrier,
    ShipmentCancelled,
    ShipmentExpected,
    ShipmentLinesChanged,
)
from services.kernel.adapters.event_codec import EventCodec

CODEC = EventCodec(
    {
        "handover.expected.v1": HandoverExpected,
        "handover.lines_changed.v1": HandoverLinesChanged,
        "handover.made_ready.v1": MadeReady,
        "handover.came_early.v1": CameEarly,
        "handover.customer_arrived.v1": CustomerArrived,
        "handover.wrong_code_given.v1": WrongCodeGiven,
        "handover.handed_over.v1": HandedOver,
        "handover.cancelled.v1": HandoverCancelled,
        "shipment.expected.v1": ShipmentExpected,
        "shipment.lines_changed.v1": ShipmentLinesChanged,
        "shipment.handed_to_carrier.v1": HandedToCarrier,
        "shipment.delivered.v1": Delivered,
        "shipment.cancelled.v1": ShipmentCancelled,
    }
)
