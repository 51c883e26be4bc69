"""Refunds of any size add up to what was paid, to the minor unit."""

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.returns.domain.refund import lowest_of, refund_of


@settings(max_examples=200)
@for_all(
    st.integers(0, 10_000_000),
    st.lists(st.integers(1, 5_000), min_size=1, max_size=30),
)
def test_partial_refunds_add_up_to_the_net_price(net_minor: int, counts: list[int]) -> None:
    quantity, start, total = sum(counts), 0, 0
    for count in counts:
        amount = refund_of(start, count, quantity, net_minor)
        exact = net_minor * count / quantity
        assert amount >= 0
        assert abs(amount - exact) <= 1
        start, total = start + count, total + amount
    assert total == net_minor


@settings(max_examples=200)
@for_all(st.integers(0, 10**9), st.integers(1, 100), st.integers(1, 100), st.integers(0, 100))
def test_two_returns_are_worth_one(net_minor: int, first: int, second: int, rest: int) -> None:
    quantity = first + second + rest
    both = refund_of(0, first + second, quantity, net_minor)
    assert both == refund_of(0, first, quantity, net_minor) + refund_of(
        first, second, quantity, net_minor
    )


def test_the_last_unit_takes_the_residue() -> None:
    assert [refund_of(k, 1, 3, 1000) for k in range(3)] == [333, 333, 334]


def test_a_clerk_may_withhold_his_limit_rounded_down() -> None:
    assert lowest_of(999, 20) == 800
    assert lowest_of(0, 100) == 0
