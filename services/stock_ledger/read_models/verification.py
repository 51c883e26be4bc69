"""Whether the books are right: recomputed from the stored log, not from what the rules believe.

Checks, for every stock item, from its first entry on:

``I2``  free falls below zero only by a fact (till sale, adjustment, pick, shortage), no other
        bucket ever does, and what is reserved is what the open reservations have together;
``I3``  every entry sums to zero, leads to the balance it says it leads to, and the last one is the
        balance that is shown;
``I4``  no hold outlives its time, and what has ended holds nothing.

The log is read in pages in the order of its streams, so memory is bounded by one page and one
stock item. The stored form is read as an auditor would read it: JSON, without our classes.
"""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.kernel.application.work import Sql
from services.stock_ledger.domain.entry import FACTS
from services.stock_ledger.domain.stock_item import site_and_sku

_ENTRY = "stock.entry_posted.v1"
_SHOWS = "availability"
_PAGE_EVENTS = 2_000
_MOST_OVERDUE = 1_000
_OVERDUE_AFTER = timedelta(minutes=1)
_BUCKETS = ("free", "held", "allocated", "picked", "quarantine", "damaged")
_RESERVED = ("held", "allocated", "picked")


@dataclass(frozen=True, slots=True)
class Violation:
    """One sentence that ought to be false.

    Attributes:
        invariant: ``I2``, ``I3`` or ``I4``.
        stream: Where.
        version: At which event of the stream; 0 when it concerns none in particular.
        detail: What is wrong, with both numbers.
    """

    invariant: str
    stream: str
    version: int
    detail: str


@dataclass(slots=True)
class _Item:
    """One stock item, recomputed so far, and where the log has its last entry."""

    stream: str = ""
    version: int = 0
    position: int = 0
    accounts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    open: dict[str, dict[str, int]] = field(default_factory=dict)
    promised: dict[str, int] = field(default_factory=lambda: defaultdict(int))


async def violations(sql: Sql, now: datetime) -> AsyncIterator[Violation]:
    """Yield everything that is wrong with the books of every tenant.

    Sound while orders flow: a balance shown is compared at the version it is shown for, or not at
    all when the log has moved on since this began; run it on settled services to compare every one.

    Args:
        sql: The service's database.
        now: To tell which holds are overdue.
    """
    async for wrong in _wrong_items(sql):
        yield wrong
    async for wrong in _overdue(sql, now):
        yield wrong


async def _wrong_items(sql: Sql) -> AsyncIterator[Violation]:
    item, after = _Item(), ("", 0)
    # What the log holds beyond this is on its way to the tables.
    shown_to = await sql.fetchval("SELECT position FROM checkpoints WHERE name = $1", _SHOWS)
    while True:
        rows = await sql.fetch(
            "SELECT originator_id, originator_version, topic, convert_from(state, 'UTF8'),"
            " notification_id FROM events WHERE (originator_id, originator_version) > ($1, $2)"
            " ORDER BY originator_id, originator_version LIMIT $3",
            *(*after, _PAGE_EVENTS),
        )
        done: list[_Item] = []
        entries = [row for row in rows if row[2] == _ENTRY]
        for stream, version, _, state, position in entries:
            if stream != item.stream:
                done.append(item)
                item = _Item(stream)
            if version != item.version + 1:
                yield Violation("I3", stream, version, f"follows version {item.version}")
            for wrong in _fold(item, version, json.loads(state)):
                yield wrong
            item.position = position
        if not rows:
            done.append(item)
        async for wrong in _shown_otherwise(
            sql, [one for one in done if one.stream], shown_to or 0
        ):
            yield wrong
        if not rows:
            return
        after = (rows[-1][0], rows[-1][1])


def _fold(item: _Item, version: int, entry: Mapping[str, Any]) -> list[Violation]:
    wrong: list[Violation] = []

    def expect(invariant: str, is_right: bool, detail: str) -> None:  # noqa: FBT001
        if not is_right:
            wrong.append(Violation(invariant, item.stream, version, detail))

    item.version = version
    postings = [(posting["account"], posting["quantity"]) for posting in entry["postings"]]
    expect("I3", sum(moved for _, moved in postings) == 0, f"postings {postings} do not balance")
    free_before = item.accounts["free"]
    for account, moved in postings:
        item.accounts[account] += moved
        if entry["reservation_id"]:
            _promise(item, entry["reservation_id"], account, moved)
    for share in entry.get("shares", ()):
        is_hold = entry["cause"] == "hold"
        moved = share["quantity"] if is_hold else -share["quantity"]
        _promise(item, share["reservation_id"], "held", moved)
        left = item.open.get(share["reservation_id"], {}).get("held", 0)
        expect("I2", left >= 0, f"{share} is more than was held")
    there = {bucket: item.accounts[bucket] for bucket in _BUCKETS}
    expect("I3", there == dict(entry["after"]), f"says {entry['after']}, comes to {there}")
    expect(
        "I2",
        there["free"] >= min(free_before, 0) or entry["cause"] in FACTS,
        f"{entry['cause']} takes free from {free_before} to {there['free']}",
    )
    for bucket in _BUCKETS[1:]:
        expect("I2", there[bucket] >= 0, f"{bucket} is {there[bucket]}")
    for bucket in _RESERVED:
        promised = item.promised[bucket]
        expect("I2", there[bucket] == promised, f"{bucket} is {there[bucket]}, promised {promised}")
    return wrong


def _promise(item: _Item, reservation_id: str, account: str, moved: int) -> None:
    """Note what one reservation gained or lost; its sums are kept along, for long streams."""
    if account not in _RESERVED:
        return
    has = item.open.setdefault(reservation_id, dict.fromkeys(_RESERVED, 0))
    has[account] += moved
    item.promised[account] += moved
    if not any(has.values()):
        del item.open[reservation_id]


async def _shown_otherwise(sql: Sql, items: list[_Item], shown_to: int) -> AsyncIterator[Violation]:
    """Yield the items whose balance is shown otherwise than their log has it."""
    if not items:
        return
    places = [
        (item.stream.partition("/")[0], *site_and_sku(item.stream.partition("/stock-")[2]))
        for item in items
    ]
    rows = await sql.fetch(
        "SELECT tenant, site_id, sku, free, held, allocated, picked, on_hand, version"
        " FROM availability JOIN unnest($1::text[], $2::text[], $3::text[])"
        " AS asked (tenant, site_id, sku) USING (tenant, site_id, sku)",
        *(list(column) for column in zip(*places, strict=True)),
    )
    shown = {tuple(row)[:3]: tuple(row)[3:] for row in rows}
    for place, item in zip(places, items, strict=True):
        there = item.accounts
        right = (
            *(there[bucket] for bucket in _BUCKETS[:4]),
            sum(there[bucket] for bucket in _BUCKETS),
            item.version,
        )
        row = shown.get(place)
        if row is None or row[-1] < item.version:
            if item.position > shown_to:
                continue
            detail = f"version {row[-1] if row else 0} is shown, the log has {item.version}"
            yield Violation("I3", item.stream, item.version, detail)
        elif row[-1] == item.version and row != right:
            detail = f"shown (free, held, allocated, picked, on hand, version) {row}, is {right}"
            yield Violation("I3", item.stream, item.version, detail)


async def _overdue(sql: Sql, now: datetime) -> AsyncIterator[Violation]:
    rows = await sql.fetch(
        "SELECT tenant, reservation_id, version, expires_at FROM reservation"
        " WHERE status = 'held' AND expires_at < $1 ORDER BY expires_at LIMIT $2",
        *(now - _OVERDUE_AFTER, _MOST_OVERDUE),
    )
    for tenant, reservation_id, version, expires_at in rows:
        stream = f"{tenant}/reservation-{reservation_id}"
        yield Violation("I4", stream, version, f"held although it expired at {expires_at}")
    rows = await sql.fetch(
        "SELECT r.tenant, r.reservation_id, r.version, r.status, s.site_id, s.sku,"
        " s.held + s.allocated FROM reservation r JOIN reserved_stock s"
        " USING (tenant, reservation_id) WHERE s.held + s.allocated > 0"
        " AND r.status IN ('refused', 'released', 'expired', 'closed') LIMIT $1",
        _MOST_OVERDUE,
    )
    for tenant, reservation_id, version, status, site_id, sku, left in rows:
        stream = f"{tenant}/reservation-{reservation_id}"
        yield Violation("I4", stream, version, f"{status}, but has {left} of {sku} at {site_id}")
