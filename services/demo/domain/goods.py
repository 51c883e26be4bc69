"""The products of the made-up chain: 5,000 names, prices and barcodes that follow from a seed."""

from dataclasses import dataclass
from itertools import product as combinations

from services.demo.domain.dice import Dice
from services.demo.domain.vocabulary import BRANDS, SHELVES, Shelf
from services.demo.domain.vocabulary_english import english

CURRENCY = "EUR"
PRODUCTS = 5_000
GRAMS_PER_KG = 1_000


@dataclass(frozen=True, slots=True)
class Money:
    amount_minor: int
    currency: str = CURRENCY


@dataclass(frozen=True, slots=True)
class LocalizedText:
    fr: str
    en: str


@dataclass(frozen=True, slots=True)
class Product:
    """A product with the fields of the public API, under their names there."""

    sku: str
    name: str
    category_path: tuple[str, ...]
    unit: str
    temperature: str
    price: Money
    price_quantity: int
    volume_ml: int
    weight_g: int
    barcode: str
    is_weight_variable: bool
    localized_name: LocalizedText


def products(seed: int, count: int = PRODUCTS) -> tuple[Product, ...]:
    """Return ``count`` different products, the most popular first."""
    dice = Dice(seed, "products")
    shares = [count // len(SHELVES) + (i < count % len(SHELVES)) for i in range(len(SHELVES))]
    named = [
        (shelf, *each)
        for shelf, share in zip(SHELVES, shares, strict=True)
        for each in dice.some(_names(shelf), share)
    ]
    # Shelves differ in size; what one lacks is made up from the others.
    taken = {name.fr for _, name, _ in named}
    spare = [
        (shelf, *each) for shelf in SHELVES for each in _names(shelf) if each[0].fr not in taken
    ]
    named += dice.some(spare, count - len(named))
    return tuple(
        _product(seed, rank, *each) for rank, each in enumerate(dice.some(named, len(named)))
    )


def _names(shelf: Shelf) -> list[tuple[LocalizedText, int]]:
    """Return every name that a shelf can hold, with grams or millilitres of a piece."""
    return [
        (
            LocalizedText(
                f"{noun} {variant} {brand} {label}".strip(), english(noun, variant, brand, label)
            ),
            size,
        )
        for noun, variant, brand, (label, size) in combinations(
            shelf.nouns, shelf.variants, BRANDS, shelf.sizes or (("", 0),)
        )
    ]


def _product(seed: int, rank: int, shelf: Shelf, name: LocalizedText, size: int) -> Product:
    dice = Dice(seed, "product", name.fr)
    low, high = shelf.price_minor
    price = dice.between(low, high) // 10 * 10 + 9
    is_loose = not shelf.sizes
    return Product(
        sku=f"FR{rank:05d}",
        name=name.fr,
        category_path=shelf.path,
        unit="gram" if is_loose else "piece",
        temperature=shelf.temperature,
        price=Money(price),
        price_quantity=GRAMS_PER_KG if is_loose else 1,
        volume_ml=dice.between(1200, 1800) if is_loose else size * dice.between(110, 160) // 100,
        weight_g=1 if is_loose else size * dice.between(101, 115) // 100,
        barcode=ean13(rank),
        is_weight_variable=is_loose,
        localized_name=name,
    )


def ean13(number: int) -> str:
    """Return an EAN-13 of the range that retailers number themselves, which no one else uses.

    >>> ean13(17)
    '2000000000176'
    """
    payload = f"20{number:010d}"
    weighted = sum(int(digit) * (3 if i % 2 else 1) for i, digit in enumerate(payload))
    return f"{payload}{-weighted % 10}"
