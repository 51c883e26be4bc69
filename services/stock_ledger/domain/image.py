"""Images and counts: what somebody saw at a time, against what the ledger has of that time.

Rule    an image of time T makes the ledger as of T what was seen, whatever arrives when.

The difference is posted at T, so later movements stay as they are. A movement that occurred by T
but is heard of afterwards was in the image already: it is posted, and taken back at T, so that it
counts once and its cause is known. An image older than the last one applied is kept and moves
nothing. A count is an image that a person made; it differs in the account it is posted against.

An image says what it counts, its basis. *Physical* is everything in the house, *available* only
what may still be sold; units in totes are in it or not. A store's count of its shelves leaves the
totes out, so a pick before or after it changes nothing that was counted twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.stock_ledger.domain.entry import (
    COUNT_DIFFERENCE,
    FREE,
    IMAGE_DIFFERENCE,
    PICKED,
    Buckets,
    Cause,
    EntryPosted,
    Image,
)

_MOST_REMEMBERED = 400
_NEXT_MOMENT = timedelta(microseconds=1)


class Basis(StrEnum):
    PHYSICAL = "physical"
    AVAILABLE = "available"


class Seen(StrEnum):
    """By whom: a system that keeps books of its own, or a person who counted."""

    IMAGE = Cause.IMAGE
    STOCKTAKE = Cause.STOCKTAKE


KEPT = {Seen.IMAGE: Cause.IMAGE_KEPT, Seen.STOCKTAKE: Cause.STOCKTAKE_KEPT}
_APPLIED = frozenset({Cause.IMAGE, Cause.STOCKTAKE})
DIFFERENCE = {Seen.IMAGE: IMAGE_DIFFERENCE, Seen.STOCKTAKE: COUNT_DIFFERENCE}

_EVERYTHING = frozenset(Buckets.__dataclass_fields__)
_ACCOUNTS: Mapping[tuple[str, bool], frozenset[str]] = {
    (Basis.PHYSICAL, True): _EVERYTHING,
    (Basis.PHYSICAL, False): _EVERYTHING - {PICKED},
    (Basis.AVAILABLE, True): frozenset({FREE, PICKED}),
    (Basis.AVAILABLE, False): frozenset({FREE}),
}


@dataclass(frozen=True, slots=True)
class Observed:
    """An image that was applied: of when, and what it counts."""

    at: datetime
    basis: str
    has_picked: bool
    by: str


def measured(buckets: Buckets, basis: str, *, has_picked: bool) -> int:
    """Return what an image of this basis would see of a balance."""
    if basis == Basis.PHYSICAL:
        return buckets.on_hand if has_picked else buckets.on_hand - buckets.picked
    return buckets.free + buckets.picked if has_picked else buckets.free


def change(entry: EntryPosted, basis: str, *, has_picked: bool) -> int:
    """Return by how much an entry changes what an image of this basis would see."""
    accounts = _ACCOUNTS[basis, has_picked]
    return sum(posting.quantity for posting in entry.postings if posting.account in accounts)


def including(observed: tuple[Observed, ...], entry: EntryPosted) -> tuple[Observed, ...]:
    """Return the images applied, with that of an entry; the oldest of very many is forgotten.

    A movement older than all that are remembered is taken back at the oldest of them: the balance
    of today is right, those between it and what was forgotten show the movement.
    """
    if entry.image is None or entry.cause not in _APPLIED:
        return observed
    image = entry.image
    newest = Observed(entry.occurred_at, image.basis, image.has_picked, entry.cause)
    return (*observed[-_MOST_REMEMBERED + 1 :], newest)


def moment_after(observed: Sequence[Observed], at: datetime) -> datetime:
    """Return when a promise is made: now, but never in a past that an image has settled."""
    return at if not observed or at > observed[-1].at else observed[-1].at + _NEXT_MOMENT


@dataclass(frozen=True, slots=True)
class Offset:
    """What must be added to free at an image's time, so that the image stays true."""

    image: Observed
    quantity: int


def offsets(
    observed: Sequence[Observed], moves: Sequence[tuple[Mapping[str, int], datetime]]
) -> Iterator[Offset]:
    """Yield what takes a late movement back, image by image.

    Several images may follow the movement, and count differently: what is taken back at one is
    part of what the next one sees.

    Args:
        observed: The images applied, oldest first.
        moves: What each account gains by the movement, and when; at least one. Several, where it
            was undone at another time.
    """
    first = min([occurred_at for _, occurred_at in moves])
    if not observed or first > observed[-1].at:
        return
    given = 0
    for image in observed:
        if image.at < first:
            continue
        accounts = _ACCOUNTS[image.basis, image.has_picked]
        effect = given + sum(
            moved
            for changes, occurred_at in moves
            if occurred_at <= image.at
            for account, moved in changes.items()
            if account in accounts
        )
        if effect:
            given -= effect
            yield Offset(image, -effect)


def what(image: Image) -> str:
    """Return what a repeat of the same image must have in common with it."""
    return f"{image.basis}|{image.has_picked}"
