"""What others learn of a message. Endpoints stay private: to the world they are one channel."""

from typing import Any, assert_never

from oms.common.v1.common_pb2 import LocalizedText
from oms.notification.v1 import notification_events_pb2 as wire

from services.kernel.domain.messages import Recorded
from services.notification.domain.message import Event, MessageFailed, MessageQueued, MessageSent


def publish(recorded: Recorded[Any]) -> wire.NotificationEvent:
    """Return the public event."""
    event: Event = recorded.event
    message_id = recorded.key
    match event:
        case MessageQueued():
            return wire.NotificationEvent(
                message_queued=wire.MessageQueued(
                    message_id=message_id,
                    order_id=event.order_id,
                    group_id=event.group_id,
                    step_id=event.step_id,
                    text=LocalizedText(fr=event.text.fr, en=event.text.en),
                )
            )
        case MessageSent():
            return wire.NotificationEvent(
                message_sent=wire.MessageSent(
                    message_id=message_id, order_id=event.order_id, channel=event.channel.value
                )
            )
        case MessageFailed():
            return wire.NotificationEvent(
                message_failed=wire.MessageFailed(
                    message_id=message_id,
                    order_id=event.order_id,
                    channel=event.channel.value,
                    reason=event.reason,
                )
            )
        case _:
            assert_never(event)
