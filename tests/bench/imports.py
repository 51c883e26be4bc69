"""Files of feeds: the sales of a year through `oms stock import`, beside COPY of the same rows."""

import asyncio
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
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
                seconds, importer_mb, system_mb = await _import(system, file)
                told = params | {"run": run, "format": file.suffix.removeprefix(".")}
                yield Result(
                    "import", len(sales) / seconds, "rows/s", "COPY of the same rows", copied,
                    params=told,
                )  # fmt: skip
                yield Result(
                    "import", seconds, "s", target=_TARGET_S * len(sales) / _ROWS,
                    is_less_better=True, params=told,
                )  # fmt: skip
                yield Result(
                    "import", importer_mb + system_mb, "MB resident", target=_TARGET_MB,
                    is_less_better=True,
                    params=told | {"importer_mb": importer_mb, "system_mb": system_mb},
                )  # fmt: skip


async def _import(system: Embedded, file: Path) -> tuple[float, float, float]:
    """Return how long it took, and the most memory of importer and system in MB."""
    assert system.process is not None
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.kernel", "stock", "import", str(file)),
        *("--kind", "till_sale"),
        cwd=Path(__file__).parents[2],
        env=system.variables,
        stderr=asyncio.subprocess.PIPE,
    )
    peaks = [0.0, 0.0]
    ended = asyncio.create_task(process.communicate())
    while not ended.done():
        for n, pid in enumerate((process.pid, system.process.pid)):
            peaks[n] = max(peaks[n], _resident_mb(pid))
        await asyncio.wait([ended], timeout=0.2)
    seconds = time.perf_counter() - started
    _, told = ended.result()
    if process.returncode:
        raise RuntimeError(f"the import failed: {told.decode()[-2000:]}")
    tell(f"import: {told.decode().strip().splitlines()[-1]}")
    return seconds, peaks[0], peaks[1]


def _resident_mb(pid: int) -> float:
    """Return the memory of a process; 0 where there is no /proc, or no such process."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0
    return 0.0


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
