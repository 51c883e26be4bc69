"""GS1 EDIFACT (EANCOM) interchanges: INVRPT, DESADV, RECADV and SLSRPT as rows of a feed.

    INVRPT  image       stock on hand: QTY+145 (actual stock) at LOC+14 or NAD+WH, as of DTM+366/137
    DESADV  transport   shipped: QTY+12 (despatched) from NAD+SF, a site of ours, at DTM+11; and
                        announced at NAD+ST, or NAD+DP, where DTM+17, 69, 2 or 358 says for when
            in_transit  announced there only: a supplier's
    RECADV  receipt     received and accepted: QTY+194, else QTY+48, at NAD+DP, or NAD+BY, DTM+50;
                        what is expected of the despatch that RFF+AAK, or RFF+DQ, names gets less
            transport   the same as received from transit; what QVR says is missing as lost
    SLSRPT  till_sale   sold: QTY+153 at LOC+162, or NAD+SE, DTM+356

Sites are known by their GLN (location number) and products by their GTIN: a list of codes says
which site and sku they are, or they stand for themselves. A row's id follows from the sender, the
document and the line, so a document that is sent again counts once.

Only originals are posted: a cancellation, a replacement or a change (BGM's function code) says
something of a document that is posted already, and a test interchange (UNB) says nothing. They are
put aside.

The segments are taken apart by pydifact. A document whose trailer (UNT) does not count what came
is put aside whole: something of it was lost.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

from pydifact.parser import Parser

from services.stock_ledger.entrypoints.feed_files.cells import BadCell, Fault, WrongFile
from services.stock_ledger.entrypoints.feed_files.edifact_articles import Article, articles, part
from services.stock_ledger.entrypoints.feed_files.edifact_originals import (
    ORIGINAL,
    TEST,
    TEST_FAULT,
    function_fault,
)
from services.stock_ledger.entrypoints.feed_files.edifact_times import Times, When, arrival
from services.stock_ledger.entrypoints.feed_files.tables import Table

MOST_BYTES = 64 << 20
_MOST_LINES = 200_000
_LONGEST = 100
# What a kind says beside what all say.
_OWN: Mapping[str, tuple[str, ...]] = {
    "transport": ("stage", "to_site_id", "due_at", "despatch_id"),
    "in_transit": ("due_at", "despatch_id"),
    "receipt": ("despatch_id",),
}
_COLUMNS = ("site_id", "sku", "quantity", "source_id", "occurred_at")
_DOCUMENTS: Mapping[tuple[str, str], str] = {
    ("INVRPT", "image"): "",
    ("INVRPT", "count"): "",
    ("DESADV", "transport"): "shipped",
    ("DESADV", "in_transit"): "",
    ("RECADV", "transport"): "received",
    ("RECADV", "receipt"): "",
    ("SLSRPT", "till_sale"): "",
}
# Which quantity counts, best first.
_QUANTITIES = {
    "INVRPT": ("145", "17"),
    "DESADV": ("12",),
    "RECADV": ("194", "48"),
    "SLSRPT": ("153",),
}
_UNITS = {"KGM": "kg", "GRM": "g", "PCE": "piece", "LTR": "l", "MLT": "ml", "": ""}

type Out = tuple[int, Sequence[Any] | Fault]


class _Unusable(Exception):
    """A document or a line of it cannot be used."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.fault = Fault(detail, remedy)


class _Reading:
    """How a file is read, and what the head of the interchange says for all its documents."""

    def __init__(
        self, kind: str, codes: Mapping[str, str], zones: Mapping[str, tzinfo], arrived: Times
    ) -> None:
        self.kind = kind
        self.codes = codes
        self._zones = zones
        self._arrived = arrived
        self._times = arrived
        self.sender = ""
        self.is_test = False

    def begin(self, at: int, head: Any) -> Iterator[Out]:
        self.sender = _sender(head)
        self._times = self._arrived.made(head)
        self.is_test = part(head, *TEST) not in ("", "0")
        if self.is_test:
            yield at, TEST_FAULT

    def times_at(self, site_id: str) -> Times:
        """Return how times are read that are said of a site."""
        return self._times.of(self._zones.get(site_id))


def is_interchange(path: Path) -> bool:
    """Say whether a file is an EDIFACT interchange, by its suffix or by how it begins."""
    if path.suffix.lower() in (".edi", ".edifact"):
        return True
    with path.open("rb") as file:
        return file.read(16).lstrip()[:4] in (b"UNA:", b"UNB+")


def read_interchange(
    path: Path,
    kind: str,
    codes: Mapping[str, str],
    zone: tzinfo,
    zones: Mapping[str, tzinfo],
    former: Sequence[tzinfo] = (),
) -> Table:
    """Read an interchange. A row's line is the number of its segment.

    Args:
        path: The file; ISO 8859-1 unless it is UTF-8.
        kind: Of feed.
        codes: GLN to site and GTIN to sku.
        zone: Of times that are said without one.
        zones: The same by site, where they are known.
        former: That such times may have been read in before, beside these and UTC.

    Raises:
        WrongFile: It is too large, or no document is of this kind of feed.
    """
    if kind not in {feed for _, feed in _DOCUMENTS}:
        feeds = ", ".join(sorted({feed for _, feed in _DOCUMENTS}))
        raise WrongFile(f"EDIFACT has no {kind} document; it has {feeds}")
    if path.stat().st_size > MOST_BYTES:
        raise WrongFile(
            f"it is larger than {MOST_BYTES >> 20} MiB; send it in several interchanges"
        )
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("iso-8859-1")
    columns = (*_COLUMNS, "unit", "is_day_only", "also_at", *_OWN.get(kind, ()))
    reading = _Reading(kind, codes, zones, Times(zone, (arrival(path),), (UTC, *former)))
    return Table(columns, _rows(text.strip(), reading))


def _rows(text: str, reading: _Reading) -> Iterator[Out]:
    document: list[tuple[int, Any]] = []
    at = 0
    try:
        for at, segment in _segments(text):
            if segment.tag == "UNB":
                yield from reading.begin(at, segment)
            elif segment.tag == "UNH":
                if document:
                    yield _lost(document[0][0], "has no end (UNT)")
                document = [(at, segment)]
            elif document:
                document.append((at, segment))
                if segment.tag == "UNT":
                    yield from () if reading.is_test else _document(document, reading)
                    document = []
    except Exception as error:  # noqa: BLE001 - whatever the library makes of what is no EDIFACT
        why = (str(error) or type(error).__name__).splitlines()[0][:_LONGEST]
        yield at + 1, Fault(f"interchange: cannot be read from here on: {why}", "send it again")
        return
    if document:
        yield _lost(document[0][0], "has no end (UNT)")
    if not at:
        yield 1, Fault("interchange: has no segments", "send it again")


def _sender(segment: Any) -> str:
    sender = part(segment, 1, 0)
    if not sender or not part(segment, 0, 0).startswith("UNO"):
        raise ValueError("its head (UNB) has no syntax or no sender")
    return sender


def _segments(text: str) -> Iterator[tuple[int, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library remarks on empty segments
        segments = Parser().parse(text)
        at = 0
        while True:
            segment = next(segments, None)
            if segment is None:
                return
            at += segment.tag != "UNA"
            if at > _MOST_LINES * 10:
                raise ValueError(f"more than {_MOST_LINES * 10} segments")
            yield at, segment


def _document(document: Sequence[tuple[int, Any]], reading: _Reading) -> Iterator[Out]:
    kind = reading.kind
    (first, head), (_, end) = document[0], document[-1]
    name = part(head, 1, 0)
    if (name, kind) not in _DOCUMENTS:
        yield _lost(first, f"is a {name or 'nameless document'}, which says nothing of {kind}")
        return
    if part(end, 0, 0) != str(len(document)):
        yield _lost(first, f"has {len(document)} segments, its end says {part(end, 0, 0)!r}")
        return
    begin = next((each for _, each in document if each.tag == "BGM"), None)
    number = "" if begin is None else part(begin, 1, 0)
    if not number:
        yield _lost(first, "has no number (BGM)")
        return
    function = part(begin, 2, 0)
    if function not in ("", ORIGINAL):
        yield first, function_fault(number, function)
        return
    stage = _DOCUMENTS[name, kind]
    seen: dict[str, int] = {}
    for line in articles(document, name):
        try:
            if kind == "in_transit":
                line.place = line.destination
            own = _own(line, number, reading)
            place = line.number or line.at - first + 1
            for suffix, row_stage, cells in _told(line, name, stage, reading):
                said = f"{reading.sender}.{name}.{number}.{place}{suffix}"[:_LONGEST]
                seen[said] = seen.get(said, 0) + 1
                source_id = said if seen[said] == 1 else f"{said}.{seen[said]}"
                *goods, (when, is_day, also), unit = cells
                staged = (row_stage,) if kind == "transport" else ()
                yield line.at, (*goods, source_id, when, unit, is_day, also, *staged, *own)
        except (_Unusable, BadCell) as bad:
            yield line.at, bad.fault


def _told(
    line: Article, name: str, stage: str, reading: _Reading
) -> Iterator[tuple[str, str, tuple[str, str, str, When, str]]]:
    """Yield what a line says: the rest of its id, its stage, and its cells."""
    wanted = next((q for q in _QUANTITIES[name] if any(q == n for n, *_ in line.quantities)), None)
    if wanted is None:
        remedy = f"give QTY+{' or QTY+'.join(_QUANTITIES[name])}"
        raise _Unusable("quantity: is missing (QTY)", remedy)
    if not line.gtin:
        raise _Unusable("sku: is missing (LIN)", "give the article's GTIN")
    codes = reading.codes
    sku = codes.get(line.gtin, line.gtin)
    for n, (qualifier, amount, unit, place) in enumerate(line.quantities):
        if qualifier != wanted:
            continue
        at = place or line.place
        if not at:
            raise _Unusable("site_id: is missing (NAD, LOC)", "give the location's GLN")
        if unit not in _UNITS:
            raise _Unusable(f"unit: is {unit[:9]!r}", "give PCE, GRM, KGM, MLT or LTR")
        site_id = codes.get(at, at)
        if stage and _is_zero(amount):
            continue  # nothing of it came; what is missing follows
        when = reading.times_at(site_id).said(line.time)
        yield f"-{n}" if n else "", stage, (site_id, sku, amount, when, _UNITS[unit])
    site_id = codes.get(line.place, line.place)
    when = reading.times_at(site_id).said(line.time)
    for n, amount in enumerate(line.missing if stage == "received" else ()):
        yield f"-m{n}", "lost", (site_id, sku, amount, when, "")


def _own(line: Article, number: str, reading: _Reading) -> tuple[Any, ...]:
    """Return what a row of this kind says beside what all say, without its stage."""
    match reading.kind:
        case "transport" if line.despatch:
            return ("", "", _despatch(line.despatch))
        case "transport" if line.destination and line.due:
            to_site_id = reading.codes.get(line.destination, line.destination)
            due_at = reading.times_at(to_site_id).due_at(line.due)
            return (to_site_id, due_at, _despatch(number))
        case "transport":
            return ("", "", "")
        case "in_transit":
            site_id = reading.codes.get(line.place, line.place)
            return (reading.times_at(site_id).due_at(line.due), _despatch(number))
        case "receipt":
            return (_despatch(line.despatch) if line.despatch else "",)
        case _:
            return ()


def _despatch(number: str) -> str:
    return f"DESADV.{number}"[:_LONGEST]


def _is_zero(amount: str) -> bool:
    return bool(amount) and not amount.strip("0.,")


def _lost(at: int, why: str) -> Out:
    return at, Fault(f"document: {why}", "send the document again, whole")
