"""GS1 EDIFACT interchanges: what each document says of stock, and what is put aside."""

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from services.stock_ledger.entrypoints.feed_files.cells import WrongFile
from services.stock_ledger.entrypoints.feed_files.importing import Options, Report, import_file
from tests.support.fake_ledger import FakeLedger

GLN, GTIN = "5456789000024", "5412345000105"
CODES = {GLN: "paris", "5456789000031": "lyon", GTIN: "milk"}
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
        f"NAD+SF+{GLN}::9",
        "NAD+DP+5456789000031::9",
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
        (row.site_id, row.sku, row.quantity, row.source_id, row.occurred_at.ToJsonString())
        for row in ledger.rows.values()
    )


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


def changed(name: str, old: str, new: str) -> list[str]:
    assert any(old in line for line in BODIES[name]), (name, old)
    return [line.replace(old, new) for line in BODIES[name]]


def malformed(name: str) -> list[str]:
    """Thirty and more ways in which a document of this name may be wrong."""
    lin = next(line for line in BODIES[name] if line.startswith("LIN"))
    qty = next(line for line in BODIES[name] if line.startswith("QTY"))
    place = next(line for line in BODIES[name] if GLN in line and line.startswith(("NAD", "LOC")))
    times = [line for line in BODIES[name] if line.startswith("DTM")]
    amount = qty.split(":")[1]
    bodies = [
        *([line for line in BODIES[name] if not line.startswith(gone)] for gone in ("BGM", "QTY")),
        [line for line in BODIES[name] if not line.startswith("DTM")],
        [line for line in BODIES[name] if not line.startswith(("NAD", "LOC"))],
        changed(name, lin, "LIN+1"),
        changed(name, lin, "LIN+1++"),
        changed(name, lin, "LIN+1++a b:SRV"),
        changed(name, lin, f"LIN+1++{'9' * 65}:SRV"),
        changed(name, lin, "LIN+1++mi|k:SRV"),
        changed(name, place, place.replace(GLN, "a b")),
        changed(name, place, place.replace(GLN, "")),
        changed(name, place, place.replace(GLN, "x" * 65)),
        changed(name, place, place.replace(GLN, "é")),
        *(
            changed(name, qty, qty.replace(amount, wrong))
            for wrong in ("", "x", "1.5", "1e3", "9" * 20, "--1", "0x1", "1 0", "NaN", "1000000001")
        ),
        changed(name, qty, f"{qty}:XXX"),
        changed(name, qty, qty.replace("QTY+", "QTY+9")),
        *(
            [line if line not in times else f"DTM+{code}" for line in BODIES[name]]
            for code in (
                *("137", "137:", "137:x:102", "137:20261332:102", "137:2026100:102"),
                *("137:20261005:999", "137:202610052561:203", "137:99999999:102"),
            )
        ),
    ]
    texts = [interchange(name, body) for body in bodies]
    whole = interchange(name)
    return [
        *texts,
        interchange(name, unt="UNT+3+ME000001"),
        interchange(name, unt="UNT"),
        interchange(name, unt="UNT+x+ME000001"),
        interchange(name, unh="UNH+ME000001+ORDERS:D:01B:UN"),
        interchange(name, unh="UNH+ME000001"),
        interchange(name, unh="UNH"),
        whole[: len(whole) // 2],
        whole.replace("'", ""),
        whole.replace("BGM", "bgm"),
        whole.replace("QTY", "?'QTY"),
        whole.replace("UNB+UNOA:3", "UNB"),
        "UNA:+.? '" + "UNA:+.? '" + whole,
        "UNB+UNOA:3'",
        "",
        "not an interchange at all",
        "UNA",
        "'" * 50,
    ]


@pytest.mark.parametrize("name", sorted(BODIES))
async def test_malformed_documents_are_put_aside_with_their_reason(
    tmp_path: Path, name: str
) -> None:
    """Each has at least one row in quarantine, and no row of it is posted wrongly."""
    texts = malformed(name)
    assert len(texts) >= 30
    right = {row[:3] for row in said((await imported(tmp_path, interchange(name), KINDS[name]))[1])}
    for n, text in enumerate(texts):
        report, ledger, bad = await imported(tmp_path, text, KINDS[name])
        assert bad, (n, text)
        assert report.quarantined == len({row["line"] for row in bad})
        assert all(row["detail"] and row["remedy"] for row in bad), (n, bad)
        assert {row[:3] for row in said(ledger)} <= right, (n, text)


async def test_a_kind_that_has_no_document_is_told(tmp_path: Path) -> None:
    with pytest.raises(WrongFile, match="no shrinkage document"):
        await imported(tmp_path, interchange("SLSRPT"), "shrinkage")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@for_all(st.sampled_from(sorted(BODIES)), st.data())
async def test_no_interchange_breaks_the_reader(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    """A right one, with parts of it lost, doubled or replaced."""
    text = bytearray(interchange(name).encode())
    for _ in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.integers(0, max(len(text) - 1, 0)))
        length = data.draw(st.integers(0, 12))
        text[start : start + length] = data.draw(
            st.one_of(
                st.binary(max_size=8), st.sampled_from([b"'", b"+", b":", b"?", b"UNH+", b""])
            )
        )
    report, _, _ = await imported(tmp_path, b"UNB+" + bytes(text), KINDS[name])
    assert report.recorded + report.duplicates + report.quarantined <= max(report.rows, 1)
