"""What surrounds an event: who caused it, when it was recorded, where it stands."""

from dataclasses import dataclass
from datetime import datetime

from services.kernel.domain.record import record


@record
class Cause:
    """Why a command is carried out. Everything that follows from it carries these on.

    Attributes:
        tenant: The retailer on whose data the command works.
        command_id: Id of the command, chosen by the caller or derived from a message.
        correlation_id: Id shared by everything that follows from one request.
        causation_id: Id of the event that led to the command; empty for a client's call.
        actor: Opaque id of who asked; never a name.
        traceparent: W3C trace context of the request, or empty.
    """

    tenant: str
    command_id: str
    correlation_id: str = ""
    causation_id: str = ""
    actor: str = ""
    traceparent: str = ""


@dataclass(slots=True)
class Recorded[Event]:
    """One event as the log holds it.

    Never changed once made; not frozen, because one is made per event read, and a frozen one
    costs ten times as much to make.

    Attributes:
        stream: ``{tenant}/{category}-{key}``.
        version: Place in its stream, from 1, without gaps.
        position: Place in the service's log; grows in commit order.
        event: The domain event.
        event_id: Unique for ever; derived from the command's id.
        recorded_at: When the database took it, aware, UTC.
        cause: Why.
    """

    stream: str
    version: int
    position: int
    event: Event
    event_id: str
    recorded_at: datetime
    cause: Cause

    @property
    def tenant(self) -> str:
        return self.cause.tenant

    @property
    def key(self) -> str:
        """The id within its category: ``O-17`` of ``demo/order-O-17``."""
        return key_of(self.stream)


def stream_id(tenant: str, category: str, key: str) -> str:
    """Return the name of a stream: ``demo/order-O-17``."""
    return f"{tenant}/{category}-{key}"


def key_of(stream: str) -> str:
    """Return the key of a stream id; categories hold no hyphen."""
    return stream.partition("/")[2].partition("-")[2]


def category_of(stream: str) -> str:
    """Return the category of a stream id."""
    return stream.partition("/")[2].partition("-")[0]
