"""A product, as it is from now on.

Stream  ``product-{sku}``
Rule    a product is sound, and its base unit never changes: every quantity in stock and in
        orders is counted in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType, assert_never

from services.catalog.domain.gtin import GTIN_LENGTHS, check_digit, is_gtin
from services.catalog.domain.values import (
    MAX_NAME_CHARACTERS,
    NO_TEXT,
    Fault,
    LocalizedText,
    Money,
    TemperatureClass,
    Unit,
    id_faults,
    money_faults,
    number_faults,
    text_faults,
    translation_faults,
)
from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected

Sku = NewType("Sku", str)

MAX_CATEGORY_LEVELS = 8
MAX_CATEGORY_CHARACTERS = 80
MAX_PRICE_QUANTITY = 1_000_000
MAX_VOLUME_ML = 10_000_000
MAX_WEIGHT_G = 10_000_000


@dataclass(frozen=True, slots=True)
class Product:
    """What a product is; fields and units as in the public contract.

    Attributes:
        localized_name: What people read, by language; a language left empty reads ``name``.
    """

    sku: Sku
    name: str
    category_path: tuple[str, ...]
    unit: Unit
    temperature: TemperatureClass
    price: Money
    price_quantity: int
    volume_ml: int
    weight_g: int
    barcode: str
    is_weight_variable: bool
    localized_name: LocalizedText = NO_TEXT


# Events. Fields are storage format: add, never rename.


@dataclass(frozen=True, slots=True)
class ProductUpserted:
    product: Product


type Event = ProductUpserted


# Commands.


@dataclass(frozen=True, slots=True)
class UpsertProduct:
    product: Product


type Command = UpsertProduct


class Refusal(StrEnum):
    UNSOUND = "PRODUCT_UNSOUND"
    UNIT_FIXED = "PRODUCT_UNIT_FIXED"


@dataclass(frozen=True, slots=True)
class State:
    product: Product | None = None


def decide(command: Command, state: State) -> Sequence[Event]:
    match command:
        case UpsertProduct(product):
            if product == state.product:
                return []
            for fault in faults(product):
                raise Rejected(Refusal.UNSOUND, f"product {product.sku}: {fault}")
            if state.product is not None and state.product.unit is not product.unit:
                raise Rejected(
                    Refusal.UNIT_FIXED,
                    f"product {product.sku} is counted in {state.product.unit}, not in "
                    f"{product.unit}: keep the unit, or define a new sku",
                )
            return [ProductUpserted(product)]
        case _:
            assert_never(command)


def faults(product: Product) -> Iterator[Fault]:
    """Yield everything that makes the product unsound on its own."""
    yield from id_faults("sku", product.sku)
    yield from text_faults("name", product.name, MAX_NAME_CHARACTERS)
    yield from translation_faults("localized_name", product.localized_name)
    yield from _category_faults(product.category_path)
    yield from money_faults("price", product.price)
    yield from number_faults("price_quantity", product.price_quantity, 1, MAX_PRICE_QUANTITY)
    yield from number_faults("volume_ml", product.volume_ml, 0, MAX_VOLUME_ML)
    yield from number_faults("weight_g", product.weight_g, 0, MAX_WEIGHT_G)
    yield from _barcode_faults(product.barcode)
    if product.is_weight_variable and product.unit is not Unit.GRAM:
        yield Fault("unit", f"is {product.unit}", "count a weight-variable product in grams")


def _category_faults(path: tuple[str, ...]) -> Iterator[Fault]:
    if not 1 <= len(path) <= MAX_CATEGORY_LEVELS:
        yield Fault(
            "category_path",
            f"has {len(path)} levels",
            f"give 1 to {MAX_CATEGORY_LEVELS}, from the widest to the narrowest",
        )
    for i, level in enumerate(path):
        yield from text_faults(f"category_path[{i}]", level, MAX_CATEGORY_CHARACTERS)


def _barcode_faults(barcode: str) -> Iterator[Fault]:
    if not barcode or is_gtin(barcode):
        return
    if len(barcode) in GTIN_LENGTHS and barcode.isascii() and barcode.isdigit():
        yield Fault(
            "barcode",
            f"ends in {barcode[-1]}, which is not its check digit",
            f"scan it again; these digits end in {check_digit(barcode[:-1])}",
        )
    else:
        yield Fault(
            "barcode", "is not a GTIN", "give 8, 12, 13 or 14 digits, or leave the field empty"
        )


def evolve(_state: State, event: Event) -> State:
    match event:
        case ProductUpserted(product):
            return State(product)
        case _:
            assert_never(event)


PRODUCT: Kind[Command, State, Event] = Kind("product", Decider(State(), decide, evolve))
