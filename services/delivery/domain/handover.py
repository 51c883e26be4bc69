"""One group that a customer collects at a site.

Stream  ``handover-{group_id}``
Rule    only who knows the pickup code gets the goods, once, when they stand ready; after
        five wrong codes nobody does for a quarter of an hour.

What may have happened is in ``handover_events``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import assert_never

from services.delivery.domain.handover_events import (
    CameEarly,
    CustomerArrived,
    Event,
    HandedOver,
    HandoverCancelled,
    HandoverExpected,
    HandoverLinesChanged,
    MadeReady,
    WrongCodeGiven,
)
from services.delivery.domain.lines import Line
from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected

MOST_WRONG_CODES = 5
LOCK_DURATION = timedelta(minutes=15)


# Commands.


@dataclass(frozen=True, slots=True)
class ExpectHandover:
    order_id: str
    source_site_id: str
    handover_site_id: str
    lines: tuple[Line, ...]
    promised_at: datetime | None = None
    is_ready: bool = False


@dataclass(frozen=True, slots=True)
class MarkReady:
    at: datetime


@dataclass(frozen=True, slots=True)
class AnnounceArrival:
    at: datetime


@dataclass(frozen=True, slots=True)
class HandOver:
    """``is_code_right`` is judged by whoever knows the code; the rule only counts."""

    request_id: str
    is_code_right: bool
    at: datetime
    code_digest: str = ""


@dataclass(frozen=True, slots=True)
class CancelHandover:
    """The order is cancelled."""


type Command = ExpectHandover | MarkReady | AnnounceArrival | HandOver | CancelHandover


class Refusal(StrEnum):
    STEP_CONFLICT = "STEP_CONFLICT"
    WRONG_PICKUP_CODE = "WRONG_PICKUP_CODE"
    PICKUP_LOCKED = "PICKUP_LOCKED"
    ID_REUSED = "IDEMPOTENCY_MISMATCH"


# State: only what the rules need.


class Phase(Enum):
    UNKNOWN = auto()
    EXPECTED = auto()
    READY = auto()
    HANDED_OVER = auto()
    CANCELLED = auto()


@dataclass(frozen=True, slots=True)
class Handover:
    phase: Phase = Phase.UNKNOWN
    order_id: str = ""
    source_site_id: str = ""
    handover_site_id: str = ""
    lines: tuple[Line, ...] = ()
    arrived_at: datetime | None = None
    wrong_codes: int = 0
    wrong_tries: tuple[tuple[str, str], ...] = ()
    locked_until: datetime | None = None


def decide(command: Command, handover: Handover) -> Sequence[Event]:
    match command:
        case ExpectHandover():
            return _expect(command, handover)
        case MarkReady(at):
            return _mark_ready(at, handover)
        case AnnounceArrival(at):
            return _announce(at, handover)
        case HandOver():
            return _hand_over(command, handover)
        case CancelHandover():
            # What the customer has already, a cancellation does not take back: a return does.
            is_open = handover.phase in {Phase.EXPECTED, Phase.READY}
            return [HandoverCancelled()] if is_open else []
        case _:
            assert_never(command)


def _expect(command: ExpectHandover, handover: Handover) -> Sequence[Event]:
    if handover.phase is Phase.UNKNOWN:
        return [
            HandoverExpected(
                command.order_id,
                command.source_site_id,
                command.handover_site_id,
                command.lines,
                command.promised_at,
                command.is_ready,
            )
        ]
    if handover.phase is Phase.EXPECTED and command.lines != handover.lines:
        return [HandoverLinesChanged(command.lines)]
    return []


def _mark_ready(at: datetime, handover: Handover) -> Sequence[Event]:
    if handover.phase in {Phase.READY, Phase.HANDED_OVER}:
        return []
    _refuse_if_cancelled(handover)
    ready = MadeReady(handover.order_id, handover.handover_site_id)
    if handover.arrived_at is None:
        return [ready]
    # He has been waiting: now is the moment at which his arrival means something to the order.
    return [ready, CustomerArrived(handover.order_id, handover.handover_site_id, at)]


def _announce(at: datetime, handover: Handover) -> Sequence[Event]:
    if handover.arrived_at is not None or handover.phase is Phase.HANDED_OVER:
        return []
    _refuse_if_cancelled(handover)
    if handover.phase is Phase.READY:
        return [CustomerArrived(handover.order_id, handover.handover_site_id, at)]
    return [CameEarly(at)]


def _hand_over(command: HandOver, handover: Handover) -> Sequence[Event]:
    known = dict(handover.wrong_tries).get(command.request_id)
    if known == command.code_digest and not command.is_code_right:
        return []  # the same try again: counted already, and refused again by the caller
    if known is not None:  # another code: refused unseen, so that the answer tells nothing of it
        raise Rejected(Refusal.ID_REUSED, "this request id was used for another code; take a new")
    if handover.phase is Phase.HANDED_OVER and command.is_code_right:
        return []
    _refuse_if_cancelled(handover)
    if handover.phase is not Phase.READY:
        raise Rejected(
            Refusal.STEP_CONFLICT,
            "the group was handed over already"
            if handover.phase is Phase.HANDED_OVER
            else "the group does not stand ready yet; mark it ready first",
        )
    if handover.locked_until is not None and command.at < handover.locked_until:
        raise Rejected(
            Refusal.PICKUP_LOCKED,
            f"{MOST_WRONG_CODES} wrong codes; try again after "
            f"{handover.locked_until.isoformat(timespec='seconds')}",
        )
    if command.is_code_right:
        return [
            HandedOver(
                handover.order_id,
                handover.source_site_id,
                handover.handover_site_id,
                handover.lines,
            )
        ]
    is_one_too_many = handover.wrong_codes + 1 >= MOST_WRONG_CODES
    locked_until = command.at + LOCK_DURATION if is_one_too_many else None
    return [WrongCodeGiven(command.request_id, command.at, locked_until, command.code_digest)]


def _refuse_if_cancelled(handover: Handover) -> None:
    if handover.phase is Phase.CANCELLED:
        raise Rejected(
            Refusal.STEP_CONFLICT, "the order was cancelled; put the goods back on the shelf"
        )


def evolve(handover: Handover, event: Event) -> Handover:  # noqa: PLR0911 - one per event
    match event:
        case HandoverExpected(order_id, source_site_id, handover_site_id, lines, _, is_ready):
            return Handover(
                Phase.READY if is_ready else Phase.EXPECTED,
                order_id,
                source_site_id,
                handover_site_id,
                lines,
            )
        case HandoverLinesChanged(lines):
            return replace(handover, lines=lines)
        case MadeReady():
            return replace(handover, phase=Phase.READY)
        case CameEarly(at) | CustomerArrived(_, _, at):
            return replace(handover, arrived_at=handover.arrived_at or at)
        case WrongCodeGiven(request_id, _, locked_until, code_digest):
            one = (request_id, code_digest)
            return replace(
                handover,
                wrong_codes=0 if locked_until else handover.wrong_codes + 1,
                # The last few are enough: a retry follows its first try closely.
                wrong_tries=(*handover.wrong_tries, one)[-MOST_WRONG_CODES:],
                locked_until=locked_until or handover.locked_until,
            )
        case HandedOver():
            return replace(handover, phase=Phase.HANDED_OVER)
        case HandoverCancelled():
            return replace(handover, phase=Phase.CANCELLED)
        case _:
            assert_never(event)


HANDOVER_DECIDER: Decider[Command, Handover, Event] = Decider(Handover(), decide, evolve)
HANDOVER: Kind[Command, Handover, Event] = Kind("handover", HANDOVER_DECIDER)
