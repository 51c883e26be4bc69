"""What notification asks of the world: channels that take messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Protocol

from services.kernel.application.work import Work
from services.notification.domain.message import Channel, Occasion, Text


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way through one channel, as a sender has claimed it.

    Attributes:
        sequence: Version of the order at the fact; orders the messages of one order.
        attempts: Tries so far, this one included.
        fence: Grows with every claim; an outcome counts only for the newest.
        url: Where it goes; empty for the mailbox.
        secrets: What signs it, newest first; empty for the mailbox.
    """

    tenant: str
    message_id: str
    channel: Channel
    endpoint_id: str
    order_id: str
    group_id: str
    step_id: str
    occasion: Occasion
    text: Text
    occurred_at: datetime
    sequence: int
    attempts: int
    first_attempt_at: datetime
    fence: int
    url: str = ""
    secrets: tuple[str, ...] = ()


class Result(Enum):
    TAKEN = auto()
    RETRY = auto()
    GONE = auto()  # the endpoint asks never to be called again


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a try ended.

    Attributes:
        detail: For people: "HTTP 503", "timed out".
        asked_wait: What the endpoint asked to wait, if it did.
    """

    result: Result
    detail: str
    asked_wait: timedelta | None = None


class Mailbox(Protocol):
    """The channel that is a table beside the queue."""

    async def put(self, deliveries: Sequence[Delivery], work: Work) -> None:
        """Put each into its order's mailbox, as part of the unit that takes it off the queue."""


class Outlet(Protocol):
    """A channel that leads out of the database."""

    async def send(self, delivery: Delivery) -> Outcome:
        """Send and tell how it ended.

        A delivery may be handed in again after a crash; whoever receives it tells repeats by the
        message's id.
        """
