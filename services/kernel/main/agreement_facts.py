"""What the services said of one order, gathered: the ground on which they are compared.

Everything here is public: an event of a log, as its service publishes it. Whether another service
must know of it yet is told by that service's watermark, so that what is in flight is no difference.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Said:
    """One public event.

    Attributes:
        service: Who said it.
        case: Which event of the feed: ``order_accepted``.
        message: The event itself.
        stream: Its key on the feed.
        position: Its place in the service's log.
        event_id: Its id.
    """

    service: str
    case: str
    message: Any
    stream: str
    position: int
    event_id: str


@dataclass(frozen=True, slots=True)
class OpenStock:
    """What the ledger still keeps for an order, of one product at one site."""

    site_id: str
    sku: str
    held: int
    allocated: int
    picked: int


# Tells whether a service has dealt with a public event: its watermark is past it, and neither the
# event nor an earlier one of its stream is parked.
type HasHeard = Callable[[str, Said], bool]


@dataclass(slots=True)
class OrderFacts:
    """What was said of one order, and by whom.

    Attributes:
        tenant: Whose.
        order_id: Which.
        has_heard: Whether a service has dealt with an event.
        said: By service and case, oldest first.
        streams: Streams that have any event, private ones too, as ``service:category-key``.
        open_stock: What the ledger still keeps; None while its read model is behind its log.
    """

    tenant: str
    order_id: str
    has_heard: HasHeard
    said: defaultdict[tuple[str, str], list[Said]] = field(
        default_factory=lambda: defaultdict(list)
    )
    streams: set[str] = field(default_factory=set)
    open_stock: Sequence[OpenStock] | None = None

    def all(self, service: str, *cases: str) -> Iterator[Said]:
        """Return what a service said in these cases."""
        for case in cases:
            yield from self.said.get((service, case), ())

    def first(self, service: str, case: str) -> Any:
        """Return the first event of a case, or nothing."""
        return next((said.message for said in self.all(service, case)), None)

    def has_stream(self, service: str, stream: str) -> bool:
        """Tell whether a service has begun a stream: ``order-O1``."""
        return f"{service}:{stream}" in self.streams

    @property
    def has_ended(self) -> bool:
        """Whether the order was refused or cancelled: then others may leave things undone."""
        return any(self.all("order", "order_refused", "order_cancelled"))

    def groups(self) -> list[str]:
        """Return the ids of the groups that the order was accepted with, and of later ones."""
        accepted = self.first("order", "order_accepted")
        begun = [accepted] if accepted else []
        begun += [said.message for said in self.all("order", "groups_replaced")]
        return [group.group_id for message in begun for group in message.groups]
