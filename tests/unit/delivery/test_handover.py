"""Handing over at the counter: to who knows the code, once, and only what stands ready."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.delivery.domain.handover import (
    HANDOVER_DECIDER,
    LOCK_DURATION,
    MOST_WRONG_CODES,
    AnnounceArrival,
    CancelHandover,
    Command,
    ExpectHandover,
    HandOver,
    MarkReady,
    Refusal,
)
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
from services.kernel.domain.errors import Rejected
from tests.support.given import given

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
LINES = (Line("1", "MILK", 2),)
EXPECTED = HandoverExpected("O-1", "hub", "shop", LINES, None, is_ready=False)
READY = MadeReady("O-1", "shop")
OVER = HandedOver("O-1", "hub", "shop", LINES)
RULE = HANDOVER_DECIDER


def wrong(number: int, locked_until: datetime | None = None) -> WrongCodeGiven:
    return WrongCodeGiven(f"wrong-{number}", NOON, locked_until)


LOCKED = (
    *(wrong(number) for number in range(1, MOST_WRONG_CODES)),
    wrong(MOST_WRONG_CODES, NOON + LOCK_DURATION),
)


def hand_over(
    request_id: str = "r", *, right: bool = True, after: timedelta = timedelta()
) -> HandOver:
    return HandOver(request_id, right, NOON + after)


def test_newer_lines_count_until_the_group_is_ready() -> None:
    fewer = (Line("1", "MILK", 1),)
    expect = ExpectHandover("O-1", "hub", "shop", LINES)
    given(RULE).when(expect).then(EXPECTED)
    given(RULE, EXPECTED).when(expect).then_nothing()
    newer = ExpectHandover("O-1", "hub", "shop", fewer)
    given(RULE, EXPECTED).when(newer).then(HandoverLinesChanged(fewer))
    given(RULE, EXPECTED, READY).when(newer).then_nothing()


def test_a_mode_without_a_step_that_makes_ready_is_ready_from_the_start() -> None:
    expected = HandoverExpected("O-1", "hub", "shop", LINES, None, is_ready=True)
    given(RULE).when(ExpectHandover("O-1", "hub", "shop", LINES, is_ready=True)).then(expected)
    given(RULE, expected).when(MarkReady(NOON)).then_nothing()
    given(RULE, expected).when(hand_over()).then(OVER)


def test_ready_is_said_once() -> None:
    given(RULE, EXPECTED).when(MarkReady(NOON)).then(READY)
    given(RULE, EXPECTED, READY).when(MarkReady(NOON)).then_nothing()
    given(RULE, EXPECTED, READY, OVER).when(MarkReady(NOON)).then_nothing()


def test_an_arrival_is_announced_once() -> None:
    arrived = CustomerArrived("O-1", "shop", NOON)
    given(RULE, EXPECTED, READY).when(AnnounceArrival(NOON)).then(arrived)
    given(RULE, EXPECTED, READY, arrived).when(AnnounceArrival(NOON)).then_nothing()
    given(RULE, EXPECTED, READY, OVER).when(AnnounceArrival(NOON)).then_nothing()


def test_who_came_early_has_arrived_when_the_group_is_ready() -> None:
    later = NOON + timedelta(minutes=4)
    given(RULE, EXPECTED).when(AnnounceArrival(NOON)).then(CameEarly(NOON))
    given(RULE, EXPECTED, CameEarly(NOON)).when(MarkReady(later)).then(
        READY, CustomerArrived("O-1", "shop", later)
    )


def test_the_right_code_opens_what_stands_ready_once() -> None:
    given(RULE, EXPECTED).when(hand_over()).then_rejected(Refusal.STEP_CONFLICT)
    given(RULE, EXPECTED, READY).when(hand_over()).then(OVER)
    given(RULE, EXPECTED, READY, OVER).when(hand_over()).then_nothing()
    given(RULE, EXPECTED, READY, OVER).when(hand_over(right=False)).then_rejected(
        Refusal.STEP_CONFLICT
    )


def test_a_wrong_code_is_counted_once_per_request() -> None:
    given(RULE, EXPECTED, READY).when(hand_over("wrong-1", right=False)).then(wrong(1))
    given(RULE, EXPECTED, READY, wrong(1)).when(hand_over("wrong-1", right=False)).then_nothing()


def test_another_code_under_the_same_request_is_refused_whatever_it_is() -> None:
    tried = given(RULE, EXPECTED, READY, replace(wrong(1), code_digest="a"))
    tried.when(HandOver("wrong-1", is_code_right=False, at=NOON, code_digest="a")).then_nothing()
    for is_right in (False, True):
        tried.when(
            HandOver("wrong-1", is_code_right=is_right, at=NOON, code_digest="b")
        ).then_rejected(Refusal.ID_REUSED)
    # Codes of other installations' secrets: what was wrong then may be right now.
    tried.when(HandOver("wrong-1", is_code_right=True, at=NOON, code_digest="a")).then_rejected(
        Refusal.ID_REUSED
    )


def test_five_wrong_codes_lock_even_the_right_one_out_for_a_while() -> None:
    given(RULE, EXPECTED, READY, *LOCKED[:-1]).when(
        hand_over(f"wrong-{MOST_WRONG_CODES}", right=False)
    ).then(LOCKED[-1])
    locked = given(RULE, EXPECTED, READY, *LOCKED)
    just_before = LOCK_DURATION - timedelta(seconds=1)
    locked.when(hand_over(after=just_before)).then_rejected(Refusal.PICKUP_LOCKED)
    locked.when(hand_over("w", right=False, after=just_before)).then_rejected(Refusal.PICKUP_LOCKED)
    locked.when(hand_over(after=LOCK_DURATION)).then(OVER)
    locked.when(hand_over("w", right=False, after=LOCK_DURATION)).then(
        WrongCodeGiven("w", NOON + LOCK_DURATION, None)
    )


def test_a_cancelled_group_is_not_handed_over_and_a_handed_over_one_not_cancelled() -> None:
    given(RULE).when(CancelHandover()).then_nothing()
    given(RULE, EXPECTED, READY).when(CancelHandover()).then(HandoverCancelled())
    cancelled = given(RULE, EXPECTED, READY, HandoverCancelled())
    cancelled.when(CancelHandover()).then_nothing()
    cancelled.when(hand_over()).then_rejected(Refusal.STEP_CONFLICT)
    cancelled.when(MarkReady(NOON)).then_rejected(Refusal.STEP_CONFLICT)
    cancelled.when(AnnounceArrival(NOON)).then_rejected(Refusal.STEP_CONFLICT)
    given(RULE, EXPECTED, READY, OVER).when(CancelHandover()).then_nothing()


commands: st.SearchStrategy[Command] = st.one_of(
    st.sampled_from(
        [
            ExpectHandover("O-1", "hub", "shop", LINES),
            ExpectHandover("O-1", "hub", "shop", (Line("1", "MILK", 1),)),
            CancelHandover(),
            MarkReady(NOON),
            AnnounceArrival(NOON),
        ]
    ),
    st.builds(
        HandOver,
        st.sampled_from([f"r{number}" for number in range(20)]),
        st.sampled_from([False, False, False, True]),
        st.integers(min_value=0, max_value=40).map(lambda m: NOON + timedelta(minutes=m)),
    ),
)


@settings(max_examples=200)
@for_all(st.lists(commands, max_size=40))
def test_no_history_hands_over_twice_or_through_a_lock(script: list[Command]) -> None:
    history: list[Event] = []
    locked_until: datetime | None = None
    for command in script:
        before = RULE.fold(history)
        try:
            events = RULE.decide(command, before)
        except Rejected:
            continue
        history += events
        assert not RULE.decide(command, RULE.fold(history)), "a repeat is silent"
        if any(isinstance(event, HandedOver) for event in events):
            assert isinstance(command, HandOver)
            assert command.is_code_right
            assert locked_until is None or command.at >= locked_until
        for event in events:
            if isinstance(event, WrongCodeGiven):
                locked_until = event.locked_until or locked_until
    kinds = [type(event) for event in history]
    assert kinds.count(HandedOver) <= 1
    assert not (HandedOver in kinds and HandoverCancelled in kinds)
    assert kinds.count(CustomerArrived) <= 1
