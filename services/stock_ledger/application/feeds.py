"""Posting the rows of a feed: many rows of one cause on one stock item in one entry."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.kernel.application.work import Work
from services.kernel.domain.errors import NotFound, Rejected
from services.stock_ledger.application.endangered import watch
from services.stock_ledger.application.not_ahead import movement_by, post_by
from services.stock_ledger.application.rules import expect
from services.stock_ledger.application.sent_again import begin_again, counted_by, expect_same
from services.stock_ledger.domain.entry import FREE, Cause, EntryPosted, Report
from services.stock_ledger.domain.inbound import Announce, Arrive
from services.stock_ledger.domain.postings import Post
from services.stock_ledger.domain.stock_commands import Movement, Refusal
from services.stock_ledger.domain.stock_entries import expect_same_time
from services.stock_ledger.domain.stock_item import STOCK
from services.stock_ledger.domain.stock_reports import sort_out
from services.stock_ledger.domain.stock_state import StockItem


@dataclass(frozen=True, slots=True)
class Inbound:
    """What a row says of goods on their way: to which stock item they go or came."""

    key: str
    says: Announce | Arrive


@dataclass(slots=True)
class Told:
    """A row that may share an entry with others of its cause and bucket.

    Never changed once made; not frozen, because half a million are made per import.
    """

    index: int
    key: str
    cause: Cause
    report: Report
    bucket: str = FREE
    inbound: Inbound | None = None
    is_timeless: bool = False
    also: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A row that is an entry of its own, or several in turn: all of them, or none.

    Timeless: its source says no time, so it is of now. Also: the times that a repeat may have been
    told of.
    """

    index: int
    key: str
    commands: tuple[Movement, ...]
    inbound: Inbound | None = None
    is_timeless: bool = False
    also: tuple[datetime, ...] = ()


@dataclass(slots=True)
class Posted:
    """What became of the rows.

    Attributes:
        recorded: How many rows changed something.
        duplicates: How many were known.
        refused: Index, reason and detail of the others.
        entries: What was posted, by stock key.
    """

    recorded: int = 0
    duplicates: int = 0
    refused: list[tuple[int, str, str]] = field(default_factory=list[tuple[int, str, str]])
    entries: dict[str, list[EntryPosted]] = field(default_factory=dict[str, list[EntryPosted]])

    def refuse(self, rows: Iterable[int], why: Rejected | NotFound) -> None:
        if isinstance(why, Rejected):
            reason, detail = why.reason.value, why.detail
        else:
            reason, detail = "NOT_FOUND", f"{why}; reserve first"
        self.refused += [(index, reason, detail) for index in rows]

    def keep(self, key: str, entries: Sequence[EntryPosted]) -> None:
        if entries:
            self.entries.setdefault(key, []).extend(entries)


async def post(work: Work, rows: Sequence[Told | Step]) -> Posted:
    """Post rows; a refused one does not stop the rest, and is tried once more after them."""
    await work.load(STOCK, {row.key for row in rows})
    await begin_again(work, [(row.key, _counted_by(row)) for row in rows])
    known = {row.index for row in rows if row.inbound and await _is_counted(work, row)}
    posted = Posted()
    shared: dict[tuple[str, Cause, str], list[Told]] = {}
    for row in rows:
        if isinstance(row, Told):
            shared.setdefault((row.key, row.cause, row.bucket), []).append(row)
    for told in shared.values():
        await _post_together(work, posted, told)
    for row in rows:
        if isinstance(row, Step):
            await _post_in_turn(work, posted, row)
    await _try_again(work, posted, rows)
    await watch(work, posted.entries)
    refused = {index for index, _, _ in posted.refused}
    notices = [(row.index, row.inbound) for row in rows if row.inbound]
    notices = [(index, notice) for index, notice in notices if index not in refused]
    if notices:
        repeats = {place for place, (index, _) in enumerate(notices) if index in known}
        await expect(work, [(notice.key, notice.says) for _, notice in notices], repeats)
    return posted


async def _is_counted(work: Work, row: Told | Step) -> bool:
    sources = (await work.state(STOCK, row.key)).state.sources
    return sources.get(_counted_by(row)) is not None


def _counted_by(row: Told | Step) -> str:
    """Return the source id that the stock item knows once all of the row is counted."""
    if isinstance(row, Told):
        return row.report.source_id
    return counted_by(row.commands[-1])


async def _try_again(work: Work, posted: Posted, rows: Sequence[Told | Step]) -> None:
    """Try once more what was refused, where another row has since put there what it may need.

    Rows of one cause are posted before those of the next, whatever their order in the file.
    """
    refused = {index for index, _, _ in posted.refused}
    again = [row for row in rows if row.index in refused and row.key in posted.entries]
    tried = {row.index for row in again}
    posted.refused = [each for each in posted.refused if each[0] not in tried]
    for row in again:
        if isinstance(row, Told):
            await _post_together(work, posted, [row])
        else:
            await _post_in_turn(work, posted, row)


async def _post_together(work: Work, posted: Posted, told: Sequence[Told]) -> None:
    """Post rows of one stock item, cause and bucket."""
    first = told[0]
    key, reports = first.key, tuple([row.report for row in told])
    command = post_by(Post(first.cause, reports, first.bucket), work.now)
    before = (await work.state(STOCK, key)).state
    try:
        entries = await work.handle(STOCK, key, command)
    except Rejected as refusal:
        if len(told) == 1:
            posted.refuse([told[0].index], refusal)
            return
        for row in told:  # some of them may be possible
            await _post_together(work, posted, [row])
        return
    posted.keep(key, entries)
    counted = {one.source_id for one in entries if one.source_id}
    counted |= {report.source_id for one in entries for report in one.reports}
    if len(counted) == len(told):
        posted.recorded += len(told)
        return
    known, item = sort_out(command, before), (await work.state(STOCK, key)).state
    for row in told:
        source_id = row.report.source_id
        if source_id in counted:
            counted.discard(source_id)  # the first of this id; others repeat it
            posted.recorded += 1
        elif (source_id, row.report.quantity) in known.mismatched:
            posted.refuse([row.index], _another_movement(source_id))
        else:
            _keep_repeat(posted, row, item)


def _keep_repeat(posted: Posted, row: Told, item: StockItem) -> None:
    try:
        if not row.is_timeless:
            report = row.report
            expect_same_time(item, report.source_id, report.occurred_at, row.also)
    except Rejected as refusal:
        posted.refuse([row.index], refusal)
    else:
        posted.duplicates += 1


def _another_movement(source_id: str) -> Rejected:
    return Rejected(
        Refusal.IDEMPOTENCY_MISMATCH,
        f"source id {source_id} was used for another movement; send a new one",
    )


async def _post_in_turn(work: Work, posted: Posted, row: Step) -> None:
    commands = [movement_by(command, work.now) for command in row.commands]
    has_changed = False
    try:
        if len(commands) > 1:
            await _expect_all(work, row.key, commands)
        for command in commands:
            entries = await work.handle(STOCK, row.key, command)
            posted.keep(row.key, entries)
            has_changed |= bool(entries)
        if not has_changed and not row.is_timeless:
            for told in row.commands:
                await expect_same(work, row.key, told, row.also)
    except Rejected as refusal:
        posted.refuse([row.index], refusal)
        return
    posted.recorded += has_changed
    posted.duplicates += not has_changed


async def _expect_all(work: Work, key: str, commands: Sequence[Movement]) -> None:
    """Raise what is refused of these commands, one after the other, before any is posted."""
    try:
        _try_out(commands, (await work.state(STOCK, key)).state)
    except Rejected:
        await work.read_on(STOCK, [key])  # the state at hand may be behind the log
        _try_out(commands, (await work.state(STOCK, key)).state)


def _try_out(commands: Sequence[Movement], item: StockItem) -> None:
    for command in commands:
        for entry in STOCK.decider.decide(command, item):
            item = STOCK.decider.evolve(item, entry)
