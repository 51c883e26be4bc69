"""When work gets done and doors are open: opening hours in the site's own time zone.

Local days are used as calendars show them, so a site that opens at 9 opens at 9 on the days when
the clocks change too; durations are real minutes.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.sourcing.domain.network import Hours, Site

HORIZON_DAYS = 21


@lru_cache(maxsize=512)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(maxsize=4096)
def _spans_of_day(
    hours: tuple[Hours, ...], zone: str, day: date
) -> tuple[tuple[datetime, datetime], ...]:
    """Return the open spans of one local day in UTC, earliest first."""
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - local, given its zone below
    here = _zone(zone)
    return tuple(
        (
            (midnight + timedelta(minutes=opens)).replace(tzinfo=here).astimezone(UTC),
            (midnight + timedelta(minutes=closes)).replace(tzinfo=here).astimezone(UTC),
        )
        for opens, closes in sorted(
            (each.opens_minute, each.closes_minute)
            for each in hours
            if each.weekday == day.isoweekday() and each.opens_minute < each.closes_minute
        )
    )


def _spans(site: Site, start: datetime) -> Iterator[tuple[datetime, datetime]]:
    day = start.astimezone(_zone(site.time_zone)).date()
    for ahead in range(HORIZON_DAYS):
        yield from _spans_of_day(site.hours, site.time_zone, day + timedelta(days=ahead))


def after_work(site: Site, start: datetime, minutes: int) -> datetime | None:
    """Return when ``minutes`` of work begun at ``start`` are done, working in opening hours only.

    Returns:
        None when the site is not open long enough within the next three weeks.
    """
    if not site.hours:
        return start + timedelta(minutes=minutes)
    left = timedelta(minutes=minutes)
    for opens, closes in _spans(site, start):
        if closes <= start:
            continue
        begin = max(opens, start)
        if left <= closes - begin:
            return begin + left
        left -= closes - begin
    return None


def next_open(site: Site, at: datetime) -> datetime | None:
    """Return ``at`` if the site is open then, else when it opens next; None within three weeks."""
    if not site.hours:
        return at
    for opens, closes in _spans(site, at):
        if at < closes:
            return max(opens, at)
    return None
