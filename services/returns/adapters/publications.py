"""What others learn of a return: the case. What an order has left to return stays private."""

from typing import Any, assert_never

from oms.common.v1.common_pb2 import Money
from oms.returns.v1 import returns_events_pb2 as wire

from services.kernel.domain.messages import Recorded, category_of
from services.returns.domain import return_case
from services.returns.domain.return_case import (
    CaseInspected,
    CaseOpened,
    CaseWithdrawn,
    Disposition,
    RefundValidated,
)

_DISPOSITIONS = {
    Disposition.RESTOCK: wire.DISPOSITION_RESTOCK,
    Disposition.WRITE_OFF: wire.DISPOSITION_WRITE_OFF,
}


def publish(recorded: Recorded[Any]) -> wire.ReturnsEvent | None:
    """Return the public event, or nothing for a private one."""
    if category_of(recorded.stream) != return_case.RETURN_CASE.category:
        return None
    event: return_case.Event = recorded.event
    return_id = recorded.key
    match event:
        case CaseOpened():
            return wire.ReturnsEvent(
                return_opened=wire.ReturnOpened(
                    return_id=return_id,
                    order_id=event.order_id,
                    site_id=event.site_id,
                    lines=[
                        wire.ReturnLine(line_id=line.line_id, sku=line.sku, quantity=line.quantity)
                        for line in event.lines
                    ],
                )
            )
        case CaseInspected():
            return wire.ReturnsEvent(
                return_inspected=wire.ReturnInspected(
                    return_id=return_id,
                    order_id=event.order_id,
                    site_id=event.site_id,
                    lines=[
                        wire.ReturnLine(
                            line_id=line.line_id,
                            sku=line.sku,
                            quantity=line.quantity,
                            disposition=_DISPOSITIONS[line.disposition],
                        )
                        for line in event.lines
                    ],
                )
            )
        case RefundValidated():
            return wire.ReturnsEvent(
                refund_validated=wire.RefundValidated(
                    return_id=return_id,
                    order_id=event.order_id,
                    site_id=event.site_id,
                    amount=Money(amount_minor=event.amount_minor, currency=event.currency),
                    clerk_id=event.clerk_id,
                )
            )
        case CaseWithdrawn():
            return wire.ReturnsEvent(
                return_withdrawn=wire.ReturnWithdrawn(
                    return_id=return_id, order_id=event.order_id, site_id=event.site_id
                )
            )
        case _:
            assert_never(event)
