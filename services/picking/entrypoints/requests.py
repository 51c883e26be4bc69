"""Requests in: every field is checked here, and nothing unchecked goes further."""

import base64
import binascii
from collections.abc import Sequence

from oms.picking.v1 import picking_events_pb2 as events
from oms.picking.v1 import picking_service_pb2 as wire

from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.picking.domain.pick_task_commands import Pick, Short
from services.picking.domain.pick_task_events import ShortReason

MAX_ACTIONS = 500
MAX_QUANTITY = 1_000_000_000
MAX_PAGE = 200
DEFAULT_PAGE = 50

_REASONS = {
    events.SHORT_REASON_NOT_FOUND: ShortReason.NOT_FOUND,
    events.SHORT_REASON_DAMAGED: ShortReason.DAMAGED,
}


def actions_of(
    request: wire.PickLineRequest | wire.ShortLineRequest | wire.PickLinesRequest,
    picks: Sequence[wire.LinePick],
    shorts: Sequence[wire.LineShort],
) -> tuple[Pick | Short, ...]:
    """Return what a picker did; a single action is named in errors as the request names it."""
    actions: list[Pick | Short] = []
    for index, pick in enumerate(picks):
        field = f"picks[{index}]" if isinstance(request, wire.PickLinesRequest) else "pick"
        actions.append(
            Pick(
                identifier(pick.action_id, f"{field}.action_id"),
                identifier(pick.line_id, f"{field}.line_id"),
                quantity_of(pick.quantity, f"{field}.quantity"),
            )
        )
    for index, short in enumerate(shorts):
        field = f"shorts[{index}]" if isinstance(request, wire.PickLinesRequest) else "short"
        reason = _REASONS.get(short.reason)
        if reason is None:
            raise Invalid((f"{field}.reason", "must be NOT_FOUND or DAMAGED"))
        actions.append(
            Short(
                identifier(short.action_id, f"{field}.action_id"),
                identifier(short.line_id, f"{field}.line_id"),
                quantity_of(short.quantity, f"{field}.quantity"),
                reason,
            )
        )
    return tuple(actions)


def page_size_of(size: int) -> int:
    if not 0 <= size <= MAX_PAGE:
        raise Invalid(("page_size", f"must be 0 (for {DEFAULT_PAGE}) to {MAX_PAGE}"))
    return size or DEFAULT_PAGE


def quantity_of(quantity: int, field: str) -> int:
    if not 1 <= quantity <= MAX_QUANTITY:
        raise Invalid((field, f"must be 1 to {MAX_QUANTITY}"))
    return quantity


def token_of(position: int) -> str:
    return base64.urlsafe_b64encode(position.to_bytes(8)).decode().rstrip("=")


def position_of(token: str) -> int:
    if not token:
        return 0
    try:
        raw = base64.b64decode(f"{token}=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 8 or raw[0] > 127:  # noqa: PLR2004 - eight bytes, a positive bigint
        raise Invalid(("page_token", "must be the next_page_token of an earlier page"))
    return int.from_bytes(raw)
