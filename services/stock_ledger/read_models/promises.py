"""What may be promised of a product at a site: balance, rules and what is on its way, together.

Answers    GetPromises, GetBasketPromises, WatchPromises
Fed by     the tables of availability, rules, inbound, sightings, discrepancies and products
Staleness  that of the tables; each answer carries when its balance moved and was last seen
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from services.kernel.application.work import Sql
from services.stock_ledger.read_models import stock_rules

UNSEEN_AFTER = timedelta(days=30)


class Confidence(IntEnum):
    """How far the books can be trusted; the least of several is the lowest."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True, slots=True)
class Promise:
    """The parts and what they come to, in base units."""

    site_id: str
    sku: str
    on_hand: int
    free: int
    safety: int
    inbound: int
    buffer: int
    ring_fenced: int
    confidence: Confidence
    updated_at: datetime | None
    seen_at: datetime | None
    version: int
    reserved: int = 0

    @property
    def available_to_promise(self) -> int:
        return self.free - self.safety + self.inbound

    @property
    def available_to_sell(self) -> int:
        return max(self.available_to_promise - self.buffer - self.ring_fenced, 0)


@dataclass(frozen=True, slots=True)
class SitePromise:
    """How far one site covers a basket; missing: what lacks, by product."""

    site_id: str
    covered_skus: int
    missing: Mapping[str, int]
    confidence: Confidence


async def of_pairs(
    sql: Sql,
    tenant: str,
    pairs: Sequence[tuple[str, str]],
    channel: str,
    now: datetime,
    until: datetime,
) -> list[Promise]:
    """Return the promise of each (site, product), in the order asked: two queries in all.

    Args:
        sql: Where to read.
        tenant: Whose.
        pairs: What is asked for.
        channel: Who sells; empty is a channel without rules of its own.
        now: To tell how long ago somebody saw the goods.
        until: What is due to arrive by then counts, overdue or not; now: only what is there.
    """
    site_ids, skus = [site_id for site_id, _ in pairs], [sku for _, sku in pairs]
    rules = await stock_rules.concerning(sql, tenant, sorted(set(site_ids)), sorted(set(skus)))
    rows = await sql.fetch(
        "SELECT a.on_hand, a.free, coalesce(i.expected, 0), a.updated_at, s.seen_at,"
        " coalesce(a.version, 0), p.category_path, d.sku IS NOT NULL AS is_in_doubt,"
        " coalesce(a.held + a.allocated + a.picked, 0)"
        " FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS asked (site_id, sku, place)"
        " LEFT JOIN availability a ON (a.tenant, a.site_id, a.sku)"
        " = ($1, asked.site_id, asked.sku)"
        " LEFT JOIN sighting s ON (s.tenant, s.site_id, s.sku) = ($1, asked.site_id, asked.sku)"
        " LEFT JOIN discrepancy d ON (d.tenant, d.site_id, d.sku)"
        " = ($1, asked.site_id, asked.sku) AND d.counted_at IS NULL"
        " LEFT JOIN known_product p ON (p.tenant, p.sku) = ($1, asked.sku)"
        " LEFT JOIN LATERAL (SELECT sum(quantity - received - arrived) AS expected FROM inbound"
        " WHERE tenant = $1 AND site_id = asked.site_id AND sku = asked.sku"
        " AND quantity > received + arrived AND due_at <= $4 AND $4 > $5) AS i ON true"
        " ORDER BY place",
        *(tenant, site_ids, skus, until, now),
    )
    promises = []
    for (site_id, sku), row in zip(pairs, rows, strict=True):
        on_hand, free, expected, updated_at, seen_at, version, category_path = row[:7]
        is_in_doubt, reserved = row[7:]
        safety, buffer, fenced = rules.kept_back(channel, site_id, sku, category_path or ())
        is_known = version > 0 and (free or 0) >= 0 and not is_in_doubt
        is_seen = seen_at is not None and seen_at > now - UNSEEN_AFTER
        confidence = Confidence.HIGH if is_known and is_seen else Confidence.MEDIUM
        promises.append(
            Promise(
                *(site_id, sku, on_hand or 0, free or 0, safety, int(expected), buffer, fenced),
                *(confidence if is_known else Confidence.LOW, updated_at, seen_at, version),
                reserved,
            )
        )
    return promises


async def of_basket(
    sql: Sql,
    tenant: str,
    basket: Mapping[str, int],
    site_ids: Sequence[str],
    channel: str,
    now: datetime,
    until: datetime,
) -> list[SitePromise]:
    """Return how far each site could carry out a basket alone, in the order asked."""
    pairs = [(site_id, sku) for site_id in site_ids for sku in basket]
    promises = await of_pairs(sql, tenant, pairs, channel, now, until)
    sites = []
    for n, site_id in enumerate(site_ids):
        here = promises[n * len(basket) : (n + 1) * len(basket)]
        missing = {
            one.sku: basket[one.sku] - one.available_to_sell
            for one in here
            if one.available_to_sell < basket[one.sku]
        }
        least = min(one.confidence for one in here)
        sites.append(SitePromise(site_id, len(basket) - len(missing), missing, least))
    return sites
