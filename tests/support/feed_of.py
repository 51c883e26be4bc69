"""A feed of given events that only tests know: read a page at a time, and failing when told to."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.message import Message

from services.kernel.application.feeds import Envelope
from services.kernel.application.reading import Page, Period, Place
from services.kernel.domain.ids import derive

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def envelope(
    position: int, message: Message, *, tenant: str = "demo", after_s: int = 0, key: str = ""
) -> Envelope:
    """An event as the relay would make it."""
    case = message.WhichOneof("event")
    assert case is not None
    return Envelope(
        topic=f"{message.DESCRIPTOR.file.package}.events",
        key=f"{tenant}/{key or f'order-O{position}'}",
        value=message.SerializeToString(),
        event_id=derive("feed of", position),
        type=getattr(message, case).DESCRIPTOR.full_name,
        tenant=tenant,
        stream_version=1,
        position=position,
        recorded_at=NOON + timedelta(seconds=after_s or position),
        causation_id="",
        correlation_id="c",
        traceparent="",
    )


class FeedOf:
    """A feed of given envelopes, a few per page; more may be added while it is read.

    Args:
        envelopes: At least one, of one feed.
        unreadable: Told with the first page.
        page: How many on a page.
        period: Which are wanted.
    """

    def __init__(
        self,
        envelopes: Sequence[Envelope],
        unreadable: Sequence[str] = (),
        page: int = 2,
        period: Period | None = None,
    ) -> None:
        self.envelopes = list(envelopes)
        self.topic = envelopes[0].topic
        self.history = "this"
        self._unreadable = unreadable
        self._page = page
        self._period = period or Period()

    async def beginning(self) -> Place:
        return {"log": (0, 0)}

    async def end(self) -> Place:
        return {"log": (len(self.envelopes), 0)}

    async def read(self, place: Place, end: Place | None) -> Page:
        at = place["log"][0]
        until = at + self._page if end is None else min(at + self._page, end["log"][0])
        page = self.envelopes[at:until]
        return Page(
            [one for one in page if self._period.holds(one.recorded_at)],
            {"log": (at + len(page), 0)},
            self._unreadable if at == 0 else (),
        )

    async def mark(self, place: Place) -> str:
        return f"{self.history} {place['log'][0]}"
