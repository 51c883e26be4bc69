"""The auditor's verifier trusts no digest that stands beside the content it should be of."""

import json
import runpy
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.stock_ledger.adapters.proof_files import shown_row
from services.stock_ledger.domain.merkle import (
    NO_DIGEST,
    Row,
    chained,
    inclusion,
    leaf,
    root_of,
)

MAIN = runpy.run_path(str(Path(__file__).parents[3] / "docs/proof/verify_stock_proof.py"))["main"]
STREAM, FORGED = "demo/stock-paris|milk", '{"q":999999}'
ROWS = [
    Row(
        *(n, STREAM, n, "stock.entry_posted.v1", f"e-{n}"),
        *(datetime(2026, 3, 2, 12, tzinfo=UTC), "demo", b"{}", b'{"q":%d}' % n),
    )
    for n in range(1, 6)
]
LEAVES = [leaf(row) for row in ROWS]
SEAL = {"size": 5, "day": "2026-03-02", "root": root_of(LEAVES).hex()}
HIDDEN: list[Mapping[str, Any]] = [
    {"position": n, "leaf": digest.hex()} for n, digest in enumerate(LEAVES, 1)
]
UNTOUCHED = "nothing was changed\n"


class Auditor:
    """What he was given, a folder of it, and the seals he kept."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys
        self._write("trusted", SEAL)

    def _write(self, name: str, *rows: Mapping[str, Any]) -> Path:
        file = self._folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    def _hears(self, kind: str, subject: Path) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            MAIN([kind, str(subject), str(self._folder / "trusted.jsonl")])
        return int(str(ended.value.code)), self._capsys.readouterr().out

    def checks_entry(self, text: str) -> tuple[int, str]:
        file = self._folder / "proof.json"
        file.write_text(text)
        return self._hears("entry", file)

    def keeps(self, *seals: Mapping[str, Any]) -> None:
        self._write("trusted", *seals)

    def checks_log(
        self,
        rows: list[Mapping[str, Any]],
        *,
        is_sealed: bool,
        leaves: list[bytes] = LEAVES,
        seals: tuple[Mapping[str, Any], ...] = (SEAL,),
    ) -> tuple[int, str]:
        digest = NO_DIGEST
        for one in leaves:
            digest = chained(digest, one)
        stream = {"stream": STREAM, "version": len(leaves), "digest": digest.hex()}
        self._write("entries", *rows)
        self._write("seals", *seals)
        self._write("streams", *[stream][: int(is_sealed)])
        self._write("consistency")
        return self._hears("log", self._folder)


@pytest.fixture
def auditor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Auditor:
    return Auditor(tmp_path, capsys)


def proof(**forged: Any) -> dict[str, Any]:
    path = [digest.hex() for digest in inclusion(2, LEAVES)]
    return {"entry": {**shown_row(ROWS[2]), **forged}, **SEAL, "path": path}


def test_an_untouched_entry_is_proved(auditor: Auditor) -> None:
    assert auditor.checks_entry(json.dumps(proof())) == (0, UNTOUCHED)


@pytest.mark.parametrize(
    "forged",
    [
        {"state": FORGED},
        {"state": FORGED, "leaf": LEAVES[2].hex()},
        {"leaf": LEAVES[2].hex()},
        {"quantity": 999_999},
    ],
)
def test_an_entry_shows_nothing_that_is_not_in_its_digest(
    auditor: Auditor, forged: dict[str, Any]
) -> None:
    code, said = auditor.checks_entry(json.dumps(proof(**forged)))
    assert (code, "nothing was changed" in said) == (1, False), said


def test_an_entry_that_is_only_a_digest_proves_nothing(auditor: Auditor) -> None:
    code, said = auditor.checks_entry(json.dumps(proof() | {"entry": HIDDEN[2]}))
    assert (code, "nothing was changed" in said) == (1, False), said


def test_a_field_that_is_given_twice_is_refused(auditor: Auditor) -> None:
    text = json.dumps(proof()).replace('"entry": {', f'"entry": {{"state": {json.dumps(FORGED)}, ')
    code, said = auditor.checks_entry(text)
    assert (code, "twice" in said) == (1, True), said


def test_an_untouched_log_is_proved(auditor: Auditor) -> None:
    rows = [shown_row(row) for row in ROWS]
    assert auditor.checks_log(rows, is_sealed=True) == (0, UNTOUCHED)


@pytest.mark.parametrize("is_sealed", [True, False])
def test_rows_that_bring_their_own_digest_are_refused(auditor: Auditor, *, is_sealed: bool) -> None:
    rows = [{**shown_row(row), **digest} for row, digest in zip(ROWS, HIDDEN, strict=True)]
    rows[2]["state"] = FORGED
    code, said = auditor.checks_log(list(rows), is_sealed=is_sealed)
    assert (code, said) == (1, "row 1 shows other fields than its digest is of: leaf\n")


def test_it_is_told_how_many_rows_nobody_could_read(auditor: Auditor) -> None:
    assert auditor.checks_log(HIDDEN, is_sealed=False) == (
        0,
        "nothing was changed; 5 rows are only digests here: what they say was not checked\n",
    )
    code, said = auditor.checks_log(HIDDEN, is_sealed=True)
    assert (code, "is not what was sealed" in said) == (1, True)


def test_rows_that_nobody_has_sealed_are_named(auditor: Auditor) -> None:
    """Whoever writes them behind the newest seal can write the digest of their stream as well."""
    later = replace(ROWS[-1], position=6, version=6, event_id="e-6", state=FORGED.encode())
    rows = [shown_row(row) for row in (*ROWS, later)]
    code, told = auditor.checks_log(rows, is_sealed=True, leaves=[*LEAVES, leaf(later)])
    assert (code, told) == (1, "rows from 6 on are sealed by nobody\n")


def test_it_is_told_which_rows_only_the_seals_beside_them_are_of(auditor: Auditor) -> None:
    """An auditor who kept the seal of three rows knows nothing of the two after them."""
    auditor.keeps({"size": 3, "day": "2026-03-01", "root": root_of(LEAVES[:3]).hex()})
    code, told = auditor.checks_log([shown_row(row) for row in ROWS], is_sealed=True)
    assert (code, told.partition("; ")[2]) == (
        *(0, "rows from 4 on were only checked against the seals beside them\n"),
    )


@pytest.mark.parametrize("is_entry", [True, False])
def test_without_a_seal_that_was_kept_nothing_is_proved(
    auditor: Auditor, *, is_entry: bool
) -> None:
    auditor.keeps()
    if is_entry:
        code, _ = auditor.checks_entry(json.dumps(proof()))
        assert code == 1
        return
    rows = [shown_row(row) for row in ROWS]
    told = auditor.checks_log(rows, is_sealed=True)
    assert told == (1, "there is no seal to check against: SEALS is empty\n")
