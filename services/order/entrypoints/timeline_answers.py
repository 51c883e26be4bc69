"""Entries of the timeline out: everything for the banner, what he is told for the consumer."""

from typing import assert_never

from oms.common.v1 import common_pb2 as common
from oms.order.v1 import order_service_pb2 as wire

from services.order.domain import mode, order_events
from services.order.domain.consumer_view import Fact, Told
from services.order.entrypoints.wire_values import group_shown, timestamp_of, visibility_shown
from services.order.read_models.order_timeline import Entry


def entry_shown(entry: Entry) -> wire.TimelineEntry:
    """Return an entry as the banner sees it: everything."""
    shown = _entry(entry.fact)
    shown.actor = entry.actor
    shown.causation_id = entry.causation_id
    match entry.fact.event:
        case order_events.StepStarted(_, group, step):
            shown.groups.append(group_shown(group))
            shown.visibility = visibility_shown(step)
        case order_events.StepCompleted(_, _, step):
            shown.visibility = visibility_shown(step)
        case order_events.OrderAccepted(groups) | order_events.GroupsReplaced(groups=groups):
            shown.groups.extend(group_shown(group) for group in groups)
        case _:
            pass
    return shown


def told_shown(told: Told) -> wire.TimelineEntry:
    """Return an entry as the consumer sees it."""
    return _entry(told)


def _entry(fact: Fact | Told) -> wire.TimelineEntry:  # noqa: C901, PLR0912 - one per kind
    shown = wire.TimelineEntry(version=fact.version, at=timestamp_of(fact.at))
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
