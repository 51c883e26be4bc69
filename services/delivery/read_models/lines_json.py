"""Lines of a group as one JSON value, since nobody asks for one of them."""

import json
from collections.abc import Sequence

from services.delivery.domain.lines import Line


def encode(lines: Sequence[Line]) -> str:
    """Return ``[["1", "MILK-1L", 2]]``."""
    return json.dumps([(line.line_id, line.sku, line.quantity) for line in lines])


def decode(text: str) -> tuple[Line, ...]:
    """Return what ``encode`` was given."""
    return tuple(Line(*line) for line in json.loads(text))
