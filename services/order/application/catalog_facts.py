"""The catalog as this service heard it: what placing and quoting need of it, in one query."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass
from functools import lru_cache
from typing import Any

from services.kernel.application.work import Sql
from services.order.domain.mode import (
    Choice,
    ChoiceKind,
    Milestone,
    Mode,
    Step,
    StepType,
    Temperature,
    Visibility,
)
from services.order.domain.quote import Catalog, OfferedMode, Product, Site

_MOST_ASKS = 64

# One round trip for three tables: a placement asks this on the hot path.
_FACTS = """
SELECT 1 AS kind, sku AS id, price_minor AS number, price_quantity AS quantity, currency,
       temperature AS word, NULL::text AS document,
       NULL::text[] AS preparing, NULL::text[] AS handing
FROM catalog_product WHERE tenant = $1 AND sku = ANY($2)
UNION ALL
SELECT 2, site_id, is_active::int, 0, '', '', NULL, preparing_mode_ids, handing_over_mode_ids
FROM catalog_site WHERE tenant = $1 AND site_id = ANY($3)
UNION ALL
(SELECT DISTINCT ON (mode_id) 3, mode_id, fee_minor, mode_version, currency, choice_kind, steps,
        NULL, NULL
 FROM catalog_mode WHERE tenant = $1 AND mode_id = ANY($4) ORDER BY mode_id, mode_version DESC)
"""


@dataclass(frozen=True, slots=True)
class _Ask:
    tenant: str
    skus: frozenset[str]
    choices: frozenset[Choice]
    answer: "asyncio.Future[Catalog]"


class CatalogFacts:
    """Answers what placing and quoting ask of the catalog, many askers with one query.

    What is asked while a query is in flight makes the next one; a single asker waits for nobody.
    """

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._waiting: list[_Ask] = []
        self._flight: asyncio.Task[None] | None = None

    async def of(
        self, tenant: str, skus: Iterable[str], choices: Iterable[Choice | None]
    ) -> Catalog:
        """Return at least what the tenant's catalog says of these products and choices."""
        made = frozenset(choice for choice in choices if choice is not None)
        answer: asyncio.Future[Catalog] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Ask(tenant, frozenset(skus), made, answer))
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._fly(), name="catalog facts")
        return await answer

    async def _fly(self) -> None:
        while self._waiting:
            tenant = self._waiting[0].tenant
            asks = [ask for ask in self._waiting if ask.tenant == tenant][:_MOST_ASKS]
            taken = set(map(id, asks))
            self._waiting = [ask for ask in self._waiting if id(ask) not in taken]
            try:
                catalog = await self._read(tenant, asks)
            except Exception as error:  # noqa: BLE001 - whoever asked is told
                for ask in asks:
                    if not ask.answer.done():
                        ask.answer.set_exception(error)
            else:
                for ask in asks:
                    if not ask.answer.done():
                        ask.answer.set_result(catalog)

    async def _read(self, tenant: str, asks: Sequence[_Ask]) -> Catalog:
        choices = frozenset[Choice]().union(*(ask.choices for ask in asks))
        rows = await self._sql.fetch(
            _FACTS,
            tenant,
            list(frozenset[str]().union(*(ask.skus for ask in asks))),
            list({choice.site_id for choice in choices if choice.site_id}),
            list({choice.mode_id for choice in choices}),
        )
        return _catalog(rows)


def _catalog(rows: Sequence[Any]) -> Catalog:
    products: dict[str, Product] = {}
    sites: dict[str, Site] = {}
    modes: dict[str, OfferedMode] = {}
    for row in rows:
        match row["kind"]:
            case 1:
                products[row["id"]] = Product(
                    row["number"], row["quantity"], row["currency"], Temperature(row["word"])
                )
            case 2:
                sites[row["id"]] = Site(
                    row["number"] == 1, frozenset(row["preparing"]), frozenset(row["handing"])
                )
            case _:
                modes[row["id"]] = OfferedMode(
                    Mode(row["id"], row["quantity"], row["number"], steps_of(row["document"])),
                    ChoiceKind(row["word"]),
                    row["currency"],
                )
    return Catalog(products, sites, modes)


@lru_cache(maxsize=256)
def steps_of(document: str) -> tuple[Step, ...]:
    """Return the steps of a mode from the JSON that the table holds."""
    return tuple(
        Step(
            step["step_id"],
            StepType(step["type"]),
            Milestone(step["completes_on"]),
            step["label_fr"],
            step["label_en"],
            Visibility(step["visibility"]),
            step["cancellable"],
            step["optional"],
        )
        for step in json.loads(document)
    )


@dataclass(frozen=True, slots=True)
class ProductRow:
    tenant: str
    sku: str
    price_minor: int
    price_quantity: int
    currency: str
    unit: str
    temperature: str
    version: int


@dataclass(frozen=True, slots=True)
class SiteRow:
    tenant: str
    site_id: str
    is_active: bool
    preparing_mode_ids: tuple[str, ...]
    handing_over_mode_ids: tuple[str, ...]
    version: int


@dataclass(frozen=True, slots=True)
class ModeRow:
    tenant: str
    mode_id: str
    mode_version: int
    choice_kind: str
    fee_minor: int
    currency: str
    steps: str


async def remember(
    sql: Sql,
    products: Sequence[ProductRow],
    sites: Sequence[SiteRow],
    modes: Sequence[ModeRow],
) -> None:
    """Write what the catalog told, oldest first; what is older than a row changes nothing."""
    if products:
        newest = {(row.tenant, row.sku): row for row in products}.values()
        await sql.execute(
            "INSERT INTO catalog_product AS p (tenant, sku, price_minor, price_quantity, currency,"
            " unit, temperature, version) SELECT * FROM unnest($1::text[], $2::text[],"
            " $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[])"
            " ON CONFLICT (tenant, sku) DO UPDATE SET price_minor = excluded.price_minor,"
            " price_quantity = excluded.price_quantity, currency = excluded.currency,"
            " unit = excluded.unit, temperature = excluded.temperature, version = excluded.version"
            " WHERE excluded.version > p.version",
            *map(list, zip(*map(astuple, newest), strict=True)),
        )
    for site in sites:
        await sql.execute(
            "INSERT INTO catalog_site AS s (tenant, site_id, is_active, preparing_mode_ids,"
            " handing_over_mode_ids, version) VALUES ($1, $2, $3, $4, $5, $6)"
            " ON CONFLICT (tenant, site_id) DO UPDATE SET is_active = excluded.is_active,"
            " preparing_mode_ids = excluded.preparing_mode_ids,"
            " handing_over_mode_ids = excluded.handing_over_mode_ids, version = excluded.version"
            " WHERE excluded.version > s.version",
            *(site.tenant, site.site_id, site.is_active, list(site.preparing_mode_ids)),
            *(list(site.handing_over_mode_ids), site.version),
        )
    if modes:
        await sql.execute(
            "INSERT INTO catalog_mode (tenant, mode_id, mode_version, choice_kind, fee_minor,"
            " currency, steps) SELECT * FROM unnest($1::text[], $2::text[], $3::integer[],"
            " $4::text[], $5::bigint[], $6::text[], $7::text[]) ON CONFLICT DO NOTHING",
            *map(list, zip(*map(astuple, modes), strict=True)),
        )


def document_of(steps: Iterable[Step]) -> str:
    """Return the JSON under which a mode's steps are kept."""
    return json.dumps([asdict(step) for step in steps], ensure_ascii=False)
