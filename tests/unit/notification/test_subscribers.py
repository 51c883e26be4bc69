"""Which events of an order become which messages."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import ParseDict
from oms.order.v1.order_events_pb2 import OrderEvent

from services.kernel.application.feeds import Envelope
from services.notification.domain.message import Occasion, QueueMessage, Text
from services.notification.entrypoints.subscribers import queued_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
STEP = {
    "stepId": "arrival",
    "type": "STEP_TYPE_WAIT",
    "visibility": "VISIBILITY_LABEL",
    "label": {"fr": "Prête : vous pouvez venir", "en": "Ready: you can come"},
}
STARTED: dict[str, Any] = {
    "groupStepStarted": {"orderId": "O-1", "group": {"groupId": "O-1.1"}, "step": STEP},
}


def event(fields: dict[str, Any]) -> OrderEvent:
    return ParseDict(fields, OrderEvent())


def envelope(event_id: str = "e-1") -> Envelope:
    return Envelope(
        topic="oms.order.v1.events",
        key="demo/order-O-1",
        value=b"",
        event_id=event_id,
        type="",
        tenant="demo",
        stream_version=4,
        position=9,
        recorded_at=NOON,
        causation_id="",
        correlation_id="",
        traceparent="",
    )


def test_a_step_becomes_a_message_with_an_id_of_its_event() -> None:
    queued = queued_of(event(STARTED), envelope(), {})
    assert queued is not None
    assert queued == queued_of(event(STARTED), envelope(), {})
    assert (queued.tenant, queued.sequence) == ("demo", 4)
    assert queued.message == QueueMessage(
        "O-1",
        "O-1.1",
        "arrival",
        Occasion.STEP,
        Text("Prête : vous pouvez venir", "Ready: you can come"),
        NOON,
    )
    other = queued_of(event(STARTED), envelope("e-2"), {})
    assert other is not None
    assert other.message_id != queued.message_id


def test_every_fact_of_an_order_finds_its_words() -> None:
    told = {
        "groupLineShorted": {"orderId": "O-1", "groupId": "O-1.1", "sku": "s"},
        "orderRefused": {"orderId": "O-1", "reason": "OUT_OF_STOCK"},
        "orderCancelled": {"orderId": "O-1"},
        "orderRefunded": {"orderId": "O-1", "amount": {"amountMinor": "5", "currency": "EUR"}},
    }
    for case, fields in told.items():
        queued = queued_of(event({case: fields}), envelope(), {})
        assert queued is not None
        assert queued.message.order_id == "O-1"
    for case in ("orderPlaced", "orderAccepted", "groupCompleted", "orderCompleted"):
        assert queued_of(event({case: {"orderId": "O-1"}}), envelope(), {}) is None


def test_what_is_newer_than_this_consumer_is_passed_over() -> None:
    assert queued_of(OrderEvent(), envelope(), {}) is None
    unknown = {"orderId": "O-1", "step": {**STEP, "type": 99}}
    assert queued_of(event({"groupStepCompleted": unknown}), envelope(), {}) is None


APPLES = Text("Pommes Gala", "Gala apples")


def test_a_line_that_is_short_is_called_by_the_name_its_own_tenant_gives_it() -> None:
    shorted = event({"groupLineShorted": {"orderId": "O-1", "groupId": "O-1.1", "sku": "356"}})
    named = queued_of(shorted, envelope(), {("demo", "356"): APPLES})
    foreign = queued_of(shorted, envelope(), {("other", "356"): APPLES})
    assert named is not None
    assert foreign is not None
    assert named.message.text == Text(
        "Un article n’est plus disponible : Pommes Gala ; il ne vous est pas débité.",
        "An item is no longer available: Gala apples; you are not charged for it.",
    )
    assert "(réf. 356)" in foreign.message.text.fr
    assert named.message_id == foreign.message_id
