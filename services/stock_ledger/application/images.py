"""Posting images and counts: each against what the ledger has of its time."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from services.kernel.application.work import Work
from services.kernel.domain.errors import Rejected
from services.stock_ledger.application.not_ahead import image_by
from services.stock_ledger.application.ports import PastBalances
from services.stock_ledger.application.recording import NO_OTHER_TIMES, Outcome
from services.stock_ledger.application.sent_again import begin_again, expect_same
from services.stock_ledger.domain.entry import Buckets, EntryPosted
from services.stock_ledger.domain.image import change, measured
from services.stock_ledger.domain.stock_commands import Observe
from services.stock_ledger.domain.stock_item import STOCK
from services.stock_ledger.domain.stock_state import StockItem


@dataclass(frozen=True, slots=True)
class Images:
    """Images, compared and posted.

    Attributes:
        past: What the ledger has as of a time.
    """

    past: PastBalances

    async def post_images(
        self,
        work: Work,
        rows: Sequence[tuple[str, Observe]],
        timeless: AbstractSet[int] = frozenset(),
        also: Mapping[int, Sequence[datetime]] = NO_OTHER_TIMES,
    ) -> list[Outcome]:
        """Post images or counts, each for the stock item of its key; a refused one stops no other.

        The past is asked for at the very version that is decided on, so whoever posts a movement
        meanwhile makes this unit run again. One query serves all rows; most need none, because
        nothing has occurred since.

        Args:
            work: The unit; nothing else was posted in it to the same items before.
            rows: Stock key and image, in the order to post. What the ledger expects is found out
                here; a time that a faster clock put ahead of ours becomes now.
            timeless: Which of them, by their places, have no certain time of their source's.
            also: By place, the times that a repeat may have been told of.
        """
        told = rows
        rows = [(key, image_by(image, work.now)) for key, image in rows]
        await work.load(STOCK, {key for key, _ in rows})
        await begin_again(work, [(key, image.source_id) for key, image in rows])
        known = {key: await work.state(STOCK, key) for key, _ in rows}
        asked = list(
            dict.fromkeys(
                (key, known[key].version, image.occurred_at)
                for key, image in rows
                if _asks_the_past(known[key].state, image)
            )
        )
        answers = await self.past(work.sql, work.cause.tenant, asked) if asked else ()
        then = dict(zip(asked, answers, strict=True))
        posted: dict[str, list[EntryPosted]] = {key: [] for key in known}
        outcomes = []
        for place, (key, image) in enumerate(rows):
            before = known[key]
            balance = then.get((key, before.version, image.occurred_at), before.state.buckets)
            expected = _expected(image, balance, posted[key])
            try:
                events = await work.handle(STOCK, key, _against(image, expected))
                if not events and place not in timeless:
                    await expect_same(work, *told[place], also.get(place, ()))
            except Rejected as refusal:
                outcomes.append(Outcome(is_recorded=False, item=None, refusal=refusal))
            else:
                posted[key] += events
                outcomes.append(
                    Outcome(bool(events), await work.state(STOCK, key), entries=tuple(events))
                )
        return outcomes


def _against(image: Observe, expected: int) -> Observe:
    """Return the image with what the ledger expects; spelled out, because it is done per row."""
    return Observe(
        image.by,
        image.basis,
        image.has_picked,
        image.counted,
        image.source_id,
        image.occurred_at,
        expected,
    )


def _asks_the_past(item: StockItem, image: Observe) -> bool:
    """Say whether something occurred after the image; one that moves nothing need not know."""
    is_older = bool(item.observed) and image.occurred_at < item.observed[-1].at
    is_repeat = item.sources.get(image.source_id) is not None
    has_moved = item.latest is not None and item.latest > image.occurred_at
    return has_moved and not is_older and not is_repeat


def _expected(image: Observe, then: Buckets, posted: Sequence[EntryPosted]) -> int:
    """Return what the ledger has of the image's basis, with what this unit posted meanwhile."""
    return measured(then, image.basis, has_picked=image.has_picked) + sum(
        change(entry, image.basis, has_picked=image.has_picked)
        for entry in posted
        if entry.occurred_at <= image.occurred_at
    )
