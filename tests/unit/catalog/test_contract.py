"""What is stored, told and read back says the same."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from oms.catalog.v1 import catalog_events_pb2 as wire
from oms.common.v1 import common_pb2 as common

from services.catalog.adapters import wire as to_wire
from services.catalog.adapters.event_codec import CODEC
from services.catalog.adapters.publications import publish
from services.catalog.domain.extended_site import ExtendedSiteUpserted
from services.catalog.domain.mode import ModePublished
from services.catalog.domain.product import ProductUpserted
from services.catalog.domain.sales_zone import SalesZoneUpserted
from services.catalog.domain.site import SiteUpserted
from services.catalog.domain.values import NO_TEXT, Position
from services.catalog.entrypoints import rows
from services.catalog.read_models.sites import distance_m
from services.kernel.domain.errors import Invalid
from services.kernel.domain.messages import Cause, Recorded
from tests.unit.catalog.samples import COLLECT, EAST, LYON, LYON_CIRCLE, MILK

ROOT = Path(__file__).parents[3]
EVENTS: list[Any] = [
    ProductUpserted(MILK),
    SiteUpserted(LYON),
    ExtendedSiteUpserted(LYON_CIRCLE),
    SalesZoneUpserted(EAST),
    ModePublished(COLLECT),
]


def recorded(event: Any) -> Recorded[Any]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Recorded("demo/product-MILK-1", 1, 1, event, "e-1", at, Cause("demo", "c-1"))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_stored_events_are_as_their_golden_example(event: Any) -> None:
    name, state = CODEC.encode(event)
    golden = (ROOT / f"tests/contract/golden/catalog/{name}.json").read_bytes()
    assert CODEC.decode(name, golden) == event
    assert CODEC.decode(name, state) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_public_events_are_as_their_golden_example(event: Any) -> None:
    public = publish(recorded(event))
    assert public is not None
    case = public.WhichOneof("event")
    golden = (ROOT / f"contracts/examples/oms/catalog/v1/{case}.json").read_text()
    assert json_format.Parse(golden, wire.CatalogEvent()) == public


def test_a_product_stored_before_it_had_names_by_language_is_read_as_having_none() -> None:
    golden = json.loads(
        (ROOT / "tests/contract/golden/catalog/product.upserted.v1.json").read_text()
    )
    del golden["product"]["localized_name"]
    read = CODEC.decode("product.upserted.v1", json.dumps(golden).encode())
    assert read == ProductUpserted(replace(MILK, localized_name=NO_TEXT))
    assert not to_wire.product(read.product).HasField("localized_name")


def test_the_contract_is_read_back_as_it_was_written() -> None:
    assert rows.products([to_wire.product(MILK)])[0].item == MILK
    assert rows.sites([to_wire.site(LYON)])[0].item == LYON
    assert rows.extended_sites([to_wire.extended_site(LYON_CIRCLE)])[0].item == LYON_CIRCLE
    assert rows.sales_zones([to_wire.sales_zone(EAST)])[0].item == EAST
    assert rows.mode(to_wire.mode(COLLECT)) == COLLECT


def test_what_cannot_be_read_is_a_fault_of_its_row() -> None:
    product, site = rows.products([wire.Product(sku="X")])[0], rows.sites([wire.Site()])[0]
    assert [fault.field for fault in product.faults] == ["unit", "temperature"]
    assert [fault.field for fault in site.faults] == ["type", "position", "time_zone"]
    with pytest.raises(Invalid) as refusal:
        rows.mode(wire.Mode(steps=[common.Step()]))
    assert refusal.value.violations[0][0] == "mode.choice_kind"


def test_lyon_is_392_km_from_paris() -> None:
    paris, lyon = Position(48_856_613, 2_352_222), Position(45_764_043, 4_835_659)
    assert abs(distance_m(paris, lyon) - 391_500) < 1_500
