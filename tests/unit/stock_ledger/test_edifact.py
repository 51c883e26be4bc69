"""GS1 EDIFACT interchanges: what each document says of stock, and what is put aside."""

import csv
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st
from oms.catalog.v1.catalog_events_pb2 import Site
from oms.catalog.v1.catalog_service_pb2 import ListSitesRequest, ListSitesResponse

from services.stock_ledger.entrypoints.feed_files.cells import WrongFile
from services.stock_ledger.entrypoints.feed_files.command import Stopped, site_zones
from services.stock_ledger.entrypoints.feed_files.importing import Report, import_file
from services.stock_ledger.entrypoints.feed_files.options import Options
from tests.support.fake_ledger import FakeLedger

GLN, GTIN = "5456789000024", "5412345000105"
CODES = {GLN: "paris", "5456789000031": "lyon", GTIN: "milk"}
DUE, TO = "DTM+17:202610060800:203", "NAD+ST+5456789000031::9"
DOCUMENTS = [
    *(("INVRPT", "image"), ("INVRPT", "count"), ("SLSRPT", "till_sale")),
    *(("DESADV", "transport"), ("DESADV", "in_transit")),
    *(("RECADV", "receipt"), ("RECADV", "transport")),
]
# A fuzz run is these tests with more examples.
EXAMPLES = int(os.environ.get("OMS_FUZZ_EXAMPLES", "150"))
_KNOWN = (GLN, GTIN, "137", "102", "145", "12", "48", "153", "ST", "SF", "WH", "AAK", "20261005")
KINDS = {"INVRPT": "image", "DESADV": "transport", "RECADV": "receipt", "SLSRPT": "till_sale"}
BODIES = {
    "SLSRPT": [
        "BGM+73E::9+SDR1568+9",
        "DTM+137:20261105:102",
        "DTM+356:2026100420261010:718",
        "NAD+SE+5456789000017::9",
        f"LOC+162+{GLN}::9",
        f"LIN+1++{GTIN}:SRV",
        "MOA+203:210000",
        "QTY+153:140",
        "LOC+162+5456789000031::9",
        f"LIN+2++{GTIN}:SRV",
        "QTY+153:-3",
    ],
    "INVRPT": [
        "BGM+35+INVR21599+9",
        "DTM+366:202610052200:203",
        f"NAD+WH+{GLN}::9",
        f"LIN+1++{GTIN}:SRV",
        "QTY+145:57",
        "LIN+2++4006381333931:SRV",
        "QTY+145:1.5:KGM",
    ],
    "DESADV": [
        "BGM+351+DES587441+9",
        "DTM+11:20261004:102",
        "DTM+17:202610060800:203",
        f"NAD+SF+{GLN}::9",
        "NAD+ST+5456789000031::9",
        "CPS+1",
        f"LIN+1++{GTIN}:SRV",
        "QTY+12:400",
    ],
    "RECADV": [
        "BGM+632+REC77+9",
        "DTM+50:20261006093000:204",
        f"NAD+DP+{GLN}::9",
        "CPS+1",
        f"LIN+1++{GTIN}:SRV",
        "QTY+48:390",
        "QVR+-10:12+CP",
    ],
}


def interchange(name: str, body: list[str] | None = None, **other: str) -> str:
    body = BODIES[name] if body is None else body
    head = [
        other.get("unb", "UNB+UNOA:3+5456789000017:14+3323456007896:14+261105:1000+REF1"),
        other.get("unh", f"UNH+ME000001+{name}:D:01B:UN:EAN007"),
    ]
    end = [other.get("unt", f"UNT+{len(body) + 2}+ME000001"), "UNZ+1+REF1"]
    return "'\n".join([*head, *body, *end]) + "'\n"


async def imported(
    folder: Path, text: str | bytes, kind: str, ledger: FakeLedger | None = None
) -> tuple[Report, FakeLedger, list[dict[str, str]]]:
    path = folder / "feed.edi"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    ledger = ledger or FakeLedger()
    quarantine = folder / "bad.csv"
    report = await import_file(path, kind, ledger, Options(quarantine, CODES))
    bad: list[dict[str, str]] = []
    if quarantine.exists():
        with quarantine.open(newline="") as file:
            bad = list(csv.DictReader(file))
    return report, ledger, bad


def said(ledger: FakeLedger) -> list[tuple[Any, ...]]:
    return sorted(
        (row.site_id, row.sku, row.quantity, row.source_id, _at(row).ToJsonString())
        for row in ledger.rows.values()
    )


def _at(row: Any) -> Any:
    is_dated = "occurred_at" in row.DESCRIPTOR.fields_by_name
    return row.occurred_at if is_dated else row.due_at


async def test_a_sales_report_is_till_sales(tmp_path: Path) -> None:
    _, ledger, bad = await imported(tmp_path, interchange("SLSRPT"), "till_sale")
    until = "2026-10-10T23:59:59Z"
    sender = "5456789000017.SLSRPT.SDR1568"
    assert said(ledger) == [
        ("lyon", "milk", -3, f"{sender}.2", until),
        ("paris", "milk", 140, f"{sender}.1", until),
    ]
    assert bad == []


async def test_an_inventory_report_is_an_image(tmp_path: Path) -> None:
    _, ledger, _ = await imported(tmp_path, interchange("INVRPT"), "image")
    at, sender = "2026-10-05T22:00:00Z", "5456789000017.INVRPT.INVR21599"
    assert said(ledger) == [
        ("paris", "4006381333931", 1500, f"{sender}.2", at),
        ("paris", "milk", 57, f"{sender}.1", at),
    ]


async def test_one_article_may_be_at_several_places(tmp_path: Path) -> None:
    body = [
        *BODIES["INVRPT"][:4],
        "QTY+145:5",
        f"LOC+14+{GLN}",
        "QTY+145:7",
        "LOC+14+5456789000031",
    ]
    _, ledger, _ = await imported(tmp_path, interchange("INVRPT", body), "image")
    assert {(row[0], row[2]) for row in said(ledger)} == {("paris", 5), ("lyon", 7)}


async def test_a_despatch_advice_is_shipped_from_where_it_leaves(tmp_path: Path) -> None:
    _, ledger, _ = await imported(tmp_path, interchange("DESADV"), "transport")
    [row] = ledger.rows.values()
    assert (row.site_id, row.quantity, row.stage) == ("paris", 400, 1)


async def test_a_receiving_advice_is_a_receipt_or_the_end_of_a_transport(tmp_path: Path) -> None:
    _, ledger, _ = await imported(tmp_path, interchange("RECADV"), "receipt")
    assert [row[:3] for row in said(ledger)] == [("paris", "milk", 390)]
    _, ledger, _ = await imported(tmp_path, interchange("RECADV"), "transport")
    assert sorted((row.stage, row.quantity) for row in ledger.rows.values()) == [(2, 390), (4, 10)]


async def test_a_document_that_is_sent_again_counts_once(tmp_path: Path) -> None:
    ledger = FakeLedger()
    text = interchange("SLSRPT")
    await imported(tmp_path, text, "till_sale", ledger)
    report, _, _ = await imported(tmp_path, text.replace("REF1", "REF2"), "till_sale", ledger)
    assert (report.recorded, report.duplicates) == (0, 2)


@pytest.mark.parametrize(
    ("function", "what"),
    [
        ("1", "a cancellation"),
        ("5", "a replacement"),
        ("4", "a change"),
        ("31", "a copy"),
        ("x", "no original"),
    ],
)
@pytest.mark.parametrize("name", sorted(KINDS))
async def test_only_originals_are_posted(
    tmp_path: Path, name: str, function: str, what: str
) -> None:
    begin = BODIES[name][0]
    text = interchange(name, [begin.removesuffix("9") + function, *BODIES[name][1:]])
    report, ledger, [bad] = await imported(tmp_path, text, KINDS[name])
    assert (report.recorded, report.quarantined, len(ledger.rows)) == (0, 1, 0)
    assert bad["line"] == "2"
    assert bad["detail"].endswith(f"(BGM): it is {what}")
    assert "as an original (9)" in bad["remedy"]


async def test_a_document_that_says_no_function_is_an_original(tmp_path: Path) -> None:
    body = [BODIES["SLSRPT"][0].removesuffix("+9"), *BODIES["SLSRPT"][1:]]
    report, _, _ = await imported(tmp_path, interchange("SLSRPT", body), "till_sale")
    assert (report.recorded, report.quarantined) == (2, 0)


async def test_a_test_interchange_is_put_aside_whole_and_the_next_is_posted(
    tmp_path: Path,
) -> None:
    unb = "UNB+UNOA:3+5456789000017:14+3323456007896:14+261105:1000+REF1++++++"
    test = interchange("SLSRPT", unb=f"{unb}1")
    report, ledger, [bad] = await imported(tmp_path, test, "till_sale")
    assert (report.quarantined, len(ledger.rows), bad["line"]) == (1, 0, "1")
    assert "is a test" in bad["detail"]
    meant = interchange("SLSRPT", unb=f"{unb}0")
    report, _, _ = await imported(tmp_path, test + meant, "till_sale")
    assert (report.recorded, report.quarantined) == (2, 1)


async def read_at(
    folder: Path, dtm: str, zone: str = "UTC", came: str = "2026-12-01T00:00:00+00:00"
) -> str:
    """Return when an inventory with this DTM is said to be of, or what is wrong with it."""
    body = [f"DTM+{dtm}" if line.startswith("DTM") else line for line in BODIES["INVRPT"]]
    path = folder / "feed.edi"
    path.write_text(interchange("INVRPT", body))
    os.utime(path, (datetime.fromisoformat(came).timestamp(),) * 2)
    ledger = FakeLedger()
    await import_file(path, "image", ledger, Options(folder / "bad.csv", CODES, zone))
    if not ledger.rows:
        return (folder / "bad.csv").read_text()
    return str(said(ledger)[0][4])


@pytest.mark.parametrize(
    ("dtm", "zone", "at"),
    [
        ("366:202607011400:203", "UTC", "2026-07-01T14:00:00Z"),
        ("366:202607011400:203", "Europe/Paris", "2026-07-01T12:00:00Z"),
        ("366:202601011400:203", "Europe/Paris", "2026-01-01T13:00:00Z"),
        ("366:20260701140059:204", "Europe/Paris", "2026-07-01T12:00:59Z"),
        ("366:20260701:102", "Europe/Paris", "2026-07-01T21:59:59Z"),
        ("366:2607011400:201", "Europe/Paris", "2026-07-01T12:00:00Z"),
        ("366:202607011400?+0200:205", "UTC", "2026-07-01T12:00:00Z"),
        ("366:202607011400?+0200:205", "Asia/Tokyo", "2026-07-01T12:00:00Z"),
        ("366:202607011400-0330:205", "UTC", "2026-07-01T17:30:00Z"),
        ("366:202607011400UTC:303", "Europe/Paris", "2026-07-01T14:00:00Z"),
        ("366:202607011400CET:303", "UTC", "2026-07-01T13:00:00Z"),
        ("366:202607011400?+02:303", "UTC", "2026-07-01T12:00:00Z"),
        ("366:20260701140059GMT:304", "UTC", "2026-07-01T14:00:59Z"),
        ("366:2026070120260703:718", "Europe/Paris", "2026-07-03T21:59:59Z"),
        ("366:20260701-20260703:718", "UTC", "2026-07-03T23:59:59Z"),
        ("366:26070106002607031400:713", "Europe/Paris", "2026-07-03T12:00:00Z"),
        ("366:202607010600202607031400:719", "UTC", "2026-07-03T14:00:00Z"),
    ],
)
async def test_a_time_without_a_zone_is_the_senders(
    tmp_path: Path, dtm: str, zone: str, at: str
) -> None:
    assert await read_at(tmp_path, dtm, zone) == at


async def test_a_document_that_is_sent_again_elsewhere_in_a_file_counts_once(
    tmp_path: Path,
) -> None:
    """Lines without numbers are known by their place in their document, not in the file."""
    body = [one.replace("LIN+1+", "LIN++").replace("LIN+2+", "LIN++") for one in BODIES["SLSRPT"]]
    first = [one.replace("SDR1568", "SDR1567") for one in body]
    both = interchange("SLSRPT", first).rsplit("UNZ", 1)[0]
    both += interchange("SLSRPT", body).split("'\n", 1)[1]
    report, ledger, _ = await imported(tmp_path, both, "till_sale")
    assert (report.recorded, report.duplicates) == (4, 0)
    report, _, _ = await imported(tmp_path, interchange("SLSRPT", body), "till_sale", ledger)
    assert (report.recorded, report.duplicates) == (0, 2)


ZONES = {"paris": "Europe/Paris", "lyon": "Asia/Tokyo", "nowhere": "Not/AZone"}


async def test_other_times_that_a_row_may_have_been_told_of_go_with_it(tmp_path: Path) -> None:
    """They were read in the file's zone, or as UTC, before the zone of the site was known."""
    path = tmp_path / "feed.edi"

    async def also(dtm: str, **former: Any) -> list[str]:
        body = [f"DTM+{dtm}" if line.startswith("DTM") else line for line in BODIES["INVRPT"]]
        path.write_text(interchange("INVRPT", body))
        ledger = FakeLedger()
        zones = {"paris": "Europe/Paris"}
        options = Options(tmp_path / "bad.csv", CODES, "Asia/Tokyo", zones, **former)
        await import_file(path, "image", ledger, options)
        [(_, request)] = ledger.calls
        at = request.rows[0].occurred_at.ToDatetime()
        return [str(one.ToDatetime() - at) for one in request.rows[0].also_at]

    assert await also("366:202610052200:203") == ["-1 day, 17:00:00", "2:00:00"]
    assert await also("366:202610052200:203", former=["Europe/Lisbon"]) == [
        *("-1 day, 17:00:00", "2:00:00", "1:00:00"),
    ]
    assert await also("366:20261005:102") == []
    assert await also("366:202610052200?+0200:205") == []


async def test_a_time_without_a_zone_is_that_of_the_site_where_it_was(tmp_path: Path) -> None:
    """One file tells of sites in two zones; what is due somewhere is due by its clock."""
    path = tmp_path / "feed.edi"
    zoned = ["DTM+356:202610051200:203" if "DTM+356" in one else one for one in BODIES["SLSRPT"]]
    path.write_text(interchange("SLSRPT", [*zoned, "LOC+162+5456789000048::9", *zoned[-2:]]))
    options = Options(tmp_path / "bad.csv", CODES, "UTC", ZONES)
    ledger = FakeLedger()
    await import_file(path, "till_sale", ledger, options)
    assert {(row[0], row[4]) for row in said(ledger)} == {
        ("paris", "2026-10-05T10:00:00Z"),
        ("lyon", "2026-10-05T03:00:00Z"),
        ("5456789000048", "2026-10-05T12:00:00Z"),
    }
    stated = [one.replace("202610051200:203", "202610051200?+0500:205") for one in zoned]
    path.write_text(interchange("SLSRPT", stated))
    ledger = FakeLedger()
    await import_file(path, "till_sale", ledger, options)
    assert {row[4] for row in said(ledger)} == {"2026-10-05T07:00:00Z"}
    path.write_text(interchange("DESADV"))
    ledger = FakeLedger()
    await import_file(path, "transport", ledger, options)
    [row] = ledger.rows.values()
    assert row.occurred_at.ToJsonString() == "2026-10-04T21:59:59Z"
    assert row.due_at.ToJsonString() == "2026-10-05T23:00:00Z"


@pytest.mark.parametrize(
    ("dtm", "is_day_only"),
    [("20261005:102", True), ("2026100420261005:718", True), ("202610051200:203", False)],
)
@pytest.mark.parametrize("name", ["INVRPT", "DESADV", "RECADV", "SLSRPT"])
async def test_a_row_says_whether_its_document_names_a_day_only(
    tmp_path: Path, name: str, dtm: str, *, is_day_only: bool
) -> None:
    """A repeat in another interchange may say another time of that day."""
    code = {"INVRPT": "366", "DESADV": "11", "RECADV": "50", "SLSRPT": "356"}[name]
    body = [f"DTM+{code}:{dtm}" if f"DTM+{code}:" in one else one for one in BODIES[name]]
    _, ledger, _ = await imported(tmp_path, interchange(name, body), KINDS[name])
    assert {row.is_day_only for row in ledger.rows.values()} == {is_day_only}


class Catalog:
    """A channel to a catalog of two pages, or to none."""

    def __init__(self, refusal: grpc.StatusCode | None = None) -> None:
        self.refusal = refusal
        self.metadata: list[Any] = []

    def unary_unary(self, path: str, **_: Any) -> Any:
        return self.list_sites if path.endswith("ListSites") else None

    async def list_sites(self, request: ListSitesRequest, **how: Any) -> ListSitesResponse:
        self.metadata.append(how["metadata"])
        if self.refusal is not None:
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(self.refusal, nothing, nothing, "", "")
        if not request.page_token:
            sites = [Site(site_id="paris", time_zone="Europe/Paris"), Site(site_id="unsaid")]
            return ListSitesResponse(sites=sites, next_page_token="more")
        return ListSitesResponse(sites=[Site(site_id="lyon", time_zone="Asia/Tokyo")])


async def test_the_zones_of_sites_are_the_catalogs(tmp_path: Path) -> None:
    catalog, key = Catalog(), (("authorization", "Bearer key"),)
    assert await site_zones(catalog, key) == {"paris": "Europe/Paris", "lyon": "Asia/Tokyo"}
    assert catalog.metadata == [key, key]
    for elsewhere in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED):
        assert await site_zones(Catalog(elsewhere), key) == {}
    with pytest.raises(Stopped, match="the catalog answered UNAVAILABLE"):
        await site_zones(Catalog(grpc.StatusCode.UNAVAILABLE), key)


@pytest.mark.parametrize(
    "dtm",
    [
        *("366:202607011400:205", "366:202607011400?+2500:205", "366:202607011400UTC:205"),
        *("366:202607011400XYZ:303", "366:202607011400:303", "366:202613011400UTC:303"),
        *("366:00010101?+1400:205", "366:000101010000?+1400:205"),
    ],
)
async def test_a_zone_that_says_nothing_certain_is_put_aside(tmp_path: Path, dtm: str) -> None:
    assert "occurred_at: is" in await read_at(tmp_path, dtm)


@pytest.mark.parametrize(
    ("dtm", "zone", "came", "at"),
    [  # the interchange says that it was made on 2026-11-05 at 10:00
        ("366:20261105:102", "UTC", "2026-11-05T18:00:00+00:00", "2026-11-05T10:00:00Z"),
        ("366:20261105:102", "Europe/Paris", "2026-11-05T18:00:00+00:00", "2026-11-05T09:00:00Z"),
        ("366:20261105:102", "UTC", "2026-11-05T09:30:00+00:00", "2026-11-05T09:30:00Z"),
        ("366:20261105:102", "UTC", "2026-12-01T00:00:00+00:00", "2026-11-05T10:00:00Z"),
        ("366:20261104:102", "UTC", "2026-11-05T18:00:00+00:00", "2026-11-04T23:59:59Z"),
        ("366:20261106:102", "UTC", "2026-11-05T18:00:00+00:00", "2026-11-06T23:59:59Z"),
        ("366:2026110120261105:718", "UTC", "2026-11-05T18:00:00+00:00", "2026-11-05T10:00:00Z"),
    ],
)
async def test_a_day_that_is_not_over_is_when_the_interchange_was_made_or_came(
    tmp_path: Path, dtm: str, zone: str, came: str, at: str
) -> None:
    assert await read_at(tmp_path, dtm, zone, came) == at


async def test_a_zone_is_one_that_there_is_and_for_edifact_only(tmp_path: Path) -> None:
    with pytest.raises(WrongFile, match="no zone 'Paris'"):
        await read_at(tmp_path, "366:20261105:102", "Paris")
    sales = tmp_path / "sales.csv"
    sales.write_text("site_id,sku,quantity,source_id\nparis,milk,1,s\n")
    options = Options(tmp_path / "bad.csv", zone="Europe/Paris")
    with pytest.raises(WrongFile, match="a zone is for EDIFACT"):
        await import_file(sales, "till_sale", FakeLedger(), options)


def changed(name: str, old: str, new: str) -> list[str]:
    assert any(old in line for line in BODIES[name]), (name, old)
    return [line.replace(old, new) for line in BODIES[name]]


def malformed(name: str, kind: str) -> list[tuple[str, str]]:
    """Thirty and more ways in which a document of this name may be wrong, and what is wrong."""
    lin = next(line for line in BODIES[name] if line.startswith("LIN"))
    qty = next(line for line in BODIES[name] if line.startswith("QTY"))
    gln, when = (TO[7:20], "due_at") if kind == "in_transit" else (GLN, "occurred_at")
    place = next(line for line in BODIES[name] if gln in line and line.startswith(("NAD", "LOC")))
    times = [line for line in BODIES[name] if line.startswith("DTM")]
    amount = qty.split(":")[1]

    def without(*tags: str) -> list[str]:
        return [line for line in BODIES[name] if not line.startswith(tags)]

    bodies = [
        ("document: has no number", without("BGM")),
        ("quantity: is missing", without("QTY")),
        (when, without("DTM")),
        ("site_id: is missing", without("NAD", "LOC")),
        *(
            ("sku", changed(name, lin, wrong))
            for wrong in (
                *("LIN+1", "LIN+1++", "LIN+1++a b:SRV", f"LIN+1++{'9' * 65}:SRV"),
                "LIN+1++mi|k:SRV",
            )
        ),
        *(
            ("site_id", changed(name, place, place.replace(gln, wrong)))
            for wrong in ("a b", "", "x" * 65, "é")
        ),
        *(
            ("quantity", changed(name, qty, qty.replace(amount, wrong)))
            for wrong in ("", "x", "1.5", "1e3", "9" * 20, "--1", "0x1", "1 0", "NaN", "1000000001")
        ),
        ("unit: is 'XXX'", changed(name, qty, f"{qty}:XXX")),
        ("quantity: is missing", changed(name, qty, qty.replace("QTY+", "QTY+9"))),
        *(
            (
                when,
                [line if line not in times else f"DTM+{code}" for line in BODIES[name]],
            )
            for code in (
                *("137", "137:", "137:x:102", "137:20261332:102", "137:2026100:102"),
                *("137:20261005:999", "137:202610052561:203", "137:99999999:102"),
            )
        ),
    ]
    whole = interchange(name)
    return [
        *((why, interchange(name, body)) for why, body in bodies),
        ("document: has", interchange(name, unt="UNT+3+ME000001")),
        ("document: has", interchange(name, unt="UNT")),
        ("document: has", interchange(name, unt="UNT+x+ME000001")),
        ("document: is a ORDERS", interchange(name, unh="UNH+ME000001+ORDERS:D:01B:UN")),
        ("document: is a nameless", interchange(name, unh="UNH+ME000001")),
        ("document: is a nameless", interchange(name, unh="UNH")),
        ("", whole[: len(whole) // 2]),
        ("", whole.replace("'", "")),
        ("", whole.replace("BGM", "bgm")),
        ("", whole.replace("QTY", "?'QTY")),
        ("interchange: cannot be read", whole.replace("UNB+UNOA:3", "UNB")),
        ("interchange: cannot be read", "UNA:+.? '" + "UNA:+.? '" + whole),
        ("interchange: cannot be read", "UNB+UNOA:3'"),
        ("interchange", ""),
        ("interchange", "not an interchange at all"),
        ("interchange", "UNA"),
        ("interchange", "'" * 50),
    ]


@pytest.mark.parametrize(("name", "kind"), DOCUMENTS)
async def test_malformed_documents_are_put_aside_with_their_reason(
    tmp_path: Path, name: str, kind: str
) -> None:
    """Each has a row in quarantine that says what is wrong, and no row of it is posted wrongly."""
    texts = malformed(name, kind)
    assert len(texts) >= 30
    right = {row[:3] for row in said((await imported(tmp_path, interchange(name), kind))[1])}
    assert right
    for n, (why, text) in enumerate(texts):
        report, ledger, bad = await imported(tmp_path, text, kind)
        assert bad, (n, text)
        assert report.quarantined == len({row["line"] for row in bad})
        assert all(row["detail"] and row["remedy"] for row in bad), (n, bad)
        assert any(row["detail"].startswith(why) for row in bad), (n, why, text, bad)
        assert {row[:3] for row in said(ledger)} <= right, (n, text)


@pytest.mark.parametrize(
    ("kind", "old", "new", "why"),
    [
        *(
            ("in_transit", DUE, f"DTM+17:{wrong}", "due_at")
            for wrong in ("", "x:102", "20261332:102", "2026:203", "20261006:999")
        ),
        ("in_transit", f"{DUE}'\n", "", "due_at"),
        ("in_transit", TO, "NAD+ST", "site_id: is missing"),
        ("in_transit", TO, "NAD+ST+a b::9", "site_id"),
        ("transport", DUE, "DTM+17:x:102", "due_at"),
        ("transport", TO, "NAD+ST+a b::9", "to_site_id"),
        ("transport", TO, f"NAD+ST+{'x' * 65}::9", "to_site_id"),
    ],
)
async def test_where_a_despatch_goes_and_when_is_read_as_strictly(
    tmp_path: Path, kind: str, old: str, new: str, why: str
) -> None:
    text = interchange("DESADV")
    assert old in text
    lost = 0 if new else 1
    wrong = text.replace(old, new).replace("UNT+10", f"UNT+{10 - lost}")
    report, ledger, bad = await imported(tmp_path, wrong, kind)
    assert (report.recorded, len(ledger.rows)) == (0, 0)
    assert [row["detail"].startswith(why) for row in bad] == [True], bad


async def test_a_kind_that_has_no_document_is_told(tmp_path: Path) -> None:
    with pytest.raises(WrongFile, match="no shrinkage document"):
        await imported(tmp_path, interchange("SLSRPT"), "shrinkage")


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@for_all(st.sampled_from(DOCUMENTS), st.data())
async def test_no_interchange_breaks_the_reader(
    tmp_path: Path, document: tuple[str, str], data: st.DataObject
) -> None:
    """A right one, with parts of it lost, doubled or replaced."""
    name, kind = document
    text = bytearray(interchange(name).encode())
    for _ in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.integers(0, max(len(text) - 1, 0)))
        length = data.draw(st.integers(0, 12))
        text[start : start + length] = data.draw(
            st.one_of(
                st.binary(max_size=8), st.sampled_from([b"'", b"+", b":", b"?", b"UNH+", b""])
            )
        )
    report, _, _ = await imported(tmp_path, b"UNB+" + bytes(text), kind)
    assert report.recorded + report.duplicates + report.quarantined <= max(report.rows, 1)


_tags = ["UNA", "UNB", "UNH", "BGM", "DTM", "NAD", "LOC", "RFF", "LIN", "QTY", "QVR", "UNT", "UNZ"]
_parts = st.one_of(
    st.text(max_size=6), st.sampled_from([*_KNOWN, *(str(n) for n in range(0, 400, 7))])
)
_segments = st.lists(
    st.tuples(
        st.sampled_from(_tags), st.lists(st.lists(_parts, max_size=4).map(":".join), max_size=5)
    ).map(lambda made: "+".join([made[0], *made[1]])),
    max_size=30,
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@for_all(st.sampled_from(DOCUMENTS), _segments)
async def test_no_order_of_segments_breaks_the_reader(
    tmp_path: Path, document: tuple[str, str], segments: list[str]
) -> None:
    """Segments of any kind in any order, with what they may hold and what not."""
    name, kind = document
    head = f"UNB+UNOA:3+S:14+R:14+261105:1000+REF'UNH+1+{name}:D:01B:UN'BGM+351+N1+9'"
    text = head + "".join(f"{each}'" for each in segments) + f"UNT+{len(segments) + 3}+1'UNZ+1+REF'"
    report, _, _ = await imported(tmp_path, text.encode("utf-8", "replace"), kind)
    assert report.recorded + report.duplicates + report.quarantined <= max(report.rows, 1)
