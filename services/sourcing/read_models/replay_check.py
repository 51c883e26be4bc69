"""Whether decisions, made again on what their receipts hold, come out the same.

Answers    SourcingService.ReplayDecision; ``oms verify``: I8
Fed by     nothing of its own; reads the receipts, and the networks and policies they name
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.kernel.application.work import Sql
from services.kernel.read_models.remark import Remark
from services.sourcing.domain.decision_events import PlanDecided, PlanRejected
from services.sourcing.domain.network import Network
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.replay import differences, is_comparable, seen_again
from services.sourcing.domain.wishes import Outcome, Request
from services.sourcing.read_models import receipts
from services.sourcing.read_models.network_view import facts_of

_MOST_REPLAYED = 500
_MOST_SHOWN = 20
_MOST_NETWORKS = 20


@dataclass(slots=True)
class Replays:
    """Decides again for one tenant; remembers the networks it read, a few of them."""

    tenant: str
    sql: Sql
    known: dict[tuple[str, str], tuple[Network, Policy]] = field(
        default_factory=dict[tuple[str, str], tuple[Network, Policy]]
    )

    async def of(self, decision: PlanDecided | PlanRejected) -> Outcome | None:
        """Return what is decided now; None when what it was decided on is not kept."""
        receipt = decision.receipt
        asked = await receipts.request_of(self.tenant, decision.order_id, self.sql)
        seen = await self._seen(receipt.network_hash, receipt.policy_version)
        if asked is None or seen is None:
            return None
        request = Request(
            *(decision.order_id, decision.revision, decision.lines or asked.lines),
            *(asked.currency, receipt.at),
        )
        return seen_again(request, receipt, *seen)

    async def _seen(self, network_hash: str, policy_version: str) -> tuple[Network, Policy] | None:
        key = network_hash, policy_version
        if key not in self.known:
            facts = await facts_of(self.tenant, network_hash, policy_version, self.sql)
            if facts is None:
                return None
            if len(self.known) >= _MOST_NETWORKS:
                self.known.clear()
            network = Network(facts[0], network_hash)
            self.known[key] = network, replace(facts[1], version=policy_version)
        return self.known[key]


async def replay_violations(sql: Sql) -> list[str]:
    """Return one sentence per decision that comes out otherwise, and a remark on those of others.

    Of up to 500 decisions, taken by their ids, which say nothing of what they decided or when.
    """
    rows = await sql.fetch(
        "SELECT tenant, decision_id FROM decision_receipt ORDER BY decision_id, tenant LIMIT $1",
        _MOST_REPLAYED,
    )
    replays = {tenant: Replays(tenant, sql) for tenant, _ in rows}
    wrong: list[str] = []
    others = 0
    for tenant, decision_id in rows:
        decision = await receipts.by_id(tenant, decision_id, sql)
        if decision is None or not is_comparable(decision):
            others += 1
            continue
        found = _told(decision, await replays[tenant].of(decision))
        if found:
            name = f"{tenant} order {decision.order_id}, revision {decision.revision}"
            wrong.append(f"{name}: {' '.join(found)}")
    if others:
        remark = "were made by another version of the algorithm, and are not compared"
        return [*wrong[:_MOST_SHOWN], Remark(f"{others} of {len(rows)} decisions {remark}")]
    return wrong[:_MOST_SHOWN]


def _told(decision: PlanDecided | PlanRejected, again: Outcome | None) -> Sequence[str]:
    if again is None:
        return ["What it was decided on is not kept."]
    return differences(decision, again)
