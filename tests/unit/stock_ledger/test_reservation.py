"""A promise over several lines: held, confirmed or given back, and never again once closed."""

from datetime import UTC, datetime, timedelta

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.domain.errors import Rejected
from services.stock_ledger.domain.reservation import MOST_MOVES, RULE
from services.stock_ledger.domain.reservation_commands import (
    Close,
    Command,
    Confirm,
    Expire,
    Extend,
    Hold,
    Look,
    Move,
    Refusal,
    RefuseMove,
    Release,
    Restore,
    Withdraw,
)
from services.stock_ledger.domain.reservation_events import (
    Event,
    Line,
    ReservationClosed,
    ReservationConfirmed,
    ReservationEndangered,
    ReservationExpired,
    ReservationExtended,
    ReservationHeld,
    ReservationMoved,
    ReservationMoveRefused,
    ReservationRefused,
    ReservationReleased,
    ReservationRestored,
)
from services.stock_ledger.domain.reservation_state import Status
from tests.support.given import given

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=15)
LINES = (Line("paris", "milk", 2), Line("paris", "bread", 1))
SHORT = (Line("paris", "milk", 0),)
HOLD = Hold("O-1", 1, LINES, LATER)
HELD = ReservationHeld("O-1", 1, LINES, LATER)
EXPIRED = ReservationExpired("O-1", 1)
CONFIRMED = ReservationConfirmed("O-1")
CLOSED = ReservationClosed("cancelled")


def test_lines_are_held_together() -> None:
    given(RULE).when(HOLD).then(HELD)


def test_one_shortage_refuses_all() -> None:
    given(RULE).when(Hold("O-1", 1, LINES, LATER, SHORT)).then(ReservationRefused("O-1", 1, SHORT))


def test_a_repeat_and_an_older_plan_are_silent() -> None:
    given(RULE, HELD).when(HOLD).then_nothing()
    given(RULE, HELD, EXPIRED).when(HOLD).then_nothing()


def test_the_same_id_for_other_lines_is_refused() -> None:
    given(RULE, HELD).when(Hold("O-1", 1, LINES[:1], LATER)).then_rejected(
        Refusal.IDEMPOTENCY_MISMATCH
    )


def test_a_newer_plan_replaces_a_refused_or_expired_one() -> None:
    newer = Hold("O-1", 2, LINES, LATER)
    for past in (ReservationRefused("O-1", 1, SHORT),), (HELD, EXPIRED):
        given(RULE, *past).when(newer).then(ReservationHeld("O-1", 2, LINES, LATER))


def test_a_newer_plan_waits_for_what_is_still_held() -> None:
    given(RULE, HELD).when(Hold("O-1", 2, LINES, LATER)).then_rejected(Refusal.STEP_CONFLICT)


def test_a_closed_reservation_never_holds_again() -> None:
    given(RULE, CLOSED).when(HOLD).then_rejected(Refusal.STEP_CONFLICT)
    assert not RULE.fold([CLOSED]).awaits(9)


def test_a_hold_expires_only_when_it_is_due() -> None:
    given(RULE, HELD).when(Expire(NOON)).then_nothing()
    given(RULE, HELD).when(Expire(LATER)).then(EXPIRED)
    given(RULE, HELD, CONFIRMED).when(Expire(LATER)).then_nothing()


def test_confirming_ends_the_wait() -> None:
    given(RULE, HELD).when(Confirm()).then(CONFIRMED)
    given(RULE, HELD, CONFIRMED).when(Confirm()).then_nothing()


def test_confirming_too_late_holds_anew_or_is_refused() -> None:
    given(RULE, HELD, EXPIRED).when(Confirm()).then(ReservationConfirmed("O-1", is_anew=True))
    given(RULE, HELD, EXPIRED).when(Confirm(SHORT)).then(ReservationRefused("O-1", 1, SHORT))


def test_nothing_held_cannot_be_confirmed() -> None:
    for past in ((), (ReservationRefused("O-1", 1, SHORT),), (HELD, CLOSED)):
        given(RULE, *past).when(Confirm()).then_rejected(Refusal.STEP_CONFLICT)


def test_releasing_says_what_became_free() -> None:
    given(RULE, HELD, CONFIRMED).when(Release(LINES)).then(ReservationReleased("O-1", LINES))
    given(RULE).when(Release(LINES)).then_nothing()
    given(RULE, HELD).when(Look()).then_nothing()


def test_an_order_may_end_before_its_plan_is_heard() -> None:
    given(RULE).when(Close("cancelled")).then(CLOSED)
    given(RULE, CLOSED).when(Close("refused")).then_nothing()


commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        Hold,
        st.just("O-1"),
        st.integers(1, 3),
        st.just(LINES),
        st.just(LATER),
        st.sampled_from([(), SHORT]),
    ),
    st.builds(Confirm, st.sampled_from([(), SHORT])),
    st.builds(Release, st.just(LINES)),
    st.builds(Expire, st.sampled_from([NOON, LATER])),
    st.builds(
        Move,
        st.sampled_from(["m-1", "m-2"]),
        st.just((Line("paris", "milk", 1),)),
        st.just((Line("lyon", "milk", 1),)),
        st.just(NOON),
    ),
    st.builds(Close, st.just("cancelled")),
)


@settings(max_examples=200)
@for_all(st.lists(commands, max_size=20))
def test_no_script_reopens_what_is_closed_and_every_retry_is_silent(script: list[Command]) -> None:
    history: list[Event] = []
    for command in script:
        before = RULE.fold(history)
        try:
            history += RULE.decide(command, before)
        except Rejected:
            continue
        after = RULE.fold(history)
        if before.status is Status.CLOSED:
            assert after == before
        assert after.plan_revision >= before.plan_revision
        try:
            assert list(RULE.decide(command, after)) == []
        except Rejected:
            # the refusal that a late confirmation was recorded with, and a plan's own repeat
            assert after.status is Status.REFUSED


def test_a_hold_whose_stock_was_sold_meanwhile_ends_and_an_allocation_is_told() -> None:
    lacking = (Line("lyon", "milk", 2),)
    given(RULE, HELD).when(Withdraw(lacking)).then(EXPIRED)
    given(RULE, HELD, CONFIRMED).when(Withdraw(lacking)).then(
        ReservationEndangered("O-1", 1, lacking)
    )
    given(RULE).when(Withdraw(lacking)).then_nothing()
    told = given(RULE, HELD, CONFIRMED, ReservationEndangered("O-1", 1, lacking))
    told.when(Withdraw(lacking)).then_nothing()
    told.when(Withdraw((Line("lyon", "milk", 1),))).then_nothing()
    more = (Line("lyon", "milk", 3),)
    told.when(Withdraw(more)).then(ReservationEndangered("O-1", 1, more))


def test_a_plan_that_cannot_be_moved_is_refused_once() -> None:
    short = (Line("lyon", "milk", 1),)
    refused = ReservationMoveRefused("O-1", 2, short)
    given(RULE, HELD, CONFIRMED).when(RefuseMove(2, short)).then(refused)
    given(RULE, HELD, CONFIRMED, refused).when(RefuseMove(2, short)).then_nothing()
    assert RULE.fold([HELD, CONFIRMED, refused]).is_promised


def test_a_hold_may_last_longer_but_never_shorter() -> None:
    longer = LATER + timedelta(minutes=15)
    given(RULE, HELD).when(Extend(longer, NOON)).then(ReservationExtended(longer))
    given(RULE, HELD).when(Extend(LATER, NOON)).then_nothing()
    given(RULE, HELD).when(Extend(NOON, NOON)).then_nothing()
    extended = given(RULE, HELD, ReservationExtended(longer))
    extended.when(Expire(LATER)).then_nothing()
    extended.when(Expire(longer)).then(EXPIRED)


def test_an_extension_that_is_asked_for_again_is_the_same_one() -> None:
    longer, later = LATER + timedelta(minutes=10), LATER + timedelta(minutes=11)
    first = ReservationExtended(longer, "extend-1", 600)
    given(RULE, HELD).when(Extend(longer, NOON, "extend-1", 600)).then(first)
    extended = given(RULE, HELD, first)
    extended.when(Extend(later, NOON, "extend-1", 600)).then_nothing()
    short = ReservationExtended(LATER, "extend-0", 60)
    given(RULE, HELD).when(Extend(NOON, NOON, "extend-0", 60)).then(short)
    given(RULE, HELD, short).when(Extend(longer, NOON, "extend-0", 60)).then_nothing()
    extended.when(Extend(later, NOON, "extend-1", 660)).then_rejected(Refusal.IDEMPOTENCY_MISMATCH)
    extended.when(Extend(later, NOON, "extend-2", 600)).then(
        ReservationExtended(later, "extend-2", 600)
    )
    expired = given(RULE, HELD, first, EXPIRED)
    expired.when(Extend(later, longer, "extend-1", 600)).then_nothing()
    before_ids_were_kept = given(RULE, HELD, ReservationExtended(longer))
    before_ids_were_kept.when(Extend(later, NOON)).then(ReservationExtended(later))


def test_only_the_newest_extensions_are_remembered() -> None:
    many = [ReservationExtended(LATER + timedelta(minutes=n), f"e-{n}") for n in range(1, 61)]
    state = RULE.fold([HELD, *many])
    assert len(state.extensions) == 50
    assert state.extended("e-60") == many[-1]
    assert state.extended("e-10") is None


def test_what_is_not_held_cannot_be_extended() -> None:
    longer = LATER + timedelta(minutes=15)
    given(RULE, HELD).when(Extend(longer, LATER)).then_rejected(Refusal.RESERVATION_EXPIRED)
    given(RULE, HELD, EXPIRED).when(Extend(longer, NOON)).then_rejected(Refusal.RESERVATION_EXPIRED)
    given(RULE, HELD, ReservationConfirmed("O-1")).when(Extend(longer, NOON)).then_rejected(
        Refusal.STEP_CONFLICT
    )
    given(RULE).when(Extend(longer, NOON)).then_rejected(Refusal.STEP_CONFLICT)


def test_who_takes_what_there_is_gets_that_and_is_told_what_lacks() -> None:
    short = (Line("paris", "milk", 1),)
    partly = Hold("", 1, LINES, LATER, short, takes_what_there_is=True)
    held = ReservationHeld(
        *("", 1, (Line("paris", "bread", 1), Line("paris", "milk", 1)), LATER),
        lacking=(Line("paris", "milk", 1),),
    )
    given(RULE).when(partly).then(held)
    given(RULE, held).when(partly).then_nothing()
    given(RULE, held).when(Hold("", 1, LINES[:1], LATER)).then_rejected(
        Refusal.IDEMPOTENCY_MISMATCH
    )


def test_where_there_is_nothing_of_anything_nothing_is_held() -> None:
    nothing = tuple(Line(line.site_id, line.sku, 0) for line in LINES)
    given(RULE).when(Hold("", 1, LINES, LATER, nothing, takes_what_there_is=True)).then(
        ReservationRefused("", 1, nothing)
    )


def test_the_same_hold_for_somebody_else_is_refused() -> None:
    given(RULE, HELD).when(Hold("O-1", 1, LINES, LATER, holder_id="C-2")).then_rejected(
        Refusal.IDEMPOTENCY_MISMATCH
    )


LEFT, CAME = (Line("paris", "milk", 2),), (Line("lyon", "milk", 2),)
MOVE = Move("m-1", LEFT, CAME, NOON)
MOVED = ReservationMoved("O-1", 1, "m-1", LEFT, CAME)


def test_what_is_promised_changes_its_place_once_per_id() -> None:
    given(RULE, HELD).when(MOVE).then(MOVED)
    given(RULE, HELD, CONFIRMED).when(MOVE).then(MOVED)
    given(RULE, HELD, MOVED).when(MOVE).then_nothing()
    after = RULE.fold([HELD, MOVED])
    assert after.lines == (Line("lyon", "milk", 2), Line("paris", "bread", 1))
    assert after.asked == LINES
    given(RULE, HELD, MOVED).when(HOLD).then_nothing()


def test_nothing_moves_that_is_not_promised_there_or_any_more() -> None:
    too_many = Move("m-1", (Line("paris", "milk", 3),), (Line("lyon", "milk", 3),), NOON)
    given(RULE, HELD).when(too_many).then_rejected(Refusal.STEP_CONFLICT)
    elsewhere = Move("m-1", (Line("nice", "milk", 1),), CAME, NOON)
    given(RULE, HELD).when(elsewhere).then_rejected(Refusal.STEP_CONFLICT)
    given(RULE).when(MOVE).then_rejected(Refusal.STEP_CONFLICT)
    given(RULE, HELD, ReservationReleased("O-1", LINES)).when(MOVE).then_rejected(
        Refusal.STEP_CONFLICT
    )
    given(RULE, HELD, EXPIRED).when(MOVE).then_rejected(Refusal.RESERVATION_EXPIRED)
    late = Move("m-1", LEFT, CAME, LATER)
    given(RULE, HELD).when(late).then_rejected(Refusal.RESERVATION_EXPIRED)


def test_a_reservation_moves_so_often_and_no_more() -> None:
    there, back = CAME, LEFT
    moves = [
        ReservationMoved("O-1", 1, f"m-{n}", *((there, back) if n % 2 else (back, there)))
        for n in range(MOST_MOVES)
    ]
    given(RULE, HELD, *moves).when(Move("one-more", LEFT, CAME, NOON)).then_rejected(
        Refusal.STEP_CONFLICT
    )
    given(RULE, HELD, *moves).when(Move("m-7", there, back, NOON)).then_nothing()
    # What an order does not need is given back nonetheless: once per group of it.
    given(RULE, HELD, *moves).when(Move("lighter-O-1.1", LEFT, (), NOON)).then(
        ReservationMoved("O-1", 1, "lighter-O-1.1", LEFT, ())
    )


def test_what_an_order_keeps_is_promised_again_once_while_it_is_confirmed() -> None:
    more = (Line("lyon", "tea", 1),)
    restore, restored = Restore(2, more), ReservationRestored("O-1", 2, more)
    confirmed = given(RULE, HELD, ReservationConfirmed("O-1"))
    confirmed.when(restore).then(restored)
    confirmed.when(Restore(2, ())).then_nothing()
    again = given(RULE, HELD, ReservationConfirmed("O-1"), restored)
    again.when(restore).then_nothing()
    again.when(Restore(3, more)).then(ReservationRestored("O-1", 3, more))
    given(RULE, HELD).when(restore).then_nothing()
    given(RULE, HELD, ReservationConfirmed("O-1"), ReservationClosed("cancelled")).when(
        restore
    ).then_nothing()
    state = RULE.fold([HELD, ReservationConfirmed("O-1"), restored, restored])
    assert Line("lyon", "tea", 2) in state.lines
