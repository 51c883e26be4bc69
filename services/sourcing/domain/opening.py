"""When work gets done and doors are open: opening hours in the site's own time zone.

Local days are used as calendars show them, so a site that opens at 9 opens at 9 on the days when
the clocks change too; durations are real minutes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

HORIZON_DAYS = 21
# Work goes on over as many open days as it takes, a year at most: four weeks of work are allowed.
_LONGEST_WORK_DAYS = 366
_MAX_DAYS_KNOWN = 400

type Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Hours:
    """Opening hours of one weekday, in the site's own time."""

    weekday: int
    opens_minute: int
    closes_minute: int


class Calendar:
    """The opening hours of one site. Remembers the days that it worked out.

    Args:
        time_zone: IANA name.
        hours: No hours at all means that nobody said: the site counts as always open.
    """

    def __init__(self, time_zone: str, hours: Sequence[Hours]) -> None:
        self._zone = ZoneInfo(time_zone)
        self._hours = tuple(hours)
        self._days: dict[date, tuple[Span, ...]] = {}
        # The span of the last answer: nearly every question of a minute falls into it.
        self._opens = self._closes = datetime.min.replace(tzinfo=UTC)

    def after_work(self, start: datetime, work: timedelta) -> datetime | None:
        """Return when work begun at ``start`` is done, working in opening hours only.

        Returns:
            None when the site does not open for three weeks, or the work takes more than a year.
        """
        done = start + work
        if not self._hours or (self._opens <= start and done <= self._closes):
            return done
        left = work
        for opens, closes in self._spans(start):
            if closes <= start:
                continue
            begin = max(opens, start)
            if left <= closes - begin:
                self._opens, self._closes = opens, closes
                return begin + left
            left -= closes - begin
        return None

    def next_open(self, at: datetime) -> datetime | None:
        """Return ``at`` if the site is open, else when it opens next; None within three weeks."""
        if not self._hours or self._opens <= at < self._closes:
            return at
        for opens, closes in self._spans(at):
            if at < closes:
                return max(opens, at)
        return None

    def _spans(self, start: datetime) -> Iterator[Span]:
        day = start.astimezone(self._zone).date()
        last_open = 0
        for ahead in range(_LONGEST_WORK_DAYS):
            spans = self._spans_of(day + timedelta(days=ahead))
            if spans:
                last_open = ahead
                yield from spans
            elif ahead - last_open >= HORIZON_DAYS:
                return

    def _spans_of(self, day: date) -> tuple[Span, ...]:
        """Return the open spans of one local day in UTC, earliest first."""
        known = self._days.get(day)
        if known is None:
            if len(self._days) >= _MAX_DAYS_KNOWN:
                self._days.clear()
            midnight = datetime(day.year, day.month, day.day, tzinfo=self._zone)
            spans: list[Span] = []
            for opens_minute, closes_minute in sorted(
                (each.opens_minute, each.closes_minute)
                for each in self._hours
                if each.weekday == day.isoweekday()
            ):
                opens = (midnight + timedelta(minutes=opens_minute)).astimezone(UTC)
                closes = (midnight + timedelta(minutes=closes_minute)).astimezone(UTC)
                # A local time that the clocks skip lies behind those that follow it.
                if spans:
                    opens = max(opens, spans[-1][1])
                if opens < closes:
                    spans.append((opens, closes))
            known = self._days[day] = tuple(spans)
        return known
