"""What an order's customer pays: units handed over at their frozen price, never more than ordered.

The fee of a mode is paid once, by the first of its groups; what is refunded never exceeds what was
captured.
"""

from collections.abc import Sequence

from services.kernel.domain.errors import Rejected
from services.order.domain.order_commands import ReachedLine, RefundOrder, Refusal
from services.order.domain.order_events import DeliveredLine, Event, OrderRefunded, PaymentCaptured
from services.order.domain.order_state import GroupProgress, Order
from services.order.domain.pricing import units_minor


def capture(
    order: Order, group: GroupProgress, handed: Sequence[ReachedLine]
) -> PaymentCaptured | None:
    """Charge what was handed over, at most what was ordered: more weight is not billed."""
    units = {line.line_id: line.quantity for line in handed}
    delivered: list[DeliveredLine] = []
    for line in group.group.lines:
        account = order.lines[line.line_id]
        quantity = min(units.get(line.line_id, 0), line.quantity)
        if quantity > 0:
            net_minor = units_minor(
                account.net_minor, account.quantity, account.charged_quantity, quantity
            )
            delivered.append(DeliveredLine(line.line_id, line.sku, quantity, net_minor))
    if not delivered:
        return None
    amount_minor = sum(line.net_minor for line in delivered)
    mode_id = group.group.mode_id
    fee_minor = (
        0
        if mode_id in order.paid_modes
        else sum(mode.fee_minor for mode in order.modes if mode.mode_id == mode_id)
    )
    return PaymentCaptured(
        group.group.group_id,
        order.currency,
        amount_minor,
        fee_minor,
        order.captured_minor + amount_minor + fee_minor,
        tuple(delivered),
    )


def refund(command: RefundOrder, order: Order) -> Sequence[Event]:
    known = order.refunds.get(command.return_id)
    if known == command.amount_minor:
        return []
    if known is not None:
        raise Rejected(
            Refusal.IDEMPOTENCY_MISMATCH, f"return {command.return_id} was refunded {known} already"
        )
    if command.currency != order.currency:
        raise Rejected(Refusal.CURRENCY_MISMATCH, f"the order was paid in {order.currency}")
    refunded_total_minor = order.refunded_minor + command.amount_minor
    if refunded_total_minor > order.captured_minor:
        raise Rejected(
            Refusal.REFUND_EXCEEDS_CAPTURE,
            f"{refunded_total_minor} would be refunded of {order.captured_minor} captured",
        )
    return [
        OrderRefunded(
            command.return_id, command.currency, command.amount_minor, refunded_total_minor
        )
    ]
