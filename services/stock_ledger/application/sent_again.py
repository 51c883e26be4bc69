"""A call that comes again, of which rows that were refused have become possible meanwhile.

Ids of events follow from the id of the command, so what such a call records now must not take the
ids of what it recorded then. The rows that are still to be counted tell one time from the next:
whatever is recorded is not among them again. A call none of whose rows is known keeps its own id,
so that an id used for another call is still refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain

from services.kernel.application.work import Work
from services.kernel.domain.ids import derive
from services.stock_ledger.domain.postings import Post
from services.stock_ledger.domain.stock_commands import Movement, Observe
from services.stock_ledger.domain.stock_entries import expect_same_time
from services.stock_ledger.domain.stock_item import STOCK


def counted_by(movement: Movement) -> str:
    """Return the source id that the stock item knows once all of the movement is counted."""
    return movement.reports[-1].source_id if isinstance(movement, Post) else movement.source_id


async def expect_same(
    work: Work, key: str, told: Movement | Observe, also: Sequence[datetime] = ()
) -> None:
    """Refuse what is known by its id, and is told of another time than it was counted as of."""
    item = (await work.state(STOCK, key)).state
    for one in told.reports if isinstance(told, Post) else (told,):
        expect_same_time(item, one.source_id, one.occurred_at, also)


async def begin_again(work: Work, rows: Sequence[tuple[str, str]]) -> None:
    """Begin under an id of its own if some of the rows are counted already, and others not.

    Args:
        work: The unit; the stock items are at hand.
        rows: Of each row the stock key and the source id, by which it is known once counted.
    """
    counted = {key: (await work.state(STOCK, key)).state.sources for key in {k for k, _ in rows}}
    begin_anew(work, {row: counted[row[0]].get(row[1]) is not None for row in rows})


def begin_anew(work: Work, rows: Mapping[tuple[str, ...], bool]) -> None:
    """Begin under an id of its own if some rows have had their effect, and others not.

    Args:
        work: The unit.
        rows: By what tells a row from the others: whether it has had its effect.
    """
    fresh = [row for row, is_done in rows.items() if not is_done]
    if fresh and len(fresh) < len(rows):
        cause = work.cause
        command_id = f"{cause.command_id}~{derive(*chain.from_iterable(fresh))}"
        work.begin(replace(cause, command_id=command_id, causation_id=cause.command_id))
