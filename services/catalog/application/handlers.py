"""Use cases of the catalog: batches of rows, and the publication of a mode."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.catalog.domain import extended_site, product, sales_zone, site
from services.catalog.domain.extended_site import EXTENDED_SITE, ExtendedSite, UpsertExtendedSite
from services.catalog.domain.mode import MODE, PublishMode
from services.catalog.domain.mode_definition import Mode
from services.catalog.domain.product import PRODUCT, Product, UpsertProduct
from services.catalog.domain.sales_zone import SALES_ZONE, SalesZone, UpsertSalesZone
from services.catalog.domain.site import SITE, Site, UpsertSite
from services.catalog.domain.values import Fault
from services.kernel.application.runner import Runner
from services.kernel.application.work import Work
from services.kernel.domain.decider import Kind
from services.kernel.domain.errors import Rejected
from services.kernel.domain.messages import Cause

INVALID = "INVALID"


@dataclass(frozen=True, slots=True)
class Row[T]:
    """One row of a batch, as far as it could be read.

    Attributes:
        index: Place in the batch, from 0.
        key: The id it gives, possibly malformed.
        item: What it says; nothing if it could not be read.
        faults: Why it could not be read.
    """

    index: int
    key: str
    item: T | None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row was not taken; ``reason`` is a registry reason, or ``INVALID``."""

    index: int
    key: str
    reason: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class Outcome:
    changed: int
    unchanged: int
    problems: tuple[Problem, ...]


class CatalogHandlers:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def upsert_products(self, cause: Cause, rows: Sequence[Row[Product]]) -> Outcome:
        async def use_case(work: Work) -> Outcome:
            return await _upsert(work, PRODUCT, rows, product.faults, UpsertProduct)

        return await self._runner.execute(cause, use_case)

    async def upsert_sites(self, cause: Cause, rows: Sequence[Row[Site]]) -> Outcome:
        async def use_case(work: Work) -> Outcome:
            return await _upsert(work, SITE, rows, site.faults, UpsertSite)

        return await self._runner.execute(cause, use_case)

    async def upsert_extended_sites(
        self, cause: Cause, rows: Sequence[Row[ExtendedSite]]
    ) -> Outcome:
        async def use_case(work: Work) -> Outcome:
            named = {
                site_id
                for row in rows
                if row.item is not None
                for site_id in row.item.member_site_ids
            }
            unknown = await _unknown(work, SITE, named)
            return await _upsert(
                work,
                EXTENDED_SITE,
                rows,
                extended_site.faults,
                lambda item: UpsertExtendedSite(
                    item, tuple(i for i in item.member_site_ids if i in unknown)
                ),
            )

        return await self._runner.execute(cause, use_case)

    async def upsert_sales_zones(self, cause: Cause, rows: Sequence[Row[SalesZone]]) -> Outcome:
        async def use_case(work: Work) -> Outcome:
            named = {i for row in rows if row.item is not None for i in row.item.extended_site_ids}
            unknown = await _unknown(work, EXTENDED_SITE, named)
            return await _upsert(
                work,
                SALES_ZONE,
                rows,
                sales_zone.faults,
                lambda item: UpsertSalesZone(
                    item, tuple(i for i in item.extended_site_ids if i in unknown)
                ),
            )

        return await self._runner.execute(cause, use_case)

    async def publish_mode(self, cause: Cause, mode: Mode) -> int:
        """Return the version under which the mode is known."""

        async def use_case(work: Work) -> int:
            events = await work.handle(MODE, mode.mode_id, PublishMode(mode))
            if events:
                return events[0].mode.version
            known = (await work.state(MODE, mode.mode_id)).state
            return mode.version or len(known.versions)

        return await self._runner.execute(cause, use_case)


async def _unknown[C, S, E](work: Work, kind: Kind[C, S, E], keys: Iterable[str]) -> frozenset[str]:
    """Return those keys that no stream of this kind has."""
    named = set(keys)
    await work.load(kind, named)
    return frozenset([key for key in named if (await work.state(kind, key)).version == 0])


async def _upsert[T, C, S, E](
    work: Work,
    kind: Kind[C, S, E],
    rows: Sequence[Row[T]],
    faults_of: Callable[[T], Iterator[Fault]],
    command_of: Callable[[T], C],
) -> Outcome:
    """Take every sound row in one unit of work; say of the others what is wrong with them."""
    problems: list[Problem] = []
    sound: list[tuple[Row[T], T]] = []
    for row in rows:
        found = row.faults if row.item is None else tuple(faults_of(row.item))
        problems += [Problem(row.index, row.key, INVALID, fault) for fault in found]
        if row.item is not None and not found:
            sound.append((row, row.item))
    await work.load(kind, [row.key for row, _ in sound])
    changed = unchanged = 0
    for row, item in sound:
        try:
            events = await work.handle(kind, row.key, command_of(item))
        except Rejected as refusal:  # a bad row never stops the batch: it is told to the caller
            problem, _, remedy = refusal.detail.partition(": ")
            fault = Fault("", problem, remedy)
            problems.append(Problem(row.index, row.key, refusal.reason.value, fault))
            continue
        changed += bool(events)
        unchanged += not events
    problems.sort(key=lambda problem: problem.index)
    return Outcome(changed, unchanged, tuple(problems))
