"""What the stock and ledger pages show: products by site, and every entry with its two clocks."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from oms.catalog.v1 import catalog_events_pb2 as catalog
from oms.common.v1 import common_pb2 as common
from oms.stock_ledger.v1 import promise_service_pb2 as promise
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as ledger

from services.gateway.entrypoints.pages.order_page import Reader
from services.gateway.entrypoints.pages.stock_texts import STOCK_TEXTS, account_name, cause_name
from services.gateway.entrypoints.pages.texts import level, product_name

_WIDTH, _HEIGHT = 120, 28
_CONFIDENCES = {
    promise.CONFIDENCE_HIGH: "high",
    promise.CONFIDENCE_MEDIUM: "medium",
    promise.CONFIDENCE_LOW: "low",
}
MOST_WATCHED = 500
_LONGEST_QUERY = 24_000  # the gateway takes 32 KiB of address and headers

type Products = Mapping[str, catalog.Product]  # by sku; the catalog may not have told of all


def board(
    found: promise.GetStockBoardResponse,
    base: str,
    asked: Mapping[str, str],
    reader: Reader,
    known: Products,
) -> dict[str, Any]:
    """Return what the template of the stock page needs.

    Args:
        found: The page of products.
        base: Address of the stock pages of this tenant.
        asked: What was sought: ``q``, ``site_id``.
        reader: Who reads it.
        known: Says what each product is called and in which unit it is counted.
    """
    products = [
        {
            "sku": one.sku,
            "name": _name(known.get(one.sku), reader) or one.name or one.sku,
            "rows": [_row(row, base, reader, _unit(one.sku, known)) for row in one.rows],
        }
        for one in found.products
    ]
    pairs = [(row.promise.site_id, row.promise.sku) for one in found.products for row in one.rows]
    following = ""
    if found.next_page_token:
        query = {**asked, "page_token": found.next_page_token, "lang": reader.language}
        following = f"{base}?{urlencode(query)}"
    return {
        "products": products,
        "following": following,
        "asked": asked,
        "base": base,
        "stream": _stream(base, pairs),
        "query": urlencode({name: text for name, text in asked.items() if text}),
    }


def _stream(base: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Return the address that tells when one of these pairs changes; empty when there is none."""
    watched = [urlencode({"pair": f"{site}|{sku}"}) for site, sku in pairs[:MOST_WATCHED]]
    while sum(map(len, watched)) + len(watched) > _LONGEST_QUERY:
        watched.pop()  # the last ones change unseen until the page is read again
    query = "&".join(watched)
    return f"{base}/stream?{query}" if pairs else ""


def _name(product: catalog.Product | None, reader: Reader) -> str:
    return product_name(product, reader.language) if product is not None else ""


def _unit(sku: str, known: Products) -> int:
    product = known.get(sku)
    return product.unit if product is not None else common.UNIT_PIECE


def _row(row: promise.StockBoardRow, base: str, reader: Reader, unit: int) -> dict[str, Any]:
    one = row.promise
    pair = urlencode({"site_id": one.site_id, "sku": one.sku, "lang": reader.language})
    days = list(row.on_hand_by_day)
    text = STOCK_TEXTS[reader.language]

    def told(base_units: int) -> str:
        return level(base_units, unit, reader.language)

    return {
        "site_id": one.site_id,
        "on_hand": told(one.on_hand),
        "reserved": told(one.reserved),
        "available": told(max(one.available_to_promise - one.inbound, 0)),
        "inbound": told(one.inbound),
        "at": reader.time(one.updated_at) if one.HasField("updated_at") else None,
        "confidence": _CONFIDENCES.get(one.confidence, "low"),
        "ledger": f"{base}/ledger?{pair}",
        "points": points(days),
        "trend": text["trend_of"].format(
            first=told(days[0] if days else 0), last=told(one.on_hand)
        ),
    }


def points(days: Sequence[int]) -> str:
    """Return the line through the days, in a box of 120 by 28, zero at its foot.

    >>> points([0, 5, 10])
    '0.0,27.0 60.0,14.0 120.0,1.0'
    """
    low, high = min([0, *days]), max([1, *days])
    step = _WIDTH / max(len(days) - 1, 1)
    scale = (_HEIGHT - 2) / (high - low)
    return " ".join(
        f"{n * step:.1f},{_HEIGHT - 1 - (level - low) * scale:.1f}" for n, level in enumerate(days)
    )


def entries(
    found: ledger.ListEntriesResponse,
    base: str,
    asked: Mapping[str, str],
    reader: Reader,
    known: Products,
) -> dict[str, Any]:
    """Return what the template of the ledger page needs.

    Args:
        found: A page of entries, newest first.
        base: Address of the stock pages of this tenant.
        asked: ``site_id``, ``sku``, ``cause``, ``as_of``, ``known_at``; the last two as typed.
        reader: Who reads it.
        known: Says what the product is called and in which unit it is counted.
    """
    causes = sorted({one.cause for one in found.entries} | ({asked["cause"]} - {""}))
    following = ""
    if found.next_page_token:
        query = {**asked, "page_token": found.next_page_token, "lang": reader.language}
        following = f"{base}/ledger?{urlencode(query)}"
    text = STOCK_TEXTS[reader.language]
    product = known.get(asked["sku"])
    unit = _unit(asked["sku"], known)
    is_past = bool(asked["as_of"] or asked["known_at"])
    return {
        "entries": [
            _entry(one, reader, unit) for one in found.entries if asked["cause"] in ("", one.cause)
        ],
        "causes": [(one, cause_name(one, reader.language)) for one in causes],
        "asked": asked,
        "base": base,
        "following": following,
        "stream": "" if is_past else _stream(base, [(asked["site_id"], asked["sku"])]),
        "headline": text["ledger_of"].format(sku=asked["sku"], site=asked["site_id"]),
        "product": _name(product, reader),
        "zone": text["zone"].format(zone=reader.zone.key),
        "query": urlencode({name: text for name, text in asked.items() if text}),
    }


def _entry(one: ledger.Entry, reader: Reader, unit: int) -> dict[str, Any]:
    def told(base_units: int) -> str:
        return level(base_units, unit, reader.language)

    return {
        "version": one.version,
        "cause": cause_name(one.cause, reader.language),
        "postings": [
            (
                account_name(posting.account, reader.language),
                f"{'+' if posting.quantity > 0 else ''}{told(posting.quantity)}",
            )
            for posting in one.postings
        ],
        "source": one.reservation_id or one.source_id,
        "occurred": reader.time(one.occurred_at),
        "recorded": reader.time(one.recorded_at),
        "is_late": one.recorded_at.seconds - one.occurred_at.seconds > _LATE_S,
        "free_after": told(one.free_after),
        "on_hand_after": told(one.on_hand_after),
    }


_LATE_S = 60
