"""What of an order may come back.

Stream  ``returnable-{order_id}``
Rule    no unit is in two cases, no more comes back than was delivered, and no more is refunded
        than was captured. Every case of an order passes here, so two at once cannot both win.
        Every unit has its number, and with it its price: those of a withdrawn case can be claimed
        again for what they were worth, so refunds add up whatever was withdrawn between.

Beside it, each a module: ``returnable_events`` (what happened), ``returnable_commands`` (what may
be asked, and refusals), ``returnable_state`` (where it stands) and ``returnable_claims`` (units
into cases and out of them).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected
from services.returns.domain.returnable_claims import claim, release
from services.returns.domain.returnable_commands import (
    ClaimUnits,
    Command,
    RecordCapture,
    RecordDelivery,
    RecordRefund,
    Refusal,
    ReleaseUnits,
)
from services.returns.domain.returnable_events import (
    Captured,
    DeliveredPart,
    Event,
    GroupDelivered,
    Refunded,
)
from services.returns.domain.returnable_state import Returnable, evolve


def decide(command: Command, order: Returnable) -> Sequence[Event]:
    match command:
        case RecordDelivery(group_id, currency, delivered_at, parts):
            if group_id in order.groups:
                return []
            return [GroupDelivered(group_id, currency, delivered_at, _merged(parts))]
        case RecordCapture(capture_id, amount_minor):
            captured = Captured(capture_id, amount_minor, order.captured_minor + amount_minor)
            return [] if capture_id in order.captures else [captured]
        case ClaimUnits():
            return claim(command, order)
        case RecordRefund(return_id, amount_minor):
            return _refund(return_id, amount_minor, order)
        case ReleaseUnits(return_id):
            return release(return_id, order)
        case _:
            assert_never(command)


def _merged(parts: Sequence[DeliveredPart]) -> tuple[DeliveredPart, ...]:
    """Bring each line of a group into one part; a line of which nothing came is none."""
    merged: dict[str, DeliveredPart] = {}
    for part in parts:
        known = merged.get(part.line_id)
        merged[part.line_id] = (
            part
            if known is None
            else replace(
                known,
                quantity=known.quantity + part.quantity,
                net_minor=known.net_minor + part.net_minor,
            )
        )
    return tuple(part for part in merged.values() if part.quantity > 0)


def _refund(return_id: str, amount_minor: int, order: Returnable) -> Sequence[Event]:
    known = order.refunds.get(return_id)
    if known == amount_minor:
        return []
    if known is not None:
        raise Rejected(Refusal.ID_REUSED, f"return {return_id} was refunded with another amount")
    total_minor = order.refunded_minor + amount_minor
    if total_minor > order.captured_minor:
        raise Rejected(
            Refusal.REFUND_EXCEEDS_CAPTURE,
            f"{amount_minor} wanted, {order.captured_minor - order.refunded_minor} captured and"
            " not yet refunded",
        )
    return [Refunded(return_id, amount_minor, total_minor)]


RETURNABLE: Kind[Command, Returnable, Event] = Kind(
    "returnable", Decider(Returnable(), decide, evolve)
)
