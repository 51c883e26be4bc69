"""Malformed and hostile requests: each gets a clear, typed refusal, and leaves nothing behind."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
import pytest_asyncio
from google.protobuf import descriptor_pool
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from oms.catalog.v1 import catalog_service_pb2 as _catalog  # noqa: F401 - fills the pool
from oms.delivery.v1 import delivery_service_pb2 as _delivery  # noqa: F401
from oms.notification.v1 import notification_service_pb2 as _notification  # noqa: F401
from oms.order.v1 import order_service_pb2 as _order  # noqa: F401
from oms.picking.v1 import picking_service_pb2 as _picking  # noqa: F401
from oms.returns.v1 import returns_service_pb2 as _returns  # noqa: F401
from oms.sourcing.v1 import sourcing_service_pb2 as _sourcing  # noqa: F401
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as _stock  # noqa: F401

from tests.support.scene import COLLECT_AT_S1, Scene, a_scene
from tests.support.stack import eventually

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(
    postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    async with a_scene(postgres_dsn, tmp_path_factory.mktemp("hostile")) as scene:
        yield scene


@dataclass(frozen=True)
class Sent:
    """One hostile HTTP request and the answer it deserves.

    Attributes:
        what: Name of the case.
        method: HTTP method.
        path: May hold ``{placeholders}`` of the scene.
        status: Expected.
        reason: Expected, the registry's.
        tells: What the answer's text must hold: the field, and how to mend it.
        body: JSON value, or bytes as they are.
        who: Whose key; empty: none.
        headers: More, or others; None leaves one out.
        query: Parameters, percent-encoded on the way.
    """

    what: str
    method: str
    path: str
    status: int
    reason: str
    tells: str = ""
    body: Any = None
    who: str = "shop"
    headers: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    query: Mapping[str, Any] | None = None


def _order_of(order_id: str = "EVIL", /, **more: Any) -> dict[str, Any]:
    """An order like any other, except for what ``more`` says."""
    return {"order_id": order_id, "customer_id": "C1", "lines": [_line()]} | more


def _line(**more: Any) -> dict[str, Any]:
    return {"line_id": "L1", "sku": "P1", "quantity": 1, "choice": COLLECT_AT_S1} | more


def _wanted(year: str) -> dict[str, Any]:
    return _line(choice=COLLECT_AT_S1 | {"wanted_at": f"{year}-12-31T23:59:59Z"})


def _placing(what: str, status: int, reason: str, tells: str, body: Any) -> Sent:
    return Sent(what, "POST", "/v1/orders", status, reason, tells, body)


def _quantity(what: str, quantity: Any, tells: str = "/lines/0/quantity") -> Sent:
    body = _order_of(lines=[_line(quantity=quantity)])
    return _placing(f"quantity {what}", 400, "*", tells, body)


def _row(**more: Any) -> dict[str, Any]:
    return {
        "site_id": "S1",
        "sku": "P1",
        "quantity": 1,
        "source_id": "evil",
        "occurred_at": "2026-01-02T06:00:00Z",
    } | more


_LONG = "x" * 5_000
_DEEP = b'{"lines":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
_DEEP_TOKEN = base64.urlsafe_b64encode(b"[" * 20_000).decode()
_EARLY_TOKEN = base64.urlsafe_b64encode(b'["0001-01-01T00:00:00+23:59", "O1"]').decode()

WRONG_SHAPE = [
    _placing("body is no JSON", 400, "MALFORMED_REQUEST", "not valid JSON", b"{order"),
    _placing("body is no UTF-8", 400, "MALFORMED_REQUEST", "", b'{"order_id":"\xff\xfe"}'),
    _placing("body is a list", 400, "MALFORMED_REQUEST", "object", []),
    _placing("body is a text", 400, "MALFORMED_REQUEST", "object", "order"),
    _placing("body is null", 400, "MALFORMED_REQUEST", "object", b"null"),
    _placing("body is NaN", 400, "MALFORMED_REQUEST", "not valid JSON", b'{"lines": NaN}'),
    _placing("body is empty", 400, "INVALID_ARGUMENT", "lines", b""),
    _placing("body is 200,000 deep", 400, "MALFORMED_REQUEST", "", _DEEP),
    _placing("body of 5 MB", 413, "BODY_TOO_LARGE", "1048576", b'"' + b"x" * 5_000_000 + b'"'),
    _placing("lone surrogate", 400, "MALFORMED_REQUEST", "", b'{"order_id":"\\ud800"}'),
    _placing("zero byte", 400, "MALFORMED_REQUEST", "/order_id", _order_of("A\0B")),
    _placing("unknown field", 400, "MALFORMED_REQUEST", "/is_free", _order_of(is_free=True)),
    _placing(
        "a field of the service",
        *(400, "MALFORMED_REQUEST", "/request_id"),
        _order_of(request_id="mine"),
    ),
    _placing(
        "a price of the caller's own",
        *(400, "MALFORMED_REQUEST", "/lines/0/price"),
        _order_of(lines=[_line(price=1)]),
    ),
    _placing("id is a number", 400, "MALFORMED_REQUEST", "/order_id", {"order_id": 7}),
    _placing("lines is an object", 400, "MALFORMED_REQUEST", "/lines", _order_of(lines={})),
    _placing("a line is null", 400, "MALFORMED_REQUEST", "/lines/0", _order_of(lines=[None])),
    _placing("no lines", 400, "INVALID_ARGUMENT", "/lines", _order_of(lines=[])),
    _placing(
        "lines and a basket", 400, "INVALID_ARGUMENT", "basket_id", _order_of(basket_id="B1")
    ),
    _placing("no customer", 400, "INVALID_ARGUMENT", "/customer_id", _order_of(customer_id="")),
    _placing(
        "a line without choice",
        *(400, "INVALID_ARGUMENT", "/lines/0/choice"),
        _order_of(lines=[{"line_id": "L1", "sku": "P1", "quantity": 1}]),
    ),
    _placing(
        "wanted at no time",
        *(400, "MALFORMED_REQUEST", "/lines/0/choice/wanted_at"),
        _order_of(lines=[_line(choice=COLLECT_AT_S1 | {"wanted_at": "yesterday"})]),
    ),
    _placing(
        "wanted at a time without zone",
        *(400, "MALFORMED_REQUEST", "/lines/0/choice/wanted_at"),
        _order_of(lines=[_line(choice=COLLECT_AT_S1 | {"wanted_at": "2026-01-01T00:00:00"})]),
    ),
    *(
        _placing(
            f"wanted in the year {year}",
            *(400, "INVALID_ARGUMENT", "/lines/0/choice/wanted_at"),
            _order_of(lines=[_wanted(year)]),
        )
        for year in ("0002", "1999", "2200", "9999")
    ),
    Sent("a promise for the year 9999", "POST", "/v1/promises:quote", 400, "INVALID_ARGUMENT",
         "wanted_at", {"lines": [_wanted("9999")]}),
    _quantity("zero", 0),
    _quantity("negative", -3),
    _quantity("2^31", 2**31),
    _quantity("2^63", 2**63),
    _quantity("10^400", 10**400),
    _quantity("a fraction", 1.5),
    _quantity("1000.0", 1000.0),
    _quantity("a text", "3"),
    _quantity("true", True),  # noqa: FBT003 - a JSON value
    _quantity("null", None),
    _placing(
        "501 lines",
        *(400, "INVALID_ARGUMENT", "500"),
        _order_of(lines=[_line(line_id=f"L{n}") for n in range(501)]),
    ),
    _placing(
        "two lines with one id", 400, "INVALID_ARGUMENT", "line_id", _order_of(lines=[_line()] * 2)
    ),
    _placing(
        "51 discounts",
        *(400, "INVALID_ARGUMENT", "/discounts"),
        _order_of(discounts=[{"code": f"D{n}", "amount_minor": 1} for n in range(51)]),
    ),
    _placing(
        "a discount that adds",
        *(400, "INVALID_ARGUMENT", "/discounts/0/amount_minor"),
        _order_of(discounts=[{"code": "D", "amount_minor": -500}]),
    ),
    _placing(
        "latitude 91",
        *(400, "INVALID_ARGUMENT", "latitude_e6"),
        _order_of(
            lines=[
                _line(
                    choice={
                        "mode_id": "home_delivery",
                        "destination": {
                            "postcode": "75011",
                            "country": "FR",
                            "position": {"latitude_e6": 91_000_000, "longitude_e6": 0},
                        },
                    }
                )
            ]
        ),
    ),
    Sent(
        "unknown parameter", "GET", "/v1/orders", 400, "MALFORMED_REQUEST", "sort",
        query={"sort": "; DROP TABLE events"},
    ),
    Sent("page of 10^9", "GET", "/v1/orders", 400, "INVALID_ARGUMENT", "200",
         query={"page_size": 10**9}),
    Sent("page of -1", "GET", "/v1/orders", 400, "INVALID_ARGUMENT", "200",
         query={"page_size": -1}),
    Sent("page of many", "GET", "/v1/orders", 400, "MALFORMED_REQUEST", "page_size",
         query={"page_size": "many"}),
    Sent("status unheard of", "GET", "/v1/orders", 400, "MALFORMED_REQUEST", "status",
         query={"status": "free"}),
    Sent("a parameter twice", "GET", "/v1/orders?page_size=1&page_size=2", 400,
         "MALFORMED_REQUEST", "more than once"),
    *(
        Sent(f"page token {what} of {path}", "GET", path, 400, "INVALID_ARGUMENT", "page_token",
             query={"page_token": token} | more)
        for path, more in (
            ("/v1/orders", {}),
            ("/v1/products", {}),
            ("/v1/sites", {}),
            ("/v1/tasks", {"site_id": "S1"}),
            ("/v1/handovers", {"site_id": "S1"}),
            ("/v1/shipments", {"site_id": "S1"}),
            ("/v1/returns", {"order_id": "DONE"}),
            ("/v1/stock", {"site_id": "S1"}),
            ("/v1/stock/entries", {"site_id": "S1", "sku": "P1"}),
            ("/v1/reservations", {"site_id": "S1"}),
        )
        for what, token in (
            ("of rubbish", "%%%"),
            ("20,000 deep", _DEEP_TOKEN),
            ("before the first year", _EARLY_TOKEN),
        )
    ),
    Sent("Last-Event-ID of rubbish", "GET", "/v1/orders/FRESH/events/stream", 400,
         "MALFORMED_REQUEST", "ETag", headers={"Last-Event-ID": "'; --"}),
    Sent("Last-Event-ID negative", "GET", "/v1/orders/FRESH/tracking/stream", 400,
         "MALFORMED_REQUEST", "ETag", headers={"Last-Event-ID": "-1"}),
    Sent("If-Match of rubbish", "POST", "/v1/orders/FRESH:cancel", 400, "MALFORMED_REQUEST",
         "ETag", {}, headers={"If-Match": "rubbish"}),
    Sent("If-Match of another version", "POST", "/v1/orders/FRESH:cancel", 412,
         "VERSION_MISMATCH", "version", {}, headers={"If-Match": '"999"'}),
    Sent("If-Match where it means nothing", "POST", "/v1/groups/CLAIMED.1:ready", 400,
         "IF_MATCH_NOT_SUPPORTED", "", {}, headers={"If-Match": '"1"'}),
    Sent("form instead of JSON", "POST", "/v1/orders", 415, "UNSUPPORTED_MEDIA_TYPE",
         "application/json", b"order_id=EVIL",
         headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Sent("XML instead of JSON", "POST", "/v1/orders", 415, "UNSUPPORTED_MEDIA_TYPE",
         "application/json", b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><x/>",
         headers={"Content-Type": "application/xml"}),
    Sent("DELETE of an order", "DELETE", "/v1/orders/FRESH", 405, "METHOD_NOT_ALLOWED"),
    Sent("PATCH of an order", "PATCH", "/v1/orders/FRESH", 405, "METHOD_NOT_ALLOWED", body={}),
    Sent("no such route", "GET", "/v1/everything", 404, "ROUTE_NOT_FOUND"),
    Sent("an admin's route", "POST", "/v1/admin/keys", 404, "ROUTE_NOT_FOUND", body={}),
    Sent("no Idempotency-Key", "POST", "/v1/orders", 400, "IDEMPOTENCY_KEY_MISSING", "visible",
         _order_of(), headers={"Idempotency-Key": None}),
    Sent("empty Idempotency-Key", "POST", "/v1/orders", 400, "IDEMPOTENCY_KEY_MISSING", "visible",
         _order_of(), headers={"Idempotency-Key": ""}),
    Sent("Idempotency-Key of 5,000", "POST", "/v1/orders", 400, "IDEMPOTENCY_KEY_MISSING", "255",
         _order_of(), headers={"Idempotency-Key": _LONG}),
]  # fmt: skip

_STRANGE_IDS = (
    ("with a slash", "a%2Fb"),
    ("climbing", "..%2f..%2fetc%2fpasswd"),
    ("of dots", "..."),
    ("with a line break", "a%0d%0ab"),
    ("with a zero byte", "a%00b"),
    ("with a quote", "a'%20OR%20'1'='1"),
    ("of 5,000", _LONG),
    ("beginning with a hyphen", "-rf"),
    ("not in ASCII", "%C3%A9t%C3%A9"),
    ("not in UTF-8", "%FF%FE"),
)
STRANGE_IDS = [
    Sent(f"{path} {what}", "GET", path.replace("*", strange), 0, "*")
    for path in ("/v1/orders/*", "/v1/tasks/*", "/v1/baskets/*", "/v1/groups/*/handover",
                 "/v1/returns/*", "/v1/products/*", "/v1/decisions/*", "/v1/reservations/*")
    for what, strange in _STRANGE_IDS
]  # fmt: skip

UNKNOWN = [
    *(
        Sent(f"unknown {method} {path}", method, path, 404, "NOT_FOUND", "no ", body)
        for method, path, body in (
            ("GET", "/v1/orders/NOBODY", None),
            ("GET", "/v1/orders/NOBODY/tracking", None),
            ("GET", "/v1/orders/NOBODY/events/stream", None),
            ("POST", "/v1/orders/NOBODY:cancel", {}),
            ("GET", "/v1/baskets/NOBODY", None),
            ("GET", "/v1/baskets/NOBODY/quote", None),
            ("POST", "/v1/baskets/NOBODY/items", {"sku": "P1", "quantity": 1}),
            ("GET", "/v1/tasks/NOBODY", None),
            ("POST", "/v1/tasks/NOBODY:claim", {"picker_id": "EVE"}),
            ("GET", "/v1/groups/NOBODY.1/handover", None),
            ("GET", "/v1/groups/NOBODY.1/pickup-code", None),
            ("POST", "/v1/groups/NOBODY.1:ready", {}),
            ("POST", "/v1/groups/NOBODY.1:arrive", {}),
            ("POST", "/v1/groups/NOBODY.1:handover", {"pickup_code": "123456"}),
            ("POST", "/v1/groups/NOBODY.1:hand-to-carrier", {"carrier_id": "X"}),
            ("POST", "/v1/groups/NOBODY.1:delivered", {}),
            ("GET", "/v1/returns/NOBODY", None),
            ("GET", "/v1/orders/NOBODY/returnable", None),
            ("GET", "/v1/reservations/NOBODY", None),
            ("POST", "/v1/reservations/NOBODY:release", {}),
            ("POST", "/v1/reservations/NOBODY:confirm", {}),
            ("GET", "/v1/decisions/NOBODY", None),
            ("GET", "/v1/products/NOBODY", None),
            ("GET", "/v1/sites/NOBODY", None),
            ("GET", "/v1/modes/NOBODY", None),
        )
    ),
    _placing(
        "unknown sku",
        *(400, "INVALID_ARGUMENT", "/lines/0/sku"),
        _order_of(lines=[_line(sku="NO-SUCH-SKU")]),
    ),
    _placing(
        "unknown mode",
        *(400, "INVALID_ARGUMENT", "/lines/0/choice/mode_id"),
        _order_of(lines=[_line(choice={"mode_id": "teleport"})]),
    ),
    _placing(
        "unknown site",
        *(400, "INVALID_ARGUMENT", "/lines/0/choice/site_id"),
        _order_of(lines=[_line(choice=COLLECT_AT_S1 | {"site_id": "S99"})]),
    ),
    _placing(
        "home delivery to nowhere",
        *(400, "*", "destination"),
        _order_of(lines=[_line(choice={"mode_id": "home_delivery"})]),
    ),
    _placing("unknown basket", 404, "NOT_FOUND", "basket",
             {"order_id": "EVIL", "customer_id": "C1", "basket_id": "NOBODY"}),
]  # fmt: skip

# What one tenant owns does not exist for another, whatever he asks.
FOREIGN = [
    Sent(f"foreign {method} {path}", method, path, 404, "NOT_FOUND", "no ", body, who="stranger")
    for method, path, body in (
        ("GET", "/v1/orders/FRESH", None),
        ("GET", "/v1/orders/FRESH/tracking", None),
        ("GET", "/v1/orders/FRESH/events", None),
        ("GET", "/v1/orders/FRESH/tracking/stream", None),
        ("GET", "/v1/orders/FRESH/events/stream", None),
        ("POST", "/v1/orders/FRESH:cancel", {}),
        ("GET", "/v1/orders/DONE/returnable", None),
        ("GET", "/v1/orders/FRESH/decisions", None),
        ("GET", "/v1/decisions/{decision}", None),
        ("POST", "/v1/decisions/{decision}:replay", {}),
        ("GET", "/v1/baskets/B1", None),
        ("GET", "/v1/baskets/B1/quote", None),
        ("POST", "/v1/baskets/B1/items", {"sku": "P1", "quantity": 1}),
        ("PUT", "/v1/baskets/B1/items/L1", {"quantity": 9}),
        ("DELETE", "/v1/baskets/B1/items/L1", None),
        ("POST", "/v1/orders", {"order_id": "E2", "customer_id": "C1", "basket_id": "B1"}),
        ("GET", "/v1/tasks/FRESH.1", None),
        ("POST", "/v1/tasks/FRESH.1:claim", {"picker_id": "EVE"}),
        ("POST", "/v1/tasks/CLAIMED.1:unclaim", {"picker_id": "ANNE"}),
        ("POST", "/v1/tasks/CLAIMED.1:reassign",
         {"from_picker_id": "ANNE", "to_picker_id": "EVE"}),
        ("POST", "/v1/tasks/CLAIMED.1/lines/L1:pick", {"picker_id": "ANNE", "quantity": 1}),
        ("POST", "/v1/tasks/CLAIMED.1/lines/L1:short",
         {"picker_id": "ANNE", "quantity": 1, "reason": "not_found"}),
        ("GET", "/v1/groups/DONE.1/handover", None),
        ("GET", "/v1/groups/DONE.1/pickup-code", None),
        ("POST", "/v1/groups/DONE.1:handover", {"pickup_code": "123456"}),
        ("POST", "/v1/groups/DONE.1:arrive", {}),
        ("POST", "/v1/groups/SHIPPED.1:hand-to-carrier", {"carrier_id": "X"}),
        ("POST", "/v1/groups/SHIPPED.1:delivered", {}),
        ("GET", "/v1/returns/R1", None),
        ("GET", "/v1/returns/R1/refund-preview", None),
        ("POST", "/v1/returns/R1:inspect",
         {"lines": [{"line_id": "L1", "quantity": 1, "disposition": "restock"}]}),
        ("POST", "/v1/returns/R1:validate",
         {"preview_version": 1, "amount_minor": 1, "clerk_id": "EVE"}),
        ("POST", "/v1/returns/R1:withdraw", {"reason": "by Eve"}),
        ("POST", "/v1/returns",
         {"order_id": "DONE", "site_id": "S1", "lines": [{"line_id": "L1", "quantity": 1}]}),
        ("GET", "/v1/reservations/H1", None),
        ("GET", "/v1/reservations/{reservation}", None),
        ("POST", "/v1/reservations/H1:release", {}),
        ("POST", "/v1/reservations/H1:confirm", {}),
    )
]  # fmt: skip

_OTHER_SECRET = "oms_dev_0123456789abcdef_" + "0" * 64
UNKNOWN_CALLERS = [
    Sent(f"caller {what}: {method} {path}", method, path, 401, "UNAUTHENTICATED", "key", body,
         who="", headers={"Authorization": said})
    for method, path, body in (
        ("GET", "/v1/orders/FRESH", None),
        ("POST", "/v1/orders", _order_of()),
        ("GET", "/v1/orders/FRESH/events/stream", None),
    )
    for what, said in (
        ("without a key", None),
        ("with an empty key", "Bearer"),
        ("with Basic", "Basic c2hvcDpzaG9w"),
        ("with a made-up key", f"Bearer {_OTHER_SECRET}"),
        ("with a key of another environment", "Bearer oms_prod_0123456789abcdef_" + "0" * 64),
        ("with alg none", "Bearer eyJhbGciOiJub25lIn0.eyJ0ZW5hbnQiOiJkZW1vIn0."),
        ("with SQL", "Bearer ' OR 1=1 --"),
        ("with 20,000 characters", "Bearer " + "x" * 20_000),
    )
] + [
    Sent(f"{who} key: {method} {path}", method, path, 401, "UNAUTHENTICATED", "key", body, who=who)
    for who in ("revoked", "expired")
    for method, path, body in (
        ("GET", "/v1/orders/FRESH", None),
        ("POST", "/v1/orders", _order_of()),
    )
]  # fmt: skip

WITHOUT_SCOPE = [
    Sent(f"without scope {method} {path}", method, path, 403, "PERMISSION_DENIED", scope, body,
         who="reader")
    for method, path, scope, body in (
        ("POST", "/v1/orders", "orders:write", _order_of()),
        ("POST", "/v1/orders/FRESH:cancel", "orders:write", {}),
        ("GET", "/v1/tasks/FRESH.1", "picking:read", None),
        ("POST", "/v1/tasks/FRESH.1:claim", "picking:write", {"picker_id": "EVE"}),
        ("GET", "/v1/groups/DONE.1/pickup-code", "delivery:code", None),
        ("POST", "/v1/stock/movements:batch", "stock:write", {"kind": "receive", "rows": [_row()]}),
        ("POST", "/v1/returns/R1:validate", "returns:write",
         {"preview_version": 1, "amount_minor": 1, "clerk_id": "EVE"}),
        ("POST", "/v1/catalog/products:batch", "catalog:write", {"products": []}),
        ("GET", "/v1/webhooks", "notifications:read", None),
    )
]  # fmt: skip

AGAINST_THE_RULES = [
    Sent("cancel after the handover", "POST", "/v1/orders/DONE:cancel", 409, "CUTOFF_PASSED", "",
         {}),
    Sent("pick more than ordered", "POST", "/v1/tasks/CLAIMED.1/lines/L1:pick", 409, "*", "",
         {"picker_id": "ANNE", "quantity": 4}),
    Sent("pick 10^9 units", "POST", "/v1/tasks/CLAIMED.1/lines/L1:pick", 409, "*", "",
         {"picker_id": "ANNE", "quantity": 10**9}),
    Sent("pick no unit", "POST", "/v1/tasks/CLAIMED.1/lines/L1:pick", 400, "INVALID_ARGUMENT",
         "quantity", {"picker_id": "ANNE", "quantity": 0}),
    Sent("pick a line that is not there", "POST", "/v1/tasks/CLAIMED.1/lines/L9:pick", 404,
         "NOT_FOUND", "L9", {"picker_id": "ANNE", "quantity": 1}),
    Sent("pick another's task", "POST", "/v1/tasks/CLAIMED.1/lines/L1:pick", 409, "*", "",
         {"picker_id": "EVE", "quantity": 1}),
    Sent("pick an unclaimed task", "POST", "/v1/tasks/FRESH.1/lines/L1:pick", 409, "*", "",
         {"picker_id": "EVE", "quantity": 1}),
    Sent("claim another's task", "POST", "/v1/tasks/CLAIMED.1:claim", 409, "*", "",
         {"picker_id": "EVE"}),
    Sent("unclaim another's task", "POST", "/v1/tasks/CLAIMED.1:unclaim", 409, "*", "",
         {"picker_id": "EVE"}),
    Sent("claim a finished task", "POST", "/v1/tasks/DONE.1:claim", 409, "*", "",
         {"picker_id": "EVE"}),
    Sent("short without a reason", "POST", "/v1/tasks/CLAIMED.1/lines/L1:short", 400,
         "INVALID_ARGUMENT", "reason", {"picker_id": "ANNE", "quantity": 1}),
    Sent("put back what was not picked", "POST", "/v1/tasks/CLAIMED.1/lines/L1:put-back", 409,
         "*", "", {"picker_id": "ANNE", "quantity": 1}),
    Sent("hand over what is not ready", "POST", "/v1/groups/CLAIMED.1:handover", 404, "NOT_FOUND",
         "", {"pickup_code": "123456"}),
    Sent("hand over twice with another code", "POST", "/v1/groups/DONE.1:handover", 409, "*", "",
         {"pickup_code": "000000"}),
    Sent("hand over without a code", "POST", "/v1/groups/DONE.1:handover", 400,
         "INVALID_ARGUMENT", "pickup_code", {}),
    Sent("deliver what no carrier took", "POST", "/v1/groups/SHIPPED.1:delivered", 404,
         "NOT_FOUND", "", {}),
    Sent("return more than delivered", "POST", "/v1/returns", 409, "*", "",
         {"return_id": "R2", "order_id": "DONE", "site_id": "S1",
          "lines": [{"line_id": "L1", "quantity": 3}]}),
    Sent("return what was never ordered", "POST", "/v1/returns", 409, "*", "L9",
         {"return_id": "R2", "order_id": "DONE", "site_id": "S1",
          "lines": [{"line_id": "L9", "quantity": 1}]}),
    Sent("return an order that is not delivered", "POST", "/v1/returns", 404, "NOT_FOUND", "",
         {"return_id": "R2", "order_id": "FRESH", "site_id": "S1",
          "lines": [{"line_id": "L1", "quantity": 1}]}),
    Sent("the same line twice in a return", "POST", "/v1/returns", 400, "INVALID_ARGUMENT", "line",
         {"return_id": "R2", "order_id": "DONE", "site_id": "S1",
          "lines": [{"line_id": "L1", "quantity": 1}, {"line_id": "L1", "quantity": 1}]}),
    Sent("refund more than paid", "POST", "/v1/returns/R1:validate", 409, "*", "",
         {"preview_version": "{preview:int}", "amount_minor": 10**12, "clerk_id": "EVE"}),
    Sent("refund less than nothing", "POST", "/v1/returns/R1:validate", 400, "INVALID_ARGUMENT",
         "amount_minor", {"preview_version": "{preview:int}", "amount_minor": -1,
                          "clerk_id": "EVE"}),
    Sent("refund of another preview", "POST", "/v1/returns/R1:validate", 409, "PREVIEW_STALE", "",
         {"preview_version": 99, "amount_minor": 1, "clerk_id": "EVE"}),
    Sent("reserve more than there is", "POST", "/v1/reservations", 409, "*", "",
         {"reservation_id": "H9", "lines": [{"site_id": "S1", "sku": "P5", "quantity": 101}]}),
    Sent("reserve one sku twice, too much together", "POST", "/v1/reservations", 409, "*", "",
         {"reservation_id": "H9", "lines": [{"site_id": "S1", "sku": "P5", "quantity": 60}] * 2}),
    Sent("reserve for ever", "POST", "/v1/reservations", 400, "INVALID_ARGUMENT", "hold_seconds",
         {"reservation_id": "H9", "hold_seconds": 2**31 - 1,
          "lines": [{"site_id": "S1", "sku": "P5", "quantity": 1}]}),
    Sent("change the unit price through the basket", "POST", "/v1/baskets/B1/items", 400,
         "MALFORMED_REQUEST", "/price", {"sku": "P1", "quantity": 1, "price": 1}),
    Sent("an order's id for another order", "POST", "/v1/orders", 422, "IDEMPOTENCY_MISMATCH", "",
         _order_of("FRESH", lines=[_line(sku="P2")])),
    Sent("an order at another price", "POST", "/v1/orders", 409, "QUOTE_STALE", "",
         _order_of(expected_total_minor=1)),
    Sent("a mode version anew", "POST", "/v1/catalog/modes", 409, "*", "",
         {"mode_id": "click_and_collect", "version": 1, "choice_kind": "site",
          "label": {"fr": "x", "en": "x"}, "fee": {"amount_minor": 0, "currency": "EUR"},
          "steps": [{"step_id": "s", "type": "system", "completes_on": "reserved",
                     "label": {"fr": "x", "en": "x"}, "visibility": "hidden"}]}),
    Sent("movements of no kind", "POST", "/v1/stock/movements:batch", 400, "MALFORMED_REQUEST",
         "/kind", {"kind": "steal", "rows": [_row()]}),
    Sent("no movements", "POST", "/v1/stock/movements:batch", 400, "INVALID_ARGUMENT", "rows",
         {"kind": "receive", "rows": []}),
    Sent("1,001 movements", "POST", "/v1/stock/movements:batch", 400, "INVALID_ARGUMENT", "1000",
         {"kind": "receive", "rows": [_row(source_id=f"s{n}") for n in range(1001)]}),
    *(
        Sent(f"webhook to {url}", "POST", "/v1/webhooks", 400, "INVALID_ARGUMENT", "url",
             {"webhook_id": "W1", "url": url})
        for url in ("http://example.com/", "https://127.0.0.1/", "https://[::1]/",
                    "https://169.254.169.254/latest/meta-data", "file:///etc/passwd",
                    "https://user:pw@example.com/", "https://10.0.0.1:5432/", "javascript:1", "")
    ),
]  # fmt: skip

EVERYTHING = [
    *WRONG_SHAPE,
    *STRANGE_IDS,
    *UNKNOWN,
    *FOREIGN,
    *UNKNOWN_CALLERS,
    *WITHOUT_SCOPE,
    *AGAINST_THE_RULES,
]


async def _send(scene: Scene, sent: Sent) -> httpx.Response:
    headers: dict[str, str | None] = {
        "Idempotency-Key": f"evil-{sent.what.encode('ascii', 'replace').hex()[:200]}",
        "Content-Type": "application/json",
    }
    if sent.who:
        headers["Authorization"] = f"Bearer {scene.keys[sent.who]}"
    headers |= sent.headers
    body = sent.body
    if body is not None and not isinstance(body, bytes):
        text = json.dumps(scene.filled(body))
        for name, value in scene.names.items():
            text = text.replace(f'"{{{name}:int}}"', value)
        body = text.encode()
    async with httpx.AsyncClient(base_url=scene.system.address, timeout=15) as client:
        return await client.request(
            sent.method,
            scene.filled(sent.path),
            content=body,
            params=sent.query,
            headers={name: text for name, text in headers.items() if text is not None},
        )


@pytest.mark.parametrize("sent", EVERYTHING, ids=[sent.what for sent in EVERYTHING])
async def test_a_hostile_request_is_refused_clearly_and_changes_nothing(
    scene: Scene, sent: Sent
) -> None:
    before = await scene.recorded()
    answer = await _send(scene, sent)
    assert answer.status_code in ((sent.status,) if sent.status else (400, 404)), answer.text
    _assert_tells(answer, sent.reason, sent.tells)
    assert await scene.recorded() == before


def _assert_tells(answer: httpx.Response, reason: str, tells: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == answer.status_code
    assert told["title"]
    assert told["detail"]
    assert told["type"] == f"/problems/{told['reason'].lower().replace('_', '-')}"
    assert reason in ("*", told["reason"]), told
    assert tells in answer.text.replace("\\/", "/"), told
    assert "Traceback" not in answer.text
    assert "asyncpg" not in answer.text
    assert 'File "' not in answer.text


@dataclass(frozen=True)
class Called:
    """One hostile gRPC call and the status it deserves.

    Attributes:
        what: Name of the case.
        method: ``order.OrderService/PlaceOrder``.
        request: Fields, or bytes as they are.
        code: Expected.
        reason: Expected, of the ErrorInfo; empty where the library itself answers.
        field: Expected among the violations.
        who: Whose key; empty: none.
        metadata: More of it.
    """

    what: str
    method: str
    request: Any
    code: grpc.StatusCode
    reason: str = ""
    field: str = ""
    who: str = "shop"
    metadata: tuple[tuple[str, str], ...] = ()


_INVALID, _NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
_REFUSED, _DENIED = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.PERMISSION_DENIED
_UNKNOWN_CALLER = grpc.StatusCode.UNAUTHENTICATED
_PLACE = "order.OrderService/PlaceOrder"


def _placed(**more: Any) -> dict[str, Any]:
    return {"request_id": "evil-grpc"} | _order_of() | more


CALLS = [
    Called("no request id", _PLACE, _order_of(), _INVALID, "INVALID", "request_id"),
    Called("a request id of 5,000", _PLACE, _placed(request_id=_LONG), _INVALID, "INVALID",
           "request_id"),
    Called("a request id with a slash", _PLACE, _placed(request_id="a/b"), _INVALID, "INVALID",
           "request_id"),
    Called("an empty request", _PLACE, {}, _INVALID, "INVALID", "request_id"),
    Called("no message at all", _PLACE, b"\xff" * 64, _INVALID, "INVALID", "request"),
    Called("a message cut off", _PLACE, b"\x0a\x7f1", _INVALID, "INVALID", "request"),
    Called("quantity 2^63-1", _PLACE, _placed(lines=[_line(quantity=2**63 - 1)]), _INVALID,
           "INVALID", "lines[0].quantity"),
    Called("quantity -2^63", _PLACE, _placed(lines=[_line(quantity=-(2**63))]), _INVALID,
           "INVALID", "lines[0].quantity"),
    Called("an order id that climbs", _PLACE, _placed(order_id="../../x"), _INVALID, "INVALID",
           "order_id"),
    Called("an order id of 49", _PLACE, _placed(order_id="x" * 49), _INVALID, "INVALID",
           "order_id"),
    Called("an order id with a zero byte", _PLACE, _placed(order_id="a\0"), _INVALID, "INVALID",
           "order_id"),
    Called("waiting for an hour", _PLACE, _placed(wait_ms=3_600_000), _INVALID, "INVALID",
           "wait_ms"),
    Called("waiting backwards", _PLACE, _placed(wait_ms=-1), _INVALID, "INVALID", "wait_ms"),
    Called("501 lines", _PLACE, _placed(lines=[_line(line_id=f"L{n}") for n in range(501)]),
           _INVALID, "INVALID", "lines"),
    Called("a plan for the year 9999", "sourcing.SourcingService/Quote",
           {"currency": "EUR", "lines": [{"line_id": "L1", "sku": "P1", "quantity": 1, "choice":
            {"mode_id": "click_and_collect", "mode_version": 1, "site_id": "S1",
             "wanted_at": "9999-12-31T23:59:59Z"}}]}, _INVALID, "INVALID"),
    Called("a version below zero", "order.OrderService/CancelOrder",
           {"request_id": "e", "order_id": "FRESH", "expected_version": -5}, _INVALID, "INVALID",
           "expected_version"),
    Called("a view unheard of", "order.OrderService/GetTimeline",
           {"order_id": "FRESH", "view": 99}, _INVALID, "INVALID", "view"),
    Called("a status unheard of", "order.OrderService/ListOrders", {"status": 99}, _INVALID,
           "INVALID", "status"),
    Called("a page of 10^9", "order.OrderService/ListOrders", {"page_size": 10**9}, _INVALID,
           "INVALID", "page_size"),
    Called("a page token 20,000 deep", "order.OrderService/ListOrders",
           {"page_token": _DEEP_TOKEN}, _INVALID, "INVALID", "page_token"),
    Called("watching for a year", "order.OrderService/WatchTimeline",
           {"order_id": "FRESH", "view": 1, "max_seconds": 31_536_000}, _INVALID, "INVALID",
           "max_seconds"),
    Called("watching another's order", "order.OrderService/WatchTimeline",
        {"order_id": "FRESH", "view": 1},
           _NOT_FOUND, "NOT_FOUND", who="stranger"),
    Called("1,001 levels", "stock_ledger.StockLedgerService/GetAvailability",
           {"pairs": [{"site_id": "S1", "sku": "P1"}] * 1001}, _INVALID, "INVALID", "pairs"),
    Called("a reservation of nothing", "stock_ledger.StockLedgerService/Reserve",
           {"request_id": "e", "reservation_id": "H8"}, _INVALID, "INVALID", "lines"),
    Called("a reservation for an hour ago", "stock_ledger.StockLedgerService/Reserve",
           {"request_id": "e", "reservation_id": "H8", "hold_seconds": -3600,
            "lines": [{"site_id": "S1", "sku": "P5", "quantity": 1}]}, _INVALID, "INVALID",
           "hold_seconds"),
    Called("a pick of nothing", "picking.PickingService/PickLine",
           {"request_id": "e", "task_id": "CLAIMED.1", "picker_id": "ANNE"}, _INVALID, "INVALID"),
    Called("a pick without a picker", "picking.PickingService/PickLine",
           {"request_id": "e", "task_id": "CLAIMED.1",
            "pick": {"action_id": "a", "line_id": "L1", "quantity": 1}}, _INVALID, "INVALID",
           "picker_id"),
    Called("a pick of another's task", "picking.PickingService/PickLine",
           {"request_id": "e", "task_id": "CLAIMED.1", "picker_id": "EVE",
            "pick": {"action_id": "a", "line_id": "L1", "quantity": 1}}, _REFUSED),
    Called("a short reason unheard of", "picking.PickingService/ShortLine",
           {"request_id": "e", "task_id": "CLAIMED.1", "picker_id": "ANNE",
            "short": {"action_id": "a", "line_id": "L1", "quantity": 1, "reason": 99}},
           _INVALID, "INVALID"),
    Called("a code of 5,000", "delivery.DeliveryService/HandOver",
           {"request_id": "e", "group_id": "DONE.1", "pickup_code": _LONG}, _INVALID, "INVALID",
           "pickup_code"),
    Called("a disposition unheard of", "returns.ReturnsService/InspectReturn",
           {"request_id": "e", "return_id": "R1",
            "lines": [{"line_id": "L1", "quantity": 1, "disposition": 99}]}, _INVALID, "INVALID"),
    Called("a message of 2 MB", _PLACE, _placed(customer_id="x" * 2_000_000),
           grpc.StatusCode.RESOURCE_EXHAUSTED),
    Called("metadata of 64 KB", "order.OrderService/GetOrder", {"order_id": "FRESH"},
           grpc.StatusCode.RESOURCE_EXHAUSTED, metadata=(("x-noise", "x" * 65_536),)),
    Called("an unknown method", "order.OrderService/DeleteEverything", b"",
           grpc.StatusCode.UNIMPLEMENTED),
    Called("an unknown service", "admin.AdminService/Shutdown", b"",
           grpc.StatusCode.UNIMPLEMENTED),
    *(
        Called(f"{who or 'no'} key", method, request, _UNKNOWN_CALLER, "UNAUTHENTICATED", who=who)
        for who in ("", "revoked", "expired")
        for method, request in (
            (_PLACE, _placed()),
            ("order.OrderService/GetOrder", {"order_id": "FRESH"}),
            ("order.OrderService/WatchTimeline", {"order_id": "FRESH"}),
        )
    ),
    Called("another's name in the metadata", "order.OrderService/GetOrder", {"order_id": "FRESH"},
           _NOT_FOUND, "NOT_FOUND", who="stranger", metadata=(("x-oms-tenant", "demo"),)),
    Called("another's name without a key", "order.OrderService/GetOrder", {"order_id": "FRESH"},
           _UNKNOWN_CALLER, "UNAUTHENTICATED", who="", metadata=(("x-oms-tenant", "demo"),)),
    Called("no scope to write", _PLACE, _placed(), _DENIED, "PERMISSION_DENIED", who="reader"),
    Called("no scope for codes", "delivery.DeliveryService/GetPickupCode", {"group_id": "DONE.1"},
           _DENIED, "PERMISSION_DENIED", who="reader"),
    *(
        Called(f"foreign {method}", method, request, _NOT_FOUND, "NOT_FOUND", who="stranger")
        for method, request in (
            ("order.OrderService/GetOrder", {"order_id": "FRESH"}),
            ("order.OrderService/CancelOrder", {"request_id": "e", "order_id": "FRESH"}),
            ("order.OrderService/GetBasket", {"basket_id": "B1"}),
            ("picking.PickingService/GetTask", {"task_id": "CLAIMED.1"}),
            ("picking.PickingService/ClaimTask",
             {"request_id": "e", "task_id": "FRESH.1", "picker_id": "EVE"}),
            ("delivery.DeliveryService/GetPickupCode", {"group_id": "DONE.1"}),
            ("delivery.DeliveryService/HandOver",
             {"request_id": "e", "group_id": "DONE.1", "pickup_code": "123456"}),
            ("returns.ReturnsService/GetReturn", {"return_id": "R1"}),
            ("returns.ReturnsService/GetReturnable", {"order_id": "DONE"}),
            ("sourcing.SourcingService/GetDecision", {"decision_id": "{decision}"}),
            ("stock_ledger.StockLedgerService/GetReservation", {"reservation_id": "H1"}),
            ("stock_ledger.StockLedgerService/ReleaseReservation",
             {"request_id": "e", "reservation_id": "H1"}),
        )
    ),
]  # fmt: skip


async def _answered(
    scene: Scene, method: str, request: Any, metadata: tuple[tuple[str, str], ...]
) -> Any:
    """Call ``order.OrderService/GetOrder``; return the answer, of a stream the first."""
    service, _, name = method.partition("/")
    folder, _, service = service.partition(".")
    full_name = f"oms.{folder}.v1.{service}"
    pool: Any = descriptor_pool.Default()
    decode: Any = None
    if not isinstance(request, bytes):
        described = pool.FindServiceByName(full_name).methods_by_name[name]
        message = ParseDict(scene.filled(request), GetMessageClass(described.input_type)())
        request = message.SerializeToString()
        decode = GetMessageClass(described.output_type).FromString
    async with grpc.aio.insecure_channel(scene.system.grpc_address) as opened:
        channel: Any = opened  # the stubs want serialisers
        path = f"/{full_name}/{name}"
        if name.startswith("Watch"):
            answers = channel.unary_stream(path, response_deserializer=decode)
            return await anext(aiter(answers(request, metadata=metadata)))
        call = channel.unary_unary(path, response_deserializer=decode)
        return await call(request, metadata=metadata)


async def _refused(scene: Scene, called: Called) -> grpc.aio.AioRpcError:
    """Call; return the error it ends with, and fail when it does not."""
    metadata = called.metadata
    if called.who:
        metadata += (("authorization", f"Bearer {scene.keys[called.who]}"),)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _answered(scene, called.method, called.request, metadata)
    return refused.value


@pytest.mark.parametrize("called", CALLS, ids=[f"{c.what} {c.method}" for c in CALLS])
async def test_a_hostile_call_is_refused_clearly_and_changes_nothing(
    scene: Scene, called: Called
) -> None:
    before = await scene.recorded()
    refused = await _refused(scene, called)
    assert refused.code() is called.code, refused.details()
    assert refused.details()
    told = _details_of(refused)
    if called.reason:
        assert told[0].reason == called.reason
        assert told[0].metadata["correlation_id"]
    if called.field:
        assert called.field in told[1]
    assert await scene.recorded() == before


def _details_of(error: grpc.aio.AioRpcError) -> tuple[ErrorInfo, list[str]]:
    """Return the ErrorInfo and the fields that are violated."""
    info, fields = ErrorInfo(), BadRequest()
    trailing: Any = error.trailing_metadata() or ()
    for name, value in trailing:
        if name == "grpc-status-details-bin":
            for detail in Status.FromString(value).details:
                detail.Unpack(info)
                detail.Unpack(fields)
    return info, [violation.field for violation in fields.field_violations]


async def test_a_call_without_a_deadline_is_given_one(scene: Scene) -> None:
    mine = (("authorization", f"Bearer {scene.keys['shop']}"),)
    answer = await _answered(scene, "order.OrderService/GetOrder", {"order_id": "FRESH"}, mine)
    assert answer.order.order_id == "FRESH"


async def test_a_replayed_key_gives_the_same_answer_and_never_another(scene: Scene) -> None:
    api = scene.api()
    body = _order_of("REPLAYED")
    first = await api.post("/v1/orders", body, key="replay")
    assert first.status_code == 201
    before = await scene.settled()
    again = await api.post("/v1/orders", body, key="replay")
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    other = await api.post("/v1/orders", _order_of("REPLAYED-2"), key="replay")
    assert other.status_code == 422
    _assert_tells(other, "IDEMPOTENCY_MISMATCH", "key")
    # The same key of another tenant is another key: it neither clashes nor tells anything.
    theirs = await scene.api("stranger").post("/v1/orders", {"order_id": "X"}, key="replay")
    assert theirs.status_code == 400
    assert await scene.settled() == before


async def test_two_tenants_may_use_the_same_ids(scene: Scene) -> None:
    placed = await scene.api("stranger").place("FRESH", [("P1", 1)], choice=COLLECT_AT_S1)
    assert placed.status_code == 201, placed.text
    theirs = await scene.api("stranger").get("/v1/orders/FRESH")
    ours = await scene.api().get("/v1/orders/FRESH")
    assert (len(theirs["lines"]), len(ours["lines"])) == (1, 2)
    listed = await scene.api("stranger").get("/v1/orders")
    assert [order["order_id"] for order in listed["orders"]] == ["FRESH"]


async def test_lists_show_nothing_of_another_tenant(scene: Scene) -> None:
    api = scene.api("stranger")
    for path, rows in (
        ("/v1/orders?customer_id=C1", "orders"),
        ("/v1/handovers?site_id=S1", "handovers"),
        ("/v1/shipments?site_id=S1", "shipments"),
        ("/v1/returns?order_id=DONE", "returns"),
        ("/v1/returns?site_id=S1", "returns"),
        ("/v1/tasks?site_id=S1", "tasks"),
        ("/v1/reservations?site_id=S1", "lines"),
        ("/v1/orders/DONE/messages", "messages"),
        ("/v1/webhooks", "webhooks"),
    ):
        answer = await api.client.get(path)
        if answer.status_code != 404:
            shown = answer.json()[rows]
            assert [row for row in shown if _is_the_shops(row)] == [], path
    stock = await api.get("/v1/stock", site_id="S1", sku="P6")
    assert [level["free"] for level in stock["levels"]] == [5]


def _is_the_shops(row: Mapping[str, Any]) -> bool:
    text = json.dumps(row)
    return any(f'"{name}' in text for name in ("CLAIMED", "DONE", "SHIPPED", "H1", "R1"))


async def test_bad_rows_of_a_batch_are_told_and_the_good_ones_kept(scene: Scene) -> None:
    api = scene.api()
    [before] = (await api.get("/v1/stock", site_id="S1", sku="P6"))["levels"]
    rows = [
        _row(sku="P6", quantity=7, source_id="good-1"),
        _row(sku="P6", quantity=0, source_id="bad-zero"),
        _row(sku="P6", quantity=-5, source_id="bad-negative"),
        _row(sku="P6", quantity=2**63 - 1, source_id="bad-huge"),
        _row(sku="../../x", source_id="bad-sku"),
        _row(sku="P6", site_id="", source_id="bad-site"),
        _row(sku="P6", source_id=""),
        _row(sku="P6", quantity=2, source_id="good-2"),
        _row(sku="P6", quantity=7, source_id="good-1"),
    ]
    told = await api.done("/v1/stock/movements:batch", {"kind": "receive", "rows": rows})
    statuses = [row["status"] for row in told["results"]]
    assert len(statuses) == len(rows)
    for number in (1, 2, 3, 4, 5, 6):
        assert told["results"][number]["detail"], statuses
        assert statuses[number] not in (statuses[0], "applied", "recorded"), statuses
    after = before
    for _ in range(50):  # balances are shown a moment after they are posted
        [after] = (await api.get("/v1/stock", site_id="S1", sku="P6"))["levels"]
        if after["free"] != before["free"]:
            break
        await asyncio.sleep(0.1)
    assert after["free"] == before["free"] + 9
    huge = _row(sku="P6", quantity=2**63)
    refused = await api.post("/v1/stock/movements:batch", {"kind": "receive", "rows": [huge]})
    assert refused.status_code == 400


async def test_guessing_pickup_codes_is_locked_out(scene: Scene) -> None:
    api = scene.api()
    placed = await api.place("GUESSED", [("P5", 1)], choice=COLLECT_AT_S1)
    assert placed.status_code == 201
    await _pick_all(api, "GUESSED")
    group = "/v1/groups/GUESSED.1"
    code = (await api.get(f"{group}/pickup-code"))["pickup_code"]
    early = await api.post(f"{group}:handover", {"pickup_code": code})
    assert early.status_code == 409, "the goods do not stand ready yet"
    await api.done(f"{group}:ready")
    reasons = []
    for guess in range(30):
        wrong = f"{(int(code) + 1 + guess) % 10 ** len(code):0{len(code)}d}"
        answer = await api.post(f"{group}:handover", {"pickup_code": wrong}, key=f"guess-{guess}")
        assert answer.status_code in (409, 429), answer.text
        assert code not in answer.text
        reasons.append(answer.json()["reason"])
    assert len(set(reasons)) == 2, reasons
    assert reasons.index(reasons[-1]) <= 10, "locked after a few guesses"
    right = await api.post(f"{group}:handover", {"pickup_code": code}, key="right")
    assert right.status_code == 409, "a lock holds for the right code too"
    assert right.json()["reason"] == reasons[-1]
    order = await api.get("/v1/orders/GUESSED")
    assert order["status"] == "accepted"


async def test_raw_bytes_get_no_more_than_a_refusal(scene: Scene) -> None:
    before = await scene.settled()
    key = scene.keys["shop"]
    host = f"Host: x\r\nAuthorization: Bearer {key}\r\n"
    for sent in (
        b"GET /v1/orders HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 64,
        f"GET /v1/orders/a\0b HTTP/1.1\r\n{host}\r\n".encode(),
        (
            f"POST /v1/orders HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{{}}"
        ).encode(),
        f"POST /v1/orders HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n".encode(),
        f"POST /v1/orders HTTP/1.1\r\n{host}Content-Length: 9999999999\r\n\r\n".encode(),
        f"GET /v1/orders HTTP/1.1\r\n{host}X: {'x' * 200_000}\r\n\r\n".encode(),
        f"GET /v1/orders HTTP/1.1\r\n{host}A\0: b\r\n\r\n".encode(),
    ):
        answer = await _raw(scene, sent)
        if answer:  # else the connection was closed without a word
            status = int(answer.split()[1])
            assert 400 <= status < 500, answer[:300]
    assert await scene.settled() == before


async def test_a_head_that_is_too_large_or_never_ends_is_cut_off(scene: Scene) -> None:
    head = f"GET /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {scene.keys['shop']}\r\n"
    for noise in (
        f"X: {'x' * 40_000}\r\n\r\n",
        f"X: {'x' * 400_000}",
        "".join(f"X-{n}: {n}\r\n" for n in range(40_000)),
    ):
        answer = await _raw(scene, (head + noise).encode())
        assert answer.startswith(b"HTTP/1.1 431"), answer[:300]
        assert b"application/problem+json" in answer


async def test_a_chunked_flood_is_cut_off(scene: Scene) -> None:
    flood = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    head = (
        f"POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {scene.keys['shop']}\r\n"
        "Content-Type: application/json\r\nIdempotency-Key: flood\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    answer = await _raw(scene, head.encode() + flood * 5 + b"0\r\n\r\n")
    assert answer.split()[1] == b"413"


async def test_headers_cannot_be_injected_through_what_is_echoed(scene: Scene) -> None:
    evil = "a%0d%0aSet-Cookie:x=1"
    async with httpx.AsyncClient(base_url=scene.system.address) as client:
        answer = await client.get(
            f"/v1/orders/{evil}",
            headers={
                "Authorization": f"Bearer {scene.keys['shop']}",
                "X-Correlation-Id": "evil id; Set-Cookie: x=1",
                "traceparent": "00-evil",
            },
        )
    assert answer.status_code in (400, 404)
    assert "set-cookie" not in answer.headers
    assert "evil id" not in answer.text
    assert answer.json()["correlation_id"]
    assert "trace_id" not in answer.json()


async def test_pages_of_orders_open_with_their_signature_only(scene: Scene) -> None:
    order = await scene.api().get("/v1/orders/FRESH")
    page = order["tracking_url"]
    async with httpx.AsyncClient(base_url=scene.system.address) as client:
        assert (await client.get(page)).status_code == 200
        last = page[-1]
        forged = page[:-1] + ("A" if last != "A" else "B")
        for path in (forged, page[: len(page) // 2], page + "x", page.replace("FRESH", "DONE")):
            if path != page:
                answer = await client.get(path)
                assert answer.status_code in (400, 403, 404), path
                assert "FRESH" not in answer.text


async def test_after_all_this_every_invariant_holds(scene: Scene) -> None:
    await scene.settled()
    code, said = await scene.system.oms("verify")
    assert code == 0, said


async def _pick_all(api: Any, order_id: str) -> None:
    async def released() -> bool:
        return bool((await api.client.get(f"/v1/tasks/{order_id}.1")).is_success)

    await eventually(released)
    await api.done(f"/v1/tasks/{order_id}.1:claim", {"picker_id": "ANNE"})
    task = await api.get(f"/v1/tasks/{order_id}.1")
    for line in task["lines"]:
        await api.done(
            f"/v1/tasks/{order_id}.1/lines/{line['line_id']}:pick",
            {"picker_id": "ANNE", "quantity": line["ordered_quantity"]},
        )

    async def expected() -> bool:
        return bool((await api.client.get(f"/v1/groups/{order_id}.1/handover")).is_success)

    await eventually(expected)


async def _raw(scene: Scene, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.system.http_port)
    try:
        async with asyncio.timeout(10):
            writer.write(sent)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            return await reader.read(65_536)
    except (ConnectionError, TimeoutError):
        return b""
    finally:
        writer.close()
