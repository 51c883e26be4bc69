"""Baskets of a grocery store: the real ones where they are, generated ones of the same shape.

The real ones: 9,835 baskets of one store in 30 days (Hahsler, Hornik and Reutterer 2006), in
``groceries_baskets.csv.gz``; the folder is ``OMS_DATA_DIR``, or ``../shared/data`` beside the
repository.
"""

import csv
import gzip
import os
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from services.demo.domain import shopping

_FILE = "groceries_baskets.csv.gz"
_SEED = 9_835


@dataclass(frozen=True, slots=True)
class Baskets:
    """Baskets as ranks of products, the most popular being 0.

    Attributes:
        source: Where they come from, for reports.
        products: How many products there are.
        baskets: Products of each basket, each once.
    """

    source: str
    products: int
    baskets: tuple[tuple[int, ...], ...]


def baskets() -> Baskets:
    """Return the real baskets, or generated ones where those are absent."""
    folder = os.environ.get("OMS_DATA_DIR") or Path(__file__).parents[2] / "../shared/data"
    file = Path(folder) / _FILE
    if not file.exists():
        generated = shopping.baskets(_SEED)
        return Baskets("generated", 1 + max(max(basket) for basket in generated), generated)
    rows: dict[str, list[str]] = defaultdict(list)
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            rows[row["basket"]].append(row["item"])
    popularity = Counter(item for items in rows.values() for item in items)
    rank = {item: place for place, (item, _) in enumerate(popularity.most_common())}
    real = tuple(tuple(rank[item] for item in dict.fromkeys(items)) for items in rows.values())
    return Baskets(_FILE, len(rank), real)
