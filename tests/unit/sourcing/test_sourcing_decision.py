"""Decisions: one per order, made again when the ledger refuses, never for ever."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.domain.errors import Rejected
from services.sourcing.domain.decision_commands import (
    CloseDecision,
    Command,
    FollowOrder,
    Replan,
    ReplanGroups,
    RequestPlan,
    Reuse,
    StandBack,
    View,
)
from services.sourcing.domain.decision_events import (
    Cause,
    Correction,
    DecisionClosed,
    Event,
    PlanDecided,
    PlanDeclined,
    PlanFollowed,
    PlanRejected,
    PlanSuperseded,
)
from services.sourcing.domain.decision_planning import MAX_REVISIONS
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.sourcing_decision import SOURCING_DECISION
from services.sourcing.domain.wishes import Line, Refusal
from tests.support.given import given
from tests.unit.sourcing.networks import MONDAY, a_network, a_site, collect

NETWORK = a_network(a_site("S1"), a_site("S2", 5))
LINES = (Line("1", "milk", 3, collect()),)
POLICY = Policy()


def a_view(
    stock: Mapping[str, tuple[int, int]], spoken_for: Mapping[str, int] | None = None
) -> View:
    """Free units and log position, by site."""
    free = {site_id: units for site_id, (units, _) in stock.items()}
    positions = {site_id: position for site_id, (_, position) in stock.items()}
    spoken = {"milk": spoken_for} if spoken_for else {}
    return View(NETWORK, {}, {"milk": free}, {"milk": positions}, spoken)


BOTH = a_view({"S1": (5, 10), "S2": (5, 11)})


def request_plan(view: View = BOTH, lines: tuple[Line, ...] = LINES) -> RequestPlan:
    return RequestPlan("O1", lines, "EUR", "d1", MONDAY, view, POLICY)


def replan(
    revision: int, *corrections: Correction, view: View = BOTH, cause: Cause = Cause.REFUSED
) -> Replan:
    return Replan("O1", revision, cause, corrections, f"d{revision + 1}", MONDAY, view, POLICY)


def decided(command: Command, *history: Event) -> Sequence[Event]:
    return SOURCING_DECISION.decide(command, SOURCING_DECISION.fold(history))


PLANNED = decided(request_plan())
S1_EMPTY = Correction("S1", "milk", 0, position=20)


def test_a_placed_order_is_requested_and_planned_at_once() -> None:
    _, plan = PLANNED
    assert isinstance(plan, PlanDecided)
    assert (plan.revision, plan.decision_id) == (1, "d1")
    assert plan.groups[0].source_site_id == "S1"


def test_the_same_order_again_changes_nothing() -> None:
    given(SOURCING_DECISION, *PLANNED).when(request_plan()).then_nothing()


def test_the_same_order_with_other_lines_is_refused() -> None:
    other = (Line("1", "milk", 4, collect()),)
    given(SOURCING_DECISION, *PLANNED).when(request_plan(lines=other)).then_rejected(
        Reuse.OTHER_CONTENT
    )


def test_what_the_ledger_said_wins_over_an_older_view() -> None:
    superseded, plan = decided(replan(1, S1_EMPTY), *PLANNED)
    assert superseded == PlanSuperseded("O1", 1, Cause.REFUSED, (S1_EMPTY,))
    assert isinstance(plan, PlanDecided)
    assert plan.groups[0].source_site_id == "S2"
    assert plan.groups[0].group_id == "O1.1-2"


def test_a_newer_view_wins_over_what_the_ledger_said() -> None:
    restocked = a_view({"S1": (5, 21), "S2": (5, 11)})
    _, plan = decided(replan(1, S1_EMPTY, view=restocked), *PLANNED)
    assert isinstance(plan, PlanDecided)
    assert plan.groups[0].source_site_id == "S1"


def test_corrections_are_kept_over_revisions() -> None:
    history = [*PLANNED, *decided(replan(1, S1_EMPTY), *PLANNED)]
    _, plan = decided(replan(2, Correction("S2", "milk", 1, 21)), *history)
    assert isinstance(plan, PlanRejected)
    assert plan.reason is Refusal.OUT_OF_STOCK
    assert [(a.site_id, a.available) for a in plan.alternatives] == [("S2", 1)]


def test_an_expired_hold_is_planned_again() -> None:
    _, plan = decided(replan(1, cause=Cause.EXPIRED), *PLANNED)
    assert isinstance(plan, PlanDecided)
    assert plan.revision == 2


def test_an_answer_to_an_older_plan_changes_nothing() -> None:
    history = [*PLANNED, *decided(replan(1, S1_EMPTY), *PLANNED)]
    given(SOURCING_DECISION, *history).when(replan(1, S1_EMPTY)).then_nothing()


def test_a_closed_decision_is_not_planned_again() -> None:
    closed = DecisionClosed("O1", "accepted")
    given(SOURCING_DECISION, *PLANNED).when(CloseDecision("O1", "accepted")).then(closed)
    given(SOURCING_DECISION, *PLANNED, closed).when(replan(1, S1_EMPTY)).then_nothing()
    given(SOURCING_DECISION, *PLANNED, closed).when(CloseDecision("O1", "accepted")).then_nothing()
    over = DecisionClosed("O1", "cancelled")
    given(SOURCING_DECISION, *PLANNED, closed).when(CloseDecision("O1", "cancelled")).then(over)
    given(SOURCING_DECISION, *PLANNED, over).when(CloseDecision("O1", "x")).then_nothing()
    given(SOURCING_DECISION).when(CloseDecision("O1", "cancelled")).then_nothing()


def test_others_plans_of_the_moment_are_avoided_but_refuse_nobody() -> None:
    _, around = decided(request_plan(a_view({"S1": (5, 1), "S2": (5, 1)}, {"S1": 4})))
    assert isinstance(around, PlanDecided)
    assert around.groups[0].source_site_id == "S2"
    _, through = decided(request_plan(a_view({"S1": (5, 1)}, {"S1": 4})))
    assert isinstance(through, PlanDecided)
    assert through.groups[0].source_site_id == "S1"


def test_after_the_last_revision_the_order_is_refused() -> None:
    history = list(PLANNED)
    for revision in range(1, MAX_REVISIONS + 1):
        history += decided(replan(revision, cause=Cause.EXPIRED), *history)
    last = history[-1]
    assert isinstance(last, PlanRejected)
    assert last.reason is Refusal.OUT_OF_STOCK
    assert last.revision == MAX_REVISIONS + 1
    assert [a.site_id for a in last.alternatives] == ["S1", "S2"]


stocks = st.fixed_dictionaries(
    {site: st.tuples(st.integers(0, 6), st.integers(1, 30)) for site in ("S1", "S2")}
)
commands = st.one_of(
    st.builds(request_plan, stocks.map(a_view)),
    st.builds(
        lambda revision, free, position, stock: replan(
            revision, Correction("S1", "milk", free, position), view=a_view(stock)
        ),
        st.integers(1, 7),
        st.integers(0, 3),
        st.integers(1, 30),
        stocks,
    ),
    st.sampled_from([CloseDecision("O1", "accepted", 1), CloseDecision("O1", "cancelled")]),
    st.builds(FollowOrder, st.just("O1"), st.integers(1, 6), is_taken_up=st.booleans()),
    st.builds(
        lambda site, stock: ReplanGroups(
            "O1", frozenset({(site, "milk")}), "d", MONDAY, a_view(stock), POLICY
        ),
        st.sampled_from(["S1", "S2"]),
        stocks,
    ),
    st.builds(
        lambda revision, lacks, stock: StandBack(
            "O1",
            revision,
            (Correction("S2", "milk", 0, 9),) if lacks else (),
            decision_id="d",
            at=MONDAY,
            view=a_view(stock),
            policy=POLICY,
        ),
        st.integers(1, 6),
        st.booleans(),
        stocks,
    ),
)


@settings(max_examples=150, deadline=None)
@for_all(st.lists(commands, max_size=25))
def test_no_history_plans_for_ever_or_after_the_end(script: list[Command]) -> None:
    history: list[Event] = []
    for command in script:
        try:
            events = decided(command, *history)
        except Rejected:
            continue
        state = SOURCING_DECISION.fold(history)
        if state.is_over and not (state.is_given_up and state.plans):
            assert not events  # else it may have been accepted on an older plan
        if state.is_closed:
            assert all(
                event.replaces for event in events if isinstance(event, PlanDecided | PlanRejected)
            )
        history += events
        again = decided(command, *history)  # every repeat is silent
        # but where nobody else had it the next one may find somebody
        assert not again or all(
            isinstance(event, PlanRejected | PlanDecided) and event.replaces
            for event in (*events, *again)
        )
    revisions = [
        event.revision for event in history if isinstance(event, PlanDecided | PlanRejected)
    ]
    assert revisions == list(range(1, len(revisions) + 1))
    assert sum(isinstance(event, PlanDecided) for event in history) <= MAX_REVISIONS


ACCEPTED = (*PLANNED, DecisionClosed("O1", "accepted"))
S1_MILK = frozenset({("S1", "milk")})


def replan_groups(view: View = BOTH) -> ReplanGroups:
    return ReplanGroups("O1", S1_MILK, "d2", MONDAY, view, POLICY)


def stand_back(*corrections: Correction, revision: int = 2, view: View = BOTH) -> StandBack:
    decision_id = f"d{revision + 1}"
    return StandBack("O1", revision, corrections, decision_id, MONDAY, view, POLICY)


def test_a_group_whose_stock_is_gone_is_planned_elsewhere_as_a_whole() -> None:
    [plan] = decided(replan_groups(), *ACCEPTED)
    assert isinstance(plan, PlanDecided)
    assert [group.group_id for group in plan.replaces] == ["O1.1"]
    assert [(g.group_id, g.source_site_id) for g in plan.groups] == [("O1.1-2", "S2")]
    assert plan.lines == LINES
    given(SOURCING_DECISION, *ACCEPTED, plan).when(replan_groups()).then_nothing()


def test_what_nobody_else_has_stays_where_it_is() -> None:
    [stays] = decided(replan_groups(a_view({"S1": (5, 10), "S2": (2, 11)})), *ACCEPTED)
    assert isinstance(stays, PlanRejected)
    assert [group.group_id for group in stays.replaces] == ["O1.1"]
    after = SOURCING_DECISION.fold([*ACCEPTED, stays])
    assert not after.is_over
    assert [group.source_site_id for group in after.groups] == ["S1"]


def test_an_order_that_is_over_is_not_planned_elsewhere() -> None:
    over = DecisionClosed("O1", "cancelled")
    given(SOURCING_DECISION, *ACCEPTED, over).when(replan_groups()).then_nothing()
    given(SOURCING_DECISION).when(replan_groups()).then_nothing()


def test_what_could_not_be_moved_is_planned_at_yet_another_site() -> None:
    network = a_network(a_site("S1"), a_site("S2", 5), a_site("S3", 9))
    free = {"milk": {"S1": 5, "S2": 5, "S3": 5}}
    view = View(network, {}, free, {"milk": {"S2": 11}})
    [moved] = decided(replan_groups(view), *ACCEPTED)
    lacks = Correction("S2", "milk", 1, position=30)
    superseded, again = decided(stand_back(lacks, view=view), *ACCEPTED, moved)
    assert superseded == PlanSuperseded("O1", 2, Cause.REFUSED, (lacks,))
    assert isinstance(again, PlanDecided)
    assert [group.group_id for group in again.replaces] == ["O1.1"]
    assert [(g.group_id, g.source_site_id) for g in again.groups] == [("O1.1-3", "S3")]
    late = stand_back(lacks, view=view)
    given(SOURCING_DECISION, *ACCEPTED, moved, superseded, again).when(late).then_nothing()


def test_a_move_that_is_refused_after_another_plan_was_made_is_taken_back_too() -> None:
    """Two groups are endangered at once; the answer to the first plan finds a second one out."""
    sites = a_network(a_site("S1"), a_site("S2", 5), a_site("S3", 9), a_site("S4", 12))
    free = {"milk": {"S1": 5}, "bread": {"S2": 5}}
    lines = (*LINES, replace(LINES[0], line_id="2", sku="bread"))
    accepted = decided(request_plan(View(sites, {}, free), lines))
    free = {sku: {"S1": 5, "S2": 5, "S3": 5, "S4": 5} for sku in ("milk", "bread")}
    view = View(sites, {}, free)
    history: list[Event] = [*accepted, DecisionClosed("O1", "accepted")]
    for n, place in enumerate((("S1", "milk"), ("S2", "bread")), start=2):
        command = ReplanGroups("O1", frozenset({place}), f"d{n}", MONDAY, view, POLICY)
        history += decided(command, *history)
    lacks = Correction("S2", "milk", 0, position=30)
    superseded, again = decided(stand_back(lacks, view=view), *history)
    assert superseded == PlanSuperseded("O1", 2, Cause.REFUSED, (lacks,))
    assert isinstance(again, PlanDecided)
    assert [group.group_id for group in again.replaces] == ["O1.1"]
    after = SOURCING_DECISION.fold([*history, superseded, again])
    assert sorted(g.group_id for g in after.groups) == ["O1.1-3", "O1.1-4"]


def test_what_was_replaced_twice_comes_back_as_it_really_is() -> None:
    [second] = decided(replan_groups(), *ACCEPTED)
    s2_milk = frozenset({("S2", "milk")})
    third_wanted = ReplanGroups("O1", s2_milk, "d3", MONDAY, BOTH, POLICY)
    [third] = decided(third_wanted, *ACCEPTED, second)
    history = [*ACCEPTED, second, third]
    for revision in (2, 3):
        history += decided(stand_back(revision=revision), *history)
    after = SOURCING_DECISION.fold(history)
    assert [group.group_id for group in after.groups] == ["O1.1"]


def test_what_was_picked_meanwhile_stays_and_nothing_is_tried() -> None:
    [moved] = decided(replan_groups(), *ACCEPTED)
    [superseded] = decided(stand_back(), *ACCEPTED, moved)
    after = SOURCING_DECISION.fold([*ACCEPTED, moved, superseded])
    assert [group.group_id for group in after.groups] == ["O1.1"]


def sources_of(history: Sequence[Event]) -> dict[str, str]:
    groups = SOURCING_DECISION.fold(history).groups
    return {group.group_id: group.source_site_id for group in groups}


def test_what_the_order_kept_is_planned_elsewhere_when_it_is_endangered_again() -> None:
    """Else the order's other group, which is really there, could not be moved with the ghost."""
    [moved] = decided(replan_groups(), *ACCEPTED)
    kept = FollowOrder("O1", 2, is_taken_up=False)
    [declined] = decided(kept, *ACCEPTED, moved)
    assert declined == PlanDeclined("O1", 2)
    history = [*ACCEPTED, moved, declined]
    assert sources_of(history) == {"O1.1": "S1"}
    given(SOURCING_DECISION, *history).when(kept).then_nothing()
    given(SOURCING_DECISION, *history).when(stand_back(S1_EMPTY)).then_nothing()
    [again] = decided(replan_groups(), *history)
    assert isinstance(again, PlanDecided)
    assert [group.group_id for group in again.replaces] == ["O1.1"]


def test_what_was_taken_up_stays_taken_up() -> None:
    [moved] = decided(replan_groups(), *ACCEPTED)
    given(SOURCING_DECISION, *ACCEPTED, moved).when(
        FollowOrder("O1", 2, is_taken_up=True)
    ).then_nothing()


REPLANNED = [*PLANNED, *decided(replan(1, S1_EMPTY), *PLANNED)]


def test_an_order_accepted_on_an_older_plan_is_planned_elsewhere_from_there() -> None:
    """The hold of plan 1 ended as the order was accepted on it; plan 2 had been made already."""
    assert sources_of(REPLANNED) == {"O1.1-2": "S2"}
    [closed] = decided(CloseDecision("O1", "accepted", 1), *REPLANNED)
    assert closed == DecisionClosed("O1", "accepted", 1)
    history = [*REPLANNED, closed]
    assert sources_of(history) == {"O1.1": "S1"}
    given(SOURCING_DECISION, *history).when(CloseDecision("O1", "accepted", 1)).then_nothing()
    [moved] = decided(replan_groups(), *history)
    assert isinstance(moved, PlanDecided)
    assert (moved.revision, [group.group_id for group in moved.replaces]) == (3, ["O1.1"])


def test_an_order_that_took_up_the_newer_plan_is_planned_elsewhere_from_there() -> None:
    history = [*REPLANNED, DecisionClosed("O1", "accepted", 1)]
    [followed] = decided(FollowOrder("O1", 2, is_taken_up=True), *history)
    assert followed == PlanFollowed("O1", 2)
    history.append(followed)
    assert sources_of(history) == {"O1.1-2": "S2"}
    for late in (
        FollowOrder("O1", 2, is_taken_up=True),
        FollowOrder("O1", 1, is_taken_up=True),
        CloseDecision("O1", "accepted", 1),
    ):
        given(SOURCING_DECISION, *history).when(late).then_nothing()
    kept = [*REPLANNED, DecisionClosed("O1", "accepted", 1)]
    given(SOURCING_DECISION, *kept).when(FollowOrder("O1", 2, is_taken_up=False)).then_nothing()


def test_an_order_accepted_while_it_was_given_up_is_not_given_up() -> None:
    """No other plan was found for the hold that ended, and then the ledger held plan 1 anew."""
    nothing = a_view({"S1": (0, 30)})
    given_up = [*PLANNED, *decided(replan(1, view=nothing, cause=Cause.EXPIRED), *PLANNED)]
    assert SOURCING_DECISION.fold(given_up).is_over
    history = [*given_up, *decided(CloseDecision("O1", "accepted", 1), *given_up)]
    assert sources_of(history) == {"O1.1": "S1"}
    [moved] = decided(replan_groups(), *history)
    assert isinstance(moved, PlanDecided)
    over = [*history, *decided(CloseDecision("O1", "cancelled"), *history)]
    given(SOURCING_DECISION, *over).when(replan_groups()).then_nothing()
    given(SOURCING_DECISION, *over).when(CloseDecision("O1", "accepted", 1)).then_nothing()


def test_groups_are_planned_elsewhere_no_oftener_than_orders_are() -> None:
    history: list[Event] = [*ACCEPTED]
    for n in range(10):
        site = ("S1", "S2")[n % 2]
        command = ReplanGroups("O1", frozenset({(site, "milk")}), f"d{n}", MONDAY, BOTH, POLICY)
        history += decided(command, *history)
    assert SOURCING_DECISION.fold(history).revision == MAX_REVISIONS
