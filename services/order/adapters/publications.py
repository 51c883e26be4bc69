"""What others learn of an order: everything that happens to it. Baskets and processes are ours."""

from datetime import datetime
from functools import lru_cache
from typing import Any, assert_never

from google.protobuf.timestamp_pb2 import Timestamp
from oms.common.v1 import common_pb2 as common
from oms.order.v1 import order_events_pb2 as wire

from services.kernel.domain.messages import Recorded, category_of
from services.order.domain import mode, order_events


def publish(recorded: Recorded[Any]) -> wire.OrderEvent | None:
    """Return the public event, or nothing for what happens to a basket or within the process."""
    if category_of(recorded.stream) != "order":
        return None
    event: order_events.Event = recorded.event
    return _public(recorded.key, event)


def _public(order_id: str, event: order_events.Event) -> wire.OrderEvent | None:  # noqa: C901, PLR0911, PLR0912 - one per kind
    match event:
        case order_events.OrderPlaced():
            return wire.OrderEvent(order_placed=_placed(order_id, event))
        case order_events.OrderAccepted():
            return wire.OrderEvent(
                order_accepted=wire.OrderAccepted(
                    order_id=order_id,
                    groups=[_group(group) for group in event.groups],
                    reservation_id=event.reservation_id,
                    plan_revision=event.plan_revision,
                )
            )
        case order_events.OrderRefused():
            return wire.OrderEvent(
                order_refused=wire.OrderRefused(
                    order_id=order_id,
                    reason=event.reason,
                    alternatives=[
                        wire.Alternative(site_id=one.site_id, sku=one.sku, available=one.available)
                        for one in event.alternatives
                    ],
                )
            )
        case order_events.StepStarted():
            return wire.OrderEvent(
                group_step_started=wire.GroupStepStarted(
                    order_id=order_id,
                    customer_id=event.customer_id,
                    group=_group(event.group),
                    step=_step(event.step),
                )
            )
        case order_events.StepCompleted():
            return wire.OrderEvent(
                group_step_completed=wire.GroupStepCompleted(
                    order_id=order_id,
                    customer_id=event.customer_id,
                    group_id=event.group_id,
                    step=_step(event.step),
                )
            )
        case order_events.LineShorted():
            return wire.OrderEvent(
                group_line_shorted=wire.GroupLineShorted(
                    order_id=order_id,
                    group_id=event.group_id,
                    line_id=event.line_id,
                    sku=event.sku,
                    ordered_quantity=event.ordered_quantity,
                    picked_quantity=event.picked_quantity,
                    reason=event.reason,
                )
            )
        case order_events.PaymentCaptured():
            return wire.OrderEvent(payment_captured=_captured(order_id, event))
        case order_events.GroupCompleted():
            return wire.OrderEvent(
                group_completed=wire.GroupCompleted(
                    order_id=order_id,
                    customer_id=event.customer_id,
                    group_id=event.group_id,
                    handover_site_id=event.handover_site_id,
                    delivered=[_delivered(line) for line in event.delivered],
                    currency=event.currency,
                )
            )
        case order_events.OrderCancelled():
            return wire.OrderEvent(
                order_cancelled=wire.OrderCancelled(
                    order_id=order_id, reason=event.reason, reservation_id=event.reservation_id
                )
            )
        case order_events.OrderCompleted():
            return wire.OrderEvent(order_completed=wire.OrderCompleted(order_id=order_id))
        case order_events.OrderRefunded():
            return wire.OrderEvent(
                order_refunded=wire.OrderRefunded(
                    order_id=order_id,
                    return_id=event.return_id,
                    amount=common.Money(amount_minor=event.amount_minor, currency=event.currency),
                )
            )
        case order_events.LineWeighed():
            return None  # what is told of the group from then on has the weight
        case order_events.GroupsReplaced():
            return wire.OrderEvent(
                groups_replaced=wire.GroupsReplaced(
                    order_id=order_id,
                    plan_revision=event.plan_revision,
                    replaced_group_ids=event.replaced_group_ids,
                    groups=[_group(group) for group in event.groups],
                )
            )
        case order_events.GroupsKept():
            return wire.OrderEvent(
                groups_kept=wire.GroupsKept(
                    order_id=order_id,
                    plan_revision=event.plan_revision,
                    declined=[_group(group) for group in event.declined],
                    kept=[_group(group) for group in event.kept],
                    picked_group_ids=event.picked_group_ids,
                )
            )
        case _:
            assert_never(event)


def _placed(order_id: str, event: order_events.OrderPlaced) -> wire.OrderPlaced:
    choices = [_choice(choice) for choice in event.choices]
    return wire.OrderPlaced(
        order_id=order_id,
        customer_id=event.customer_id,
        lines=[
            wire.OrderLine(
                line_id=line.line_id,
                sku=line.sku,
                quantity=line.quantity,
                choice=choices[line.choice],
                gross_minor=line.gross_minor,
                discount_minor=line.discount_minor,
                temperature=_TEMPERATURES[line.temperature],
            )
            for line in event.lines
        ],
        currency=event.currency,
        fee_minor=event.fee_minor,
        placed_at=_timestamp(event.placed_at),
    )


def _captured(order_id: str, event: order_events.PaymentCaptured) -> wire.PaymentCaptured:
    fee = common.Money(amount_minor=event.fee_minor, currency=event.currency)
    return wire.PaymentCaptured(
        order_id=order_id,
        group_id=event.group_id,
        amount=common.Money(amount_minor=event.amount_minor, currency=event.currency),
        fee=fee if event.fee_minor else None,
    )


def _choice(choice: mode.Choice) -> wire.Choice:
    return wire.Choice(
        mode_id=choice.mode_id,
        mode_version=choice.mode_version,
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


def _group(group: order_events.Group) -> wire.Group:
    return wire.Group(
        group_id=group.group_id,
        mode_id=group.mode_id,
        mode_version=group.mode_version,
        source_site_id=group.source_site_id,
        handover_site_id=group.handover_site_id,
        lines=[
            common.GroupLine(line_id=line.line_id, sku=line.sku, quantity=line.quantity + line.over)
            for line in group.lines
        ],
        promised_at=_timestamp(group.promised_at),
    )


def _delivered(line: order_events.DeliveredLine) -> wire.DeliveredLine:
    return wire.DeliveredLine(
        line_id=line.line_id, sku=line.sku, quantity=line.quantity, net_minor=line.net_minor
    )


# A tenant has few modes, and every order repeats their steps.
@lru_cache(maxsize=1024)
def _step(step: mode.Step) -> common.Step:
    return common.Step(
        step_id=step.step_id,
        type=common.StepType.Value(f"STEP_TYPE_{step.type.name}"),
        completes_on=common.Milestone.Value(f"MILESTONE_{step.completes_on.name}"),
        label=common.LocalizedText(fr=step.label_fr, en=step.label_en),
        visibility=common.Visibility.Value(f"VISIBILITY_{step.visibility.name}"),
        cancellable=step.cancellable,
        optional=step.optional,
    )


def _timestamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


_TEMPERATURES = {
    one: common.TemperatureClass.Value(f"TEMPERATURE_CLASS_{one.name}") for one in mode.Temperature
}
