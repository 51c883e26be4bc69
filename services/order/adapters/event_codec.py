"""Stored names of the order service's events and of the messages of its process."""

from services.kernel.adapters.event_codec import EventCodec
from services.order.domain import basket, fulfilment_process, order_events

CODEC = EventCodec(
    {
        "basket.created.v1": basket.BasketCreated,
        "basket.line_added.v1": basket.BasketLineAdded,
        "basket.line_changed.v1": basket.BasketLineChanged,
        "basket.line_removed.v1": basket.BasketLineRemoved,
        "basket.choice_made.v1": basket.BasketChoiceMade,
        "basket.checked_out.v1": basket.BasketCheckedOut,
        "order.placed.v1": order_events.OrderPlaced,
        "order.accepted.v1": order_events.OrderAccepted,
        "order.refused.v1": order_events.OrderRefused,
        "order.step_started.v1": order_events.StepStarted,
        "order.step_completed.v1": order_events.StepCompleted,
        "order.line_shorted.v1": order_events.LineShorted,
        "order.line_weighed.v1": order_events.LineWeighed,
        "order.payment_captured.v1": order_events.PaymentCaptured,
        "order.group_completed.v1": order_events.GroupCompleted,
        "order.cancelled.v1": order_events.OrderCancelled,
        "order.completed.v1": order_events.OrderCompleted,
        "order.refunded.v1": order_events.OrderRefunded,
        "order.groups_replaced.v1": order_events.GroupsReplaced,
        "order.groups_kept.v1": order_events.GroupsKept,
        "fulfilment.replanned.v1": fulfilment_process.Replanned,
        "fulfilment.moved.v1": fulfilment_process.Moved,
        "fulfilment.planned.v1": fulfilment_process.Planned,
        "fulfilment.plan_rejected.v1": fulfilment_process.PlanRejected,
        "fulfilment.held.v1": fulfilment_process.Held,
        "fulfilment.hold_refused.v1": fulfilment_process.HoldRefused,
        "fulfilment.hold_expired.v1": fulfilment_process.HoldExpired,
        "fulfilment.abandoned.v1": fulfilment_process.Abandoned,
    }
)
