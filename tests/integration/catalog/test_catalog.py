"""The catalog on a real PostgreSQL: batches, silence on reload, pages, pickup points."""

import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from oms.catalog.v1 import catalog_events_pb2 as values
from oms.catalog.v1 import catalog_service_pb2 as wire
from oms.common.v1 import common_pb2 as common

from services.catalog.adapters import wire as to_wire
from services.catalog.application.handlers import CatalogHandlers
from services.catalog.domain.product import ProductUpserted
from services.catalog.entrypoints.answers import Show
from services.catalog.entrypoints.grpc_server import CatalogGrpc
from services.catalog.read_models import circles, modes, products, sites
from services.kernel.domain.errors import Invalid, NotFound
from services.kernel.domain.messages import Cause, Recorded
from services.kernel.entrypoints.calls import CALLER, Caller
from tests.support.stack import TENANT, Stack, running
from tests.unit.catalog.samples import COLLECT, EAST, LYON, LYON_CIRCLE, MILK

pytestmark = pytest.mark.stack

SHOW = Show(to_wire.product, to_wire.site, to_wire.extended_site, to_wire.sales_zone, to_wire.mode)


@pytest.fixture
async def stack(postgres_dsn: str) -> AsyncIterator[Stack]:
    async with running(postgres_dsn, ["catalog"]) as running_stack:
        CALLER.set(Caller(TENANT, "test", frozenset({"catalog:read", "catalog:write"}), "c", ""))
        yield running_stack


@pytest.fixture
def api(stack: Stack) -> CatalogGrpc:
    host = stack["catalog"]
    return CatalogGrpc(CatalogHandlers(host.runner), host.reader, SHOW)


def a_product(n: int, **changed: Any) -> values.Product:
    product = to_wire.product(MILK)
    product.sku = f"P-{n:05d}"
    product.barcode = ""
    for name, value in changed.items():
        setattr(product, name, value)
    return product


async def upsert(
    api: CatalogGrpc, request_id: str, rows: Sequence[values.Product]
) -> wire.BatchOutcome:
    request = wire.UpsertProductsRequest(request_id=request_id, products=rows)
    return (await api.UpsertProducts(request, None)).outcome


async def test_bad_rows_come_back_and_the_others_are_taken(stack: Stack, api: CatalogGrpc) -> None:
    await upsert(api, "r-0", [a_product(9)])
    rows = [
        a_product(0),
        a_product(1, name=""),
        a_product(2, sku="a b"),
        values.Product(sku="P-3"),
        a_product(9, unit=common.UNIT_GRAM),
        a_product(5),
    ]
    outcome = await upsert(api, "r-1", rows)
    assert (outcome.changed, outcome.unchanged) == (2, 0)
    told = [(p.row, p.field, p.reason) for p in outcome.problems]
    assert told == [
        (1, "name", "INVALID"),
        (2, "sku", "INVALID"),
        (3, "unit", "INVALID"),
        (3, "temperature", "INVALID"),
        (4, "", "PRODUCT_UNIT_FIXED"),
    ]
    assert all(problem.detail and problem.remedy for problem in outcome.problems)
    await stack.settle()
    assert (await api.GetProduct(wire.GetProductRequest(sku="P-00005"), None)).version == 1


async def test_5000_products_load_in_seconds_and_reload_in_silence(
    stack: Stack, api: CatalogGrpc
) -> None:
    rows = [a_product(n) for n in range(5000)]
    began = time.perf_counter()
    for n in range(0, 5000, 1000):
        assert (await upsert(api, f"load-{n}", rows[n : n + 1000])).changed == 1000
    assert time.perf_counter() - began < 10
    for n in range(0, 5000, 500):
        assert (await upsert(api, f"again-{n}", rows[n : n + 500])).unchanged == 500
    retried = await upsert(api, "load-0", rows[:1000])
    assert (retried.changed, retried.unchanged) == (0, 1000)
    await stack.settle()
    count = await stack["catalog"].database.sql.fetchval("SELECT count(*) FROM events")
    assert count == 5000
    seen, token = [], ""
    while True:
        page = await api.ListProducts(
            wire.ListProductsRequest(page_size=200, page_token=token), None
        )
        seen += [product.sku for product in page.products]
        token = page.next_page_token
        if not token:
            break
    assert seen == [row.sku for row in rows]


async def test_products_are_found_by_category_and_by_text_without_accents(
    stack: Stack, api: CatalogGrpc
) -> None:
    await upsert(
        api,
        "r-1",
        [
            a_product(1),
            a_product(2, name="Bœuf haché"),
            values.Product(
                sku="P-X",
                name="Crème 50\u00a0%",
                category_path=["Crèmerie", "Laitages à 50\u202f%"],
                unit=common.UNIT_PIECE,
                temperature=common.TEMPERATURE_CLASS_CHILLED,
                price=common.Money(amount_minor=1, currency="EUR"),
                price_quantity=1,
                localized_name=common.LocalizedText(en="Double cream"),
            ),
        ],
    )
    await stack.settle()

    async def found(**query: Any) -> list[str]:
        page = await api.ListProducts(wire.ListProductsRequest(**query), None)
        return [product.sku for product in page.products]

    assert await found(text="BOEUF hache") == ["P-00002"]
    assert await found(text="50 %") == ["P-X"]
    assert await found(text="double CREAM") == ["P-X"]
    assert await found(category_prefix=["Crèmerie", "Lait"]) == ["P-00001", "P-00002"]
    assert await found(category_prefix=["Crèmerie"]) == ["P-00001", "P-00002", "P-X"]
    assert await found(category_prefix=["Crème"]) == []
    for space in ("\u202f", "\u00a0", " "):
        assert await found(text=f"50{space}%") == ["P-X"]
        assert await found(category_prefix=["Crèmerie", f"Laitages à 50{space}%"]) == ["P-X"]
    assert await found(skus=["P-X", "P-00002", "P-GONE"]) == ["P-00002", "P-X"]
    with pytest.raises(Invalid, match="skus"):
        await found(skus=["P-X"] * 201)


async def test_circles_name_only_what_exists(stack: Stack, api: CatalogGrpc) -> None:
    circle = wire.UpsertExtendedSitesRequest(
        request_id="r-1", extended_sites=[to_wire.extended_site(LYON_CIRCLE)]
    )
    zone = wire.UpsertSalesZonesRequest(request_id="r-2", sales_zones=[to_wire.sales_zone(EAST)])
    assert [p.reason for p in (await api.UpsertExtendedSites(circle, None)).outcome.problems] == [
        "UNKNOWN_SITE"
    ]
    assert [p.reason for p in (await api.UpsertSalesZones(zone, None)).outcome.problems] == [
        "UNKNOWN_EXTENDED_SITE"
    ]
    await api.UpsertSites(
        wire.UpsertSitesRequest(request_id="r-3", sites=[to_wire.site(LYON)]), None
    )
    assert (await api.UpsertExtendedSites(circle, None)).outcome.changed == 1
    assert (await api.UpsertSalesZones(zone, None)).outcome.changed == 1
    await stack.settle()
    listed = await api.ListExtendedSites(wire.ListExtendedSitesRequest(), None)
    assert list(listed.extended_sites) == [to_wire.extended_site(LYON_CIRCLE)]
    one = await api.GetExtendedSite(wire.GetExtendedSiteRequest(extended_site_id="X-LYON"), None)
    assert one.extended_site == to_wire.extended_site(LYON_CIRCLE)
    zones = await api.ListSalesZones(wire.ListSalesZonesRequest(), None)
    assert list(zones.sales_zones) == [to_wire.sales_zone(EAST)]


async def test_the_newest_version_of_a_mode_is_listed_and_the_old_one_is_kept(
    stack: Stack, api: CatalogGrpc
) -> None:
    mode = to_wire.mode(COLLECT)
    first = await api.PublishMode(wire.PublishModeRequest(request_id="m-1", mode=mode), None)
    mode.version = 0
    repeated = await api.PublishMode(wire.PublishModeRequest(request_id="m-2", mode=mode), None)
    mode.fee.amount_minor = 99
    second = await api.PublishMode(wire.PublishModeRequest(request_id="m-3", mode=mode), None)
    assert [first.version, repeated.version, second.version] == [1, 1, 2]
    await stack.settle()
    listed = (await api.ListModes(wire.ListModesRequest(), None)).modes
    assert [(m.version, m.fee.amount_minor) for m in listed] == [(2, 99)]
    old = await api.GetMode(wire.GetModeRequest(mode_id="click_and_collect", version=1), None)
    assert old.mode == to_wire.mode(COLLECT)


async def test_pickup_points_come_nearest_first(stack: Stack, api: CatalogGrpc) -> None:
    rows = []
    for n, (latitude, postcode) in enumerate([(45.9, "69009"), (45.7, "69007"), (48.8, "75001")]):
        site = to_wire.site(LYON)
        site.site_id, site.postcode = f"S-{n}", postcode
        site.position.latitude_e6 = round(latitude * 1_000_000)
        rows.append(site)
    rows[2].type = values.SITE_TYPE_DRIVE
    await api.UpsertSites(wire.UpsertSitesRequest(request_id="r-1", sites=rows), None)
    await stack.settle()

    async def found(**query: Any) -> list[str]:
        answer = await api.FindPickupPoints(wire.FindPickupPointsRequest(**query), None)
        assert [p.distance_m for p in answer.pickup_points] == sorted(
            p.distance_m for p in answer.pickup_points
        )
        return [point.site.site_id for point in answer.pickup_points]

    near = common.Position(latitude_e6=45_760_000, longitude_e6=4_830_000)
    assert await found(near=near) == ["S-1", "S-0", "S-2"]
    assert await found(near=near, limit=1) == ["S-1"]
    assert await found(postcode="75011", mode_id="click_and_collect", limit=1) == ["S-2"]
    assert await found(near=near, mode_id="home_delivery") == []
    assert await found(postcode="13001") == []
    # The postcode of a country: sites that say another one do not stand for it.
    assert await found(postcode="75011", country="FR", limit=1) == ["S-2"]
    assert await found(postcode="75011", country="DE") == []
    with pytest.raises(Invalid, match="country"):
        await found(postcode="75011", country="france")
    drives = await api.ListSites(wire.ListSitesRequest(type=values.SITE_TYPE_DRIVE), None)
    assert [site.site_id for site in drives.sites] == ["S-2"]


async def test_another_tenant_sees_nothing(stack: Stack, api: CatalogGrpc) -> None:
    await upsert(api, "r-1", [a_product(1)])
    await stack.settle()
    CALLER.set(Caller("other", "test", frozenset(), "c", ""))
    with pytest.raises(NotFound):
        await api.GetProduct(wire.GetProductRequest(sku="P-00001"), None)
    assert not (await api.ListProducts(wire.ListProductsRequest(), None)).products


@pytest.mark.parametrize("token", ["é", "!!!!", "YSBi"])
async def test_a_foreign_page_token_is_refused(api: CatalogGrpc, token: str) -> None:
    with pytest.raises(Invalid):
        await api.ListProducts(wire.ListProductsRequest(page_token=token), None)


async def test_every_event_twice_leaves_the_tables_as_they_are(
    stack: Stack, api: CatalogGrpc
) -> None:
    await upsert(api, "r-1", [a_product(1)])
    await upsert(api, "r-2", [a_product(1, name="Lait entier")])
    await stack.settle()
    host = stack["catalog"]
    before = await host.database.sql.fetch("SELECT * FROM product")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    stale = Recorded(
        f"{TENANT}/product-P-00001", 1, 1, ProductUpserted(MILK), "e", at, Cause(TENANT, "r-1")
    )
    await products.project([stale], host.database.sql)
    await products.project([stale], host.database.sql)
    assert await host.database.sql.fetch("SELECT * FROM product") == before


def test_every_table_has_one_owner() -> None:
    tables = [
        table
        for model in (products.PRODUCTS, sites.SITES, circles.CIRCLES, modes.MODES)
        for table in model.tables
    ]
    assert sorted(set(tables)) == sorted(tables)
