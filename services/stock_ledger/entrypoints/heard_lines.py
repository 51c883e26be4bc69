"""What the subscribers of the ledger share: lines of groups, and whether a message is ours."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from oms.common.v1.common_pb2 import GroupLine
from oms.order.v1.order_events_pb2 import Group

from services.kernel.application.feeds import Envelope
from services.kernel.application.work import Work
from services.stock_ledger.application.endangered import watch
from services.stock_ledger.application.not_ahead import movement_by
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.stock_commands import Movement
from services.stock_ledger.domain.stock_item import STOCK, stock_key

type Batch[M] = Sequence[tuple[M, Envelope]]


def is_ours(envelope: Envelope, work: Work) -> bool:
    """Say whether a bulk read may include it: it reads for one tenant, others are read singly."""
    return envelope.tenant == work.cause.tenant


def lines_of(groups: Iterable[Group]) -> list[Line]:
    return [
        Line(group.source_site_id, line.sku, line.quantity)
        for group in groups
        for line in group.lines
    ]


def by_sku(lines: Iterable[GroupLine]) -> dict[str, int]:
    quantities: dict[str, int] = defaultdict(int)
    for line in lines:
        if line.quantity:
            quantities[line.sku] += line.quantity
    return quantities


def keys_of(site_id: str, lines: Iterable[GroupLine]) -> set[str]:
    return {stock_key(site_id, line.sku) for line in lines}


async def post(work: Work, key: str, movement: Movement) -> None:
    """Post what may take free below zero, or bring it back."""
    entries = await work.handle(STOCK, key, movement_by(movement, work.now))
    await watch(work, {key: entries})
