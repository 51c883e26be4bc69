"""Books of one product at one site that cannot be right: facts took more than was free.

Stream  ``discrepancy-{site_id}|{sku}``
Rule    it is open exactly while free is below zero.

A till sale has happened whatever the books say, so free goes below zero. Then the shelf is to be
counted, and those who were promised last may not get it. It closes when free is no longer
negative: by a receipt, a return, a count, or because promises were taken back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind
from services.stock_ledger.domain.entry import FREE, EntryPosted

# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class DiscrepancyOpened:
    """Free fell below zero; the shelf is to be counted.

    Attributes:
        missing: Base units below zero.
        cause: Of the entry that did it.
        source_id: The source's id of the movement; of the last one where an entry has several.
        occurred_at: When it happened, by the source's account.
    """

    missing: int
    cause: str
    source_id: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class DiscrepancyClosed:
    """Free is no longer below zero."""

    cause: str
    occurred_at: datetime


type Event = DiscrepancyOpened | DiscrepancyClosed


# Commands.


@dataclass(frozen=True, slots=True)
class Open:
    missing: int
    cause: str
    source_id: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Close:
    cause: str
    occurred_at: datetime


type Command = Open | Close


# State.


@dataclass(frozen=True, slots=True)
class Discrepancy:
    is_open: bool = False


def decide(command: Command, discrepancy: Discrepancy) -> Sequence[Event]:
    match command:
        case Open(missing, cause, source_id, occurred_at):
            if discrepancy.is_open:
                return []
            return [DiscrepancyOpened(missing, cause, source_id, occurred_at)]
        case Close(cause, occurred_at):
            return [DiscrepancyClosed(cause, occurred_at)] if discrepancy.is_open else []
        case _:
            assert_never(command)


def lacking(entries: Sequence[EntryPosted]) -> int:
    """Return what lacks after the entries of one unit, in all, if they made it more; else 0."""
    before, after = _free(entries)
    return -after if after < 0 and after < before else 0


def _free(entries: Sequence[EntryPosted]) -> tuple[int, int]:
    """Return free before and after the entries."""
    first = entries[0]
    moved = sum(posting.quantity for posting in first.postings if posting.account == FREE)
    return first.after.free - moved, entries[-1].after.free


def noticed(entries: Sequence[EntryPosted]) -> Command | None:
    """Return what the entries of one unit on one stock item open or close, all in all."""
    last = entries[-1]
    before, after = _free(entries)
    if after < 0 <= before:
        source_id = last.reports[-1].source_id if last.reports else last.source_id
        return Open(-after, last.cause, source_id, last.occurred_at)
    if before < 0 <= after:
        return Close(last.cause, last.occurred_at)
    return None


def evolve(_: Discrepancy, event: Event) -> Discrepancy:
    match event:
        case DiscrepancyOpened():
            return Discrepancy(is_open=True)
        case DiscrepancyClosed():
            return Discrepancy()
        case _:
            assert_never(event)


RULE: Decider[Command, Discrepancy, Event] = Decider(Discrepancy(), decide, evolve)
DISCREPANCY: Kind[Command, Discrepancy, Event] = Kind("discrepancy", RULE)
