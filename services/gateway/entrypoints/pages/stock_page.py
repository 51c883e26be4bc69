"""What the stock and ledger pages show: products by site, and every entry with its two clocks."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from oms.stock_ledger.v1 import promise_service_pb2 as promise
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as ledger

from services.gateway.entrypoints.pages.order_page import Reader
from services.gateway.entrypoints.pages.stock_texts import STOCK_TEXTS, account_name, cause_name

_WIDTH, _HEIGHT = 120, 28
_CONFIDENCES = {
    promise.CONFIDENCE_HIGH: "high",
    promise.CONFIDENCE_MEDIUM: "medium",
    promise.CONFIDENCE_LOW: "low",
}
MOST_WATCHED = 500


def board(
    found: promise.GetStockBoardResponse, base: str, asked: Mapping[str, str], reader: Reader
) -> dict[str, Any]:
    """Return what the template of the stock page needs.

    Args:
        found: The page of products.
        base: Address of the stock pages of this tenant.
        asked: What was sought: ``q``, ``site_id``.
        reader: Who reads it.
    """
    products = [
        {
            "sku": one.sku,
            "name": one.name or one.sku,
            "rows": [_row(row, base, reader) for row in one.rows],
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
    query = urlencode([("pair", f"{site}|{sku}") for site, sku in pairs[:MOST_WATCHED]])
    return f"{base}/stream?{query}" if pairs else ""


def _row(row: promise.StockBoardRow, base: str, reader: Reader) -> dict[str, Any]:
    one = row.promise
    pair = urlencode({"site_id": one.site_id, "sku": one.sku, "lang": reader.language})
    days = list(row.on_hand_by_day)
    text = STOCK_TEXTS[reader.language]
    return {
        "site_id": one.site_id,
        "on_hand": one.on_hand,
        "reserved": one.reserved,
        "available": max(one.available_to_promise - one.inbound, 0),
        "inbound": one.inbound,
        "at": reader.time(one.updated_at) if one.HasField("updated_at") else None,
        "confidence": _CONFIDENCES.get(one.confidence, "low"),
        "ledger": f"{base}/ledger?{pair}",
        "points": points(days),
        "trend": text["trend_of"].format(first=days[0] if days else 0, last=one.on_hand),
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
    found: ledger.ListEntriesResponse, base: str, asked: Mapping[str, str], reader: Reader
) -> dict[str, Any]:
    """Return what the template of the ledger page needs.

    Args:
        found: A page of entries, newest first.
        base: Address of the stock pages of this tenant.
        asked: ``site_id``, ``sku``, ``cause``, ``as_of``, ``known_at``; the last two as typed.
        reader: Who reads it.
    """
    causes = sorted({one.cause for one in found.entries} | ({asked["cause"]} - {""}))
    following = ""
    if found.next_page_token:
        query = {**asked, "page_token": found.next_page_token, "lang": reader.language}
        following = f"{base}/ledger?{urlencode(query)}"
    text = STOCK_TEXTS[reader.language]
    is_past = bool(asked["as_of"] or asked["known_at"])
    return {
        "entries": [
            _entry(one, reader) for one in found.entries if asked["cause"] in ("", one.cause)
        ],
        "causes": [(one, cause_name(one, reader.language)) for one in causes],
        "asked": asked,
        "base": base,
        "following": following,
        "stream": "" if is_past else _stream(base, [(asked["site_id"], asked["sku"])]),
        "headline": text["ledger_of"].format(sku=asked["sku"], site=asked["site_id"]),
        "zone": text["zone"].format(zone=reader.zone.key),
        "query": urlencode({name: text for name, text in asked.items() if text}),
    }


def _entry(one: ledger.Entry, reader: Reader) -> dict[str, Any]:
    return {
        "version": one.version,
        "cause": cause_name(one.cause, reader.language),
        "postings": [
            (account_name(posting.account, reader.language), f"{posting.quantity:+d}")
            for posting in one.postings
        ],
        "source": one.reservation_id or one.source_id,
        "occurred": reader.time(one.occurred_at),
        "recorded": reader.time(one.recorded_at),
        "is_late": one.recorded_at.seconds - one.occurred_at.seconds > _LATE_S,
        "free_after": one.free_after,
        "on_hand_after": one.on_hand_after,
    }


_LATE_S = 60
