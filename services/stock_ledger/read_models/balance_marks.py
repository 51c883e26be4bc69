"""What a long stream comes to, block by block: so that the past is read in a few rows.

Answers    nothing by itself; see past.py and explanation.py
Fed by     the entries: one mark per ``BLOCK`` entries of a stream, written once
Staleness  of no matter: what has no mark yet is read from the log

A stream of fewer entries has no mark at all, and costs nothing here.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from operator import add
from typing import Any

import msgspec

from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel
from services.stock_ledger.domain.entry import Buckets, EntryPosted
from services.stock_ledger.domain.stock_item import site_and_sku

BLOCK = 128
BUCKETS = tuple(Buckets.__dataclass_fields__)
WIDTH = len(BUCKETS)
NOTHING: Sequence[int] = (0,) * WIDTH
_PLACE = {bucket: n for n, bucket in enumerate(BUCKETS)}


class _Posting(msgspec.Struct):
    account: str
    quantity: int


class _Report(msgspec.Struct):
    quantity: int
    occurred_at: datetime


class _Stored(msgspec.Struct):
    """The part of a stored entry that balances are made of; the stored form is JSON for ever."""

    cause: str
    occurred_at: datetime
    postings: list[_Posting]
    reports: list[_Report] = []


_decode = msgspec.json.Decoder(_Stored).decode

type Moved = tuple[datetime, str, Sequence[int]]


def moved(state: bytes) -> list[Moved]:
    """Return when a stored entry occurred, its cause, and what each bucket gained.

    An entry of several reports is told report by report; it moves all of them between the same two
    accounts, of which the first gains what they report.
    """
    entry = _decode(state)
    postings = [(posting.account, posting.quantity) for posting in entry.postings]
    if not entry.reports:
        return [(entry.occurred_at, entry.cause, _gained(postings))]
    (gains, _), (loses, _) = postings
    return [
        (
            report.occurred_at,
            entry.cause,
            _gained([(gains, report.quantity), (loses, -report.quantity)]),
        )
        for report in entry.reports
    ]


def _gained(postings: Sequence[tuple[str, int]]) -> Sequence[int]:
    gained = [0] * WIDTH
    for account, quantity in postings:
        place = _PLACE.get(account)
        if place is not None:
            gained[place] += quantity
    return gained


def plus(one: Sequence[int], other: Sequence[int]) -> Sequence[int]:
    return tuple(map(add, one, other))


def by_cause(entries: Sequence[Moved]) -> dict[str, Sequence[int]]:
    """Return how many entries each cause has, then what they come to by bucket."""
    sums: dict[str, Sequence[int]] = defaultdict(lambda: (0, *NOTHING))
    for _, cause, gained in entries:
        sums[cause] = plus(sums[cause], (1, *gained))
    return sums


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Mark every block that is full; its entries are read from the log, once."""
    after = {
        (recorded.stream, recorded.version): recorded.event.after
        for recorded in batch
        if recorded.version % BLOCK == 0 and isinstance(recorded.event, EntryPosted)
    }
    # One at a time: the entries of a hot product hold hundreds of reservations each.
    for block in sorted(after):
        await _mark_block(sql, *block, after[block])


async def _mark_block(sql: Sql, stream: str, until: int, after: Buckets) -> None:
    rows = await sql.fetch(
        # Named in full: a read model that is filled anew sees no tables but its own.
        "SELECT originator_id, originator_version, recorded_at, state FROM public.events"
        " WHERE originator_id = $1 AND originator_version > $2 AND originator_version <= $3"
        " ORDER BY originator_version",
        *(stream, until - BLOCK, until),
    )
    if not rows:
        return  # told of entries away from their log: there is nothing to sum up
    # In order: what is settled by a block rests on the block before it.
    await sql.execute(
        "INSERT INTO balance_mark (tenant, site_id, sku, version, balance, settled_at,"
        " recorded_until, occurred, changes, causes) SELECT $1, $2, $3, $4, $5,"
        " greatest($6::timestamptz, (SELECT max(settled_at) FROM balance_mark"
        " WHERE tenant = $1 AND site_id = $2 AND sku = $3)), $7, $8, $9, $10::jsonb"
        " ON CONFLICT DO NOTHING",
        *_mark(stream, until, rows, after),
    )


def _mark(stream: str, until: int, rows: Sequence[Any], after: Buckets) -> tuple[Any, ...]:
    tenant, _, key = stream.partition("/stock-")
    entries = sorted((one for row in rows for one in moved(row[3])), key=lambda one: one[0])
    occurred = [at for at, _, _ in entries]
    sums = accumulate((gained for _, _, gained in entries), plus)
    balance = [getattr(after, bucket) for bucket in BUCKETS]
    return (
        *(tenant, *site_and_sku(key), until, balance, occurred[-1], rows[-1][2], occurred),
        *([part for each in sums for part in each], json.dumps(by_cause(entries), sort_keys=True)),
    )


MARKS = ReadModel("balance_marks", ("balance_mark",), project)
