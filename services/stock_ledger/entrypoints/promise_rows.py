"""Rows of PromiseService: rules, announced deliveries and promises, there and back."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from oms.stock_ledger.v1 import promise_service_pb2 as wire

from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.kernel.domain.text import is_text
from services.stock_ledger.domain.inbound import Announce, Expect
from services.stock_ledger.domain.stock_item import stock_key
from services.stock_ledger.domain.stock_rule import PutRule, RuleKind, Scope
from services.stock_ledger.entrypoints import translation as to
from services.stock_ledger.read_models.promises import Promise

_MOST_CATEGORIES = 10
_MOST_TEXT = 128
_KINDS = {
    wire.STOCK_RULE_KIND_SAFETY: RuleKind.SAFETY,
    wire.STOCK_RULE_KIND_BUFFER: RuleKind.BUFFER,
    wire.STOCK_RULE_KIND_RING_FENCE: RuleKind.RING_FENCE,
}
_KINDS_TOLD = {kind: number for number, kind in _KINDS.items()}


def pairs_of(asked: Sequence[wire.PromisePair], most: int) -> list[tuple[str, str]]:
    to.count(len(asked), most, "pairs")
    return [
        (identifier(pair.site_id, f"pairs[{n}].site_id"), identifier(pair.sku, f"pairs[{n}].sku"))
        for n, pair in enumerate(asked)
    ]


def channel_of(channel: str) -> str:
    return identifier(channel, "channel") if channel else ""


def until_of(request: Any, now: datetime) -> datetime:
    """Return the date asked for; not given or past, it is now."""
    if not request.HasField("until"):
        return now
    return max(_time(request.until, "until"), now)


def _time(stamp: Any, field: str) -> datetime:
    try:
        at: datetime = stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise Invalid((field, "must be a time of the years 1 to 9999")) from None
    return at


def rule_of(row: wire.StockRuleRow, field: str) -> PutRule:
    rule, field = row.rule, f"{field}.rule"
    kind = _KINDS.get(rule.kind)
    if kind is None:
        raise Invalid((f"{field}.kind", "must be one of the kinds of rules"))
    if (kind is RuleKind.SAFETY) == bool(rule.channel):
        raise Invalid(
            (f"{field}.channel", "must be given for buffers and ring-fences, and only for them")
        )
    if rule.sku and rule.category_path:
        raise Invalid((f"{field}.category_path", "must be empty where a product is given"))
    to.count(len(rule.category_path), _MOST_CATEGORIES, f"{field}.category_path", least=0)
    for n, level in enumerate(rule.category_path):
        if not (level.strip() and len(level) <= _MOST_TEXT and is_text(level)):
            raise Invalid(
                (f"{field}.category_path[{n}]", f"must be 1 to {_MOST_TEXT} printable characters")
            )
    if not 0 <= rule.quantity <= to.MOST_QUANTITY:
        raise Invalid((f"{field}.quantity", f"must be 0 to {to.MOST_QUANTITY}"))
    scope = Scope(
        kind,
        identifier(rule.channel, f"{field}.channel") if rule.channel else "",
        identifier(rule.site_id, f"{field}.site_id") if rule.site_id else "",
        tuple(rule.category_path),
        identifier(rule.sku, f"{field}.sku") if rule.sku else "",
    )
    return PutRule(scope, None if row.is_withdrawn else rule.quantity)


def rule_told(scope: Scope, quantity: int) -> wire.StockRule:
    return wire.StockRule(
        kind=_KINDS_TOLD[scope.kind],
        channel=scope.channel,
        site_id=scope.site_id,
        category_path=scope.category_path,
        sku=scope.sku,
        quantity=quantity,
    )


def delivery_of(row: wire.InboundRow, field: str) -> tuple[str, Expect | Announce]:
    if not (1 <= len(row.source_id) <= _MOST_TEXT and row.source_id.isprintable()):
        raise Invalid((f"{field}.source_id", f"must be 1 to {_MOST_TEXT} printable characters"))
    if not 0 <= row.quantity <= to.MOST_QUANTITY:
        raise Invalid((f"{field}.quantity", f"must be 0 to {to.MOST_QUANTITY}"))
    if not row.HasField("due_at"):
        raise Invalid((f"{field}.due_at", "must be given"))
    key = stock_key(
        identifier(row.site_id, f"{field}.site_id"), identifier(row.sku, f"{field}.sku")
    )
    due_at = _time(row.due_at, f"{field}.due_at")
    if not row.despatch_id:
        return key, Expect(row.source_id, row.quantity, due_at)
    if len(row.despatch_id) > _MOST_TEXT or not row.despatch_id.isprintable():
        raise Invalid(
            (f"{field}.despatch_id", f"must be at most {_MOST_TEXT} printable characters")
        )
    return key, Announce(row.despatch_id, row.source_id, row.quantity, due_at)


def promise_told(one: Promise) -> wire.Promise:
    return wire.Promise(
        site_id=one.site_id,
        sku=one.sku,
        on_hand=one.on_hand,
        free=one.free,
        safety=one.safety,
        inbound=one.inbound,
        available_to_promise=one.available_to_promise,
        buffer=one.buffer,
        ring_fenced=one.ring_fenced,
        available_to_sell=one.available_to_sell,
        confidence=wire.Confidence.ValueType(one.confidence),
        updated_at=to.timestamp(one.updated_at),
        seen_at=to.timestamp(one.seen_at),
        version=one.version,
        reserved=one.reserved,
    )
