"""Seals, and what an auditor takes away: one altered, removed or inserted row is found."""

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.kernel.__main__ import app
from services.kernel.domain.errors import NotFound
from services.kernel.domain.messages import Cause
from services.stock_ledger.adapters.proof_files import entry_proof, write_log
from services.stock_ledger.adapters.seals import Sealer, broken_seals, days_over, seal_page, seals
from services.stock_ledger.application.recording import record
from services.stock_ledger.domain.stock_commands import Receive
from services.stock_ledger.domain.stock_item import stock_key
from tests.support.stack import TENANT, Stack, execute, running

pytestmark = pytest.mark.stack
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
VERIFIER = Path(__file__).parents[3] / "docs/proof/verify_stock_proof.py"


class Books:
    """A ledger of forty entries over five products, one of another tenant's, sealed twice."""

    def __init__(self, stack: Stack, postgres_dsn: str) -> None:
        self.stack = stack
        self.host = stack["stock_ledger"]
        self.sql = self.host.database.sql
        self._admin = postgres_dsn

    async def post(self, name: str, tenant: str = TENANT) -> None:
        movements = [
            (stock_key("paris", f"sku-{n % 5}"), Receive(1, f"{name}-{n}", NOON)) for n in range(20)
        ]
        await self.host.runner.execute(Cause(tenant, name), lambda work: record(work, movements))

    async def seal(self) -> None:
        until = datetime.now(UTC) + timedelta(seconds=1)  # noqa: TID251 - the log has the wall's
        await self.host.runner.execute(Cause("-", "seal"), lambda work: seal_page(work.sql, until))

    async def tamper(self, statement: str) -> None:
        """Change the log as somebody could who owns the database."""
        name = await self.sql.fetchval("SELECT current_database()")
        for one in statement.split("; "):
            await execute(self._admin.replace("/postgres?", f"/{name}?"), one)

    async def faults(self) -> list[str]:
        return [fault async for fault in broken_seals(self.sql)]

    async def write(self, folder: Path) -> int:
        await asyncio.to_thread(folder.mkdir, exist_ok=True)
        return await write_log(self.sql, folder, TENANT, lambda _, __: None)


@pytest.fixture
async def books(postgres_dsn: str) -> AsyncIterator[Books]:
    async with running(postgres_dsn, ["stock_ledger"]) as stack:
        books = Books(stack, postgres_dsn)
        await books.post("one")
        await books.seal()
        await books.post("two")
        await books.post("three", "other")
        await books.seal()
        yield books


async def _verify(*arguments: object) -> tuple[int, str]:
    """Run the verifier as an auditor does: an interpreter of his, and none of our paths."""
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-I", "-S", str(VERIFIER), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    return ran.returncode, ran.stdout + ran.stderr


async def test_an_untouched_log_is_proved(books: Books, tmp_path: Path) -> None:
    assert [(seal.size, await books.faults()) for seal in await seals(books.sql)] == [
        (20, []),
        (60, []),
    ]
    assert await books.write(tmp_path) == 60
    hidden = "20 rows are only digests here: what they say was not checked"
    assert await _verify("log", tmp_path) == (0, f"nothing was changed; {hidden}\n")
    entries = (tmp_path / "entries.jsonl").read_text()
    assert "three" not in entries  # another tenant's rows are digests
    proof = await entry_proof(books.sql, TENANT, "paris", "sku-3", 5)
    assert proof["entry"]["version"] == 5
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(proof))
    assert await _verify("entry", file, tmp_path / "seals.jsonl") == (0, "nothing was changed\n")
    forged = json.loads(file.read_text())
    forged["entry"]["state"] = forged["entry"]["state"].replace('"quantity":1', '"quantity":2')
    file.write_text(json.dumps(forged))
    code, said = await _verify("entry", file, tmp_path / "seals.jsonl")
    assert (code, "is not what was sealed" in said) == (1, True)


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"size": 1, "root": "x", "path": 3}'])
async def test_what_is_no_proof_proves_nothing(tmp_path: Path, content: str) -> None:
    file, none = tmp_path / "proof.json", tmp_path / "seals.jsonl"
    file.write_text(content)
    none.write_text("")
    code, said = await _verify("entry", file, none)
    assert (code, "Traceback" in said, said.count("\n") > 0) == (1, False, True)


async def test_what_is_not_sealed_cannot_be_proved(books: Books) -> None:
    await books.post("four")
    with pytest.raises(NotFound):
        await entry_proof(books.sql, TENANT, "paris", "sku-3", 9)
    with pytest.raises(NotFound):
        await entry_proof(books.sql, TENANT, "paris", "sku-99", 1)


_ALTERED = (
    "UPDATE events SET state = convert_to(replace(convert_from(state, 'UTF8'),"
    " '\"quantity\":1', '\"quantity\":9'), 'UTF8') WHERE notification_id = 7"
)
_REMOVED = (
    "DELETE FROM events WHERE notification_id = 7; "
    "UPDATE events SET notification_id = notification_id - 1 WHERE notification_id = 8"
)
_RENUMBERED = (
    "DELETE FROM events WHERE notification_id = 33; "
    "UPDATE events SET notification_id = -notification_id WHERE notification_id > 33; "
    "UPDATE events SET notification_id = -notification_id - 1 WHERE notification_id < 0"
)
_INSERTED = (
    "UPDATE events SET notification_id = -notification_id WHERE notification_id > 40; "
    "UPDATE events SET notification_id = -notification_id + 1 WHERE notification_id < 0; "
    "INSERT INTO events SELECT originator_id, 99, topic, state, 41, gen_random_uuid(), tenant,"
    " recorded_at, cause FROM events WHERE notification_id = 40"
)


@pytest.mark.parametrize("change", [_ALTERED, _REMOVED, _RENUMBERED, _INSERTED])
async def test_one_changed_row_is_found(books: Books, tmp_path: Path, change: str) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    await books.write(before)
    await books.tamper(change)
    assert await books.faults() != []
    await books.write(after)
    code, said = await _verify("log", after, before / "seals.jsonl")
    assert code == 1, said
    assert "nothing was changed" not in said
    # Whoever seals anew what he has changed is found by the seals that were taken away.
    await books.tamper("TRUNCATE log_seal, seal_progress, stream_seal")
    await books.seal()
    await books.write(after)
    code, said = await _verify("log", after, before / "seals.jsonl")
    assert (code, "are not those sealed on" in said or "says it is row" in said) == (1, True)


async def test_days_are_sealed_when_they_are_over(books: Books) -> None:
    """The database dates rows by its own clock, so the test moves the rows, not the clock."""
    await books.tamper(
        "TRUNCATE log_seal, seal_progress, stream_seal; "
        "UPDATE events SET recorded_at = timestamptz '2026-03-01 23:59:59.5Z'"
        " WHERE notification_id <= 15; "
        "UPDATE events SET recorded_at = timestamptz '2026-03-02 00:00:00Z'"
        " WHERE notification_id BETWEEN 16 AND 30; "
        "UPDATE events SET recorded_at = timestamptz '2026-03-04 09:00:00Z'"
        " WHERE notification_id > 30"
    )

    class Clock:
        def __init__(self, at: datetime) -> None:
            self.at = at

        def now(self) -> datetime:
            return self.at

    async def sealed(at: datetime) -> list[tuple[int, str]]:
        await Sealer(books.host.runner, Clock(at)).seal()
        return [(seal.size, seal.day.isoformat()) for seal in await seals(books.sql)]

    assert days_over(datetime(2026, 3, 2, 0, 5, tzinfo=UTC)) == datetime(2026, 3, 1, tzinfo=UTC)
    assert await sealed(datetime(2026, 3, 2, 0, 5, tzinfo=UTC)) == []
    assert await sealed(datetime(2026, 3, 2, 0, 11, tzinfo=UTC)) == [(15, "2026-03-01")]
    both = [(15, "2026-03-01"), (30, "2026-03-02")]
    assert await sealed(datetime(2026, 3, 4, 10, tzinfo=UTC)) == both
    assert await sealed(datetime(2026, 3, 6, tzinfo=UTC)) == [*both, (60, "2026-03-04")]
    assert await sealed(datetime(2026, 3, 6, tzinfo=UTC)) == [*both, (60, "2026-03-04")]
    assert await books.faults() == []


def test_the_commands_say_what_lacks(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMS_POSTGRES_DSN", postgres_dsn)
    monkeypatch.setenv("OMS_DATABASE_PREFIX", f"p{secrets.token_hex(4)}_")
    monkeypatch.setenv("OMS_DATA_HOME", str(tmp_path))
    for name in ("PICKUP_CODE_SECRET", "TRACKING_SECRET", "INTERNAL_TOKEN", "DEMO_TENANT"):
        owner = "DELIVERY" if name.startswith("PICKUP") else "GATEWAY"
        monkeypatch.setenv(f"OMS_{owner}_{name}", "")  # so that what a command sets is undone
        monkeypatch.delenv(f"OMS_{owner}_{name}")
    for arguments, code, says in (
        (["seal", "--today"], 0, "no day is over yet"),
        (["log", str(tmp_path / "out")], 2, "oms stock proof seal"),
        (["entry", "paris", "milk", "1"], 2, "no entry 1 of milk at paris"),
    ):
        answer = CliRunner().invoke(app, ["stock", "proof", *arguments])
        assert answer.exit_code == code, answer.output
        assert says in answer.output
