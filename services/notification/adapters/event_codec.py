"""Stored names of the events of notification."""

from services.kernel.adapters.event_codec import EventCodec
from services.notification.domain.message import MessageFailed, MessageQueued, MessageSent

CODEC = EventCodec(
    {
        "message.queued.v1": MessageQueued,
        "message.sent.v1": MessageSent,
        "message.failed.v1": MessageFailed,
    }
)
