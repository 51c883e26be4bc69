"""Whatever the interleaving: accepted once, never picked and cancelled, nothing left reserved."""

from collections import deque
from dataclasses import replace
from itertools import permutations

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.domain.errors import Rejected
from services.order.domain.fulfilment_process import (
    FULFILMENT,
    Abandoned,
    Command,
    Fulfilment,
    Held,
    HoldExpired,
    HoldRefused,
    Message,
    Moved,
    Phase,
    Planned,
    PlanRejected,
    Replanned,
)
from services.order.domain.mode import Milestone
from services.order.domain.order import ORDER
from services.order.domain.order_commands import (
    AcceptOrder,
    CancelOrder,
    PlaceOrder,
    ReachedLine,
    ReachMilestone,
    Refusal,
    RefuseOrder,
    ReplaceGroups,
)
from services.order.domain.order_commands import Command as OrderCommand
from services.order.domain.order_events import (
    Event,
    GroupCompleted,
    GroupsKept,
    OrderAccepted,
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    OrderRefused,
    StepStarted,
)
from services.order.domain.order_state import Order
from tests.unit.order.examples import COLLECTED, DELIVERED, PLACED

GROUPS = (COLLECTED, DELIVERED)
AGAIN = tuple(replace(g, group_id=g.group_id.replace("O-1.", "O-1.2.")) for g in GROUPS)


def reactions(*messages: Message) -> list[Command]:
    process = Fulfilment()
    commands: list[Command] = []
    for message in messages:
        commands += FULFILMENT.react(message, process)
        process = FULFILMENT.evolve(process, message)
    return commands


def test_plan_and_hold_accept_in_either_order() -> None:
    both: list[Message] = [Planned(1, GROUPS), Held(1, "R-1")]
    for messages in permutations(both):
        assert reactions(*messages) == [AcceptOrder(GROUPS, "R-1", 1)]


def test_every_interleaving_of_plans_and_holds_accepts_the_held_plan_once() -> None:
    sourcing: list[Message] = [Planned(1, GROUPS), Planned(2, AGAIN)]
    ledger: list[Message] = [HoldRefused(1), Held(2, "R-1")]
    for picks in set(permutations("ssll")):
        feeds = {"s": deque(sourcing), "l": deque(ledger)}
        messages = [feeds[pick].popleft() for pick in picks]
        assert reactions(*messages) == [AcceptOrder(AGAIN, "R-1", 2)]


def test_groups_are_replaced_when_plan_and_move_are_both_known() -> None:
    accepted: list[Message] = [Planned(1, GROUPS), Held(1, "R-1")]
    replanned, moved = Replanned(2, ("O-1.1",), AGAIN[:1]), Moved(2)
    expected = ReplaceGroups(("O-1.1",), AGAIN[:1], 2)
    both: list[Message] = [replanned, moved]
    for messages in permutations(both):
        assert reactions(*accepted, *messages)[1:] == [expected]
    assert reactions(*accepted, Moved(1), replanned)[1:] == []
    assert reactions(*accepted, Abandoned(), replanned, moved)[1:] == []


def test_two_groups_that_move_at_once_are_both_replaced_in_their_order() -> None:
    accepted: list[Message] = [Planned(1, GROUPS), Held(1, "R-1")]
    third = tuple(replace(group, group_id=f"{group.group_id}-3") for group in GROUPS[1:])
    first = ReplaceGroups(("O-1.1",), AGAIN[:1], 2)
    second = ReplaceGroups(("O-1.2",), third, 3)
    for picks in set(permutations("ssll")):
        feeds = {"s": deque[Message]([Replanned(2, ("O-1.1",), AGAIN[:1])])}
        feeds["s"].append(Replanned(3, ("O-1.2",), third))
        feeds["l"] = deque([Moved(2), Moved(3)])
        later = [feeds[pick].popleft() for pick in picks]
        assert reactions(*accepted, *later)[1:] == [first, second]


def test_what_is_held_instead_is_taken_up_in_either_order() -> None:
    """The order was accepted on a hold that had ended by then; the ledger allocates the newer."""
    accepted: list[Message] = [Planned(1, GROUPS), Held(1, "R-1")]
    expected = [ReplaceGroups((), AGAIN, 2)]
    for picks in set(permutations("sll")):
        feeds = {"s": deque[Message]([Planned(2, AGAIN)])}
        feeds["l"] = deque([HoldExpired(1), Held(2, "R-1")])
        later = [feeds[pick].popleft() for pick in picks]
        assert reactions(*accepted, *later)[1:] == expected
    # A third plan comes to nothing: the ledger allocated the second one before it heard of it.
    third = Planned(3, GROUPS)
    assert reactions(*accepted, Planned(2, AGAIN), third, Held(2, "R-1"))[1:] == expected
    refused: list[Message] = [Planned(2, AGAIN), Held(2, "R-1"), HoldRefused(2)]
    assert reactions(*accepted, *refused)[2:] == [
        CancelOrder(Refusal.RESERVATION_EXPIRED.value, "R-1")
    ]
    assert reactions(*accepted, *accepted, HoldExpired(1), Planned(2, AGAIN))[1:] == []


def test_an_expired_hold_accepts_nothing() -> None:
    assert reactions(Held(1, "R-1"), HoldExpired(1), Planned(1, GROUPS)) == []
    assert reactions(
        Held(1, "R-1"), HoldExpired(1), Planned(1, GROUPS), Planned(2, AGAIN), Held(2, "R-1")
    ) == [AcceptOrder(AGAIN, "R-1", 2)]


def test_a_rejected_plan_refuses_the_order_once() -> None:
    rejected = PlanRejected(1, "OUT_OF_STOCK")
    assert reactions(rejected, rejected, Planned(2, AGAIN), Held(2, "R-1")) == [
        RefuseOrder("OUT_OF_STOCK")
    ]


def test_an_id_that_nothing_can_be_held_under_refuses_the_order_once() -> None:
    declined = HoldRefused(1, "IDEMPOTENCY_MISMATCH")
    assert reactions(declined, Planned(1, GROUPS), declined, PlanRejected(2, "OUT_OF_STOCK")) == [
        RefuseOrder("IDEMPOTENCY_MISMATCH")
    ]


def test_a_grant_after_the_order_was_abandoned_accepts_nothing() -> None:
    assert reactions(Planned(1, GROUPS), Abandoned(), Held(1, "R-1")) == []


def test_a_hold_lost_after_acceptance_cancels_the_order() -> None:
    accepted = (Planned(1, GROUPS), Held(1, "R-1"))
    assert reactions(*accepted, HoldExpired(1), HoldRefused(1), HoldRefused(1))[1:] == [
        CancelOrder(Refusal.RESERVATION_EXPIRED.value, "R-1")
    ]


def test_an_old_refusal_after_acceptance_says_nothing() -> None:
    assert reactions(Planned(2, AGAIN), Held(2, "R-1"), HoldRefused(1))[1:] == []


class World:
    """The order, and everyone around it as their contracts promise, each hearing in its own time.

    One queue per feed and listener keeps the feed's order; which queue moves next is the test's.
    """

    def __init__(self, *, holds: list[bool], expires: bool) -> None:
        self.order = Order()
        self.process = Fulfilment()
        self.history: list[Event] = []
        self.holds = deque(holds)
        self.expires = expires
        self.to_sourcing: deque[Event | str] = deque()
        self.to_ledger: deque[Event | Planned] = deque()
        self.to_picking: deque[Event] = deque()
        self.to_delivery: deque[Event] = deque()
        self.from_sourcing: deque[Message] = deque()
        self.from_ledger: deque[Message] = deque()
        self.from_others: deque[OrderCommand] = deque()
        self.revision = 0
        self.is_decision_closed = False
        self.reserved = False
        # Of the plan that the ledger heard last, and of the one that it allocated.
        self.reserved_revision = 0
        self.allocated_revision = 0
        self.is_refused = False
        self.is_reservation_closed = False
        self.tasks_cancelled = False
        self.do(PlaceOrder(PLACED))

    def do(self, command: OrderCommand) -> None:
        try:
            events = ORDER.decide(command, self.order)
        except Rejected as refused:
            if refused.reason not in (Refusal.CUTOFF_PASSED, Refusal.STEP_CONFLICT):
                raise
            return
        for event in events:
            self.order = ORDER.evolve(self.order, event)
            self.history.append(event)
            self.to_sourcing.append(event)
            self.to_ledger.append(event)
            self.to_picking.append(event)
            self.to_delivery.append(event)

    def hear(self, message: Message) -> None:
        commands = FULFILMENT.react(message, self.process)
        self.process = FULFILMENT.evolve(self.process, message)
        for command in commands:
            self.do(command)

    def cancel(self) -> None:
        before = len(self.history)
        self.do(CancelOrder("CUSTOMER_REQUEST", self.process.reservation_id))
        if len(self.history) > before:
            self.hear(Abandoned())

    def moves(self) -> list[str]:
        queues = (
            "to_sourcing",
            "to_ledger",
            "to_picking",
            "to_delivery",
            "from_sourcing",
            "from_ledger",
            "from_others",
        )
        return [name for name in queues if getattr(self, name)]

    def move(self, name: str) -> None:
        message = getattr(self, name).popleft()
        match name:
            case "from_sourcing" | "from_ledger":
                self.hear(message)
            case "from_others":
                self.do(message)
            case _:
                getattr(self, f"_{name}")(message)

    def _to_sourcing(self, message: Event | str) -> None:
        match message:
            case OrderAccepted() | OrderCancelled() | OrderRefused():
                self.is_decision_closed = True
            case "replan" if self.is_decision_closed:
                pass
            case "replan" | OrderPlaced():
                self.revision += 1
                if self.revision > 3:
                    self.from_sourcing.append(PlanRejected(self.revision, "OUT_OF_STOCK"))
                    self.is_decision_closed = True
                else:
                    groups = GROUPS if self.revision == 1 else AGAIN
                    plan = Planned(self.revision, groups)
                    self.from_sourcing.append(plan)
                    self.to_ledger.append(plan)
            case _:
                pass

    def _to_ledger(self, message: Event | Planned) -> None:
        match message:
            case Planned() if self.is_reservation_closed or self.reserved:
                pass
            case Planned(revision):
                self.reserved_revision = revision
                self.is_refused = bool(self.holds) and not self.holds.popleft()
                if self.is_refused:
                    self.from_ledger.append(HoldRefused(revision))
                    self.to_sourcing.append("replan")
                    return
                self.reserved = True
                self.from_ledger.append(Held(revision, "R-1"))
                if self.expires:
                    self.expires = False
                    self.reserved = False
                    self.from_ledger.append(HoldExpired(revision))
                    self.to_sourcing.append("replan")
            case OrderAccepted() if self.is_refused:
                pass  # nothing to confirm, and it was told
            case OrderAccepted():
                # Expired before the acceptance came: held anew if possible, else refused.
                if not self.reserved and self.holds and not self.holds.popleft():
                    self.from_ledger.append(HoldRefused(self.reserved_revision))
                else:
                    self.reserved = True
                    self.allocated_revision = self.reserved_revision
            case GroupsKept(plan_revision=revision) if revision == self.allocated_revision:
                self.allocated_revision = 0
            case OrderCancelled() | OrderRefused():
                self.reserved = False
                self.is_reservation_closed = True
            case _:
                pass

    def _to_picking(self, event: Event) -> None:
        match event:
            case OrderCancelled():
                self.tasks_cancelled = True
            case StepStarted(_, group, step) if step.completes_on is Milestone.PICKED:
                self._others(group.group_id, Milestone.PICKED, group.lines)
            case _:
                pass

    def _to_delivery(self, event: Event) -> None:
        match event:
            case StepStarted(_, group, step) if step.completes_on is not Milestone.PICKED:
                self._others(group.group_id, step.completes_on, group.lines)
            case _:
                pass

    def _others(self, group_id: str, milestone: Milestone, lines: object) -> None:
        assert isinstance(lines, tuple)
        reached = tuple(ReachedLine(line.line_id, line.quantity) for line in lines)
        self.from_others.append(ReachMilestone(group_id, milestone, reached))


@settings(max_examples=200)
@for_all(
    holds=st.lists(st.booleans(), max_size=4),
    expires=st.booleans(),
    cancel_at=st.integers(0, 40),
    choices=st.lists(st.integers(0, 6), max_size=120),
)
def test_whatever_the_interleaving_an_order_ends_one_way(
    *, holds: list[bool], expires: bool, cancel_at: int, choices: list[int]
) -> None:
    world = World(holds=holds, expires=expires)
    moved = 0
    while moves := world.moves():
        assert moved < 500
        if moved == cancel_at:
            world.cancel()
        choice = choices[moved] if moved < len(choices) else 0
        world.move(moves[choice % len(moves)])
        moved += 1
    kinds = [type(event) for event in world.history]
    assert kinds.count(OrderAccepted) <= 1
    ends = [kind for kind in kinds if kind in (OrderCancelled, OrderRefused, OrderCompleted)]
    assert len(ends) == 1
    if OrderCancelled in kinds or OrderRefused in kinds:
        # Never both: nothing was handed over, and nothing stays reserved, late grants included.
        assert world.order.captured_minor == 0
        assert GroupCompleted not in kinds
        assert not world.reserved
        # What no customer asked for still has to agree with the process.
        assert world.process.phase is Phase.CLOSED
    else:
        assert world.order.captured_minor == PLACED.total_minor
        # Its groups are those that the ledger allocates, unless they were picked before the news.
        is_picked_elsewhere = GroupsKept in kinds or world.process.phase is Phase.CLOSED
        expected = 0 if is_picked_elsewhere else world.order.plan_revision
        assert world.allocated_revision == expected
