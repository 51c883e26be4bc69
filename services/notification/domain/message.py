"""One message: what is said, and which channels have taken it.

Stream  ``message-{message_id}``
Rule    a channel's first outcome stands, except that a failed one may still succeed, by
        redelivery. Saying it twice changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind


class Occasion(StrEnum):
    """What gave occasion to a message."""

    STEP = "step"
    SHORTED = "shorted"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


class Channel(StrEnum):
    MAILBOX = "mailbox"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class Text:
    """What the consumer reads, in both languages."""

    fr: str
    en: str


# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class MessageQueued:
    order_id: str
    group_id: str
    step_id: str
    occasion: Occasion
    text: Text
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class MessageSent:
    """``endpoint_id`` is empty for the mailbox."""

    order_id: str
    channel: Channel
    endpoint_id: str


@dataclass(frozen=True, slots=True)
class MessageFailed:
    order_id: str
    channel: Channel
    endpoint_id: str
    reason: str


type Event = MessageQueued | MessageSent | MessageFailed


# Commands.


@dataclass(frozen=True, slots=True)
class QueueMessage:
    order_id: str
    group_id: str
    step_id: str
    occasion: Occasion
    text: Text
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class RecordSent:
    channel: Channel
    endpoint_id: str


@dataclass(frozen=True, slots=True)
class RecordFailed:
    channel: Channel
    endpoint_id: str
    reason: str


type Command = QueueMessage | RecordSent | RecordFailed


# State: only what the rules need.


@dataclass(frozen=True, slots=True)
class Message:
    order_id: str = ""
    sent: frozenset[tuple[Channel, str]] = frozenset()
    failed: frozenset[tuple[Channel, str]] = frozenset()

    @property
    def is_queued(self) -> bool:
        return self.order_id != ""


def decide(command: Command, message: Message) -> Sequence[Event]:
    match command:
        case QueueMessage(order_id, group_id, step_id, occasion, text, occurred_at):
            if message.is_queued:
                return []
            return [MessageQueued(order_id, group_id, step_id, occasion, text, occurred_at)]
        case RecordSent(channel, endpoint_id):
            if not message.is_queued or (channel, endpoint_id) in message.sent:
                return []
            return [MessageSent(message.order_id, channel, endpoint_id)]
        case RecordFailed(channel, endpoint_id, reason):
            target = (channel, endpoint_id)
            if not message.is_queued or target in message.sent | message.failed:
                return []
            return [MessageFailed(message.order_id, channel, endpoint_id, reason)]
        case _:
            assert_never(command)


def evolve(message: Message, event: Event) -> Message:
    match event:
        case MessageQueued(order_id):
            return replace(message, order_id=order_id)
        case MessageSent(_, channel, endpoint_id):
            return replace(message, sent=message.sent | {(channel, endpoint_id)})
        case MessageFailed(_, channel, endpoint_id, _):
            return replace(message, failed=message.failed | {(channel, endpoint_id)})
        case _:
            assert_never(event)


MESSAGE: Kind[Command, Message, Event] = Kind("message", Decider(Message(), decide, evolve))
