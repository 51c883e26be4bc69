"""Values that every kind of reference data shares, and how a fault in one is told."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from services.kernel.domain.text import is_text

MAX_NAME_CHARACTERS = 200
MAX_AMOUNT_MINOR = 1_000_000_000

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_COUNTRY = re.compile(r"[A-Z]{2}")


class Unit(StrEnum):
    PIECE = "piece"
    GRAM = "gram"
    MILLILITRE = "millilitre"


class TemperatureClass(StrEnum):
    AMBIENT = "ambient"
    CHILLED = "chilled"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True)
class Money:
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Position:
    """A point on earth, WGS 84, in micro-degrees."""

    latitude_e6: int
    longitude_e6: int


@dataclass(frozen=True, slots=True)
class LocalizedText:
    fr: str
    en: str


NO_TEXT = LocalizedText("", "")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a row.

    Attributes:
        field: Path within the row, for example ``opening_hours[2].closes_minute``.
        problem: What is wrong.
        remedy: How to mend it.
    """

    field: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field} {self.problem}: {self.remedy}"


def id_faults(field: str, value: str) -> Iterator[Fault]:
    if _IDENTIFIER.fullmatch(value) is None:
        yield Fault(
            field,
            "is not an id" if value else "is missing",
            "give 1 to 64 characters of A-Z a-z 0-9 . _ ~ -, first a letter or digit",
        )


def text_faults(field: str, value: str, max_characters: int) -> Iterator[Fault]:
    if not value.strip():
        yield Fault(field, "is empty", f"give 1 to {max_characters} characters")
    elif len(value) > max_characters:
        yield Fault(field, f"has {len(value)} characters", f"give at most {max_characters}")
    elif not is_text(value):
        yield Fault(field, "holds a control character", "leave out line breaks, tabs and the like")


def number_faults(field: str, value: int, least: int, most: int) -> Iterator[Fault]:
    if not least <= value <= most:
        yield Fault(field, f"is {value}", f"give {least} to {most}")


def country_faults(field: str, value: str) -> Iterator[Fault]:
    if _COUNTRY.fullmatch(value) is None:
        yield Fault(
            field,
            "is not a country code",
            "give the ISO 3166-1 alpha-2 code in upper case, for example FR",
        )


def money_faults(field: str, value: Money) -> Iterator[Fault]:
    yield from number_faults(f"{field}.amount_minor", value.amount_minor, 0, MAX_AMOUNT_MINOR)
    if _CURRENCY.fullmatch(value.currency) is None:
        yield Fault(
            f"{field}.currency",
            "is not a currency code",
            "give the ISO 4217 code in upper case, for example EUR",
        )


def label_faults(field: str, value: LocalizedText) -> Iterator[Fault]:
    yield from text_faults(f"{field}.fr", value.fr, MAX_NAME_CHARACTERS)
    yield from text_faults(f"{field}.en", value.en, MAX_NAME_CHARACTERS)


def translation_faults(field: str, value: LocalizedText) -> Iterator[Fault]:
    """Yield the faults of a name that may be said in a language, and need not."""
    for language, text in (("fr", value.fr), ("en", value.en)):
        if text:
            yield from text_faults(f"{field}.{language}", text, MAX_NAME_CHARACTERS)
