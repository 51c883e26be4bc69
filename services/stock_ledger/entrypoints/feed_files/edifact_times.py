"""When a GS1 EDIFACT document says that something was: a DTM as a time.

Most formats of a DTM have no zone: they are local time, of the site where it was if its zone is
known, else of the sender, whose zone is the file's.
A day without a time is its end, because what is said of it holds then; of a day that is not over,
it is the time when the interchange was made or came, for what has happened cannot be in the future.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from services.stock_ledger.entrypoints.feed_files.cells import BadCell, WrongFile
from services.stock_ledger.entrypoints.feed_files.edifact_articles import part

_DAY = "102"
_FORMATS = {
    _DAY: ("%Y%m%d", 8),
    "201": ("%y%m%d%H%M", 10),
    "203": ("%Y%m%d%H%M", 12),
    "204": ("%Y%m%d%H%M%S", 14),
}
# The end of a period: how long its begin is, and the format of its end.
_PERIODS = {"718": (8, _DAY), "713": (10, "201"), "719": (12, "203")}
# With a zone: the format of what is before it.
_ZONED = {"205": "203", "303": "203", "304": "204"}
_OFFSET = re.compile(r"([+-])([0-9]{2})([0-9]{2})?")
# Names of zones are no standard; these mean one thing in Europe, and never daylight saving.
_NAMES = {"UTC": 0, "GMT": 0, "WET": 0, "CET": 1, "EET": 2}
_MOST_HOURS, _HOUR_MINUTES = 14, 60
_LAST_YEAR = 9999
# When, whether only its day is said, and when else it may have been told to be.
type When = tuple[datetime, bool, tuple[datetime, ...]]
_REMEDY = (
    "give DTM as 102 (20260302), 201, 203, 204, with a zone as 205 (202603021200?+0100)"
    " or 303 (202603021200UTC), or a period as 713, 718 or 719"
)


@dataclass(frozen=True, slots=True)
class Times:
    """What is known of an interchange's times.

    Attributes:
        zone: Of what is said without one.
        known: When it was made, if it says so, and when it came.
        others: Zones that it may have been read in before.
    """

    zone: tzinfo
    known: tuple[datetime, ...] = ()
    others: tuple[tzinfo, ...] = ()

    def made(self, head: Any) -> "Times":
        """Add when the interchange says that it was made (UNB)."""
        text = part(head, 3, 0) + part(head, 3, 1)
        form = "201" if len(text) == _FORMATS["201"][1] else "203"
        try:
            return replace(self, known=(*self.known, self._local(text, form)))
        except (ValueError, OverflowError):
            return self  # nothing hangs on it but the time of a day that is not over

    def of(self, zone: tzinfo | None) -> "Times":
        """Return the same for what is said of a place in this zone, if it is known."""
        return self if zone is None else Times(zone, self.known, (self.zone, *self.others))

    def occurred_at(self, text: str) -> tuple[datetime, bool]:
        """Return when something happened, and whether only its day is said.

        Raises:
            BadCell: It cannot be read.
        """
        begin, end = self._read(text, "occurred_at")
        return min([end, *(at for at in self.known if begin <= at < end)]), begin < end

    def said(self, text: str) -> When:
        """Return when something happened, and when else in the zones it may have been read in.

        Raises:
            BadCell: It cannot be read.
        """
        at, is_day = self.occurred_at(text)
        if is_day:
            return at, is_day, ()
        times = [Times(zone, self.known).occurred_at(text)[0] for zone in self.others]
        return at, is_day, tuple(dict.fromkeys(one for one in times if one != at))

    def due_at(self, text: str) -> datetime:
        """Return when something is due: a day, at its end.

        Raises:
            BadCell: It cannot be read.
        """
        return self._read(text, "due_at")[1]

    def _read(self, text: str, field: str) -> tuple[datetime, datetime]:
        """Return the begin and the end of what a DTM says: the same, unless it is a day."""
        value, _, form = text.partition("|")
        if form in _PERIODS:
            start, form = _PERIODS[form]
            value = value[start:].removeprefix("-")
        try:
            if form in _ZONED:
                length = _FORMATS[_ZONED[form]][1]
                at = _parsed(value[:length], _ZONED[form], _zone(value[length:], form))
                return at, at
            at = self._local(value, form or _DAY)
            if form not in ("", _DAY) or at.year == _LAST_YEAR:
                return at, at
            return at, self._local(f"{value}235959", "204")
        except (ValueError, OverflowError):
            raise BadCell(field, f"is {text[:40]!r} (DTM)", _REMEDY) from None

    def _local(self, value: str, form: str) -> datetime:
        return _parsed(value, form, self.zone)


def _parsed(value: str, form: str, zone: tzinfo) -> datetime:
    pattern, length = _FORMATS.get(form, ("", -1))
    if len(value) != length or not (value.isascii() and value.isdigit()):
        raise ValueError(value)
    return datetime.strptime(value, pattern).replace(tzinfo=zone).astimezone(UTC)


def _zone(text: str, form: str) -> tzinfo:
    offset = _OFFSET.fullmatch(text)
    if offset is not None:
        sign, hours, minutes = offset.group(1), int(offset.group(2)), int(offset.group(3) or 0)
        if hours > _MOST_HOURS or minutes >= _HOUR_MINUTES:
            raise ValueError(text)
        ahead = timedelta(hours=hours, minutes=minutes)
        return timezone(ahead if sign == "+" else -ahead)
    if form == "205" or text not in _NAMES:
        raise ValueError(text)
    return timezone(timedelta(hours=_NAMES[text]))


def arrival(path: Path) -> datetime:
    """Return when a file was written here. It is the same for a run that goes on."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def zones_of(names: Mapping[str, str]) -> dict[str, tzinfo]:
    """Return zones by site; one that is not known here stands for none."""
    zones: dict[str, tzinfo] = {}
    for site_id, name in names.items():
        with suppress(WrongFile):
            zones[site_id] = zone_of(name)
    return zones


def zone_of(name: str) -> tzinfo:
    """Return a zone by its name.

    Raises:
        WrongFile: There is none of that name.
    """
    try:
        return UTC if name in ("", "UTC") else ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise WrongFile(f"there is no zone {name!r}; give one as Europe/Paris") from None
