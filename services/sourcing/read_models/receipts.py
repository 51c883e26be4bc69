"""Decisions with their receipts.

Answers    SourcingService.GetDecision, ListDecisions, ReplayDecision
Fed by     this service's own events, in the order of its log
Staleness  the projector's, well under a second
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel
from services.sourcing.domain.decision_events import DecisionRequested, PlanDecided, PlanRejected

_encode = msgspec.json.Encoder().encode
_decided = msgspec.json.Decoder(PlanDecided).decode
_rejected = msgspec.json.Decoder(PlanRejected).decode
_requested = msgspec.json.Decoder(DecisionRequested).decode

MAX_DECISIONS = 50


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Write the receipts of a batch; safe to repeat, for a decision never changes."""
    requests: list[tuple[str, str, str, int]] = []
    receipts: list[tuple[str, str, str, int, bool, str, int]] = []
    for recorded in batch:
        event = recorded.event
        if isinstance(event, DecisionRequested):
            body = _encode(event).decode()
            requests.append((recorded.tenant, event.order_id, body, recorded.version))
        elif isinstance(event, PlanDecided | PlanRejected):
            receipts.append(
                (
                    recorded.tenant,
                    event.decision_id,
                    event.order_id,
                    event.revision,
                    isinstance(event, PlanDecided),
                    _encode(event).decode(),
                    recorded.version,
                )
            )
    if requests:
        await sql.execute(
            "INSERT INTO decision_request (tenant, order_id, body, version)"
            " SELECT tenant, order_id, body::json, version FROM"
            " "
            f"{unnested('text text text bigint')}"
            " AS n (tenant, order_id, body, version) ON CONFLICT DO NOTHING",
            *packed(requests),
        )
    if receipts:
        await sql.execute(
            "INSERT INTO decision_receipt"
            " (tenant, decision_id, order_id, revision, is_decided, body, version)"
            " SELECT tenant, decision_id, order_id, revision, is_decided, body::json, version FROM"
            " "
            f"{unnested('text text text int boolean text bigint')} AS n"
            " (tenant, decision_id, order_id, revision, is_decided, body, version)"
            " ON CONFLICT DO NOTHING",
            *packed(receipts),
        )


RECEIPTS = ReadModel("receipts", ("decision_request", "decision_receipt"), project)


async def by_id(tenant: str, decision_id: str, sql: Sql) -> PlanDecided | PlanRejected | None:
    """Return a decision; None when there is none with this id."""
    row = await sql.fetchrow(
        "SELECT is_decided, body::text FROM decision_receipt"
        " WHERE tenant = $1 AND decision_id = $2",
        tenant,
        decision_id,
    )
    return None if row is None else _decision(row[0], row[1])


async def of_order(tenant: str, order_id: str, sql: Sql) -> list[PlanDecided | PlanRejected]:
    """Return the decisions of an order, first revision first."""
    rows = await sql.fetch(
        "SELECT is_decided, body::text FROM decision_receipt"
        " WHERE tenant = $1 AND order_id = $2 ORDER BY revision LIMIT $3",
        tenant,
        order_id,
        MAX_DECISIONS,
    )
    return [_decision(row[0], row[1]) for row in rows]


async def request_of(tenant: str, order_id: str, sql: Sql) -> DecisionRequested | None:
    """Return what an order asked for."""
    body = await sql.fetchval(
        "SELECT body::text FROM decision_request WHERE tenant = $1 AND order_id = $2",
        tenant,
        order_id,
    )
    return None if body is None else _requested(body)


def _decision(is_decided: bool, body: str) -> PlanDecided | PlanRejected:  # noqa: FBT001 - a column
    return _decided(body) if is_decided else _rejected(body)
