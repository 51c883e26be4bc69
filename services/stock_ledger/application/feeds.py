"""Posting the rows of a feed: many rows of one cause on one stock item in one entry."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from services.kernel.application.work import Work
from services.kernel.domain.errors import NotFound, Rejected
from services.stock_ledger.application.endangered import watch
from services.stock_ledger.application.giving_back import surely
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.application.loading import load_reserved
from services.stock_ledger.application.not_ahead import movement_by, post_by
from services.stock_ledger.application.rules import expect
from services.stock_ledger.application.sent_again import begin_again, begin_anew, counted_by
from services.stock_ledger.domain.entry import FREE, Cause, EntryPosted, Report
from services.stock_ledger.domain.inbound import Announce, Arrive
from services.stock_ledger.domain.postings import Post
from services.stock_ledger.domain.reservation import Line, Reservation, Status, summed
from services.stock_ledger.domain.stock_item import (
    STOCK,
    Movement,
    Refusal,
    StockItem,
    sort_out,
    stock_key,
)


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


@dataclass(frozen=True, slots=True)
class Step:
    """A row that is an entry of its own, or several in turn: all of them, or none."""

    index: int
    key: str
    commands: tuple[Movement, ...]
    inbound: Inbound | None = None


class Action(StrEnum):
    RESERVE = "reserve"
    CONFIRM = "confirm"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Asked:
    """A row of a reservation; site, product and quantity count for RESERVE only."""

    index: int
    reservation_id: str
    action: Action
    line: Line
    hold_seconds: int = 0


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
    notices = [row.inbound for row in rows if row.inbound and row.index not in refused]
    if notices:
        await expect(work, [(notice.key, notice.says) for notice in notices])
    return posted


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
    known = sort_out(command, before)
    for row in told:
        source_id = row.report.source_id
        if source_id in counted:
            counted.discard(source_id)  # the first of this id; others repeat it
            posted.recorded += 1
        elif (source_id, row.report.quantity) in known.mismatched:
            posted.refuse([row.index], _another_movement(source_id))
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


async def post_reservations(
    work: Work, rows: Sequence[Asked], reservations: Reservations
) -> Posted:
    """Carry out what is asked of reservations, in the order of their first rows."""
    await load_reserved(work, {row.reservation_id for row in rows})
    await work.load(
        STOCK,
        {stock_key(row.line.site_id, row.line.sku) for row in rows if row.action is Action.RESERVE},
    )
    posted = Posted()
    together: dict[tuple[str, Action], list[Asked]] = {}
    for row in rows:
        together.setdefault((row.reservation_id, row.action), []).append(row)
    begin_anew(
        work,
        {
            key: _is_done(await surely(work, key[0]), key[1], asked)
            for key, asked in together.items()
        },
    )
    for (reservation_id, action), asked in together.items():
        try:
            has_changed = await _carry_out(work, reservations, reservation_id, action, asked)
        except (Rejected, NotFound) as refusal:
            posted.refuse([row.index for row in asked], refusal)
            continue
        posted.recorded += len(asked) * has_changed
        posted.duplicates += len(asked) * (not has_changed)
    return posted


async def _carry_out(
    work: Work,
    reservations: Reservations,
    reservation_id: str,
    action: Action,
    asked: Sequence[Asked],
) -> bool:
    """Return whether it changed anything."""
    known = await surely(work, reservation_id)
    if _is_done(known, action, asked):
        return False
    match action:
        case Action.RESERVE:
            lines = [row.line for row in asked]
            seconds = max(row.hold_seconds for row in asked)
            hold_for = timedelta(seconds=seconds) if seconds else None
            await reservations.reserve(work, reservation_id, lines, hold_for)
        case Action.CONFIRM:
            await reservations.confirm(work, reservation_id, refuse=True)
        case Action.RELEASE:
            await reservations.release(work, reservation_id)
    return (await surely(work, reservation_id)).status is not known.status


def _is_done(known: Reservation, action: Action, asked: Sequence[Asked]) -> bool:
    """Say whether this was carried out before, whatever became of the reservation since."""
    match action:
        case Action.RESERVE:
            lines = [row.line for row in asked]
            return known.status is not Status.NEW and summed(lines) == summed(known.asked)
        case Action.CONFIRM:
            return known.status is Status.CONFIRMED
        case Action.RELEASE:
            return known.status is Status.RELEASED
