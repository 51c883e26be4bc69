"""What customers of the made-up chain put into their baskets, and how they want it.

The shape is that of a real store's month (9,835 baskets of 4.4 lines on average, one in five a
single line, the longest 32; Hahsler, Hornik and Reutterer 2006): a geometric number of lines, and
products by Zipf's law.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import log

from services.demo.domain.chain import Chain
from services.demo.domain.dice import Dice
from services.demo.domain.network import COLLECT, HOME, PEDESTRIAN, WAREHOUSE, Position, Site, near

MEAN_LINES = 4.4
MOST_LINES = 32
REAL_BASKETS = 9_835
COLLECT_PERCENT = 60
EXPLICIT_SITE_PERCENT = 85
BOTH_MODES_ONE_IN = 20
FEWEST_LINES_FOR_BOTH = 4
ZIPF_SHIFT = 8
HOUSEHOLD_M = 9_000
CUSTOMERS = 2_000
MOST_PIECES = 6


@dataclass(frozen=True, slots=True)
class Destination:
    postcode: str
    country: str
    position: Position


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a line is wanted: the mode, and a site, or near where."""

    mode_id: str
    site_id: str
    destination: Destination | None


@dataclass(frozen=True, slots=True)
class WantedLine:
    line_id: str
    sku: str
    quantity: int
    choice: Wanted


@dataclass(frozen=True, slots=True)
class WantedOrder:
    order_id: str
    customer_id: str
    lines: tuple[WantedLine, ...]

    @property
    def mode_id(self) -> str:
        """The mode of the first line."""
        return self.lines[0].choice.mode_id


@dataclass(frozen=True, slots=True)
class Shop:
    """The chain as its customers see it: what is popular, and where one can collect."""

    chain: Chain
    popularity: tuple[float, ...]
    collection_sites: tuple[Site, ...]

    @staticmethod
    def of(chain: Chain) -> "Shop":
        return Shop(
            chain,
            cumulative_popularity(len(chain.products)),
            tuple(
                site
                for site in chain.network.sites
                if any(c.mode_id == COLLECT and c.can_hand_over for c in site.capabilities)
            ),
        )


def cumulative_popularity(products: int) -> tuple[float, ...]:
    """Return the running sum of how often the most popular, the next, ... product is bought."""
    return tuple(accumulate(1 / (rank + ZIPF_SHIFT) for rank in range(products)))


def basket(dice: Dice, popularity: Sequence[float]) -> tuple[int, ...]:
    """Return the ranks of the different products of one basket."""
    # Geometric from 1 on with the mean wanted: invert its distribution.
    lines = 1 + int(log(1 - dice.share()) / log(1 - 1 / MEAN_LINES))
    count = min(lines, MOST_LINES, len(popularity))
    ranks: dict[int, None] = {}
    while len(ranks) < count:
        ranks[dice.weighted(popularity)] = None
    return tuple(ranks)


def baskets(
    seed: int, count: int = REAL_BASKETS, products: int = 169
) -> tuple[tuple[int, ...], ...]:
    """Return baskets of the shape of the real ones, for tests where those are absent."""
    popularity = cumulative_popularity(products)
    return tuple(basket(Dice(seed, "basket", n), popularity) for n in range(count))


def order(shop: Shop, number: int) -> WantedOrder:
    """Return the order with this number: the same for the same seed, in every run."""
    seed = shop.chain.seed
    dice = Dice(seed, "order", number)
    home_site = dice.pick(shop.chain.network.sites)
    ranks = basket(dice, shop.popularity)
    mode_id = COLLECT if dice.below(100) < COLLECT_PERCENT else HOME
    first = _wanted(dice, shop, mode_id, home_site)
    second = first
    if len(ranks) >= FEWEST_LINES_FOR_BOTH and dice.is_one_in(BOTH_MODES_ONE_IN):
        second = _wanted(dice, shop, HOME if mode_id == COLLECT else COLLECT, home_site)
    return WantedOrder(
        order_id=f"D{seed}-{number:06d}",
        customer_id=f"C{dice.below(CUSTOMERS):05d}",
        lines=tuple(
            WantedLine(
                str(place),
                shop.chain.products[rank].sku,
                _quantity(dice, shop.chain.products[rank].unit),
                first if place <= (len(ranks) + 1) // 2 else second,
            )
            for place, rank in enumerate(ranks, start=1)
        ),
    )


def _wanted(dice: Dice, shop: Shop, mode_id: str, home_site: Site) -> Wanted:
    home = Destination(home_site.postcode, "FR", near(dice, home_site.position, HOUSEHOLD_M))
    if mode_id == COLLECT and dice.below(100) < EXPLICIT_SITE_PERCENT:
        if home_site.type not in (WAREHOUSE, PEDESTRIAN) and home_site in shop.collection_sites:
            return Wanted(mode_id, home_site.site_id, None)
        return Wanted(mode_id, dice.pick(_around(shop, home_site)).site_id, None)
    return Wanted(mode_id, "", home)


def _around(shop: Shop, home_site: Site) -> list[Site]:
    """Return the collection sites of the extended site around this one."""
    for circle in shop.chain.network.extended_sites:
        if home_site.site_id in circle.member_site_ids:
            return [s for s in shop.collection_sites if s.site_id in circle.member_site_ids]
    return list(shop.collection_sites)


def _quantity(dice: Dice, unit: str) -> int:
    if unit == "gram":
        return dice.between(4, 30) * 50
    pieces = 1
    while pieces < MOST_PIECES and dice.is_one_in(3):
        pieces += 1
    return pieces
