"""Files of products and sites: good rows go in, bad ones come back with line and remedy."""

import csv
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import json_format
from oms.catalog.v1 import catalog_service_pb2 as wire

from services.catalog.adapters import wire as to_wire
from services.catalog.domain import product, site
from services.catalog.domain.values import NO_TEXT, LocalizedText
from services.catalog.entrypoints import file_import, rows
from services.catalog.entrypoints.file_import import ImportReport, WrongFile, import_file
from tests.unit.catalog.samples import LYON, MILK

PRODUCTS = """\
sku;name;category_path;unit;temperature;price_minor;currency;barcode;is_weight_variable;name_en
MILK;"Lait ; demi-écrémé";Crèmerie > Lait;piece;ambient;99;EUR;3017620422003;non;Semi-skimmed milk
PEARS;Poires;Fruits;gram;ambient;299;EUR;;oui;
BAD1;Pommes;Fruits;kilo;ambient;299;EUR;;;
BAD2;Pommes;Fruits;piece;ambient;2,99;EUR;;;
BAD3;Pommes;Fruits;piece;ambient;299;EUR;3017620422004;;
short;row
"""

SITES = """\
site_id,name,type,latitude,longitude,postcode,time_zone,opening_hours,capabilities,priority
S1,Lyon,store,45.764,4.8357,69004,Europe/Paris,1-6 08:30-12:30 14:00-20:00; 7 09:00-12:30,\
click_and_collect prepare+hand_over ambient+chilled 320 EUR 90; home hand_over frozen 0 EUR 5,2
S2,Nulle part,store,45.764,4.8357,69004,Europe/Lyon,,,
S3,Lyon,castle,45.764,4.8357,69004,Europe/Paris,,,
S4,Lyon,store,45.764,4.8357,69004,Europe/Paris,lundi,,
"""


class Stub:
    """Stands for the service: checks rows as it does, and remembers what it took."""

    def __init__(self, faults: int = 0) -> None:
        self.faults = faults
        self.taken: dict[str, Any] = {}
        self.request_ids: list[str] = []

    async def UpsertProducts(self, request: Any, **_: Any) -> Any:  # noqa: N802
        outcome = self._take(request, rows.products(request.products), product.faults)
        return wire.UpsertProductsResponse(outcome=outcome)

    async def UpsertSites(self, request: Any, **_: Any) -> Any:  # noqa: N802
        outcome = self._take(request, rows.sites(request.sites), site.faults)
        return wire.UpsertSitesResponse(outcome=outcome)

    def _take(self, request: Any, batch: Any, faults_of: Any) -> wire.BatchOutcome:
        self.request_ids.append(request.request_id)
        if self.faults:
            self.faults -= 1
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, "", "")
        outcome = wire.BatchOutcome()
        for row in batch:
            found = list(row.faults) + (list(faults_of(row.item)) if row.item else [])
            for fault in found:
                outcome.problems.add(
                    row=row.index,
                    key=row.key,
                    field=fault.field,
                    reason="INVALID",
                    detail=fault.problem,
                    remedy=fault.remedy,
                )
            if not found:
                outcome.unchanged += self.taken.get(row.key) == row.item
                outcome.changed += self.taken.get(row.key) != row.item
                self.taken[row.key] = row.item
        return outcome


def quarantined(path: Path) -> list[tuple[str, str, str]]:
    with path.open(encoding="utf-8") as file:
        return [(row["line"], row["field"], row["reason"]) for row in csv.DictReader(file)]


async def test_good_products_go_in_and_bad_ones_come_back(tmp_path: Path) -> None:
    file, bad = tmp_path / "products.csv", tmp_path / "bad.csv"
    file.write_text(PRODUCTS, encoding="utf-8-sig")
    stub, told = Stub(), list[int]()
    report = await import_file(file, "products", stub, quarantine=bad, progress=told.append)
    assert report == ImportReport(rows=6, changed=2, unchanged=0, quarantined=4)
    assert told == [6]
    assert stub.taken["MILK"].name == "Lait ; demi-écrémé"
    assert stub.taken["MILK"].category_path == ("Crèmerie", "Lait")
    assert stub.taken["MILK"].localized_name == LocalizedText("", "Semi-skimmed milk")
    assert stub.taken["PEARS"].localized_name == NO_TEXT
    assert stub.taken["PEARS"].is_weight_variable
    assert quarantined(bad) == [
        ("4", "unit", "UNREADABLE"),
        ("5", "price_minor", "UNREADABLE"),
        ("6", "barcode", "INVALID"),
        ("7", "", "UNREADABLE"),
    ]
    again = await import_file(file, "products", stub, quarantine=bad)
    assert (again.changed, again.unchanged, again.quarantined) == (0, 2, 4)


async def test_the_quarantine_goes_when_the_file_is_mended(tmp_path: Path) -> None:
    file, bad = tmp_path / "products.csv", tmp_path / "bad.csv"
    bad.write_text("old")
    file.write_text("\n".join(PRODUCTS.splitlines()[:3]))
    await import_file(file, "products", Stub(), quarantine=bad)
    assert not bad.exists()


async def test_sites_are_read_with_hours_and_capabilities(tmp_path: Path) -> None:
    file, bad = tmp_path / "sites.csv", tmp_path / "bad.csv"
    file.write_text(SITES)
    stub = Stub()
    report = await import_file(file, "sites", stub, quarantine=bad)
    assert (report.changed, report.quarantined) == (1, 3)
    assert len(stub.taken["S1"].opening_hours) == 13
    assert [c.mode_id for c in stub.taken["S1"].capabilities] == ["click_and_collect", "home"]
    assert stub.taken["S1"].is_active
    assert [(line, field) for line, field, _ in quarantined(bad)] == [
        ("3", "time_zone"),
        ("4", "type"),
        ("5", "opening_hours"),
    ]


async def test_json_lines_are_the_contract_itself(tmp_path: Path) -> None:
    file, bad = tmp_path / "products.jsonl", tmp_path / "bad.csv"
    line = json_format.MessageToJson(to_wire.product(MILK), indent=None)
    file.write_text(f'{line}\n\n{{"sku": 1}}\nnot json\n')
    stub = Stub()
    report = await import_file(file, "products", stub, quarantine=bad)
    assert (report.changed, report.quarantined) == (1, 2)
    assert stub.taken["MILK-1"] == MILK
    assert [line for line, *_ in quarantined(bad)] == ["3", "4"]
    sites = tmp_path / "sites.ndjson"
    sites.write_text(json_format.MessageToJson(to_wire.site(LYON), indent=None))
    await import_file(sites, "sites", stub, quarantine=bad)
    assert stub.taken["S-LYON"] == LYON


async def test_a_byte_that_is_not_utf8_loses_only_its_row(tmp_path: Path) -> None:
    file, bad = tmp_path / "products.csv", tmp_path / "bad.csv"
    text = "\n".join(PRODUCTS.splitlines()[:3]).encode()
    file.write_bytes(text.replace("é".encode(), "é".encode("latin-1"), 1))
    report = await import_file(file, "products", Stub(), quarantine=bad)
    assert (report.changed, report.quarantined) == (1, 1)


async def test_a_batch_is_sent_again_under_the_same_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_import, "FIRST_DELAY_S", 0.001)
    file = tmp_path / "products.csv"
    file.write_text(PRODUCTS)
    stub = Stub(faults=2)
    await import_file(file, "products", stub, quarantine=tmp_path / "bad.csv")
    assert len(stub.request_ids) == 3
    assert len(set(stub.request_ids)) == 1
    for_ever = Stub(faults=100)
    with pytest.raises(grpc.aio.AioRpcError):
        await import_file(file, "products", for_ever, quarantine=tmp_path / "bad.csv")
    assert len(for_ever.request_ids) == file_import.MOST_TRIES


async def test_a_file_without_a_needed_column_is_refused_whole(tmp_path: Path) -> None:
    file = tmp_path / "products.csv"
    file.write_text("sku,name\nA,B\n")
    with pytest.raises(WrongFile, match="category_path"):
        await import_file(file, "products", Stub(), quarantine=tmp_path / "bad.csv")
