"""Why a balance is what it is: the causes, and the entries, that add up to it.

Answers    ExplainStock
Reads      the marks of long streams, and the log itself
Staleness  none
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from services.kernel.application.work import Sql
from services.kernel.domain.messages import stream_id
from services.stock_ledger.domain.entry import EntryPosted, Posting
from services.stock_ledger.domain.stock_item import stock_key
from services.stock_ledger.read_models.balance_marks import BLOCK, NOTHING, by_cause, moved, plus
from services.stock_ledger.read_models.entries import EntryRow

_CHUNK = 512
_MOST_CHUNKS = 20

_decode = msgspec.json.Decoder(EntryPosted).decode


@dataclass(frozen=True, slots=True)
class Span:
    """Entries of one product at one site that occurred in a stretch of time.

    Attributes:
        tenant: Whose.
        site_id: Where.
        sku: What.
        version: Up to which entries count: what was known.
        since: They occurred after this.
        until: And by this.
    """

    tenant: str
    site_id: str
    sku: str
    version: int
    since: datetime
    until: datetime

    @property
    def stream(self) -> str:
        return stream_id(self.tenant, "stock", stock_key(self.site_id, self.sku))

    def has(self, occurred_at: datetime) -> bool:
        return self.since < occurred_at <= self.until


async def causes(sql: Sql, span: Span) -> Mapping[str, Sequence[int]]:
    """Return what each cause moved: the number of its entries, then what each bucket gained.

    A block that lies in the stretch whole is taken from its mark; one that lies outside is not
    looked at; of the others, and of what has no mark yet, the entries are read.
    """
    marks = await sql.fetch(
        "SELECT version, occurred[1] > $5 AND occurred[cardinality(occurred)] <= $6,"
        " occurred[1] > $6 OR occurred[cardinality(occurred)] <= $5, causes::text"
        " FROM balance_mark WHERE tenant = $1 AND site_id = $2 AND sku = $3 AND version <= $4",
        *(span.tenant, span.site_id, span.sku, span.version, span.since, span.until),
    )
    sums: dict[str, Sequence[int]] = defaultdict(lambda: (0, *NOTHING))
    in_part: list[int] = []
    for version, is_inside, is_outside, known in marks:
        if is_inside:
            _add(sums, json.loads(known))
        elif not is_outside:
            in_part.append(version)
    rows = await sql.fetch(
        "SELECT e.state FROM events e WHERE e.originator_id = $1"
        " AND e.originator_version > $2 AND e.originator_version <= $3"
        " UNION ALL SELECT e.state FROM unnest($4::int[]) AS b (until) JOIN events e"
        " ON e.originator_id = $1 AND e.originator_version > b.until - $5::int"
        " AND e.originator_version <= b.until",
        *(span.stream, max((mark[0] for mark in marks), default=0), span.version, in_part, BLOCK),
    )
    entries = [one for row in rows for one in moved(row[0])]
    _add(sums, by_cause([entry for entry in entries if span.has(entry[0])]))
    return sums


def _add(sums: dict[str, Sequence[int]], more: Mapping[str, Sequence[int]]) -> None:
    for cause, part in more.items():
        sums[cause] = plus(sums[cause], part)


async def page(sql: Sql, span: Span, before: int, limit: int) -> tuple[list[EntryRow], int]:
    """Return entries of the span below a version, newest first, and where the next page begins.

    A page may hold fewer than asked, even none, when much was looked at in vain: the next one
    goes on from there. Nothing follows when it begins at 0.
    """
    found: list[EntryRow] = []
    for _ in range(_MOST_CHUNKS):
        rows = await sql.fetch(
            "SELECT originator_version, state, recorded_at FROM events WHERE originator_id = $1"
            " AND originator_version < $2 ORDER BY originator_version DESC LIMIT $3",
            *(span.stream, before, _CHUNK),
        )
        for version, state, recorded_at in rows:
            if len(found) == limit:
                return found, before
            before = version
            entry = _within(_decode(state), span)
            if entry is not None:
                found.append(_row(version, entry, recorded_at))
        if len(rows) < _CHUNK:
            return found, 0
    return found, before


def _within(entry: EntryPosted, span: Span) -> EntryPosted | None:
    """Return the part of an entry that lies in the span, or nothing: its reports have times."""
    if not entry.reports:
        return entry if span.has(entry.occurred_at) else None
    reports = tuple([report for report in entry.reports if span.has(report.occurred_at)])
    if not reports:
        return None
    part = sum(report.quantity for report in reports)
    gains, loses = entry.postings
    return replace(
        entry,
        postings=(Posting(gains.account, part), Posting(loses.account, -part)),
        occurred_at=max(report.occurred_at for report in reports),
        reports=reports,
    )


def _row(version: int, entry: EntryPosted, recorded_at: datetime) -> EntryRow:
    return EntryRow(
        version=version,
        cause=entry.cause,
        accounts=[posting.account for posting in entry.postings],
        quantities=[posting.quantity for posting in entry.postings],
        source_id=entry.source_id,
        reservation_id=entry.reservation_id,
        occurred_at=entry.occurred_at,
        recorded_at=recorded_at,
        free_after=entry.after.free,
        on_hand_after=entry.after.on_hand,
    )
