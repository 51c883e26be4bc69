"""A product is sound, keeps its unit, and a repeat is silent."""

from dataclasses import replace

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.catalog.domain.product import (
    PRODUCT,
    Event,
    Product,
    ProductUpserted,
    Refusal,
    UpsertProduct,
    faults,
)
from services.catalog.domain.values import LocalizedText, Money, Unit
from services.kernel.domain.errors import Rejected
from tests.support.given import given
from tests.unit.catalog.samples import MILK

DECIDER = PRODUCT.decider


def test_a_product_is_defined() -> None:
    given(DECIDER).when(UpsertProduct(MILK)).then(ProductUpserted(MILK))


def test_saying_it_again_changes_nothing() -> None:
    given(DECIDER, ProductUpserted(MILK)).when(UpsertProduct(MILK)).then_nothing()


def test_a_price_may_change() -> None:
    dearer = replace(MILK, price=Money(105, "EUR"))
    given(DECIDER, ProductUpserted(MILK)).when(UpsertProduct(dearer)).then(ProductUpserted(dearer))


def test_the_unit_may_not_change() -> None:
    given(DECIDER, ProductUpserted(MILK)).when(
        UpsertProduct(replace(MILK, unit=Unit.GRAM))
    ).then_rejected(Refusal.UNIT_FIXED)


@pytest.mark.parametrize(
    ("product", "field"),
    [
        (replace(MILK, name=" "), "name"),
        (replace(MILK, name="a\nb"), "name"),
        (replace(MILK, name="a\u2028b"), "name"),
        (replace(MILK, name="a\u200bb"), "name"),
        (replace(MILK, name="\u00a0"), "name"),
        (replace(MILK, name="x" * 201), "name"),
        (replace(MILK, category_path=()), "category_path"),
        (replace(MILK, category_path=("a", "")), "category_path[1]"),
        (replace(MILK, price=Money(-1, "EUR")), "price.amount_minor"),
        (replace(MILK, price=Money(1, "eur")), "price.currency"),
        (replace(MILK, price_quantity=0), "price_quantity"),
        (replace(MILK, volume_ml=-1), "volume_ml"),
        (replace(MILK, weight_g=-1), "weight_g"),
        (replace(MILK, barcode="3017620422004"), "barcode"),
        (replace(MILK, barcode="ABC"), "barcode"),
        (replace(MILK, is_weight_variable=True), "unit"),
    ],
)
def test_an_unsound_product_is_refused_with_its_field(product: Product, field: str) -> None:
    assert [fault.field for fault in faults(product)] == [field]
    given(DECIDER).when(UpsertProduct(product)).then_rejected(Refusal.UNSOUND)


products = st.builds(
    replace,
    st.just(MILK),
    name=st.sampled_from(["Lait", "Lait frais", ""]),
    unit=st.sampled_from(Unit),
    price=st.builds(Money, st.integers(-1, 2), st.just("EUR")),
)


def test_a_name_in_a_language_is_sound_or_not_said() -> None:
    english = replace(MILK, localized_name=LocalizedText("", "Milk"))
    given(PRODUCT.decider).when(UpsertProduct(english)).then(ProductUpserted(english))
    broken = replace(MILK, localized_name=LocalizedText("Lait\n", "x" * 201))
    assert [fault.field for fault in faults(broken)] == ["localized_name.fr", "localized_name.en"]


@pytest.mark.parametrize("space", ["\u00a0", "\u202f", "\u2009"])
def test_french_spaces_belong_to_names(space: str) -> None:
    """« Crème 50 % » and « 1 000 g » are written with spaces that no line may break at."""
    name = f"«{space}Crème{space}» 50{space}%{space}!"
    given(PRODUCT.decider).when(
        UpsertProduct(replace(MILK, name=name, category_path=(f"À 50{space}%",)))
    ).then(ProductUpserted(replace(MILK, name=name, category_path=(f"À 50{space}%",))))


@settings(max_examples=150)
@for_all(st.lists(products, max_size=12))
def test_no_history_changes_the_unit_and_every_retry_is_silent(script: list[Product]) -> None:
    history: list[Event] = []
    for product in script:
        state = DECIDER.fold(history)
        try:
            history += DECIDER.decide(UpsertProduct(product), state)
        except Rejected:
            continue
        assert list(DECIDER.decide(UpsertProduct(product), DECIDER.fold(history))) == []
    assert len({event.product.unit for event in history}) <= 1
    assert all(not list(faults(event.product)) for event in history)
