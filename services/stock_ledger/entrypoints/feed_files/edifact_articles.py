"""The articles of a GS1 EDIFACT document: what is said of each, where, and of when."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_PARTIES = {
    "INVRPT": ("WH", "SN", "GY"),
    "DESADV": ("SF",),
    "RECADV": ("DP", "ST", "BY"),
    "SLSRPT": ("SE", "SN"),
}
_PLACES = {"INVRPT": ("14", "18"), "DESADV": (), "RECADV": ("14", "7"), "SLSRPT": ("162",)}
_TIMES = {
    "INVRPT": ("366", "137"),
    "DESADV": ("11", "137"),
    "RECADV": ("50", "137"),
    "SLSRPT": ("356", "90", "137"),
}
# Where a despatch goes, and when it is to be there: estimated, promised, requested, not before.
_DESTINATIONS = ("ST", "DP", "UD")
_DUE = ("17", "69", "2", "358")
# What a receipt is of: the despatch advice, else the delivery note.
_DESPATCHES = ("AAK", "DQ")
_LOST = frozenset({"BP", "CP", "AF", ""})


@dataclass(slots=True)
class Article:
    """An article of a document, and what is said of it at one place.

    Attributes:
        destination: Where it goes, for what is despatched.
        due: When it is to be there.
        despatch: What it came of, for what is received.
    """

    at: int
    number: str
    gtin: str
    place: str
    time: str
    quantities: list[tuple[str, str, str, str]] = field(default_factory=list[Any])
    missing: list[str] = field(default_factory=list[str])
    destination: str = ""
    due: str = ""
    despatch: str = ""


def articles(document: Sequence[tuple[int, Any]], name: str) -> Iterator[Article]:
    """Yield each article at each place."""
    reading = _Reading(name)
    for at, segment in document:
        yield from reading.take(at, segment)
    if reading.line is not None:
        yield reading.line


class _Reading:
    """How far a document is read. A place holds for what follows it, as does a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._places: dict[str, str] = {}
        self._times: dict[str, str] = {}
        self._references: dict[str, str] = {}
        self.line: Article | None = None

    def take(self, at: int, segment: Any) -> Iterator[Article]:
        """Take in a segment; yield the article that it ends."""
        if segment.tag == "LOC" and part(segment, 0, 0) in _PLACES[self._name]:
            yield from self._place(part(segment, 1, 0))
        elif segment.tag == "LIN":
            if self.line is not None:
                yield self.line
            # A place that is named badly is not the same as none: nothing stands in for it.
            place = self._places.get("LOC")
            if place is None:
                place = first(self._places, _PARTIES[self._name])
            time = first(self._times, _TIMES[self._name])
            self.line = Article(
                *(at, part(segment, 0, 0), part(segment, 2, 0), place, time),
                destination=first(self._places, _DESTINATIONS),
                due=first(self._times, _DUE),
                despatch=first(self._references, _DESPATCHES),
            )
        elif self.line is None:
            self._head(segment)
        else:
            _detail(self.line, segment)

    def _head(self, segment: Any) -> None:
        if segment.tag == "NAD":
            self._places.setdefault(part(segment, 0, 0), part(segment, 1, 0))
        elif segment.tag == "DTM":
            self._times[part(segment, 0, 0)] = "|".join(parts(segment, 0)[1:3])
        elif segment.tag == "RFF":
            self._references.setdefault(part(segment, 0, 0), part(segment, 0, 1))

    def _place(self, place: str) -> Iterator[Article]:
        line = self.line
        if line is not None and not line.quantities:
            line.place = place
        elif line is not None and self._name == "INVRPT":
            # Several places of one article: the quantity before it belongs to it.
            *others, last = line.quantities
            line.quantities = [*others, (*last[:3], place)]
        else:
            if line is not None:
                yield line
            self.line = None
            self._places["LOC"] = place


def _detail(line: Article, segment: Any) -> None:
    if segment.tag == "QTY":
        qualifier, amount, unit = (*parts(segment, 0), "", "", "")[:3]
        line.quantities.append((qualifier, amount, unit, ""))
    elif segment.tag == "RFF" and part(segment, 0, 0) in _DESPATCHES:
        line.despatch = part(segment, 0, 1)
    elif segment.tag == "QVR":
        amount = part(segment, 0, 0)
        if part(segment, 1, 0) in _LOST and amount.startswith("-"):
            line.missing.append(amount[1:])


def first(known: Mapping[str, str], names: Sequence[str]) -> str:
    return next((known[name] for name in names if known.get(name)), "")


def part(segment: Any, element: int, component: int) -> str:
    found = parts(segment, element)
    return found[component].strip() if component < len(found) else ""


def parts(segment: Any, element: int) -> list[str]:
    if element >= len(segment.elements):
        return []
    found = segment.elements[element]
    return [str(part) for part in found] if isinstance(found, list) else [str(found)]
