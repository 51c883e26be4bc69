"""Answers out: what the catalog holds, and what became of a batch, in the words of the contract."""

from collections.abc import Callable
from dataclasses import dataclass

from oms.catalog.v1 import catalog_events_pb2 as values
from oms.catalog.v1 import catalog_service_pb2 as wire

from services.catalog.application.handlers import Outcome
from services.catalog.domain.extended_site import ExtendedSite
from services.catalog.domain.mode_definition import Mode
from services.catalog.domain.product import Product
from services.catalog.domain.sales_zone import SalesZone
from services.catalog.domain.site import Site
from services.catalog.entrypoints.requests import MAX_BATCH_ROWS


@dataclass(frozen=True, slots=True)
class Show:
    """How the domain is written in the contract."""

    product: Callable[[Product], values.Product]
    site: Callable[[Site], values.Site]
    extended_site: Callable[[ExtendedSite], values.ExtendedSite]
    sales_zone: Callable[[SalesZone], values.SalesZone]
    mode: Callable[[Mode], values.Mode]


def outcome_shown(outcome: Outcome) -> wire.BatchOutcome:
    return wire.BatchOutcome(
        changed=outcome.changed,
        unchanged=outcome.unchanged,
        problems=[
            wire.RowProblem(
                row=problem.index,
                key=problem.key[:200],
                field=problem.fault.field,
                reason=problem.reason,
                detail=f"{problem.fault.field} {problem.fault.problem}".strip(),
                remedy=problem.fault.remedy,
            )
            for problem in outcome.problems[:MAX_BATCH_ROWS]
        ],
    )
