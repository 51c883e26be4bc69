"""The made-up chain as a whole: what it sells, where, and the stock it opens with."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.demo.domain import goods, network
from services.demo.domain.dice import Dice
from services.demo.domain.goods import Product
from services.demo.domain.network import (
    DARK_STORE,
    DRIVE,
    PEDESTRIAN,
    STORE,
    WAREHOUSE,
    Network,
    Site,
)

# How many products a site of each kind carries: about 60,000 pairs of site and product in all.
ASSORTMENT = {WAREHOUSE: 4_000, DARK_STORE: 1_800, STORE: 500, DRIVE: 225, PEDESTRIAN: 40}
# How much deeper than a store it stocks, in percent.
DEPTH_PERCENT = {WAREHOUSE: 400, DARK_STORE: 200, STORE: 100, DRIVE: 80, PEDESTRIAN: 30}
POPULAR_PERCENT = 75
NEARLY_OUT_ONE_IN = 50
GRAMS_PER_PIECE = 600


@dataclass(frozen=True, slots=True)
class Receipt:
    """One line of the opening stock."""

    site_id: str
    sku: str
    quantity: int
    source_id: str


@dataclass(frozen=True, slots=True)
class Chain:
    seed: int
    products: tuple[Product, ...]
    network: Network


def chain(seed: int) -> Chain:
    return Chain(seed, goods.products(seed), network.network(seed))


def opening_stock(made: Chain) -> Iterator[Receipt]:
    """Yield the stock of every site: mostly what sells best, deeper the better it sells."""
    for site in made.network.sites:
        yield from _stock_of(made, site)


def _stock_of(made: Chain, site: Site) -> Iterator[Receipt]:
    dice = Dice(made.seed, "stock", site.site_id)
    carried = min(ASSORTMENT[site.type], len(made.products))
    popular = carried * POPULAR_PERCENT // 100
    rest = dice.some(range(popular, len(made.products)), carried - popular)
    for rank in (*range(popular), *sorted(rest)):
        product = made.products[rank]
        pieces = (6 + 2_400 // (rank + 20)) * DEPTH_PERCENT[site.type] // 100
        pieces = dice.between(1, 2) if dice.is_one_in(NEARLY_OUT_ONE_IN) else max(2, pieces)
        yield Receipt(
            site_id=site.site_id,
            sku=product.sku,
            quantity=pieces * (GRAMS_PER_PIECE if product.unit == "gram" else 1),
            source_id=f"opening-{made.seed}",
        )
