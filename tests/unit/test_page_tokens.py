"""Page tokens come back from callers, so whatever is not one of ours is told, never believed."""

import base64
import json
from collections.abc import Callable

import pytest

from services.catalog.entrypoints import requests as catalog
from services.delivery.entrypoints import grpc_server as delivery
from services.kernel.domain.errors import Invalid
from services.notification.entrypoints import grpc_server as notification
from services.order.entrypoints import requests as order
from services.picking.entrypoints import requests as picking
from services.returns.entrypoints import grpc_server as returns
from services.stock_ledger.entrypoints import translation as stock_ledger

READERS: dict[str, Callable[[str], object]] = {
    "catalog": catalog.after_of,
    "delivery": delivery._position,
    "notification, messages": notification._from_token,
    "notification, deliveries": notification._moment_of,
    "order": order.cursor_of,
    "picking": picking.position_of,
    "returns": returns._from_token,
    "stock ledger, by one id": stock_ledger.page_start,
    "stock ledger, by two": lambda token: stock_ledger.page_start(token, 2),
}


def _token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode()


RUBBISH = {
    "no base64": "%%%",
    "half a byte": "A",
    "not ASCII": "é",
    "a surrogate": _token("\ud800"),
    "a zero byte": _token("a\0b"),
    "two zero bytes": _token("a\0b|c\0d"),
    "longer than any id": _token("1" * 5_000),
    "a quote": _token("x|' OR 1=1 --"),
    "deeply nested": _token("[" * 200_000),
    "before the first year": _token("0001-01-01T00:00:00+23:59|' "),
    "a time without zone": _token("2026-01-01T00:00:00|' "),
    "JSON before the first year": _token(json.dumps(["0001-01-01T00:00:00+23:59", "O1"])),
    "JSON of another shape": _token('{"a": 1}'),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("rubbish", RUBBISH)
def test_a_token_that_is_not_ours_is_told(reader: str, rubbish: str) -> None:
    with pytest.raises(Invalid) as refused:
        READERS[reader](RUBBISH[rubbish])
    assert refused.value.violations[0][0] == "page_token"


@pytest.mark.parametrize("read", [notification._moment_of, returns._from_token])
def test_a_time_that_no_database_holds_is_told(read: Callable[[str], object]) -> None:
    with pytest.raises(Invalid):
        read(_token("0001-01-01T00:00:00+23:59|R1"))
