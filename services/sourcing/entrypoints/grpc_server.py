"""SourcingService over gRPC: questions only; nothing here reserves or records."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, override

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp
from oms.common.v1.common_pb2 import GroupLine
from oms.order.v1 import order_events_pb2 as order
from oms.sourcing.v1 import sourcing_service_pb2 as wire
from oms.sourcing.v1 import sourcing_service_pb2_grpc as rpc

from services.kernel.application.clock import Clock
from services.kernel.application.runner import Reader
from services.kernel.domain.errors import Invalid, NotFound
from services.kernel.domain.ids import identifier
from services.kernel.entrypoints.calls import caller
from services.sourcing.domain.decision_events import PlanDecided, PlanRejected
from services.sourcing.domain.offers import Offer, offers
from services.sourcing.domain.plan import plan
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.receipt import ALGORITHM
from services.sourcing.domain.replay import differences, is_comparable
from services.sourcing.domain.wishes import (
    Alternative,
    Cost,
    Line,
    Planned,
    PlannedGroup,
    Refused,
    Request,
    Snapshot,
    Tier,
)
from services.sourcing.entrypoints import translation
from services.sourcing.read_models import receipts
from services.sourcing.read_models.network_view import NetworkView
from services.sourcing.read_models.replay_check import Replays
from services.sourcing.read_models.stock_view import shelves

type Context = grpc.aio.ServicerContext[Any, Any]

MAX_LINES = 500
MAX_CHOICES = 50
MAX_QUANTITY = 1_000_000_000
_QUOTE = "quote"
_TIERS = {
    Tier.EXPLICIT: wire.Tier.TIER_EXPLICIT,
    Tier.EXTENDED_SITE: wire.Tier.TIER_EXTENDED_SITE,
    Tier.SALES_ZONE: wire.Tier.TIER_SALES_ZONE,
}

SCOPES = {
    f"/oms.sourcing.v1.SourcingService/{method}": "sourcing:read"
    for method in ("Quote", "GetDecision", "ListDecisions", "ReplayDecision")
}


class SourcingGrpc(rpc.SourcingServiceServicer):
    def __init__(self, reader: Reader, clock: Clock, networks: NetworkView, policy: Policy) -> None:
        self._reader = reader
        self._clock = clock
        self._networks = networks
        self._policy = policy

    @override
    async def Quote(self, request: wire.QuoteRequest, context: Context) -> wire.QuoteResponse:
        lines = _quote_lines(request)
        tenant = caller().tenant
        now = self._clock.now()
        network = await self._networks.load(tenant, self._reader.sql, is_recorded=False)
        found = await shelves(tenant, {line.sku for line in lines}, self._reader.sql)
        snapshot = Snapshot(network, found.products, found.stock)
        asked = Request(_QUOTE, 1, lines, request.currency or "EUR", now)
        outcome = plan(asked, snapshot, self._policy)
        response = wire.QuoteResponse(
            currency=asked.currency,
            offers=map(_offer, offers(asked, snapshot, self._policy)),
            quoted_at=_time(now),
            policy_version=self._policy.version,
        )
        match outcome:
            case Planned(groups, cost, _):
                response.is_feasible = True
                response.groups.extend(map(_group, groups))
                response.cost.CopyFrom(_cost(cost))
                response.promised_at.CopyFrom(_time(max(g.promised_at for g in groups)))
            case Refused(reason, alternatives, _):
                response.reason = reason.value
                response.alternatives.extend(_alternatives(alternatives))
        return response

    @override
    async def GetDecision(
        self, request: wire.GetDecisionRequest, context: Context
    ) -> wire.GetDecisionResponse:
        return wire.GetDecisionResponse(decision=_decision(await self._found(request.decision_id)))

    @override
    async def ListDecisions(
        self, request: wire.ListDecisionsRequest, context: Context
    ) -> wire.ListDecisionsResponse:
        order_id = identifier(request.order_id, "order_id")
        found = await receipts.of_order(caller().tenant, order_id, self._reader.sql)
        if not found:
            raise NotFound("decision of an order", order_id)
        return wire.ListDecisionsResponse(decisions=map(_decision, found))

    @override
    async def ReplayDecision(
        self, request: wire.ReplayDecisionRequest, context: Context
    ) -> wire.ReplayDecisionResponse:
        decision = await self._found(request.decision_id)
        if not is_comparable(decision):
            told = f"Version {decision.receipt.algorithm} of the algorithm decided; not compared."
            return wire.ReplayDecisionResponse(
                differences=[told],
                snapshot_hash=decision.receipt.snapshot_hash,
                algorithm_version=ALGORITHM,
            )
        again = await Replays(caller().tenant, self._reader.sql).of(decision)
        if again is None:
            raise NotFound("snapshot of decision", decision.decision_id)
        found = differences(decision, again)
        return wire.ReplayDecisionResponse(
            is_equal=not found,
            differences=found,
            snapshot_hash=again.receipt.snapshot_hash,
            is_comparable=True,
            algorithm_version=ALGORITHM,
        )

    async def _found(self, decision_id: str) -> PlanDecided | PlanRejected:
        identifier(decision_id, "decision_id")
        decision = await receipts.by_id(caller().tenant, decision_id, self._reader.sql)
        if decision is None:
            raise NotFound("decision", decision_id)
        return decision


def _quote_lines(request: wire.QuoteRequest) -> tuple[Line, ...]:
    if not 1 <= len(request.lines) <= MAX_LINES:
        raise Invalid(("lines", f"must hold 1 to {MAX_LINES} lines"))
    if request.currency and not (
        len(request.currency) == 3 and request.currency.isalpha() and request.currency.isupper()  # noqa: PLR2004 - ISO 4217
    ):
        raise Invalid(("currency", "must be an ISO 4217 code such as EUR"))
    lines: list[Line] = []
    for n, line in enumerate(request.lines):
        field = f"lines[{n}]"
        identifier(line.line_id, f"{field}.line_id")
        identifier(line.sku, f"{field}.sku")
        identifier(line.choice.mode_id, f"{field}.choice.mode_id")
        if line.choice.site_id:
            identifier(line.choice.site_id, f"{field}.choice.site_id")
        if not 1 <= line.quantity <= MAX_QUANTITY:
            raise Invalid((f"{field}.quantity", f"must be 1 to {MAX_QUANTITY}"))
        lines.append(Line(line.line_id, line.sku, line.quantity, translation.choice(line.choice)))
    if len({line.line_id for line in lines}) < len(lines):
        raise Invalid(("lines", "must each have a line_id of their own"))
    if len({line.choice.key for line in lines}) > MAX_CHOICES:
        raise Invalid(("lines", f"may be wanted in at most {MAX_CHOICES} ways (mode, place, time)"))
    return tuple(lines)


def _time(at: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(at)
    return timestamp


def _cost(cost: Cost) -> wire.CostBreakdown:
    return wire.CostBreakdown(
        preparation_minor=cost.preparation_minor,
        transport_minor=cost.transport_minor,
        transfer_minor=cost.transfer_minor,
        split_minor=cost.split_minor,
        total_minor=cost.total_minor,
    )


def _group(planned: PlannedGroup) -> wire.PlannedGroup:
    group = order.Group(
        group_id=planned.group_id,
        mode_id=planned.mode_id,
        mode_version=planned.mode_version,
        source_site_id=planned.source_site_id,
        handover_site_id=planned.handover_site_id,
        lines=(
            GroupLine(line_id=line.line_id, sku=line.sku, quantity=line.quantity)
            for line in planned.lines
        ),
        promised_at=_time(planned.promised_at),
    )
    return wire.PlannedGroup(group=group, cost=_cost(planned.cost), tier=_TIERS[planned.tier])


def _offer(offer: Offer) -> wire.Offer:
    return wire.Offer(
        line_ids=offer.line_ids,
        mode_id=offer.mode_id,
        source_site_id=offer.source_site_id,
        handover_site_id=offer.handover_site_id,
        promised_at=_time(offer.promised_at),
        cost=_cost(offer.cost),
    )


def _alternatives(alternatives: Iterable[Alternative]) -> list[order.Alternative]:
    return [
        order.Alternative(site_id=each.site_id, sku=each.sku, available=each.available)
        for each in alternatives
    ]


def _decision(decision: PlanDecided | PlanRejected) -> wire.Decision:
    receipt = decision.receipt
    message = wire.Decision(
        decision_id=decision.decision_id,
        order_id=decision.order_id,
        revision=decision.revision,
        candidates=(
            wire.Candidate(
                choice_index=each.choice_index,
                source_site_id=each.source_site_id,
                handover_site_id=each.handover_site_id,
                promised_at=_time(each.promised_at),
                fixed_minor=each.fixed_minor,
                available=each.available,
            )
            for each in receipt.candidates
        ),
        rejections=(
            wire.Rejection(
                choice_index=each.choice_index,
                site_id=each.site_id,
                reason=each.reason.value,
                sku=each.sku,
            )
            for each in receipt.rejections
        ),
        stock=(
            wire.SeenStock(site_id=each.site_id, sku=each.sku, free=each.free)
            for each in receipt.stock
        ),
        policy_version=receipt.policy_version,
        snapshot_hash=receipt.snapshot_hash,
        is_proved_optimal=receipt.is_proved,
        decided_at=_time(receipt.at),
        algorithm_version=receipt.algorithm,
    )
    match decision:
        case PlanDecided():
            message.is_decided = True
            message.groups.extend(map(_group, decision.groups))
            message.cost.CopyFrom(_cost(decision.cost))
            message.currency = decision.currency
        case PlanRejected():
            message.reason = decision.reason.value
            message.alternatives.extend(_alternatives(decision.alternatives))
    return message
