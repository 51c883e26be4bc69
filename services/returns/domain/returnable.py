"""What of an order may come back.

Stream  ``returnable-{order_id}``
Rule    no unit is in two cases, no more comes back than was delivered, and no more is refunded
        than was captured. Every case of an order passes here, so two at once cannot both win.
        Every unit has its number, and with it its price: those of a withdrawn case can be claimed
        again for what they were worth, so refunds add up whatever was withdrawn between.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected
from services.returns.domain.refund import refund_of

# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class DeliveredPart:
    """The units of an order line that one group brought, at their frozen net price."""

    line_id: str
    sku: str
    quantity: int
    net_minor: int


@dataclass(frozen=True, slots=True)
class GroupDelivered:
    group_id: str
    currency: str
    delivered_at: datetime
    parts: tuple[DeliveredPart, ...]


@dataclass(frozen=True, slots=True)
class Captured:
    """``captured_minor`` is the total after this capture, so that a read model needs no sum."""

    capture_id: str
    amount_minor: int
    captured_minor: int


@dataclass(frozen=True, slots=True)
class ClaimedPart:
    """Units ``start`` + 1 to ``start`` + ``quantity`` of a part: what they are worth is fixed.

    ``claimed`` is how many units of the part are in cases after this, so that a read model needs
    no sum. Events from before cases could be withdrawn say 0: it is ``start`` + ``quantity``.
    """

    group_id: str
    line_id: str
    sku: str
    start: int
    quantity: int
    refund_minor: int
    claimed: int = 0


@dataclass(frozen=True, slots=True)
class UnitsClaimed:
    return_id: str
    parts: tuple[ClaimedPart, ...]


@dataclass(frozen=True, slots=True)
class Refunded:
    """``refunded_minor`` is the total after this refund."""

    return_id: str
    amount_minor: int
    refunded_minor: int


@dataclass(frozen=True, slots=True)
class ReleasedPart:
    """``claimed`` is how many units of the part are in cases after this."""

    group_id: str
    line_id: str
    claimed: int


@dataclass(frozen=True, slots=True)
class UnitsReleased:
    """The case was withdrawn: its units are in none."""

    return_id: str
    parts: tuple[ReleasedPart, ...]


type Event = GroupDelivered | Captured | UnitsClaimed | Refunded | UnitsReleased


# Commands.


@dataclass(frozen=True, slots=True)
class RecordDelivery:
    group_id: str
    currency: str
    delivered_at: datetime
    parts: tuple[DeliveredPart, ...]


@dataclass(frozen=True, slots=True)
class RecordCapture:
    capture_id: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class ClaimUnits:
    """Attributes: ``wanted`` pairs line ids with base units; ``window`` counts from delivery."""

    return_id: str
    wanted: tuple[tuple[str, int], ...]
    claimed_at: datetime
    window: timedelta


@dataclass(frozen=True, slots=True)
class RecordRefund:
    return_id: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class ReleaseUnits:
    return_id: str


type Command = RecordDelivery | RecordCapture | ClaimUnits | RecordRefund | ReleaseUnits


class Refusal(StrEnum):
    QUANTITY_NOT_RETURNABLE = "QUANTITY_NOT_RETURNABLE"
    RETURN_WINDOW_CLOSED = "RETURN_WINDOW_CLOSED"
    REFUND_EXCEEDS_CAPTURE = "REFUND_EXCEEDS_CAPTURE"
    STEP_CONFLICT = "STEP_CONFLICT"
    ID_REUSED = "IDEMPOTENCY_MISMATCH"


# State: only what the rules need.


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
            return _claim(command, order)
        case RecordRefund(return_id, amount_minor):
            return _refund(return_id, amount_minor, order)
        case ReleaseUnits(return_id):
            return _release(return_id, order)
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


def _claim(command: ClaimUnits, order: Returnable) -> Sequence[Event]:
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


def _release(return_id: str, order: Returnable) -> Sequence[Event]:
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


RETURNABLE: Kind[Command, Returnable, Event] = Kind(
    "returnable", Decider(Returnable(), decide, evolve)
)
