"""The network as planning reads it: parsed once, read again only when the catalog changed it.

Answers    sites, extended sites, sales zones and modes of a tenant
Fed by     the catalog's feed, in the consumer's transaction
Staleness  the lag of that feed
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import msgspec

from services.kernel.application.work import Sql
from services.sourcing.domain.network import (
    ExtendedSite,
    ModeFact,
    Network,
    NetworkFacts,
    SalesZone,
    Site,
)
from services.sourcing.domain.policy import Policy

MAX_TENANTS_CACHED = 64

type Part = Site | ExtendedSite | SalesZone | ModeFact

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class PartRow:
    """One thing that the catalog said, at a version of its stream."""

    tenant: str
    part: Part
    version: int


def _identity(part: Part) -> tuple[str, str]:
    match part:
        case Site(site_id):
            return "site", site_id
        case ExtendedSite(extended_site_id):
            return "extendedsite", extended_site_id
        case SalesZone(sales_zone_id):
            return "saleszone", sales_zone_id
        case ModeFact(mode_id, version):
            return "mode", f"{mode_id}/{version}"


async def keep_parts(rows: Sequence[PartRow], sql: Sql) -> None:
    """Write what the catalog said, and that something changed."""
    latest: dict[tuple[str, str, str], PartRow] = {}
    for row in rows:
        key = row.tenant, *_identity(row.part)
        if key not in latest or latest[key].version < row.version:
            latest[key] = row
    if not latest:
        return
    keys = sorted(latest)
    await sql.execute(
        "INSERT INTO network_part AS t (tenant, kind, part_id, body, version)"
        " SELECT tenant, kind, part_id, body::json, version FROM"
        " unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])"
        " AS n (tenant, kind, part_id, body, version)"
        " ON CONFLICT (tenant, kind, part_id) DO UPDATE SET body = excluded.body,"
        " version = excluded.version WHERE excluded.version > t.version",
        [tenant for tenant, _, _ in keys],
        [kind for _, kind, _ in keys],
        [part_id for _, _, part_id in keys],
        [_encode(latest[key].part).decode() for key in keys],
        [latest[key].version for key in keys],
    )
    await sql.execute(
        "INSERT INTO network_change AS t (tenant, version) SELECT n, 1 FROM unnest($1::text[]) n"
        " ON CONFLICT (tenant) DO UPDATE SET version = t.version + 1",
        sorted({tenant for tenant, _, _ in keys}),
    )


def named_by_content(policy: Policy) -> Policy:
    """Return the policy under a version that tells its numbers from any others."""
    digest = blake2b(_encode(policy), digest_size=4).hexdigest()
    return replace(policy, version=f"{policy.version}+{digest}")


class NetworkView:
    """Reads networks and remembers them, per tenant, until the catalog changes them."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._known: dict[str, tuple[int, Network]] = {}

    async def load(self, tenant: str, sql: Sql, *, is_recorded: bool) -> Network:
        """Return the network of a tenant; one small query when nothing changed.

        Args:
            tenant: Whose.
            sql: The transaction of the unit of work, or the reader's.
            is_recorded: True when decisions are made on it: network and policy are then kept
                under their hashes, in the same transaction, so that replays find them.
        """
        known = self._known.get(tenant)
        hashes = [self._policy.version] + ([known[1].content_hash] if known else [])
        version, kept = await sql.fetchrow(
            "SELECT coalesce((SELECT version FROM network_change WHERE tenant = $1), 0),"
            " ARRAY(SELECT content_hash FROM planning_facts"
            " WHERE tenant = $1 AND content_hash = ANY($2))",
            tenant,
            hashes,
        )
        if known is None or known[0] != version:
            network = await _read(tenant, sql)
            if len(self._known) >= MAX_TENANTS_CACHED:
                self._known.clear()
            self._known[tenant] = (version, network)
        else:
            network = known[1]
        missing = {self._policy.version, network.content_hash} - set(kept)
        if is_recorded and missing:
            bodies = {
                self._policy.version: _encode(self._policy),
                network.content_hash: _encode(network.facts),
            }
            for content_hash in sorted(missing):
                await sql.execute(
                    "INSERT INTO planning_facts (tenant, content_hash, body)"
                    " VALUES ($1, $2, $3::text::json) ON CONFLICT DO NOTHING",
                    tenant,
                    content_hash,
                    bodies[content_hash].decode(),
                )
        return network


async def _read(tenant: str, sql: Sql) -> Network:
    rows = await sql.fetch(
        "SELECT kind, body::text FROM network_part WHERE tenant = $1 ORDER BY kind, part_id", tenant
    )
    facts = NetworkFacts(
        sites=tuple(_parts(rows, "site", Site)),
        extended_sites=tuple(_parts(rows, "extendedsite", ExtendedSite)),
        sales_zones=tuple(_parts(rows, "saleszone", SalesZone)),
        modes=tuple(_parts(rows, "mode", ModeFact)),
    )
    return Network(facts, blake2b(_encode(facts), digest_size=16).hexdigest())


def _parts[P: Part](rows: Sequence[tuple[str, str]], kind: str, part_type: type[P]) -> list[P]:
    decoder = msgspec.json.Decoder(part_type)
    return [decoder.decode(body) for each, body in rows if each == kind]


async def facts_of(
    tenant: str, network_hash: str, policy_version: str, sql: Sql
) -> tuple[NetworkFacts, Policy] | None:
    """Return the network and the policy that a decision was made on, if they are still kept."""
    rows = await sql.fetch(
        "SELECT content_hash, body::text FROM planning_facts"
        " WHERE tenant = $1 AND content_hash = ANY($2)",
        tenant,
        [network_hash, policy_version],
    )
    bodies: dict[str, str] = {row[0]: row[1] for row in rows}
    if len(bodies) < len({network_hash, policy_version}):
        return None
    return (
        msgspec.json.decode(bodies[network_hash], type=NetworkFacts),
        msgspec.json.decode(bodies[policy_version], type=Policy),
    )
