"""What of an order was delivered, what of it is in which case, and how each event moves it.

No rule lives here: history is believed as it was written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from services.returns.domain.returnable_events import (
    Captured,
    ClaimedPart,
    DeliveredPart,
    Event,
    GroupDelivered,
    Refunded,
    ReleasedPart,
    UnitsClaimed,
    UnitsReleased,
)


@dataclass(frozen=True, slots=True)
class Part:
    group_id: str
    delivered: DeliveredPart
    delivered_at: datetime
    claimed: int = 0

    @property
    def left(self) -> int:
        return self.delivered.quantity - self.claimed

    def is_of(self, part: ClaimedPart | ReleasedPart) -> bool:
        return (part.group_id, part.line_id) == (self.group_id, self.delivered.line_id)


@dataclass(frozen=True, slots=True)
class Returnable:
    """``claims`` keeps the ids of withdrawn cases, with no units."""

    currency: str = ""
    parts: tuple[Part, ...] = ()
    groups: frozenset[str] = frozenset()
    captures: frozenset[str] = frozenset()
    captured_minor: int = 0
    claims: Mapping[str, tuple[ClaimedPart, ...]] = field(
        default_factory=dict[str, tuple[ClaimedPart, ...]]
    )
    refunds: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def refunded_minor(self) -> int:
        return sum(self.refunds.values())


def evolve(order: Returnable, event: Event) -> Returnable:
    match event:
        case GroupDelivered(group_id, currency, delivered_at, parts):
            return replace(
                order,
                currency=currency,
                parts=(*order.parts, *(Part(group_id, part, delivered_at) for part in parts)),
                groups=order.groups | {group_id},
            )
        case Captured(capture_id, _, captured_minor):
            return replace(
                order, captures=order.captures | {capture_id}, captured_minor=captured_minor
            )
        case UnitsClaimed(return_id, parts):
            return replace(
                order,
                parts=tuple(
                    replace(
                        part,
                        claimed=part.claimed
                        + sum(claim.quantity for claim in parts if part.is_of(claim)),
                    )
                    for part in order.parts
                ),
                claims={**order.claims, return_id: parts},
            )
        case UnitsReleased(return_id, parts):
            claimed = {(part.group_id, part.line_id): part.claimed for part in parts}
            return replace(
                order,
                parts=tuple(
                    replace(
                        part,
                        claimed=claimed.get((part.group_id, part.delivered.line_id), part.claimed),
                    )
                    for part in order.parts
                ),
                claims={**order.claims, return_id: ()},
            )
        case Refunded(return_id, amount_minor, _):
            return replace(order, refunds={**order.refunds, return_id: amount_minor})
        case _:
            assert_never(event)
