"""From a placed order to an accepted one, or back to nothing.

Stream  ``fulfilment-{order_id}``
Rule    An order is accepted once, when the newest plan and the hold for that very plan are both
        known, in whichever order they arrive: the feeds of sourcing and of the stock ledger race.
        What arrives after the end changes nothing. A hold lost after acceptance cancels the order.
        Groups are replaced when their new plan and the move of their stock are both known; all of
        them when a hold ended while the order was accepted on it and a newer plan is held instead.

An abandoned order reserves nothing: its cancellation is told to the stock ledger, which closes the
reservation, so a plan that reaches it later holds nothing, and a hold that was granted while the
cancellation travelled is given back. What follows acceptance, step by step, is decided in the
order's own stream (``order.py``), so that a step and a cancellation can never both win.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from services.kernel.domain.process import Process
from services.order.domain.order_commands import (
    AcceptOrder,
    CancelOrder,
    Refusal,
    RefuseOrder,
    ReplaceGroups,
)
from services.order.domain.order_events import Alternative, Group

# Messages. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class Planned:
    revision: int
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class PlanRejected:
    revision: int
    reason: str
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    revision: int
    reservation_id: str


@dataclass(frozen=True, slots=True)
class HoldRefused:
    """Reason: why no other plan can be held either; empty: sourcing plans again."""

    revision: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HoldExpired:
    revision: int


@dataclass(frozen=True, slots=True)
class Replanned:
    """Groups of the accepted order are to be prepared elsewhere."""

    revision: int
    replaced_group_ids: tuple[str, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """Their stock is there."""

    revision: int


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The order was cancelled by someone else than this process."""


type Message = (
    Planned | PlanRejected | Held | HoldRefused | HoldExpired | Replanned | Moved | Abandoned
)
type Command = AcceptOrder | RefuseOrder | CancelOrder | ReplaceGroups


class Phase(Enum):
    OPEN = auto()
    ACCEPTED = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Fulfilment:
    phase: Phase = Phase.OPEN
    plan: Planned | None = None
    hold: Held | None = None
    # New plans for some groups whose move is not known yet, and moves whose plan is not.
    replans: tuple[Replanned, ...] = ()
    moves: frozenset[int] = frozenset()
    accepted_revision: int = 0
    later_plans: tuple[Planned, ...] = ()

    @property
    def held_instead(self) -> Planned | None:
        """The plan that is held now, where it is newer than the one the order was accepted on."""
        held = self.hold.revision if self.hold else 0
        return next((plan for plan in self.later_plans if plan.revision == held), None)

    @property
    def reservation_id(self) -> str:
        """What is reserved as far as we know, or empty."""
        return self.hold.reservation_id if self.hold else ""


def react(message: Message, process: Fulfilment) -> Sequence[Command]:  # noqa: PLR0911 - one per kind
    match message, process.phase:
        case ((Planned() | Held()), Phase.OPEN):
            known = _with(process, message)
            if known.plan and known.hold and known.plan.revision == known.hold.revision:
                return [
                    AcceptOrder(known.plan.groups, known.hold.reservation_id, known.plan.revision)
                ]
            return []
        case PlanRejected(_, reason, alternatives), Phase.OPEN:
            return [RefuseOrder(reason, alternatives)]
        case HoldRefused(_, reason), Phase.OPEN if reason:
            return [RefuseOrder(reason, ())]
        case HoldRefused(revision), Phase.ACCEPTED if process.hold is not None:
            # The stock ledger answers our acceptance: the hold had expired, the stock is gone.
            # A refusal of an older plan is history by now.
            if revision < process.hold.revision:
                return []
            return [CancelOrder(Refusal.RESERVATION_EXPIRED.value, process.reservation_id)]
        case ((Planned() | Held()), _) if process.accepted_revision:
            # The hold had ended as the order was accepted on it; the ledger allocates the newer.
            # The order says whether it is too late, also when it could not be cancelled before.
            instead = _with_later(process, message).held_instead
            return [ReplaceGroups((), instead.groups, instead.revision)] if instead else []
        case ((Replanned() | Moved()), Phase.ACCEPTED):
            replan = _moved(_with_replan(process, message))
            if replan is None:
                return []
            return [ReplaceGroups(replan.replaced_group_ids, replan.groups, replan.revision)]
        case _:
            return []


def evolve(process: Fulfilment, message: Message) -> Fulfilment:  # noqa: C901, PLR0911 - one per kind
    match message, process.phase:
        case ((Planned() | Held()), Phase.OPEN):
            known = _with(process, message)
            if known.plan and known.hold and known.plan.revision == known.hold.revision:
                # The groups live on in the order; nothing here needs the plan any more.
                revision = known.plan.revision
                return replace(known, phase=Phase.ACCEPTED, plan=None, accepted_revision=revision)
            return known
        case ((Planned() | Held()), _) if process.accepted_revision:
            known = _with_later(process, message)
            return _from(known, known.held_instead.revision) if known.held_instead else known
        case ((Replanned() | Moved()), Phase.ACCEPTED):
            known = _with_replan(process, message)
            moved = _moved(known)
            return known if moved is None else _without(known, moved)
        case HoldExpired(revision), Phase.OPEN:
            if process.hold and process.hold.revision <= revision:
                return replace(process, hold=None)
            return process
        case HoldRefused(_, reason), Phase.OPEN if reason:
            return replace(process, phase=Phase.CLOSED, plan=None)
        case ((PlanRejected() | Abandoned()), Phase.OPEN):
            return replace(process, phase=Phase.CLOSED, plan=None)
        case Abandoned(), Phase.ACCEPTED:
            return replace(process, phase=Phase.CLOSED)
        case HoldRefused(revision), Phase.ACCEPTED if process.hold is not None:
            return (
                process
                if revision < process.hold.revision
                else replace(process, phase=Phase.CLOSED)
            )
        case _:
            return process


def _with(process: Fulfilment, message: Planned | Held) -> Fulfilment:
    """Note the newest plan, the newest hold: an older one arriving late says nothing new."""
    match message:
        case Planned(revision) if process.plan is None or process.plan.revision < revision:
            return replace(process, plan=message)
        case Held(revision) if process.hold is None or process.hold.revision < revision:
            return replace(process, hold=message)
        case _:
            return process


def _with_later(process: Fulfilment, message: Planned | Held) -> Fulfilment:
    """Note a plan that is newer than the accepted one, and that it is held.

    Plans are kept until it is known which of them is held: the ledger may pass over the newest.
    """
    if message.revision <= process.accepted_revision:
        return process
    match message:
        case Planned():
            return replace(process, later_plans=(*process.later_plans, message))
        case Held():
            return replace(process, hold=message)


def _from(process: Fulfilment, revision: int) -> Fulfilment:
    later = tuple(plan for plan in process.later_plans if plan.revision > revision)
    return replace(process, accepted_revision=revision, later_plans=later)


def _with_replan(process: Fulfilment, message: Replanned | Moved) -> Fulfilment:
    """Note a new plan, or a move: several may be on their way, each for groups of its own."""
    match message:
        case Replanned():
            return replace(process, replans=(*process.replans, message))
        case Moved(revision):
            return replace(process, moves=process.moves | {revision})


def _moved(process: Fulfilment) -> Replanned | None:
    """Return the plan whose move is known too: a message completes one at most."""
    return next((one for one in process.replans if one.revision in process.moves), None)


def _without(process: Fulfilment, moved: Replanned) -> Fulfilment:
    replans = tuple(one for one in process.replans if one.revision != moved.revision)
    return replace(process, replans=replans, moves=process.moves - {moved.revision})


FULFILMENT: Process[Message, Fulfilment, Command] = Process(Fulfilment(), react, evolve)
