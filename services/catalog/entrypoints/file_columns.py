"""The columns of product and site files, and the rows they stand for.

Products  sku, name, category_path (levels joined by `` > ``), unit (piece, gram, millilitre),
          temperature (ambient, chilled, frozen), price_minor, currency; optional: price_quantity
          (1), volume_ml (0), weight_g (0), barcode, is_weight_variable (false), name_fr, name_en
          (what people read in that language; empty: name)
Sites     site_id, name, type (store, warehouse, dark_store, drive, pedestrian), latitude,
          longitude (degrees), postcode, time_zone; optional: opening_hours
          (``1-6 08:30-12:30 14:00-20:00; 7 09:00-12:30``, weekdays from Monday = 1), capabilities
          (``click_and_collect prepare+hand_over ambient+chilled 320 EUR 90``, the cost in minor
          units and the lead time in minutes, joined by ``;``), priority (0), is_active (true),
          country (``FR``)

A line of a JSONL file is the protobuf JSON of ``oms.catalog.v1.Product`` or ``Site``.
"""

import re
from collections.abc import Mapping
from typing import Any

from oms.catalog.v1 import catalog_events_pb2 as wire
from oms.common.v1 import common_pb2 as common

from services.catalog.domain.values import Fault

type Columns = Mapping[str, str]

PRODUCT_COLUMNS = ("sku", "name", "category_path", "unit", "temperature", "price_minor", "currency")
PRODUCT_OPTIONS = (
    *("price_quantity", "volume_ml", "weight_g", "barcode", "is_weight_variable"),
    *("name_fr", "name_en"),
)
SITE_COLUMNS = ("site_id", "name", "type", "latitude", "longitude", "postcode", "time_zone")
SITE_OPTIONS = ("opening_hours", "capabilities", "priority", "is_active", "country")

_INTEGER = re.compile(r"-?\d{1,18}")
_DEGREES = re.compile(r"-?\d{1,3}(?:[.,]\d{1,9})?")
_SPAN = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_DAYS = re.compile(r"([1-7])(?:-([1-7]))?")
_CAPABILITY_WORDS = 6
_LARGEST_INT32 = 2**31 - 1


class BadColumn(Exception):
    """A column cannot be read."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field} {problem}")
        self.fault = Fault(field, problem, remedy)


def product(row: Columns) -> wire.Product:
    """Return the product that a row stands for.

    Raises:
        BadColumn: A column cannot be read.
    """
    return wire.Product(
        sku=row["sku"],
        name=row["name"],
        category_path=[level.strip() for level in row["category_path"].split(">")],
        unit=_enum(row, "unit", common.Unit, "UNIT"),
        temperature=_enum(row, "temperature", common.TemperatureClass, "TEMPERATURE_CLASS"),
        price=common.Money(amount_minor=_integer(row, "price_minor", 0), currency=row["currency"]),
        price_quantity=_integer(row, "price_quantity", 1),
        volume_ml=_integer(row, "volume_ml", 0),
        weight_g=_integer(row, "weight_g", 0),
        barcode=row.get("barcode", ""),
        is_weight_variable=_boolean(row, "is_weight_variable", default=False),
        localized_name=_localized_name(row),
    )


def site(row: Columns) -> wire.Site:
    """Return the site that a row stands for.

    Raises:
        BadColumn: A column cannot be read.
    """
    return wire.Site(
        site_id=row["site_id"],
        name=row["name"],
        type=_enum(row, "type", wire.SiteType, "SITE_TYPE"),
        position=common.Position(
            latitude_e6=_degrees(row, "latitude"), longitude_e6=_degrees(row, "longitude")
        ),
        postcode=row["postcode"],
        time_zone=row["time_zone"],
        opening_hours=_opening_hours(row.get("opening_hours", "")),
        capabilities=_capabilities(row.get("capabilities", "")),
        priority=_integer(row, "priority", 0),
        is_active=_boolean(row, "is_active", default=True),
        country=row.get("country", "").strip(),
    )


def _localized_name(row: Columns) -> common.LocalizedText | None:
    fr, en = row.get("name_fr", "").strip(), row.get("name_en", "").strip()
    return common.LocalizedText(fr=fr, en=en) if fr or en else None


def _enum(row: Columns, field: str, names: Any, prefix: str) -> Any:
    text = row[field].strip()
    name = f"{prefix}_{text.upper()}"
    if not text or name not in names.keys() or names.Value(name) == 0:  # noqa: SIM118 - no mapping
        known = (known.removeprefix(f"{prefix}_").lower() for known in names.keys()[1:])
        raise BadColumn(field, f"is {text!r}", f"give one of {', '.join(known)}")
    return names.Value(name)


def _integer(row: Columns, field: str, default: int) -> int:
    text = row.get(field, "").strip()
    if not text and field != "price_minor":
        return default
    if _INTEGER.fullmatch(text) is None or abs(int(text)) > _LARGEST_INT32:
        raise BadColumn(field, f"is {text!r}", "give a whole number")
    return int(text)


def _degrees(row: Columns, field: str) -> int:
    text = row[field].strip()
    if _DEGREES.fullmatch(text) is None:
        raise BadColumn(field, f"is {text!r}", "give degrees, for example 45.764043")
    return round(float(text.replace(",", ".")) * 1_000_000)


def _boolean(row: Columns, field: str, *, default: bool) -> bool:
    text = row.get(field, "").strip().lower()
    known = {"": default, "true": True, "1": True, "yes": True, "oui": True}
    known |= {"false": False, "0": False, "no": False, "non": False}
    if text not in known:
        raise BadColumn(field, f"is {text!r}", "give true or false")
    return known[text]


def _opening_hours(text: str) -> list[wire.OpeningHours]:
    spans: list[wire.OpeningHours] = []
    for part in filter(None, map(str.strip, text.split(";"))):
        days, *hours = part.split()
        week = _DAYS.fullmatch(days)
        found = [_SPAN.fullmatch(span) for span in hours]
        if week is None or not hours or None in found:
            raise BadColumn(
                "opening_hours", f"has {part!r}", "write it like 1-6 08:30-12:30 14:00-20:00"
            )
        for weekday in range(int(week[1]), int(week[2] or week[1]) + 1):
            for span in filter(None, found):
                opens, closes = (int(span[i]) * 60 + int(span[i + 1]) for i in (1, 3))
                spans.append(
                    wire.OpeningHours(weekday=weekday, opens_minute=opens, closes_minute=closes)
                )
    return spans


def _capabilities(text: str) -> list[wire.SiteCapability]:
    return [_capability(part) for part in filter(None, map(str.strip, text.split(";")))]


def _capability(part: str) -> wire.SiteCapability:
    words = part.split()
    example = "write it like click_and_collect prepare+hand_over ambient+chilled 320 EUR 90"
    if len(words) != _CAPABILITY_WORDS:
        raise BadColumn("capabilities", f"has {part!r}", example)
    mode_id, deeds, temperatures, cost, currency, lead = words
    can = set(deeds.split("+"))
    numbers = {"cost": cost, "lead": lead}
    if not can <= {"prepare", "hand_over"} or any(
        _INTEGER.fullmatch(number) is None for number in numbers.values()
    ):
        raise BadColumn("capabilities", f"has {part!r}", example)
    return wire.SiteCapability(
        mode_id=mode_id,
        can_prepare="prepare" in can,
        can_hand_over="hand_over" in can,
        temperatures=[
            _enum(
                {"capabilities": each}, "capabilities", common.TemperatureClass, "TEMPERATURE_CLASS"
            )
            for each in temperatures.split("+")
        ],
        preparation_cost=common.Money(amount_minor=_integer(numbers, "cost", 0), currency=currency),
        lead_time_minutes=_integer(numbers, "lead", 0),
    )
