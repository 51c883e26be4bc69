"""One order: what was sold at which price, how far each of its groups is, how it ends.

Stream  ``order-{order_id}``
Rule    Accepted, refused or cancelled once, and never both handed over and cancelled; a group walks
        the frozen steps of its mode in order; what is captured is the frozen net price of units
        really handed over, and what is refunded never exceeds it.

Beside it, each a module: ``order_events`` (what happened), ``order_commands`` (what may be asked,
and refusals), ``order_state`` (where it stands), and the rules by family: ``order_groups``,
``order_milestones``, ``order_steps``, ``order_shortages``, ``order_payment``.
"""

from collections.abc import Sequence
from typing import assert_never

from services.kernel.domain.decider import Decider
from services.kernel.domain.errors import Rejected
from services.order.domain.order_commands import (
    AcceptOrder,
    CancelOrder,
    Command,
    NoteShort,
    PlaceOrder,
    ReachMilestone,
    RefundOrder,
    Refusal,
    RefuseOrder,
    ReplaceGroups,
)
from services.order.domain.order_events import Event, OrderCancelled, OrderRefused
from services.order.domain.order_groups import accept, replace_groups
from services.order.domain.order_milestones import reach
from services.order.domain.order_payment import refund
from services.order.domain.order_shortages import note_short
from services.order.domain.order_state import Order, Status, evolve
from services.order.domain.order_steps import open_group


def decide(command: Command, order: Order) -> Sequence[Event]:  # noqa: PLR0911 - one per kind
    match command:
        case PlaceOrder(placed):
            if order.status is Status.NEW:
                return [placed]
            check_content(order, placed.fingerprint)
            return []
        case AcceptOrder():
            return accept(command, order) if order.status is Status.PLACED else []
        case RefuseOrder(reason, alternatives):
            is_open = order.status is Status.PLACED
            return [OrderRefused(reason, alternatives)] if is_open else []
        case ReachMilestone(group_id):
            group = open_group(order, group_id)
            return reach(command, order, group) if group else []
        case NoteShort(group_id):
            group = open_group(order, group_id)
            return note_short(command, order, group) if group else []
        case CancelOrder():
            return _cancel(command, order)
        case RefundOrder():
            return refund(command, order)
        case ReplaceGroups():
            return replace_groups(command, order)
        case _:
            assert_never(command)


def check_content(order: Order, fingerprint: str) -> None:
    """Tell the retry of a placement from another order under the same id.

    Raises:
        Rejected: It is another one.
    """
    if order.fingerprint != fingerprint:
        raise Rejected(
            Refusal.IDEMPOTENCY_MISMATCH,
            "this order id was used for other content; place other content under another id",
        )


def _cancel(command: CancelOrder, order: Order) -> Sequence[Event]:
    if order.status is Status.NEW:
        raise Rejected(Refusal.ORDER_UNKNOWN, "nothing was placed under this order id")
    if order.status is Status.CANCELLED:
        return []
    if order.status is Status.REFUSED:
        raise Rejected(Refusal.STEP_CONFLICT, "the order was refused: there is nothing to cancel")
    if not order.is_cancellable:
        raise Rejected(
            Refusal.CUTOFF_PASSED,
            "a group of the order is past the step until which it may be cancelled;"
            " return the goods instead",
        )
    return [OrderCancelled(command.reason, order.reservation_id or command.reservation_id)]


ORDER: Decider[Command, Order, Event] = Decider(Order(), decide, evolve)
