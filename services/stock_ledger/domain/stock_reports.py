"""What sources report of one item: many movements at once, and what somebody saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.kernel.domain.errors import Rejected
from services.stock_ledger.domain import postings
from services.stock_ledger.domain.counted import content_of, fingerprint
from services.stock_ledger.domain.entry import FREE, Cause, Image, Report
from services.stock_ledger.domain.image import DIFFERENCE, KEPT, what
from services.stock_ledger.domain.postings import Post
from services.stock_ledger.domain.stock_commands import Observe, Refusal
from services.stock_ledger.domain.stock_entries import entry_of, is_repeat, with_offsets
from services.stock_ledger.domain.stock_state import Event, StockItem, evolve


def post(command: Post, item: StockItem) -> Sequence[Event]:
    cause, fresh = command.cause, sort_out(command, item).fresh
    if not fresh:
        return []
    gains, loses = command.accounts()
    # What an image has seen is taken back movement by movement; the others share an entry.
    seen_at = item.observed[-1].at if item.observed else None
    late = [one for one in fresh if seen_at is not None and one.occurred_at <= seen_at]
    rest = tuple([one for one in fresh if seen_at is None or one.occurred_at > seen_at])
    if len(rest) == 1:
        late, rest = [*late, *rest], ()
    entries: list[Event] = []
    for report in late:
        changes = postings.changes(gains, loses, [report])
        _expect_set_aside(changes, item)  # each entry has a balance of its own
        more = with_offsets(item, cause, changes, report)
        for entry in more:
            item = evolve(item, entry)
        entries += more
    if rest:
        changes = postings.changes(gains, loses, rest)
        _expect_set_aside(changes, item)
        latest = max([report.occurred_at for report in rest])
        entries.append(entry_of(item, cause, changes, changes[gains], latest, reports=rest))
    return entries


def _expect_set_aside(changes: Mapping[str, int], item: StockItem) -> None:
    for account, moved in changes.items():
        if account in postings.MUST_BE_THERE:
            there: int = getattr(item.buckets, account)
            if moved < -there:
                raise Rejected(
                    Refusal.OUT_OF_STOCK,
                    f"{-moved} wanted of {account}, {there} there; record what put it there first",
                )


@dataclass(frozen=True, slots=True)
class Sorted:
    """Reports by what is to become of them.

    Attributes:
        fresh: To be counted now.
        mismatched: Id and quantity of those whose id was counted before as something else. What
            is in neither was counted before as the same.
    """

    fresh: tuple[Report, ...]
    mismatched: frozenset[tuple[str, int]]


def sort_out(command: Post, item: StockItem) -> Sorted:
    """Tell new reports from those that are counted already, also earlier in the same command."""
    cause = command.cause
    seen: dict[str, int] = {}
    fresh: list[Report] = []
    mismatched: set[tuple[str, int]] = set()
    for report in command.reports:
        source_id = report.source_id
        content = fingerprint(cause, report.quantity, "")
        counted = seen.get(source_id)
        if counted is None:
            known = item.sources.get(source_id)
            counted = None if known is None else content_of(known)
        if counted is None:
            seen[source_id] = content
            fresh.append(report)
        elif counted != content:
            mismatched.add((source_id, report.quantity))
    return Sorted(tuple(fresh), frozenset(mismatched))


def observe(command: Observe, item: StockItem) -> Sequence[Event]:
    image = Image(command.basis, command.has_picked, command.counted, command.expected)
    same = fingerprint(command.by, command.counted, what(image))
    if is_repeat(item, command.source_id, same):
        return []
    is_kept = bool(item.observed) and command.occurred_at < item.observed[-1].at
    difference = 0 if is_kept else command.counted - command.expected
    return [
        entry_of(
            item,
            KEPT[command.by] if is_kept else Cause(command.by.value),
            {FREE: difference, DIFFERENCE[command.by]: -difference},
            command.counted,
            command.occurred_at,
            command.source_id,
            image=image,
        )
    ]
