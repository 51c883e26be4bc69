"""A delivery is tried for three days, ever more rarely, and then no more."""

from datetime import UTC, datetime, timedelta

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.notification.domain.retry import (
    GIVE_UP_AFTER,
    LONGEST_ASKED,
    LONGEST_WAIT,
    next_attempt,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@settings(max_examples=200)
@for_all(
    st.lists(st.floats(0, 1, exclude_max=True), min_size=200, max_size=200),
    st.none() | st.timedeltas(timedelta(0), timedelta(days=400)),
)
def test_every_delivery_ends(chances: list[float], asked: timedelta | None) -> None:
    at = NOON
    for tries, chance in enumerate(chances, start=1):
        due = next_attempt(tries, NOON, at, asked, chance)
        if due is None:
            break
        assert timedelta(0) < due - at <= max(LONGEST_WAIT * 1.2, LONGEST_ASKED)
        assert asked is None or due - at >= min(asked, LONGEST_ASKED)
        at = due
    else:
        raise AssertionError("never given up")
    assert at - NOON >= GIVE_UP_AFTER


def test_the_wait_doubles_up_to_eight_hours() -> None:
    waits = [next_attempt(n, NOON, NOON, None, 0.5) for n in (1, 2, 3, 12, 13, 14, 10_000)]
    assert [(due - NOON).total_seconds() for due in waits if due] == [
        *(5, 10, 20, 10_240, 20_480, 28_800, 28_800)
    ]


def test_the_wait_is_scattered_by_a_fifth() -> None:
    low, high = (next_attempt(5, NOON, NOON, None, chance) for chance in (0.0, 1.0))
    assert low == NOON + timedelta(seconds=64)
    assert high == NOON + timedelta(seconds=96)
