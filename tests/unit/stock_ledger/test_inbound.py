"""What is on its way: the last word counts, receipts take off what they bring, each once."""

from datetime import UTC, datetime

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.stock_ledger.domain.calls import NoteCall
from services.stock_ledger.domain.inbound import (
    RULE,
    Announce,
    Arrive,
    Command,
    Event,
    Expect,
    InboundArrived,
    InboundExpected,
)
from tests.support.given import given

FRIDAY = datetime(2026, 3, 6, 8, tzinfo=UTC)
SATURDAY = datetime(2026, 3, 7, 8, tzinfo=UTC)


def test_the_last_word_about_a_delivery_counts() -> None:
    told = InboundExpected("note-1", 10, FRIDAY)
    given(RULE).when(Expect("note-1", 10, FRIDAY)).then(told)
    given(RULE, told).when(Expect("note-1", 10, FRIDAY)).then_nothing()
    given(RULE, told).when(Expect("note-1", 0, FRIDAY)).then(InboundExpected("note-1", 0, FRIDAY))
    given(RULE).when(Expect("note-1", 0, FRIDAY)).then_nothing()


def test_the_lines_of_a_despatch_are_expected_together() -> None:
    first = InboundExpected("D-1", 10, FRIDAY, "l-1", 10)
    second = InboundExpected("D-1", 15, FRIDAY, "l-2", 5)
    given(RULE).when(Announce("D-1", "l-1", 10, FRIDAY)).then(first)
    given(RULE, first).when(Announce("D-1", "l-2", 5, FRIDAY)).then(second)
    given(RULE, first, second).when(Announce("D-1", "l-1", 10, FRIDAY)).then_nothing()
    less = InboundExpected("D-1", 9, SATURDAY, "l-1", 4)
    given(RULE, first, second).when(Announce("D-1", "l-1", 4, SATURDAY)).then(less)
    given(RULE).when(Announce("D-1", "l-1", 0, FRIDAY)).then_nothing()


def test_a_receipt_takes_off_once_whatever_came_first() -> None:
    came = InboundArrived("D-1", "r-1", 4, 4)
    given(RULE).when(Arrive("D-1", "r-1", 4)).then(came)
    given(RULE, came).when(Arrive("D-1", "r-1", 4)).then_nothing()
    given(RULE, came).when(Arrive("D-1", "r-2", -1)).then(InboundArrived("D-1", "r-2", -1, 3))


despatches, lines = st.sampled_from(["D-1", "D-2"]), st.sampled_from(["a", "b", "c"])
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Expect, lines, st.integers(0, 9), st.sampled_from([FRIDAY, SATURDAY])),
    st.builds(Announce, despatches, lines, st.integers(0, 9), st.sampled_from([FRIDAY, SATURDAY])),
    st.builds(Arrive, despatches, lines, st.integers(-3, 9).filter(bool)),
)


@settings(max_examples=200)
@for_all(st.lists(commands, max_size=30))
def test_sums_are_those_of_what_was_said_last_and_every_retry_is_silent(
    script: list[Command],
) -> None:
    history: list[Event] = []
    said: dict[tuple[str, str], int] = {}
    came: dict[tuple[str, str], int] = {}
    for command in script:
        history += RULE.decide(command, RULE.fold(history))
        state = RULE.fold(history)
        assert list(RULE.decide(command, state)) == []
        match command:
            case Announce(despatch_id, line_id, quantity):
                said[despatch_id, line_id] = quantity
            case Arrive(despatch_id, receipt_id, quantity):
                came.setdefault((despatch_id, receipt_id), quantity)
            case Expect() | NoteCall():
                pass
        for despatch_id in ("D-1", "D-2"):
            expected = sum(n for (of, _), n in said.items() if of == despatch_id)
            assert (state.deliveries.get(despatch_id) or (0, FRIDAY))[0] == expected
            arrived = sum(n for (of, _), n in came.items() if of == despatch_id)
            assert (state.arrived.get(despatch_id) or 0) == arrived
