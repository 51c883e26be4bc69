"""Books that go below zero and come back: noted in the unit of work whose entries do it."""

from collections.abc import Mapping, Sequence

from services.kernel.application.work import Work
from services.stock_ledger.domain.discrepancy import DISCREPANCY, lacking, noticed
from services.stock_ledger.domain.entry import EntryPosted


async def note(work: Work, posted: Mapping[str, Sequence[EntryPosted]]) -> dict[str, int]:
    """Open and close the discrepancies that these entries lead to.

    Args:
        work: The unit that posted them.
        posted: By stock key, in their order.

    Returns:
        What lacks now, in base units, where free went below zero or further below.
    """
    found = {key: noticed(entries) for key, entries in posted.items() if entries}
    moved = {key: command for key, command in found.items() if command is not None}
    if moved:
        await work.load(DISCREPANCY, moved)
    for key, command in moved.items():
        await work.handle(DISCREPANCY, key, command)
    return {
        key: lacks for key, entries in posted.items() if entries and (lacks := lacking(entries))
    }
