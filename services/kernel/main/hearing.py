"""What was said is heard in the end: who is silent about what another said long ago is told of.

The comparison of the services takes what a listener has not heard of for on its way. That must have
an end, or a worker that nobody starts would be no difference for ever.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from services.kernel.adapters.event_log import LOG_COLUMNS, decode_rows
from services.kernel.adapters.kafka_records import partition_of
from services.kernel.adapters.relay import public_form
from services.kernel.application.feeds import Envelope, Subscription
from services.kernel.main.host import ServiceHost

HEARD_IN_TIME = "all services: what was said is heard in time"
_PAGE_EVENTS = 2_000

type Hosts = Mapping[str, ServiceHost]
type Progress = Callable[[str, int, int], None]


async def unheard(hosts: Hosts, within_s: float, progress: Progress) -> list[str]:
    """Return, for each listener and feed, the first event that has been on its way for too long.

    Args:
        hosts: Every service.
        within_s: How long is too long.
        progress: Told which log was read, up to where, of how much.
    """
    found: list[str] = []
    speakers = {host.service.topic: host for host in hosts.values()}
    for listener, host in hosts.items():
        for subscription in host.service.subscriptions:
            speaker = speakers.get(subscription.topic)
            if speaker is None:
                continue
            marks = await _marks(host, subscription)
            parked = await _parked(host, subscription)
            late = await _first_late(speaker, subscription, marks, parked, within_s, progress)
            if late is not None:
                found.append(
                    f"{listener} has not heard {late.type} of {late.key} at {late.position}, said"
                    f" {late.recorded_at:%Y-%m-%d %H:%M:%S} UTC: start its worker, or see what"
                    " holds it up (`oms stack status`, `oms parked list`)"
                )
    return found


async def _marks(host: ServiceHost, subscription: Subscription) -> Sequence[int]:
    """Return up to where a group has heard each partition; nothing where it never has."""
    rows = await host.database.sql.fetch(
        "SELECT partition, position FROM watermarks WHERE group_name = $1 AND topic = $2",
        *(subscription.group, subscription.topic),
    )
    marks = {row[0]: row[1] for row in rows}
    return [marks.get(n, 0) for n in range(max(marks, default=0) + 1)]


async def _first_late(
    speaker: ServiceHost,
    subscription: Subscription,
    marks: Sequence[int],
    parked: frozenset[str],
    within_s: float,
    progress: Progress,
) -> Envelope | None:
    sql = speaker.database.sql
    head, now = await sql.fetchrow(
        "SELECT coalesce(max(notification_id), 0), clock_timestamp() FROM events"
    )
    too_old = now - timedelta(seconds=within_s)
    position = min(marks)
    while position < head:
        rows = await sql.fetch(
            f"SELECT {LOG_COLUMNS} FROM events WHERE notification_id > $1"
            " AND notification_id <= $2 AND recorded_at < $3 ORDER BY notification_id LIMIT $4",
            *(position, head, too_old, _PAGE_EVENTS),
        )
        if not rows:
            break
        for recorded in decode_rows(speaker.service.codec, rows):
            envelope = _said(speaker, recorded)
            if (
                envelope is not None
                and envelope.type not in subscription.passes_over
                and envelope.key not in parked
                and marks[partition_of(envelope.key, len(marks))] < envelope.position
            ):
                return envelope
        position = rows[-1]["notification_id"]
        progress(f"hearing of {speaker.service.name}", position, head)
    return None


def _said(speaker: ServiceHost, recorded: Any) -> Envelope | None:
    try:
        return public_form(speaker.service.topic, speaker.service.publish, recorded)
    except Exception:  # noqa: BLE001 - its relay has parked it: told as that
        return None


async def _parked(host: ServiceHost, subscription: Subscription) -> frozenset[str]:
    """Return the streams that wait for a person: that is told by itself."""
    rows = await host.database.sql.fetch(
        "SELECT DISTINCT stream FROM parked WHERE group_name = $1 AND topic = $2",
        *(subscription.group, subscription.topic),
    )
    return frozenset(row[0] for row in rows)
