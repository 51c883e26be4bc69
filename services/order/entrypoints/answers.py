"""Orders out, in the words of the contract: where one stands, one of a list, one in full."""

from oms.order.v1 import order_events_pb2 as events
from oms.order.v1 import order_service_pb2 as wire

from services.kernel.application.work import Versioned
from services.order.domain import order_state
from services.order.entrypoints.wire_values import (
    TEMPERATURES,
    alternative_shown,
    choice_shown,
    fee_shown,
    group_shown,
    step_shown,
    timestamp_of,
)
from services.order.read_models.order_detail import GroupView, LineView, OrderDetail, StepState
from services.order.read_models.order_summary import OrderSummary

_STATUSES = {
    order_state.Status.NEW: wire.ORDER_STATUS_UNSPECIFIED,
    order_state.Status.PLACED: wire.ORDER_STATUS_PLACED,
    order_state.Status.ACCEPTED: wire.ORDER_STATUS_ACCEPTED,
    order_state.Status.REFUSED: wire.ORDER_STATUS_REFUSED,
    order_state.Status.CANCELLED: wire.ORDER_STATUS_CANCELLED,
    order_state.Status.COMPLETED: wire.ORDER_STATUS_COMPLETED,
}
_STEP_STATES = {
    StepState.PENDING: wire.STEP_STATE_PENDING,
    StepState.STARTED: wire.STEP_STATE_STARTED,
    StepState.COMPLETED: wire.STEP_STATE_COMPLETED,
    StepState.SKIPPED: wire.STEP_STATE_SKIPPED,
}


def status_name(status: "wire.OrderStatus.ValueType") -> str:
    """Return the name under which lists keep a status; empty for any."""
    if status == wire.ORDER_STATUS_UNSPECIFIED:
        return ""
    return wire.OrderStatus.Name(status).removeprefix("ORDER_STATUS_").lower()


def status_shown(status: order_state.Status) -> "wire.OrderStatus.ValueType":
    return _STATUSES[status]


def standing_shown(order_id: str, known: Versioned[order_state.Order]) -> wire.PlaceOrderResponse:
    return wire.PlaceOrderResponse(
        order_id=order_id,
        status=_STATUSES[known.state.status],
        version=known.version,
        currency=known.state.currency,
        total_minor=known.state.total_minor,
        reason=known.state.reason,
        alternatives=[alternative_shown(one) for one in known.state.alternatives],
    )


def summary_shown(summary: OrderSummary) -> wire.OrderSummary:
    return wire.OrderSummary(
        order_id=summary.order_id,
        customer_id=summary.customer_id,
        status=wire.OrderStatus.Value(f"ORDER_STATUS_{summary.status.upper()}"),
        reason=summary.reason,
        currency=summary.currency,
        total_minor=summary.total_minor,
        captured_minor=summary.captured_minor,
        refunded_minor=summary.refunded_minor,
        line_count=summary.line_count,
        placed_at=timestamp_of(summary.placed_at),
        updated_at=timestamp_of(summary.updated_at),
        version=summary.version,
    )


def order_shown(order_id: str, detail: OrderDetail) -> wire.Order:
    state, placed = detail.order, detail.placed
    return wire.Order(
        order_id=order_id,
        customer_id=placed.customer_id,
        status=_STATUSES[state.status],
        reason=state.reason,
        alternatives=[alternative_shown(one) for one in state.alternatives],
        currency=placed.currency,
        gross_minor=placed.gross_minor,
        discount_minor=placed.discount_minor,
        fee_minor=placed.fee_minor,
        total_minor=placed.total_minor,
        captured_minor=state.captured_minor,
        refunded_minor=state.refunded_minor,
        lines=[_line(line) for line in detail.lines],
        groups=[_group_view(group) for group in detail.groups],
        discounts=[
            wire.AppliedDiscount(code=one.code, amount_minor=one.amount_minor)
            for one in placed.discounts
        ],
        fees=[fee_shown(one) for one in placed.modes],
        reservation_id=state.reservation_id,
        basket_id=placed.basket_id,
        placed_at=timestamp_of(placed.placed_at),
        is_cancellable=state.is_cancellable,
        version=detail.version,
    )


def _line(view: LineView) -> wire.OrderLineView:
    line, units = view.line, view.quantities
    return wire.OrderLineView(
        line=events.OrderLine(
            line_id=line.line_id,
            sku=line.sku,
            quantity=line.quantity,
            choice=choice_shown(view.choice),
            gross_minor=line.gross_minor,
            discount_minor=line.discount_minor,
            temperature=TEMPERATURES[line.temperature],
        ),
        net_minor=line.net_minor,
        quantities=wire.LineQuantities(
            open=units.open,
            allocated=units.allocated,
            picked=units.picked,
            in_transit=units.in_transit,
            delivered=units.delivered,
            shorted=units.shorted,
            cancelled=units.cancelled,
            lighter=units.lighter,
        ),
    )


def _group_view(view: GroupView) -> wire.OrderGroupView:
    return wire.OrderGroupView(
        group=group_shown(view.progress.group),
        steps=[
            wire.GroupStep(
                step=step_shown(step.step),
                state=_STEP_STATES[step.state],
                started_at=timestamp_of(step.started_at),
                completed_at=timestamp_of(step.completed_at),
            )
            for step in view.steps
        ],
        current_step_id=view.current_step_id,
        is_completed=view.progress.is_done,
        captured_minor=view.captured_minor,
    )
