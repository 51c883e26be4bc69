"""Picking a group: nothing counts twice, nothing is lost, whatever the terminal repeats."""

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.domain.errors import NotFound, Rejected
from services.picking.domain.pick_task import PICK_TASK_DECIDER
from services.picking.domain.pick_task_commands import (
    CancelTask,
    ClaimTask,
    Command,
    Pick,
    PutBack,
    ReassignTask,
    RecordLines,
    Refusal,
    ReleaseTask,
    Short,
    UnclaimTask,
)
from services.picking.domain.pick_task_events import (
    CompletedLine,
    Event,
    LinePicked,
    LinePutBack,
    LineShorted,
    PickCompleted,
    ShortReason,
    TaskCancelled,
    TaskClaimed,
    TaskLine,
    TaskReleased,
    TaskUnclaimed,
)
from services.picking.domain.pick_task_state import Phase, PickTask
from tests.support.given import given

MILK, APPLES = TaskLine("1", "MILK", 2), TaskLine("2", "APPLES", 1_500)
RELEASED = TaskReleased("O-1", "S-1", (MILK, APPLES), None)
CLAIMED = TaskClaimed("O-1", "S-1", "paul", "claim-1")
TASK = PICK_TASK_DECIDER


def picked(action_id: str, line: TaskLine, quantity: int, *, is_enough: bool = False) -> LinePicked:
    said = ("O-1", "S-1", "paul", action_id, line.line_id, line.sku, quantity)
    return LinePicked(*said, is_enough)


def shorted(action_id: str, line: TaskLine, quantity: int) -> LineShorted:
    return LineShorted(
        "O-1", "S-1", "paul", action_id, line.line_id, line.sku, quantity, ShortReason.NOT_FOUND
    )


def by_paul(*actions: Pick | Short, tolerance_percent: int = 0) -> RecordLines:
    return RecordLines("paul", actions, {APPLES.line_id: tolerance_percent})


def test_a_group_is_released_once() -> None:
    release = ReleaseTask("O-1", "S-1", (MILK, APPLES))
    given(TASK).when(release).then(RELEASED)
    given(TASK, RELEASED).when(release).then_nothing()


def test_a_group_without_lines_is_completed_at_once() -> None:
    given(TASK).when(ReleaseTask("O-1", "S-1", ())).then(
        TaskReleased("O-1", "S-1", (), None), PickCompleted("O-1", "S-1", ())
    )


def test_one_picker_has_a_task() -> None:
    given(TASK, RELEASED).when(ClaimTask("paul", "claim-1")).then(CLAIMED)
    given(TASK, RELEASED, CLAIMED).when(ClaimTask("paul", "claim-1")).then_nothing()
    given(TASK, RELEASED, CLAIMED).when(ClaimTask("anna", "claim-2")).then_rejected(
        Refusal.STEP_CONFLICT
    )


def test_a_task_left_by_one_picker_goes_to_another() -> None:
    left = TaskUnclaimed("paul")
    given(TASK, RELEASED, CLAIMED).when(UnclaimTask("paul")).then(left)
    given(TASK, RELEASED, CLAIMED, left).when(UnclaimTask("paul")).then_nothing()
    given(TASK, RELEASED, CLAIMED, left).when(ClaimTask("anna", "claim-2")).then(
        TaskClaimed("O-1", "S-1", "anna", "claim-2")
    )
    given(TASK, RELEASED, CLAIMED).when(UnclaimTask("anna")).then_rejected(Refusal.STEP_CONFLICT)


def test_a_task_is_reassigned_by_naming_who_has_it() -> None:
    given(TASK, RELEASED, CLAIMED).when(ReassignTask("paul", "anna", "claim-2")).then(
        TaskClaimed("O-1", "S-1", "anna", "claim-2")
    )
    given(TASK, RELEASED, CLAIMED).when(ReassignTask("lea", "anna", "claim-2")).then_rejected(
        Refusal.STEP_CONFLICT
    )


def test_partial_picks_add_up_and_the_last_line_completes_the_task() -> None:
    given(TASK, RELEASED, CLAIMED, picked("a1", MILK, 1)).when(
        by_paul(Pick("a2", "1", 1), Pick("a3", "2", 1_500))
    ).then(
        picked("a2", MILK, 1),
        picked("a3", APPLES, 1_500),
        PickCompleted(
            "O-1",
            "S-1",
            (
                CompletedLine("1", "MILK", 2, 2, None),
                CompletedLine("2", "APPLES", 1_500, 1_500, None),
            ),
        ),
    )


def test_a_shortage_accounts_for_what_is_missing() -> None:
    given(TASK, RELEASED, CLAIMED, picked("a1", APPLES, 1_500), picked("a2", MILK, 1)).when(
        by_paul(Short("a3", "1", 1, ShortReason.NOT_FOUND))
    ).then(
        shorted("a3", MILK, 1),
        PickCompleted(
            "O-1",
            "S-1",
            (
                CompletedLine("1", "MILK", 2, 1, ShortReason.NOT_FOUND),
                CompletedLine("2", "APPLES", 1_500, 1_500, None),
            ),
        ),
    )


def test_more_than_ordered_is_refused_unless_the_weight_varies() -> None:
    claimed = given(TASK, RELEASED, CLAIMED)
    claimed.when(by_paul(Pick("a1", "1", 3))).then_rejected(Refusal.OVER_PICK)
    claimed.when(by_paul(Pick("a1", "2", 1_501))).then_rejected(Refusal.OVER_PICK)
    claimed.when(by_paul(Pick("a1", "2", 1_650), tolerance_percent=10)).then(
        picked("a1", APPLES, 1_650)
    )
    claimed.when(by_paul(Pick("a1", "2", 1_651), tolerance_percent=10)).then_rejected(
        Refusal.OVER_PICK
    )
    given(TASK, RELEASED, CLAIMED, picked("a1", APPLES, 1_500)).when(
        by_paul(Pick("a2", "2", 10), tolerance_percent=10)
    ).then_rejected(Refusal.OVER_PICK)
    claimed.when(by_paul(Short("a1", "1", 3, ShortReason.DAMAGED))).then_rejected(Refusal.OVER_PICK)


def test_goods_that_weigh_less_are_picked_and_not_missing() -> None:
    begun = given(TASK, RELEASED, CLAIMED, picked("a1", MILK, 2))
    lighter = CompletedLine("2", "APPLES", 1_500, 1_460, None, lighter=40)
    done = PickCompleted("O-1", "S-1", (CompletedLine("1", "MILK", 2, 2, None), lighter))
    begun.when(by_paul(Pick("a2", "2", 1_460), tolerance_percent=10)).then(
        picked("a2", APPLES, 1_460, is_enough=True), done
    )
    begun.when(by_paul(Pick("a2", "2", 1_349), tolerance_percent=10)).then(
        picked("a2", APPLES, 1_349)
    )
    begun.when(by_paul(Pick("a2", "2", 1_460))).then(picked("a2", APPLES, 1_460))
    # Milk is counted, not weighed.
    given(TASK, RELEASED, CLAIMED).when(by_paul(Pick("a1", "1", 1), tolerance_percent=50)).then(
        picked("a1", MILK, 1)
    )


def test_another_piece_is_taken_while_the_task_is_open() -> None:
    enough = picked("a1", APPLES, 1_400, is_enough=True)
    given(TASK, RELEASED, CLAIMED, enough).when(
        by_paul(Pick("a2", "2", 90), Pick("a3", "1", 2), tolerance_percent=10)
    ).then(
        picked("a2", APPLES, 90, is_enough=True),
        picked("a3", MILK, 2),
        PickCompleted(
            "O-1",
            "S-1",
            (
                CompletedLine("1", "MILK", 2, 2, None),
                CompletedLine("2", "APPLES", 1_500, 1_490, None, lighter=10),
            ),
        ),
    )


def missing(
    action_id: str, quantity: int, reason: ShortReason = ShortReason.NOT_FOUND, who: str = "paul"
) -> RecordLines:
    return RecordLines(who, (Short(action_id, "2", quantity, reason),), {"2": 10})


def test_a_terminal_that_calls_the_difference_of_weight_missing_is_heard_and_nothing_is_short() -> (
    None
):
    enough = picked("a1", APPLES, 1_460, is_enough=True)
    still_open = given(TASK, RELEASED, CLAIMED, enough)
    still_open.when(missing("a2", 40)).then_nothing()
    # A repeat of it stays silent when more was picked meanwhile.
    given(TASK, RELEASED, CLAIMED, enough, picked("a3", APPLES, 30, is_enough=True)).when(
        missing("a2", 40)
    ).then_nothing()
    still_open.when(missing("a2", 151)).then_rejected(Refusal.OVER_PICK)
    still_open.when(missing("a2", 40, ShortReason.DAMAGED)).then(
        LineShorted("O-1", "S-1", "paul", "a2", "2", "APPLES", 40, ShortReason.DAMAGED)
    )
    lighter = CompletedLine("2", "APPLES", 1_500, 1_460, None, lighter=40)
    done = PickCompleted("O-1", "S-1", (CompletedLine("1", "MILK", 2, 2, None), lighter))
    completed = (RELEASED, CLAIMED, picked("a0", MILK, 2), enough, done)
    given(TASK, *completed).when(missing("a2", 40)).then_nothing()
    given(TASK, *completed).when(missing("a2", 40, who="anna")).then_rejected(Refusal.STEP_CONFLICT)
    given(TASK, *completed).when(missing("a2", 151)).then_rejected(Refusal.STEP_CONFLICT)
    given(TASK, *completed).when(missing("a2", 40, ShortReason.DAMAGED)).then_rejected(
        Refusal.STEP_CONFLICT
    )
    given(TASK, *completed, TaskCancelled("O-1", "S-1")).when(missing("a2", 40)).then_rejected(
        Refusal.STEP_CONFLICT
    )


def test_what_weighs_less_and_its_difference_may_come_in_one_call() -> None:
    said = by_paul(
        Pick("a1", "1", 2),
        Pick("a2", "2", 1_460),
        Short("a3", "2", 40, ShortReason.NOT_FOUND),
        tolerance_percent=10,
    )
    lighter = CompletedLine("2", "APPLES", 1_500, 1_460, None, lighter=40)
    given(TASK, RELEASED, CLAIMED).when(said).then(
        picked("a1", MILK, 2),
        picked("a2", APPLES, 1_460, is_enough=True),
        PickCompleted("O-1", "S-1", (CompletedLine("1", "MILK", 2, 2, None), lighter)),
    )


def test_what_is_missing_is_no_difference_of_weight() -> None:
    """Of 1,500 g, 1,000 were not there; of the other 500, 460 are on the scale."""
    gone = shorted("a1", APPLES, 1_000)
    given(TASK, RELEASED, CLAIMED, picked("a0", MILK, 2), gone).when(
        by_paul(Pick("a2", "2", 460), tolerance_percent=10)
    ).then(
        picked("a2", APPLES, 460, is_enough=True),
        PickCompleted(
            "O-1",
            "S-1",
            (
                CompletedLine("1", "MILK", 2, 2, None),
                CompletedLine("2", "APPLES", 1_500, 460, ShortReason.NOT_FOUND, lighter=40),
            ),
        ),
    )
    given(TASK, RELEASED, CLAIMED, picked("a0", MILK, 2), gone).when(
        by_paul(Pick("a2", "2", 440), tolerance_percent=10)
    ).then(picked("a2", APPLES, 440))


def test_a_repeated_action_is_silent_even_when_the_task_is_someone_elses_or_done() -> None:
    again = by_paul(Pick("a1", "1", 2))
    history: tuple[Event, ...] = (RELEASED, CLAIMED, picked("a1", MILK, 2))
    given(TASK, *history).when(again).then_nothing()
    given(TASK, *history, TaskUnclaimed("paul")).when(again).then_nothing()
    given(TASK, *history, TaskCancelled("O-1", "S-1")).when(again).then_nothing()


def test_an_action_id_stands_for_one_content() -> None:
    history = given(TASK, RELEASED, CLAIMED, picked("a1", MILK, 1))
    history.when(by_paul(Pick("a1", "1", 2))).then_rejected(Refusal.ACTION_REUSED)
    history.when(by_paul(Short("a1", "1", 1, ShortReason.NOT_FOUND))).then_rejected(
        Refusal.ACTION_REUSED
    )


def test_a_batch_is_recorded_whole_or_not_at_all() -> None:
    given(TASK, RELEASED, CLAIMED).when(
        by_paul(Pick("a1", "1", 1), Pick("a2", "1", 5))
    ).then_rejected(Refusal.OVER_PICK)


def test_only_the_holder_of_a_task_picks() -> None:
    pick = RecordLines("anna", (Pick("a1", "1", 1),))
    given(TASK, RELEASED).when(pick).then_rejected(Refusal.STEP_CONFLICT)
    given(TASK, RELEASED, CLAIMED).when(pick).then_rejected(Refusal.STEP_CONFLICT)


def test_an_unknown_line_is_not_found() -> None:
    state = TASK.fold((RELEASED, CLAIMED))
    with pytest.raises(NotFound):
        TASK.decide(by_paul(Pick("a1", "9", 1)), state)


def test_what_was_picked_for_a_cancelled_task_goes_back() -> None:
    cancelled = TaskCancelled("O-1", "S-1")
    given(TASK).when(CancelTask()).then_nothing()
    given(TASK, RELEASED).when(CancelTask()).then(cancelled)
    history = given(TASK, RELEASED, CLAIMED, picked("a1", MILK, 2), cancelled)
    history.when(CancelTask()).then_nothing()
    history.when(by_paul(Pick("a2", "2", 1))).then_rejected(Refusal.STEP_CONFLICT)
    history.when(PutBack("paul", "a3", "1", 2)).then(
        LinePutBack("O-1", "S-1", "paul", "a3", "1", "MILK", 2)
    )
    history.when(PutBack("paul", "a3", "1", 3)).then_rejected(Refusal.OVER_PICK)
    history.when(PutBack("paul", "a1", "1", 2)).then_rejected(Refusal.ACTION_REUSED)
    given(TASK, RELEASED, CLAIMED, picked("a1", MILK, 2)).when(
        PutBack("paul", "a3", "1", 1)
    ).then_rejected(Refusal.STEP_CONFLICT)


def test_a_completed_task_of_a_cancelled_order_is_put_back_too() -> None:
    lines = (CompletedLine("1", "MILK", 2, 2, None), CompletedLine("2", "APPLES", 1_500, 0, None))
    history: tuple[Event, ...] = (
        RELEASED,
        CLAIMED,
        picked("a1", MILK, 2),
        shorted("a2", APPLES, 1_500),
        PickCompleted("O-1", "S-1", lines),
        TaskCancelled("O-1", "S-1"),
    )
    assert TASK.fold(history).has_units_to_put_back
    back = LinePutBack("O-1", "S-1", "paul", "a3", "1", "MILK", 2)
    given(TASK, *history).when(PutBack("paul", "a3", "1", 2)).then(back)
    assert not TASK.fold((*history, back)).has_units_to_put_back


pickers = st.sampled_from(["paul", "anna"])
action_ids = st.sampled_from([f"a{n}" for n in range(12)])
line_ids = st.sampled_from(["1", "2"])
quantities = st.integers(min_value=1, max_value=4)
acts = st.one_of(
    st.builds(Pick, action_ids, line_ids, quantities),
    st.builds(Short, action_ids, line_ids, quantities, st.sampled_from(ShortReason)),
)
commands: st.SearchStrategy[Command] = st.one_of(
    st.just(ReleaseTask("O-1", "S-1", (TaskLine("1", "A", 4), TaskLine("2", "B", 6)))),
    st.builds(ClaimTask, pickers, st.sampled_from(["c1", "c2"])),
    st.builds(UnclaimTask, pickers),
    st.builds(ReassignTask, pickers, pickers, st.sampled_from(["c3", "c4"])),
    st.builds(
        RecordLines, pickers, st.lists(acts, min_size=1, max_size=3).map(tuple), st.just({"2": 50})
    ),
    st.just(CancelTask()),
    st.builds(PutBack, pickers, action_ids, line_ids, quantities),
)


@settings(max_examples=200)
@for_all(st.lists(commands, max_size=40))
def test_no_history_counts_twice_or_takes_more_than_allowed(script: list[Command]) -> None:
    history: list[Event] = []
    for command in script:
        try:
            events = TASK.decide(command, TASK.fold(history))
        except (Rejected, NotFound):
            continue
        history += events
        task = TASK.fold(history)
        if isinstance(command, (RecordLines, PutBack)):
            assert not TASK.decide(command, task)
        _check(task, history)


def _check(task: PickTask, history: list[Event]) -> None:
    for line_id, line in task.lines.items():
        assert 0 <= line.put_back <= line.picked
        assert line.picked + line.short <= (9 if line_id == "2" else line.ordered)
    counted = [
        e.action_id for e in history if isinstance(e, LinePicked | LineShorted | LinePutBack)
    ]
    assert len(counted) == len(set(counted))
    completions = sum(isinstance(e, PickCompleted) for e in history)
    is_accounted = bool(task.lines) and all(line.is_accounted for line in task.lines.values())
    assert completions == is_accounted
    assert (task.open_line_count == 0) == (is_accounted or task.phase is Phase.UNKNOWN)
