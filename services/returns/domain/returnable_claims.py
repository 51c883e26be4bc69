"""Which units a case holds: the lowest that are in no other, at the price they were delivered for.

Those of a withdrawn case are free again, unless they were refunded.
"""

from collections.abc import Iterator, Sequence

from services.kernel.domain.errors import Rejected
from services.returns.domain.refund import refund_of
from services.returns.domain.returnable_commands import ClaimUnits, Refusal
from services.returns.domain.returnable_events import (
    ClaimedPart,
    Event,
    ReleasedPart,
    UnitsClaimed,
    UnitsReleased,
)
from services.returns.domain.returnable_state import Part, Returnable


def claim(command: ClaimUnits, order: Returnable) -> Sequence[Event]:
    known = order.claims.get(command.return_id)
    if known is not None:
        if _quantities(known) == dict(command.wanted):
            return []
        if not known:
            raise Rejected(
                Refusal.STEP_CONFLICT,
                f"return {command.return_id} was withdrawn; open another, under a new id",
            )
        raise Rejected(
            Refusal.ID_REUSED,
            f"return {command.return_id} holds other units of this order; choose another id",
        )
    claimed: list[ClaimedPart] = []
    for line_id, quantity in command.wanted:
        claimed += _claim_line(line_id, quantity, command, order)
    return [UnitsClaimed(command.return_id, tuple(claimed))]


def _claim_line(
    line_id: str, quantity: int, command: ClaimUnits, order: Returnable
) -> list[ClaimedPart]:
    of_line = [part for part in order.parts if part.delivered.line_id == line_id]
    in_time = [part for part in of_line if command.claimed_at <= part.delivered_at + command.window]
    if of_line and not in_time:
        raise Rejected(
            Refusal.RETURN_WINDOW_CLOSED,
            f"line {line_id} was delivered more than {command.window.days} days ago",
        )
    left = sum(part.left for part in in_time)
    if quantity > left:
        raise Rejected(
            Refusal.QUANTITY_NOT_RETURNABLE,
            f"line {line_id}: {quantity} wanted, {left} delivered and in no other case",
            [{"line_id": line_id, "returnable_quantity": left}],
        )
    claimed: list[ClaimedPart] = []
    for part in in_time:
        delivered, reached = part.delivered, part.claimed
        for start, free in _free(part, order):
            taken = min(quantity, free)
            if taken == 0:
                break
            quantity -= taken
            reached += taken
            claimed.append(
                ClaimedPart(
                    group_id=part.group_id,
                    line_id=line_id,
                    sku=delivered.sku,
                    start=start,
                    quantity=taken,
                    refund_minor=refund_of(start, taken, delivered.quantity, delivered.net_minor),
                    claimed=reached,
                )
            )
    return claimed


def _free(part: Part, order: Returnable) -> Iterator[tuple[int, int]]:
    """Yield runs of units that are in no case (start, count), lowest first.

    There is more than one only where a case before others was withdrawn.
    """
    claimed = sorted(
        (claim.start, claim.quantity)
        for claims in order.claims.values()
        for claim in claims
        if part.is_of(claim)
    )
    reached = 0
    for start, quantity in (*claimed, (part.delivered.quantity, 0)):
        if start > reached:
            yield reached, start - reached
        reached = start + quantity


def release(return_id: str, order: Returnable) -> Sequence[Event]:
    claims = order.claims.get(return_id)
    if not claims:
        return []
    if return_id in order.refunds:
        raise Rejected(
            Refusal.STEP_CONFLICT, f"return {return_id} was refunded; its goods are here"
        )
    released: list[ReleasedPart] = []
    for part in order.parts:
        units = sum(claim.quantity for claim in claims if part.is_of(claim))
        if units:
            line_id = part.delivered.line_id
            released.append(ReleasedPart(part.group_id, line_id, part.claimed - units))
    return [UnitsReleased(return_id, tuple(released))]


def _quantities(parts: Sequence[ClaimedPart]) -> dict[str, int]:
    quantities: dict[str, int] = {}
    for part in parts:
        quantities[part.line_id] = quantities.get(part.line_id, 0) + part.quantity
    return quantities
