"""Answers out: what the domain and the read models say, in the words of the contract."""

from datetime import datetime
from typing import assert_never

from google.protobuf.timestamp_pb2 import Timestamp
from oms.common.v1 import common_pb2 as common
from oms.order.v1 import order_events_pb2 as events
from oms.order.v1 import order_service_pb2 as wire

from services.kernel.application.work import Versioned
from services.order.domain import mode, order_events, order_state
from services.order.domain.basket import Basket
from services.order.domain.consumer_view import Fact, Told
from services.order.domain.mode import Temperature
from services.order.domain.quote import NO_CHOICE, Quote
from services.order.read_models.order_detail import GroupView, LineView, OrderDetail, StepState
from services.order.read_models.order_summary import OrderSummary
from services.order.read_models.order_timeline import Entry

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
_TEMPERATURES = {
    one: common.TemperatureClass.Value(f"TEMPERATURE_CLASS_{one.name}") for one in Temperature
}


def status_name(status: "wire.OrderStatus.ValueType") -> str:
    """Return the name under which lists keep a status; empty for any."""
    if status == wire.ORDER_STATUS_UNSPECIFIED:
        return ""
    return wire.OrderStatus.Name(status).removeprefix("ORDER_STATUS_").lower()


def status_shown(status: order_state.Status) -> "wire.OrderStatus.ValueType":
    return _STATUSES[status]


def basket_shown(basket_id: str, known: Versioned[Basket]) -> wire.Basket:
    basket = known.state
    return wire.Basket(
        basket_id=basket_id,
        customer_id=basket.customer_id,
        lines=[
            wire.BasketLine(
                line_id=line.line_id,
                sku=line.sku,
                quantity=line.quantity,
                parts=[
                    wire.ChosenPart(quantity=part.quantity, choice=_requested(part.choice))
                    for part in line.parts
                ],
            )
            for line in basket.lines.values()
        ],
        choice=_requested(basket.choice) if basket.choice else None,
        order_id=basket.order_id,
        version=known.version,
    )


def prices_shown(quote: Quote) -> wire.Prices:
    choices = [_choice(choice) for choice in quote.choices]
    return wire.Prices(
        currency=quote.currency,
        lines=[
            wire.QuotedLine(
                line_id=line.line_id,
                sku=line.sku,
                quantity=line.quantity,
                choice=None if line.choice == NO_CHOICE else choices[line.choice],
                gross_minor=line.gross_minor,
                discount_minor=line.discount_minor,
                net_minor=line.net_minor,
                temperature=_TEMPERATURES[line.temperature],
            )
            for line in quote.lines
        ],
        fees=[_fee(one) for one in quote.modes],
        discounts=[
            wire.AppliedDiscount(code=one.code, amount_minor=one.amount_minor)
            for one in quote.discounts
        ],
        gross_minor=sum(line.gross_minor for line in quote.lines),
        discount_minor=sum(line.discount_minor for line in quote.lines),
        fee_minor=sum(one.fee_minor for one in quote.modes),
        total_minor=quote.total_minor,
    )


def standing_shown(order_id: str, known: Versioned[order_state.Order]) -> wire.PlaceOrderResponse:
    return wire.PlaceOrderResponse(
        order_id=order_id,
        status=_STATUSES[known.state.status],
        version=known.version,
        currency=known.state.currency,
        total_minor=known.state.total_minor,
        reason=known.state.reason,
        alternatives=[_alternative(one) for one in known.state.alternatives],
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
        placed_at=_timestamp(summary.placed_at),
        updated_at=_timestamp(summary.updated_at),
        version=summary.version,
    )


def order_shown(order_id: str, detail: OrderDetail) -> wire.Order:
    state, placed = detail.order, detail.placed
    return wire.Order(
        order_id=order_id,
        customer_id=placed.customer_id,
        status=_STATUSES[state.status],
        reason=state.reason,
        alternatives=[_alternative(one) for one in state.alternatives],
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
        fees=[_fee(one) for one in placed.modes],
        reservation_id=state.reservation_id,
        basket_id=placed.basket_id,
        placed_at=_timestamp(placed.placed_at),
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
            choice=_choice(view.choice),
            gross_minor=line.gross_minor,
            discount_minor=line.discount_minor,
            temperature=_TEMPERATURES[line.temperature],
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
        group=_group(view.progress.group),
        steps=[
            wire.GroupStep(
                step=_step(step.step),
                state=_STEP_STATES[step.state],
                started_at=_timestamp(step.started_at),
                completed_at=_timestamp(step.completed_at),
            )
            for step in view.steps
        ],
        current_step_id=view.current_step_id,
        is_completed=view.progress.is_done,
        captured_minor=view.captured_minor,
    )


def entry_shown(entry: Entry) -> wire.TimelineEntry:
    """Return an entry as the banner sees it: everything."""
    shown = _entry(entry.fact)
    shown.actor = entry.actor
    shown.causation_id = entry.causation_id
    match entry.fact.event:
        case order_events.StepStarted(_, group, step):
            shown.groups.append(_group(group))
            shown.visibility = _visibility(step)
        case order_events.StepCompleted(_, _, step):
            shown.visibility = _visibility(step)
        case order_events.OrderAccepted(groups) | order_events.GroupsReplaced(groups=groups):
            shown.groups.extend(_group(group) for group in groups)
        case _:
            pass
    return shown


def told_shown(told: Told) -> wire.TimelineEntry:
    """Return an entry as the consumer sees it."""
    return _entry(told)


def _entry(fact: Fact | Told) -> wire.TimelineEntry:  # noqa: C901, PLR0912 - one per kind
    shown = wire.TimelineEntry(version=fact.version, at=_timestamp(fact.at))
    match fact.event:
        case order_events.OrderPlaced() as event:
            shown.kind = wire.TIMELINE_KIND_ORDER_PLACED
            shown.amount.CopyFrom(_money(event.total_minor, event.currency))
        case order_events.OrderAccepted():
            shown.kind = wire.TIMELINE_KIND_ORDER_ACCEPTED
        case order_events.OrderRefused(reason):
            shown.kind, shown.reason = wire.TIMELINE_KIND_ORDER_REFUSED, reason
        case order_events.StepStarted(_, group, step):
            shown.kind, shown.group_id = wire.TIMELINE_KIND_STEP_STARTED, group.group_id
            _put_step(shown, step)
        case order_events.StepCompleted(_, group_id, step):
            shown.kind, shown.group_id = wire.TIMELINE_KIND_STEP_COMPLETED, group_id
            _put_step(shown, step)
        case order_events.LineShorted() as event:
            shown.kind, shown.group_id = wire.TIMELINE_KIND_LINE_SHORTED, event.group_id
            shown.line_id, shown.sku, shown.reason = event.line_id, event.sku, event.reason
            shown.ordered_quantity = event.ordered_quantity
            shown.picked_quantity = event.picked_quantity
        case order_events.LineWeighed() as event:
            shown.kind, shown.group_id = wire.TIMELINE_KIND_LINE_WEIGHED, event.group_id
            shown.line_id, shown.sku = event.line_id, event.sku
            shown.ordered_quantity = event.ordered_quantity
            shown.picked_quantity = event.picked_quantity
        case order_events.PaymentCaptured() as event:
            shown.kind, shown.group_id = wire.TIMELINE_KIND_PAYMENT_CAPTURED, event.group_id
            shown.amount.CopyFrom(_money(event.amount_minor + event.fee_minor, event.currency))
        case order_events.GroupCompleted(_, group_id):
            shown.kind, shown.group_id = wire.TIMELINE_KIND_GROUP_COMPLETED, group_id
        case order_events.OrderCancelled(reason):
            shown.kind, shown.reason = wire.TIMELINE_KIND_ORDER_CANCELLED, reason
        case order_events.OrderCompleted():
            shown.kind = wire.TIMELINE_KIND_ORDER_COMPLETED
        case order_events.OrderRefunded() as event:
            shown.kind, shown.return_id = wire.TIMELINE_KIND_ORDER_REFUNDED, event.return_id
            shown.amount.CopyFrom(_money(event.amount_minor, event.currency))
        case order_events.GroupsReplaced():
            shown.kind = wire.TIMELINE_KIND_GROUPS_REPLACED
        case order_events.GroupsKept():
            shown.kind = wire.TIMELINE_KIND_GROUPS_KEPT
        case _:
            assert_never(fact.event)
    return shown


def _put_step(shown: wire.TimelineEntry, step: mode.Step) -> None:
    shown.step_id = step.step_id
    shown.label.CopyFrom(common.LocalizedText(fr=step.label_fr, en=step.label_en))


def _money(amount_minor: int, currency: str) -> common.Money:
    return common.Money(amount_minor=amount_minor, currency=currency)


def _visibility(step: mode.Step) -> "common.Visibility.ValueType":
    return common.Visibility.Value(f"VISIBILITY_{step.visibility.name}")


def _step(step: mode.Step) -> common.Step:
    return common.Step(
        step_id=step.step_id,
        type=common.StepType.Value(f"STEP_TYPE_{step.type.name}"),
        completes_on=common.Milestone.Value(f"MILESTONE_{step.completes_on.name}"),
        label=common.LocalizedText(fr=step.label_fr, en=step.label_en),
        visibility=_visibility(step),
        cancellable=step.cancellable,
        optional=step.optional,
    )


def _fee(one: mode.Mode) -> wire.ModeFee:
    return wire.ModeFee(mode_id=one.mode_id, mode_version=one.version, fee_minor=one.fee_minor)


def _alternative(one: order_events.Alternative) -> events.Alternative:
    return events.Alternative(site_id=one.site_id, sku=one.sku, available=one.available)


def _group(group: order_events.Group) -> events.Group:
    return events.Group(
        group_id=group.group_id,
        mode_id=group.mode_id,
        mode_version=group.mode_version,
        source_site_id=group.source_site_id,
        handover_site_id=group.handover_site_id,
        lines=[
            common.GroupLine(line_id=line.line_id, sku=line.sku, quantity=line.quantity)
            for line in group.lines
        ],
        promised_at=_timestamp(group.promised_at),
    )


def _choice(choice: mode.Choice) -> events.Choice:
    return events.Choice(
        mode_id=choice.mode_id,
        mode_version=choice.mode_version,
        site_id=choice.site_id,
        destination=_destination(choice.destination),
        wanted_at=_timestamp(choice.wanted_at),
    )


def _requested(choice: mode.Choice) -> wire.RequestedChoice:
    return wire.RequestedChoice(
        mode_id=choice.mode_id,
        site_id=choice.site_id,
        destination=_destination(choice.destination),
        wanted_at=_timestamp(choice.wanted_at),
    )


def _destination(where: mode.Destination | None) -> common.Destination | None:
    if where is None:
        return None
    position = None
    if where.latitude_e6 is not None and where.longitude_e6 is not None:
        position = common.Position(latitude_e6=where.latitude_e6, longitude_e6=where.longitude_e6)
    return common.Destination(postcode=where.postcode, country=where.country, position=position)


def _timestamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
