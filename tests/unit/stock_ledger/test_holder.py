"""Whose unpaid holds there are: never more than allowed, each counted once."""

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.domain.errors import Rejected
from services.stock_ledger.domain.holder import (
    RULE,
    Command,
    CountHold,
    Event,
    HoldCounted,
    HoldUncounted,
    Refusal,
    UncountHold,
)
from tests.support.given import given

ONE, TWO = HoldCounted("R-1"), HoldCounted("R-2")


def test_a_hold_counts_once() -> None:
    given(RULE).when(CountHold("R-1", 2)).then(ONE)
    given(RULE, ONE).when(CountHold("R-1", 1)).then_nothing()


def test_one_too_many_is_refused() -> None:
    given(RULE, ONE, TWO).when(CountHold("R-3", 2)).then_rejected(Refusal.TOO_MANY_HOLDS)


def test_what_is_paid_for_or_over_makes_room() -> None:
    given(RULE, ONE, TWO).when(UncountHold("R-1")).then(HoldUncounted("R-1"))
    given(RULE, ONE, TWO, HoldUncounted("R-1")).when(CountHold("R-3", 2)).then(HoldCounted("R-3"))
    given(RULE).when(UncountHold("R-1")).then_nothing()


ids = st.sampled_from(["R-1", "R-2", "R-3", "R-4"])
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(CountHold, ids, st.just(2)), st.builds(UncountHold, ids)
)


@settings(max_examples=150)
@for_all(st.lists(commands, max_size=25))
def test_no_script_passes_the_limit_and_every_retry_is_silent(script: list[Command]) -> None:
    history: list[Event] = []
    for command in script:
        before = RULE.fold(history)
        try:
            events = RULE.decide(command, before)
        except Rejected:
            assert len(before.held) == 2
            continue
        history += events
        after = RULE.fold(history)
        assert len(after.held) <= 2
        assert list(RULE.decide(command, after)) == []
