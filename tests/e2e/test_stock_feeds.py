"""Stock feeds from outside: a file by the command line, a batch over HTTP, and what was bad."""

from pathlib import Path
from typing import Any

from tests.support.embedded import Embedded

SITE = "feeds-paris"
MALFORMED: list[dict[str, Any]] = [
    {},
    {"site_id": ""},
    {"site_id": "a b"},
    {"site_id": 7},
    {"site_id": None},
    {"site_id": ["paris"]},
    {"site_id": {"id": "paris"}},
    {"sku": "mi|k"},
    {"sku": "x" * 65},
    {"sku": "../milk"},
    {"sku": True},
    {"sku": "\u0000"},
    {"quantity": 0},
    {"quantity": "two"},
    {"quantity": 1.5},
    {"quantity": 10**10},
    {"quantity": -(10**10)},
    {"quantity": 10**30},
    {"quantity": None},
    {"quantity": []},
    {"source_id": ""},
    {"source_id": "s" * 129},
    {"source_id": "a\nb"},
    {"source_id": 12},
    {"occurred_at": "yesterday"},
    {"occurred_at": "2026-02-30T00:00:00Z"},
    {"occurred_at": "9999-01-01T00:00:00Z"},
    {"occurred_at": 1_700_000_000},
    {"occurred_at": "2026-03-02"},
    {"price": 3},
    {"SITE_ID": "paris"},
]


def row(source_id: str, **other: Any) -> dict[str, Any]:
    return {"site_id": SITE, "sku": "milk", "quantity": 2, "source_id": source_id, **other}


async def test_a_file_and_its_repeat_by_the_command_line(system: Embedded, tmp_path: Path) -> None:
    file = tmp_path / "sales.csv"
    file.write_text(
        "site_id,sku,quantity,source_id\n"
        f"{SITE},bread,2,t-1\n{SITE},bread,x,t-2\n{SITE},bread,3,t-3\n"
    )
    code, told = await system.oms("stock", "import", str(file), "--kind", "till_sale")
    assert (code, "3 rows: 2 recorded, 0 known already, 1 in quarantine" in told) == (1, True), told
    quarantine = (tmp_path / "sales.quarantine.csv").read_text()
    assert quarantine.splitlines()[1].startswith("3,UNREADABLE,quantity: is 'x'")
    _, told = await system.oms("stock", "import", str(file), "--kind", "till_sale")
    assert "3 rows: 0 recorded, 2 known already, 1 in quarantine" in told
    code, told = await system.oms("stock", "import", str(file), "--kind", "gossip")
    assert (code, "there is no kind 'gossip'" in told) == (2, True), told
    async with system.api() as api:
        wanted = await api.get("/v1/stock/discrepancies", site_id=SITE)
        assert ("bread", 5) in [(one["sku"], one["missing"]) for one in wanted["discrepancies"]]
        kept = await api.get("/v1/stock/quarantine", page_size="200")
        assert 3 in [one["line"] for one in kept["rows"] if one["reason"] == "UNREADABLE"]


async def test_a_batch_over_http_refuses_what_is_malformed(system: Embedded) -> None:
    """A body that is no contract's is a 400 as a whole; a row that is wrong is answered as one."""
    path = "/v1/stock/feeds/receipts:batch"
    assert len(MALFORMED) >= 30
    async with system.api() as api:
        done = await api.done(path, {"rows": [row("n-1"), row("n-2")]})
        assert done["outcome"]["recorded"] == 2
        for n, wrong in enumerate(MALFORMED):
            bad = {**row(f"bad-{n}"), **wrong} if wrong else {}
            answer = await api.post(path, {"rows": [bad]})
            if answer.status_code == 400:
                assert answer.json()["errors"], wrong
                continue
            assert answer.status_code == 200, (wrong, answer.text)
            [problem] = answer.json()["outcome"]["problems"]
            assert problem["reason"] == "INVALID_ARGUMENT", wrong
            assert problem["remedy"], wrong
        stock = await api.get("/v1/stock", site_id=SITE, sku="milk")
        assert stock["levels"][0]["free"] == 4
