"""Invoices of a real online shop: the real ones where they are, generated ones of the same shape.

The real ones: 1,742 invoices of ten countries, 2009 to 2011 (UCI, Online Retail II, CC BY 4.0), in
``uci_online_retail_II_subset.parquet``; the folder is ``OMS_DATA_DIR``, or ``../shared/data``
beside the repository. To read them takes pyarrow.
"""

import importlib
import importlib.util
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.demo.domain.dice import Dice

_FILE = "uci_online_retail_II_subset.parquet"
_GENERATED, _SEED, _PRODUCTS = 1_742, 1_742, 900
_MOST_LINES, _MOST_UNITS = 60, 1_000_000


@dataclass(frozen=True, slots=True)
class Invoice:
    """What one customer ordered.

    Attributes:
        number: The shop's.
        country: Where it went.
        lines: Units by product code.
    """

    number: str
    country: str
    lines: dict[str, int]


@dataclass(frozen=True, slots=True)
class Invoices:
    """Sales, without returns and without lines that are no goods.

    Attributes:
        source: Where they come from, for reports.
        prices_minor: Price of each product code.
        invoices: In the order of the shop's books.
    """

    source: str
    prices_minor: dict[str, int]
    invoices: tuple[Invoice, ...]


def invoices() -> Invoices:
    """Return the real invoices, or generated ones where those, or pyarrow, are absent."""
    folder = os.environ.get("OMS_DATA_DIR") or Path(__file__).parents[2] / "../shared/data"
    file = Path(folder) / _FILE
    if not file.exists() or importlib.util.find_spec("pyarrow") is None:
        return _generated()
    parquet: Any = importlib.import_module("pyarrow.parquet")
    lines: dict[str, Counter[str]] = defaultdict(Counter)
    countries: dict[str, str] = {}
    prices: dict[str, int] = {}
    for number, code, units, price, country in _rows(parquet.read_table(file).to_pydict()):
        lines[number][code] += units
        countries[number] = country
        prices.setdefault(code, price)
    return Invoices(
        _FILE,
        prices,
        tuple(Invoice(number, countries[number], dict(found)) for number, found in lines.items()),
    )


def _rows(columns: dict[str, list[Any]]) -> Iterator[tuple[str, str, int, int, str]]:
    names = ("Invoice", "StockCode", "Quantity", "Price", "Country")
    for number, code, units, price, country in zip(*(columns[n] for n in names), strict=True):
        is_sale = not str(number).startswith("C") and 0 < units <= _MOST_UNITS and price > 0
        # Postage, samples and corrections have codes without five digits.
        if is_sale and str(code)[:5].isdigit():
            yield str(number), str(code).upper(), int(units), round(price * 100), str(country)


def _generated() -> Invoices:
    prices = {f"{20_000 + n}": 85 + 37 * n % 2_000 for n in range(_PRODUCTS)}
    codes = list(prices)
    found = []
    for number in range(_GENERATED):
        dice = Dice(_SEED, number)
        chosen = dice.some(codes, dice.between(1, _MOST_LINES))
        lines = {code: dice.between(1, 24) for code in chosen}
        found.append(Invoice(f"{489_000 + number}", "France", lines))
    return Invoices("generated", prices, tuple(found))
