"""Prices: no cent is lost, whatever is discounted, charged or given back in whatever portions."""

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.order.domain.pricing import Discount, gross_minor, split_discounts, units_minor

amounts = st.integers(min_value=0, max_value=100_000)


def test_a_price_per_kilogram_is_rounded_once_half_up() -> None:
    assert gross_minor(1999, 1000, 350) == 700
    assert gross_minor(1, 2, 1) == 1
    assert gross_minor(1, 3, 1) == 0


def test_a_discount_falls_on_its_products_only() -> None:
    split = split_discounts([("A", 1000), ("B", 500), ("A", 500)], [Discount("TEN", 100, ("A",))])
    assert split.per_line_minor == (67, 0, 33)


def test_a_discount_takes_no_more_than_its_lines_cost() -> None:
    split = split_discounts([("A", 30), ("B", 500)], [Discount("BIG", 100, ("A",))])
    assert split.per_line_minor == (30, 0)
    assert split.applied[0].amount_minor == 30


def test_a_free_line_takes_no_share() -> None:
    split = split_discounts([("A", 0), ("B", 500)], [Discount("TEN", 100)])
    assert split.per_line_minor == (0, 100)


discounts = st.builds(
    Discount,
    st.just("CODE"),
    st.integers(min_value=1, max_value=50_000),
    st.lists(st.sampled_from("ABC"), max_size=2).map(tuple),
)


@settings(max_examples=200)
@for_all(
    st.lists(st.tuples(st.sampled_from("ABC"), amounts), min_size=1, max_size=12),
    st.lists(discounts, max_size=4),
)
def test_discounts_add_up_and_no_net_price_is_negative(
    lines: list[tuple[str, int]], granted: list[Discount]
) -> None:
    split = split_discounts(lines, granted)
    assert sum(split.per_line_minor) == sum(one.amount_minor for one in split.applied)
    assert all(
        one.amount_minor <= asked.amount_minor
        for one, asked in zip(split.applied, granted, strict=True)
    )
    assert all(
        0 <= share <= gross for share, (_, gross) in zip(split.per_line_minor, lines, strict=True)
    )


@settings(max_examples=200)
@for_all(amounts, st.lists(st.integers(min_value=1, max_value=700), min_size=1, max_size=8))
def test_portions_add_up_to_the_line_and_stay_within_a_cent(
    net_minor: int, portions: list[int]
) -> None:
    quantity = sum(portions)
    done = 0
    charged: list[int] = []
    for units in portions:
        share = units_minor(net_minor, quantity, done, units)
        assert share >= 0
        assert abs(share * quantity - net_minor * units) <= quantity
        charged.append(share)
        done += units
    assert sum(charged) == net_minor
