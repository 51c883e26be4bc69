"""Files of feeds: the sales of a year through `oms stock import`, beside COPY of the same rows."""

import asyncio
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import asyncpg

from tests.bench.result import Result, tell
from tests.support.embedded import Embedded, embedded

SITES = 20
_ROWS = 541_909
_PRODUCTS = 4_000
_TARGET_S = 60
_TARGET_MB = 600
_SALES = "uci_online_retail_lines.parquet"
_FIRST = datetime(2010, 12, 1, 8, tzinfo=UTC)

type Sale = tuple[str, str, int, datetime]


async def imports(dsn: str) -> AsyncIterator[Result]:
    """541,909 sales lines over 20 sites: posted, then the same file again.

    Nothing was received before, so every pair goes below zero and opens a discrepancy: the worst
    case. The memory is that of the importer and of the whole embedded system but for PostgreSQL.
    """
    sales, origin = _sales()
    params = {"rows": len(sales), "sites": SITES, "from": origin}
    copied = len(sales) / await _copy(dsn, sales)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = _write(Path(folder) / "sales.parquet", sales)
        async with embedded(Path(folder) / "data") as system:
            for run in ("first", "again"):
                tell(f"import: {len(sales)} rows, {run}")
                seconds, importer, whole = await _import(system, file)
                told = params | {
                    "run": run,
                    "format": file.suffix.removeprefix("."),
                    "importer_cpu_s": importer.cpu_s,
                    "system_cpu_s": whole.cpu_s,
                    "importer_mb": importer.most_mb,
                    "system_mb": whole.most_mb,
                }
                yield Result(
                    "import", len(sales) / seconds, "rows/s", "COPY of the same rows", copied,
                    params=told,
                )  # fmt: skip
                yield Result(
                    "import", seconds, "s", target=_TARGET_S * len(sales) / _ROWS,
                    is_less_better=True, params=told,
                )  # fmt: skip
                yield Result(
                    "import", importer.most_mb + whole.most_mb, "MB resident", target=_TARGET_MB,
                    is_less_better=True, params=told,
                )  # fmt: skip


@dataclass(slots=True)
class _Use:
    """What a process took: processor seconds so far, and the most memory in MB."""

    pid: int
    began_s: float = 0.0
    cpu_s: float = 0.0
    most_mb: float = 0.0

    def look(self) -> None:
        """Take a look; where there is no /proc, or no such process, nothing is learnt."""
        with contextlib.suppress(OSError):
            home = Path(f"/proc/{self.pid}")
            fields = (home / "stat").read_text().rpartition(")")[2].split()
            ticks = int(fields[11]) + int(fields[12])
            used_s = ticks / os.sysconf("SC_CLK_TCK")
            self.began_s = self.began_s or used_s
            self.cpu_s = round(used_s - self.began_s, 2)
            found = re.search(r"VmRSS:\s+(\d+)", (home / "status").read_text())
            if found:
                self.most_mb = max(self.most_mb, round(int(found[1]) / 1024, 1))


async def _import(system: Embedded, file: Path) -> tuple[float, _Use, _Use]:
    """Return how long it took, and what importer and system took."""
    assert system.process is not None
    whole = _Use(system.process.pid)
    whole.look()
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.kernel", "stock", "import", str(file)),
        *("--kind", "till_sale"),
        cwd=Path(__file__).parents[2],
        env=system.variables,
        stderr=asyncio.subprocess.PIPE,
    )
    importer = _Use(process.pid)
    ended = asyncio.create_task(process.communicate())
    while not ended.done():
        importer.look()
        whole.look()
        await asyncio.wait([ended], timeout=0.2)
    seconds = time.perf_counter() - started
    _, told = ended.result()
    if process.returncode:
        raise RuntimeError(f"the import failed: {told.decode()[-2000:]}")
    tell(f"import: {told.decode().strip().splitlines()[-1]}")
    return seconds, importer, whole


async def _copy(dsn: str, sales: Sequence[Sale]) -> float:
    """Return how long the database takes to keep these rows in a table with a key."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "CREATE TABLE copied (n bigint PRIMARY KEY, site_id text, sku text, quantity bigint,"
            " occurred_at timestamptz)"
        )
        started = time.perf_counter()
        await connection.copy_records_to_table(
            "copied", records=((n, *sale) for n, sale in enumerate(sales))
        )
        return time.perf_counter() - started
    finally:
        await connection.execute("DROP TABLE IF EXISTS copied")
        await connection.close()


def _sales() -> tuple[list[Sale], str]:
    """Return real sales where they are, else made ones of the same number and spread."""
    folder = Path(os.environ.get("OMS_DATA_DIR") or Path(__file__).parents[2] / "../shared/data")
    try:
        from pyarrow import parquet  # noqa: PLC0415 - only this benchmark needs it
    except ImportError:
        return _made(), "made"
    if not (folder / _SALES).is_file():
        return _made(), "made"
    columns: Any = parquet.read_table(folder / _SALES).to_pydict()
    sales = [
        (_site(customer, at), _sku(name), quantity, at.replace(tzinfo=UTC))
        for name, quantity, at, customer in zip(
            *(columns[name] for name in ("Description", "Quantity", "InvoiceDate", "CustomerID")),
            strict=True,
        )
    ]
    return sales, _SALES


def _made() -> list[Sale]:
    return [
        (
            f"S{crc32(f'{n // 20}'.encode()) % SITES:02}",
            f"P{crc32(f'sku{n}'.encode()) % _PRODUCTS}",
            1 + n % 9,
            _FIRST + timedelta(seconds=57 * n),
        )
        for n in range(_ROWS)
    ]


def _site(*basket: object) -> str:
    return f"S{crc32('|'.join(map(str, basket)).encode()) % SITES:02}"


def _sku(name: str | None) -> str:
    """Return the id of a product that is known by its description."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name or "none").strip("-")[:64] or "none"


def _write(path: Path, sales: Sequence[Sale]) -> Path:
    sites, skus, quantities, times = zip(*sales, strict=True)
    try:
        from pyarrow import parquet, table  # noqa: PLC0415 - as above
    except ImportError:
        path = path.with_suffix(".csv")
        lines = (f"{a},{b},{c},{d.isoformat()}\n" for a, b, c, d in sales)
        with path.open("w") as file:
            file.write("site_id,sku,quantity,occurred_at\n")
            file.writelines(lines)
        return path
    columns = {"site_id": sites, "sku": skus, "quantity": quantities, "occurred_at": times}
    parquet.write_table(table(columns), path)
    return path
