"""Baskets: parts never exceed their line, and nothing changes after checkout."""

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.domain.errors import Rejected
from services.order.application.handlers import lines_of
from services.order.domain.basket import (
    BASKET,
    AddLine,
    BasketCheckedOut,
    BasketChoiceMade,
    BasketCreated,
    BasketLineAdded,
    BasketLineChanged,
    BasketLineRemoved,
    ChangeLine,
    CheckOut,
    ChooseForAll,
    ChooseForLine,
    Command,
    CreateBasket,
    Event,
    Refusal,
    RemoveLine,
)
from services.order.domain.basket_line import Part
from services.order.domain.mode import Choice
from tests.support.given import given

DRIVE = Choice("drive", 0, "LILLE")
HOME = Choice("home_delivery")
BEGUN = BasketCreated("customer-7")
BOTTLES = BasketLineAdded("1", "WATER", 6, ())


def test_a_basket_is_created_once_for_one_customer() -> None:
    given(BASKET).when(CreateBasket("customer-7")).then(BEGUN)
    given(BASKET, BEGUN).when(CreateBasket("customer-7")).then_nothing()
    given(BASKET, BEGUN).when(CreateBasket("customer-8")).then_rejected(
        Refusal.IDEMPOTENCY_MISMATCH
    )


def test_a_basket_must_exist_first() -> None:
    given(BASKET).when(AddLine("1", "WATER", 6)).then_rejected(Refusal.BASKET_UNKNOWN)


def test_the_same_product_may_stand_on_two_lines() -> None:
    given(BASKET, BEGUN, BOTTLES).when(AddLine("2", "WATER", 1)).then(
        BasketLineAdded("2", "WATER", 1, ())
    )


def test_two_of_six_by_drive_and_four_at_home() -> None:
    parts = (Part(2, DRIVE), Part(4, HOME))
    given(BASKET, BEGUN, BOTTLES).when(ChooseForLine("1", parts)).then(
        BasketLineChanged("1", 6, parts)
    )
    given(BASKET, BEGUN, BOTTLES).when(ChooseForLine("1", parts[:1])).then_rejected(
        Refusal.QUANTITY_MISMATCH
    )


def test_one_part_of_no_quantity_is_the_whole_line() -> None:
    given(BASKET, BEGUN, BOTTLES).when(ChooseForLine("1", (Part(0, DRIVE),))).then(
        BasketLineChanged("1", 6, (Part(6, DRIVE),))
    )


def test_a_choice_for_all_holds_for_lines_added_later() -> None:
    chosen = BasketChoiceMade(DRIVE)
    given(BASKET, BEGUN, BOTTLES).when(ChooseForAll(DRIVE)).then(chosen)
    given(BASKET, BEGUN, BOTTLES, chosen).when(ChooseForAll(DRIVE)).then_nothing()
    given(BASKET, BEGUN, BOTTLES, chosen).when(AddLine("2", "MILK", 1)).then(
        BasketLineAdded("2", "MILK", 1, (Part(1, DRIVE),))
    )


def test_a_line_that_is_added_again_in_another_way_is_no_repeat() -> None:
    added = BasketLineAdded("1", "WATER", 6, (Part(6, DRIVE),))
    given(BASKET, BEGUN, added).when(AddLine("1", "WATER", 6, DRIVE)).then_nothing()
    given(BASKET, BEGUN, added).when(AddLine("1", "WATER", 6)).then_nothing()
    given(BASKET, BEGUN, added).when(AddLine("1", "WATER", 6, HOME)).then_rejected(
        Refusal.IDEMPOTENCY_MISMATCH
    )


def test_the_parts_of_a_split_line_take_no_other_lines_id() -> None:
    split = BasketLineAdded("1", "WATER", 6, (Part(2, DRIVE), Part(4, HOME)))
    other = BasketLineAdded("1.2", "MILK", 1, (Part(1, DRIVE),))
    lines = lines_of(BASKET.fold([BEGUN, split, other]))
    assert [(line.line_id, line.quantity) for line in lines] == [("1.1", 2), ("1.3", 4), ("1.2", 1)]
    alone = lines_of(BASKET.fold([BEGUN, split]))
    assert [line.line_id for line in alone] == ["1.1", "1.2"]


def test_a_line_wanted_in_one_way_stays_so_when_its_quantity_changes() -> None:
    whole = BasketLineAdded("1", "WATER", 6, (Part(6, DRIVE),))
    given(BASKET, BEGUN, whole).when(ChangeLine("1", 9)).then(
        BasketLineChanged("1", 9, (Part(9, DRIVE),))
    )


def test_a_split_line_grows_unchosen_and_shrinks_from_its_end() -> None:
    split = BasketLineAdded("1", "WATER", 6, (Part(2, DRIVE), Part(4, HOME)))
    given(BASKET, BEGUN, split).when(ChangeLine("1", 8)).then(
        BasketLineChanged("1", 8, (Part(2, DRIVE), Part(4, HOME)))
    )
    given(BASKET, BEGUN, split).when(ChangeLine("1", 3)).then(
        BasketLineChanged("1", 3, (Part(2, DRIVE), Part(1, HOME)))
    )


def test_checkout_needs_lines_and_a_choice_for_every_unit() -> None:
    given(BASKET, BEGUN).when(CheckOut("O-1")).then_rejected(Refusal.BASKET_EMPTY)
    given(BASKET, BEGUN, BOTTLES).when(CheckOut("O-1")).then_rejected(Refusal.CHOICE_MISSING)
    chosen = BasketChoiceMade(DRIVE)
    given(BASKET, BEGUN, BOTTLES, chosen).when(CheckOut("O-1")).then(BasketCheckedOut("O-1"))


def test_a_basket_becomes_one_order_and_then_stays_as_it_is() -> None:
    out = (BEGUN, BOTTLES, BasketChoiceMade(DRIVE), BasketCheckedOut("O-1"))
    given(BASKET, *out).when(CheckOut("O-1")).then_nothing()
    given(BASKET, *out).when(CheckOut("O-2")).then_rejected(Refusal.BASKET_CHECKED_OUT)
    given(BASKET, *out).when(RemoveLine("1")).then_rejected(Refusal.BASKET_CHECKED_OUT)


def test_removing_twice_is_harmless() -> None:
    given(BASKET, BEGUN, BOTTLES).when(RemoveLine("1")).then(BasketLineRemoved("1"))
    given(BASKET, BEGUN).when(RemoveLine("1")).then_nothing()


lines = st.sampled_from(["1", "2", "3"])
quantities = st.integers(1, 9)
parts = st.lists(
    st.builds(Part, st.integers(0, 6), st.sampled_from([DRIVE, HOME])), min_size=1, max_size=3
)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        AddLine,
        lines,
        st.sampled_from(["WATER", "MILK"]),
        quantities,
        st.sampled_from([None, HOME]),
    ),
    st.builds(ChangeLine, lines, quantities),
    st.builds(RemoveLine, lines),
    st.builds(ChooseForLine, lines, parts.map(tuple)),
    st.builds(ChooseForAll, st.sampled_from([DRIVE, HOME])),
    st.builds(CheckOut, st.sampled_from(["O-1", "O-2"])),
)


@settings(max_examples=200)
@for_all(st.lists(commands, max_size=30))
def test_parts_never_exceed_their_line_and_every_retry_is_silent(script: list[Command]) -> None:
    history: list[Event] = [BEGUN]
    for command in script:
        try:
            events = BASKET.decide(command, BASKET.fold(history))
        except Rejected:
            continue
        was_open = not BASKET.fold(history).order_id
        assert was_open or not events
        history += events
        basket = BASKET.fold(history)
        assert all(line.chosen_quantity <= line.quantity for line in basket.lines.values())
        if not isinstance(command, ChooseForLine) or len(command.parts) > 1:
            assert BASKET.decide(command, basket) == [] or basket.order_id
