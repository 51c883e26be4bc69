"""How a cell becomes a value: text (CSV, EDIFACT), or a value already (Parquet).

Nothing is guessed: what does not read as one thing for certain is a fault of its row.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

MOST_QUANTITY = 1_000_000_000
MOST_SOURCE_ID = 128
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}(?:[.,][0-9]{1,9})?")

# Base units in one of these; weighed goods are kept in grams, liquids in millilitres.
_UNITS = {"": 1, "piece": 1, "pce": 1, "g": 1, "grm": 1, "kg": 1000, "kgm": 1000}
_UNITS |= {"ml": 1, "mlt": 1, "l": 1000, "ltr": 1000}


class WrongFile(Exception):
    """The file as a whole cannot be read, or not as this kind."""


type Parse = Callable[[str, Any], Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a row, and how to mend it."""

    detail: str
    remedy: str


class BadCell(Exception):
    """A cell cannot be read."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.fault = Fault(f"{field}: {problem}", remedy)


def choice(enum: Any, prefix: str) -> Parse:
    names = {
        name.removeprefix(f"{prefix}_").lower(): number
        for name, number in enum.items()
        if number != 0
    }

    def parse(field: str, cell: Any) -> int:
        number = names.get(str(cell or "").strip().lower())
        if number is None:
            raise BadCell(field, f"is {shown(cell)}", f"give one of {', '.join(names)}")
        return int(number)

    return parse


def optional(parse: Parse, empty: Any) -> Parse:
    return lambda field, cell: empty if cell is None or cell == "" else parse(field, cell)


def as_identifier(field: str, cell: Any) -> str:
    text = str(cell).strip() if cell is not None else ""
    if _IDENTIFIER.fullmatch(text) is None:
        raise BadCell(
            field,
            f"is {shown(cell)}",
            "give 1 to 64 of A-Z a-z 0-9 . _ ~ -, first a letter or digit",
        )
    return text


def shown(cell: Any) -> str:
    return "missing" if cell is None or cell == "" else repr(str(cell)[:60])


def as_unit(cell: Any) -> int:
    name = str(cell or "").strip().lower()
    if name not in _UNITS:
        raise BadCell("unit", f"is {shown(cell)}", "give piece, g, kg, ml or l")
    return _UNITS[name]


def as_quantity(field: str, cell: Any, least: int, unit: int) -> int:
    remedy = f"give a whole number of base units, {least} to {MOST_QUANTITY}"
    if type(cell) is int:
        units = cell * unit
    else:
        text = str(cell).strip() if isinstance(cell, str | Decimal | float) else ""
        if isinstance(cell, float) and cell.is_integer():
            text = str(int(cell))
        if _NUMBER.fullmatch(text) is None:
            raise BadCell(field, f"is {shown(cell)}", remedy)
        try:
            exact = Decimal(text.replace(",", ".")) * unit
        except InvalidOperation:
            raise BadCell(field, f"is {shown(cell)}", remedy) from None
        if exact != exact.to_integral_value():
            raise BadCell(field, f"is {shown(cell)}, no whole base units", remedy)
        units = int(exact)
    if not least <= units <= MOST_QUANTITY or (units == 0 and least != 0):
        raise BadCell(field, f"is {shown(cell)}", remedy)
    return units


def as_source_id(cell: Any, field: str = "source_id") -> str:
    text = str(cell).strip() if cell is not None else ""
    if len(text) > MOST_SOURCE_ID or not text.isprintable():
        raise BadCell(
            field, f"is {shown(cell)}", f"give 1 to {MOST_SOURCE_ID} printable characters"
        )
    return text


def as_at_us(cell: Any) -> int | None:
    """Return a time in microseconds; one without a zone is UTC."""
    if cell is None or cell == "":
        return None
    remedy = "give a time as 2026-03-02T12:00:00+01:00; without a zone it is UTC"
    try:
        if type(cell) is int:
            return _in_range(cell)
        if isinstance(cell, datetime):
            at = cell
        elif isinstance(cell, date):
            at = datetime(cell.year, cell.month, cell.day, tzinfo=UTC)
        else:
            at = datetime.fromisoformat(str(cell).strip())
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        return _in_range((at - _EPOCH) // _MICROSECOND)
    except (ValueError, OverflowError):
        raise BadCell("occurred_at", f"is {shown(cell)}", remedy) from None


def _in_range(at_us: int) -> int:
    if not _FIRST_US <= at_us <= _LAST_US:
        raise ValueError("a time of the years 1 to 9999")
    return at_us
