"""The made-up chain: the same for the same seed, sound, and shaped like a real one."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.demo.domain import shopping
from services.demo.domain.chain import Chain, chain, opening_stock
from services.demo.domain.dice import Dice
from services.demo.domain.goods import ean13
from services.demo.domain.network import COLLECT, DARK_STORE, WAREHOUSE
from services.demo.domain.shopping import Shop
from services.demo.domain.vocabulary_english import english


@pytest.fixture(scope="module")
def made() -> Chain:
    return chain(7)


@pytest.fixture(scope="module")
def shop(made: Chain) -> Shop:
    return Shop.of(made)


def test_the_same_seed_makes_the_same_chain_and_orders(made: Chain, shop: Shop) -> None:
    again = chain(7)
    assert again == made
    assert list(opening_stock(again)) == list(opening_stock(made))
    assert shopping.order(Shop.of(again), 42) == shopping.order(shop, 42)
    assert chain(8).products != made.products


def test_the_chain_has_the_size_it_promises(made: Chain) -> None:
    assert len(made.products) == 5_000
    assert Counter(site.type for site in made.network.sites) == {
        "store": 20,
        "drive": 16,
        "warehouse": 8,
        "dark_store": 8,
        "pedestrian": 8,
    }
    assert len(made.network.extended_sites) == 8
    assert len(made.network.sales_zones) == 3


def test_every_name_and_sku_and_barcode_is_its_own(made: Chain) -> None:
    for field in ("name", "sku", "barcode"):
        assert len({getattr(product, field) for product in made.products}) == 5_000
    assert {len(product.category_path) for product in made.products} == {3}
    assert {product.temperature for product in made.products} == {"ambient", "chilled", "frozen"}
    assert all(p.is_weight_variable == (p.unit == "gram") for p in made.products)


def test_every_product_has_a_name_of_its_own_in_english_too(made: Chain) -> None:
    named = {product.name: product.localized_name for product in made.products}
    assert all(name == by_language.fr for name, by_language in named.items())
    assert len({by_language.en for by_language in named.values()}) == len(named)
    assert english("Chocolat au lait", "bio", "Val Doré", "1,5 l") == (
        "Milk chocolate, organic, Val Doré 1.5 l"
    )


def test_every_site_is_in_one_circle_and_its_name_is_its_own(made: Chain) -> None:
    members = [m for circle in made.network.extended_sites for m in circle.member_site_ids]
    assert sorted(members) == sorted(site.site_id for site in made.network.sites)
    circles = [x for zone in made.network.sales_zones for x in zone.extended_site_ids]
    assert sorted(circles) == sorted(c.extended_site_id for c in made.network.extended_sites)
    assert len({(site.name, site.postcode) for site in made.network.sites}) == 60


def test_stock_opens_with_about_60000_pairs_most_of_them_in_warehouses(made: Chain) -> None:
    receipts = list(opening_stock(made))
    assert 58_000 <= len(receipts) <= 62_000
    assert len({(r.site_id, r.sku) for r in receipts}) == len(receipts)
    assert all(r.quantity > 0 for r in receipts)
    kinds = {site.site_id: site.type for site in made.network.sites}
    held = Counter(kinds[r.site_id] for r in receipts)
    assert held[WAREHOUSE] + held[DARK_STORE] > len(receipts) * 0.7


def test_baskets_have_the_shape_of_real_ones() -> None:
    baskets = shopping.baskets(1)
    lines = [len(basket) for basket in baskets]
    assert len(baskets) == 9_835
    assert 4.2 < sum(lines) / len(lines) < 4.6
    assert 0.18 < lines.count(1) / len(lines) < 0.27
    assert 20 <= max(lines) <= 32
    bought = Counter(rank for basket in baskets for rank in basket)
    assert bought[0] > bought[20] > bought[100]
    assert all(len(set(basket)) == len(basket) for basket in baskets)


def test_three_orders_in_five_are_collected(shop: Shop) -> None:
    orders = [shopping.order(shop, number) for number in range(1_000)]
    assert len({order.order_id for order in orders}) == 1_000
    assert max(len(order.order_id) for order in orders) <= 48
    share = sum(order.mode_id == COLLECT for order in orders) / len(orders)
    assert 0.55 < share < 0.65
    choices = [line.choice for order in orders for line in order.lines]
    assert {bool(c.site_id) for c in choices if c.mode_id == COLLECT} == {True, False}
    collection = {site.site_id for site in shop.collection_sites}
    assert {c.site_id for c in choices if c.site_id} <= collection
    assert all(c.site_id or c.destination for c in choices)
    assert any(len({line.choice for line in order.lines}) == 2 for order in orders)


@settings(max_examples=150)
@given(st.integers(0, 10**10 - 1))
def test_barcodes_end_in_their_check_digit(number: int) -> None:
    barcode = ean13(number)
    assert len(barcode) == 13
    weighted = sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(barcode))
    assert weighted % 10 == 0


@settings(max_examples=150)
@given(st.integers(), st.integers(1, 10_000), st.lists(st.integers(), unique=True, max_size=30))
def test_dice_stay_within_bounds(seed: int, most: int, items: list[int]) -> None:
    dice = Dice(seed, "test")
    assert all(0 <= dice.below(most) < most for _ in range(20))
    assert all(0 <= dice.share() < 1 for _ in range(20))
    count = dice.between(0, len(items))
    some = dice.some(items, count)
    assert len(some) == len(set(some)) == count
    assert set(some) <= set(items)


def test_dice_are_fair_enough() -> None:
    dice = Dice(1, "fair")
    thrown = Counter(dice.below(6) for _ in range(60_000))
    assert all(9_500 < count < 10_500 for count in thrown.values())
