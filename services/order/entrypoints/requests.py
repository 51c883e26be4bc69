"""Requests in: every field is checked here, and nothing unchecked goes further."""

import base64
import binascii
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from oms.common.v1 import common_pb2 as common
from oms.order.v1 import order_service_pb2 as wire

from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.order.application.handlers import Placement
from services.order.domain.basket_line import Part
from services.order.domain.mode import Choice, Destination
from services.order.domain.pricing import Discount
from services.order.domain.quote import MAX_LINES, RequestedLine
from services.order.read_models.order_summary import Cursor

MAX_QUANTITY = 1_000_000_000
MAX_AMOUNT_MINOR = 1_000_000_000_000
MAX_DISCOUNTS = 50
MAX_DISCOUNT_SKUS = 500
MAX_PARTS = 20
MAX_PAGE = 200
MAX_WAIT_MS = 10_000
# Wide, and far enough from the calendar's ends for whoever adds opening hours to a time.
WANTED_YEARS = range(2000, 2200)
MAX_WATCH_S = 290
DEFAULT_WATCH_S = 240
# Group ids are made of order ids, and lines of split basket lines: both stay identifiers.
_LONGEST_ORDER_ID = 48
_LONGEST_LINE_ID = 40
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")
_REASON = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_POSTCODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 -]{0,11}")


def order_id_of(value: str, field: str = "order_id") -> str:
    return _short(value, field, _LONGEST_ORDER_ID)


def line_id_of(value: str, field: str = "line_id") -> str:
    return _short(value, field, _LONGEST_LINE_ID)


def _short(value: str, field: str, longest: int) -> str:
    if len(value) > longest:
        raise Invalid((field, f"must be 1 to {longest} characters"))
    return identifier(value, field)


def quantity_of(value: int, field: str = "quantity") -> int:
    return whole(value, field, 1, MAX_QUANTITY)


def whole(value: int, field: str, least: int, most: int) -> int:
    if not least <= value <= most:
        raise Invalid((field, f"must be {least} to {most}"))
    return value


def version_of(value: int, field: str) -> int:
    if value < 0:
        raise Invalid((field, "must be 0 or a version that an answer carried"))
    return value


def customer_id_of(value: str) -> str:
    return identifier(value, "customer_id") if value else ""


def reason_of(value: str) -> str:
    if not value:
        return "CUSTOMER_REQUEST"
    if _REASON.fullmatch(value) is None:
        raise Invalid(("reason", "must be a code of at most 40 characters of A-Z 0-9 _"))
    return value


def choice_of(choice: wire.RequestedChoice, field: str) -> Choice:
    return Choice(
        identifier(choice.mode_id, f"{field}.mode_id"),
        0,
        identifier(choice.site_id, f"{field}.site_id") if choice.site_id else "",
        _destination(choice.destination, f"{field}.destination")
        if choice.HasField("destination")
        else None,
        _time(choice.wanted_at, f"{field}.wanted_at") if choice.HasField("wanted_at") else None,
    )


def _destination(where: common.Destination, field: str) -> Destination:
    if _COUNTRY.fullmatch(where.country) is None:
        raise Invalid((f"{field}.country", "must be an ISO 3166-1 alpha-2 code"))
    if _POSTCODE.fullmatch(where.postcode) is None:
        raise Invalid((f"{field}.postcode", "must be 1 to 12 letters, digits, spaces, hyphens"))
    if not where.HasField("position"):
        return Destination(where.postcode, where.country)
    point = where.position
    return Destination(
        where.postcode,
        where.country,
        whole(point.latitude_e6, f"{field}.position.latitude_e6", -90_000_000, 90_000_000),
        whole(point.longitude_e6, f"{field}.position.longitude_e6", -180_000_000, 180_000_000),
    )


def _time(stamp: Timestamp, field: str) -> datetime:
    try:
        at = stamp.ToDatetime(UTC)
        if at.year not in WANTED_YEARS:
            raise ValueError(f"year {at.year}")
    except (ValueError, OverflowError):
        years = f"{WANTED_YEARS[0]} to {WANTED_YEARS[-1]}"
        raise Invalid((field, f"must be a time in the years {years}")) from None
    return at


def lines_of(
    lines: Sequence[wire.RequestedLine], *, needs_choice: bool
) -> tuple[RequestedLine, ...]:
    if not 1 <= len(lines) <= MAX_LINES:
        raise Invalid(("lines", f"must be 1 to {MAX_LINES}"))
    return tuple(_line(line, n, needs_choice=needs_choice) for n, line in enumerate(lines))


def _line(line: wire.RequestedLine, number: int, *, needs_choice: bool) -> RequestedLine:
    path = f"lines[{number}]"
    if needs_choice and not line.HasField("choice"):
        raise Invalid((f"{path}.choice", "required"))
    return RequestedLine(
        line_id_of(line.line_id, f"{path}.line_id") if line.line_id else str(number + 1),
        identifier(line.sku, f"{path}.sku"),
        quantity_of(line.quantity, f"{path}.quantity"),
        choice_of(line.choice, f"{path}.choice") if line.HasField("choice") else None,
    )


def discounts_of(discounts: Sequence[wire.Discount]) -> tuple[Discount, ...]:
    if len(discounts) > MAX_DISCOUNTS:
        raise Invalid(("discounts", f"at most {MAX_DISCOUNTS}"))
    return tuple(_discount(discount, f"discounts[{n}]") for n, discount in enumerate(discounts))


def _discount(discount: wire.Discount, path: str) -> Discount:
    if _CODE.fullmatch(discount.code) is None:
        raise Invalid((f"{path}.code", "must be 1 to 64 characters of A-Z a-z 0-9 . _ ~ -"))
    if len(discount.skus) > MAX_DISCOUNT_SKUS:
        raise Invalid((f"{path}.skus", f"at most {MAX_DISCOUNT_SKUS}"))
    return Discount(
        discount.code,
        whole(discount.amount_minor, f"{path}.amount_minor", 1, MAX_AMOUNT_MINOR),
        tuple(identifier(sku, f"{path}.skus") for sku in discount.skus),
    )


def parts_of(parts: Sequence[wire.ChosenPart]) -> tuple[Part, ...]:
    if not 1 <= len(parts) <= MAX_PARTS:
        raise Invalid(("parts", f"must be 1 to {MAX_PARTS}"))
    least = 0 if len(parts) == 1 else 1
    return tuple(
        Part(
            whole(part.quantity, f"parts[{n}].quantity", least, MAX_QUANTITY),
            choice_of(part.choice, f"parts[{n}].choice"),
        )
        for n, part in enumerate(parts)
    )


def placement_of(request: wire.PlaceOrderRequest) -> Placement:
    if bool(request.lines) == bool(request.basket_id):
        raise Invalid(("lines", "give either lines or a basket_id"))
    return Placement(
        order_id_of(request.order_id),
        customer_id_of(request.customer_id)
        if request.basket_id
        else identifier(request.customer_id, "customer_id"),
        lines_of(request.lines, needs_choice=True) if request.lines else (),
        order_id_of(request.basket_id, "basket_id") if request.basket_id else "",
        discounts_of(request.discounts),
        request.expected_total_minor if request.HasField("expected_total_minor") else None,
        version_of(request.expected_basket_version, "expected_basket_version"),
    )


def page_size_of(value: int, default: int) -> int:
    return whole(value or default, "page_size", 1, MAX_PAGE)


def token_of(cursor: Cursor) -> str:
    document = json.dumps([cursor.placed_at.isoformat(), cursor.order_id])
    return base64.urlsafe_b64encode(document.encode()).decode()


def cursor_of(token: str) -> Cursor | None:
    if not token:
        return None
    try:
        placed_at, order_id = json.loads(base64.urlsafe_b64decode(token.encode()))
        at = datetime.fromisoformat(placed_at)
        if at.tzinfo is None:
            raise ValueError("no time zone")
        return Cursor(at.astimezone(UTC), identifier(order_id, "page_token"))
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError):
        raise Invalid(("page_token", "must be one that an answer carried")) from None
