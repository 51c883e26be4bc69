"""What a listener takes a message for: what it says it is, or nothing."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from google.protobuf.message import DecodeError
from oms.order.v1.order_events_pb2 import OrderCompleted, OrderEvent

from services.kernel.application.feeds import MOST_VALUE_BYTES, Envelope, Unheard
from services.kernel.application.work import Work
from services.kernel.domain.ids import derive
from services.kernel.entrypoints.listen import listen


async def _hear(_: OrderEvent, __: Envelope, ___: Work) -> None:
    raise AssertionError


LISTENING = listen(OrderEvent, group="a", hears=("order_completed",), hear=_hear)
EVENT = OrderEvent(order_completed=OrderCompleted(order_id="O1"))
ENVELOPE = Envelope(
    topic="oms.order.v1.events",
    key="demo/order-O1",
    value=EVENT.SerializeToString(),
    event_id=derive("one"),
    type="oms.order.v1.OrderCompleted",
    tenant="demo",
    stream_version=1,
    position=1,
    recorded_at=datetime(2026, 1, 2, tzinfo=UTC),
    causation_id="",
    correlation_id="",
    traceparent="",
)
# Field 99 of the wrapper, length-delimited, two bytes long: an event that later code will know.
NEWER = b"\x9a\x06\x02\x0a\x00"


def test_a_message_is_what_it_says() -> None:
    assert LISTENING.read(ENVELOPE) == EVENT


def test_an_event_that_the_package_got_later_passes() -> None:
    later = replace(ENVELOPE, type="oms.order.v1.OrderDreamt", value=NEWER)
    assert LISTENING.read(later).WhichOneof("event") is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "oms.order.v1.OrderDreamt"}, "but the value holds a oms.order.v1.OrderCompleted"),
        ({"type": "oms.order.v1.OrderDreamt", "value": b""}, "but the value holds no event"),
        ({"type": "oms.order.v2.OrderCompleted", "value": NEWER}, "is not of oms.order.v1"),
        ({"type": "oms.order.v2.OrderCompleted"}, "but the value holds"),
        ({"type": "", "value": b""}, "is not of oms.order.v1"),
        ({"value": b"\x00" * (MOST_VALUE_BYTES + 1)}, f"at most {MOST_VALUE_BYTES}"),
    ],
)
def test_what_is_not_what_it_says_is_refused_with_the_reason(
    changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(Unheard, match=reason):
        LISTENING.read(replace(ENVELOPE, **changes))  # type: ignore[arg-type]


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(DecodeError):
        LISTENING.read(replace(ENVELOPE, value=b"\xff\xff\xff"))
