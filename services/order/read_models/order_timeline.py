"""Everything that happened to an order, and who caused it.

Answers    OrderService.GetTimeline, WatchTimeline and, folded, GetOrder
Read from  the order's stream itself
Staleness  none

An order has a few dozen events: reading them where they were recorded costs no more than reading
copies of them, and whoever watches need not wait for the copies to be made.
"""

from dataclasses import dataclass
from typing import Any

from services.kernel.application.runner import Reader
from services.kernel.domain.messages import Recorded, stream_id
from services.order.domain.consumer_view import Fact

MOST_ENTRIES = 5_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A fact of the timeline, with who caused it."""

    fact: Fact
    actor: str
    causation_id: str


def entry_of(recorded: Recorded[Any]) -> Entry:
    cause = recorded.cause
    return Entry(
        Fact(recorded.version, recorded.recorded_at, recorded.event),
        cause.actor,
        cause.causation_id or cause.command_id,
    )


async def entries_after(
    reader: Reader, *, tenant: str, order_id: str, version: int = 0, limit: int = MOST_ENTRIES
) -> list[Entry]:
    """Return what happened to an order after ``version``, oldest first; empty when unknown."""
    found = await reader.recorded(stream_id(tenant, "order", order_id), version, limit)
    return [entry_of(one) for one in found]


async def entries_of(
    reader: Reader, *, tenant: str, order_id: str, at_once: int = MOST_ENTRIES
) -> list[Entry]:
    """Return all that happened to an order: a part of it would show another order."""
    entries: list[Entry] = []
    while True:
        version = entries[-1].fact.version if entries else 0
        page = await entries_after(
            reader, tenant=tenant, order_id=order_id, version=version, limit=at_once
        )
        entries += page
        if len(page) < at_once:
            return entries
