"""What an auditor takes away: the log with its seals, or the proof that one entry is in it.

Text files, one JSON object per line, so that he needs nothing of ours; docs/proof has a verifier.
Of other tenants' rows he gets the digests only: enough to compute the roots, nothing to read.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from services.kernel.application.work import Sql
from services.kernel.domain.errors import NotFound
from services.kernel.domain.messages import stream_id
from services.stock_ledger.adapters.seals import Seal, rows_after, seals
from services.stock_ledger.domain.merkle import Row, consistency, inclusion, leaf, moment
from services.stock_ledger.domain.stock_item import stock_key

_PAGE_ROWS = 5_000


async def write_log(
    sql: Sql, folder: Path, tenant: str, progress: Callable[[int, int], None]
) -> int:
    """Write the sealed part of the log into a folder; return how many rows that are.

    Args:
        sql: The service's database.
        folder: Is there; files in it are replaced.
        tenant: Whose rows may be read.
        progress: Told of each page.

    Raises:
        NotFound: Nothing was sealed yet.
    """
    known = await seals(sql)
    if not known:
        raise NotFound("seal; run `oms stock proof seal` first", "any")
    leaves: list[bytes] = []
    with (folder / "entries.jsonl").open("w", encoding="utf-8") as entries:
        async for row in _sealed_rows(sql, known[-1].size, progress):
            leaves.append(leaf(row))
            shown = shown_row(row) if row.tenant == tenant else _hidden(row, leaves[-1])
            entries.write(json.dumps(shown, ensure_ascii=False) + "\n")
    _write(folder / "seals.jsonl", (_shown_seal(seal) for seal in known))
    _write(folder / "consistency.jsonl", _steps(known, leaves))
    _write(folder / "streams.jsonl", await _streams(sql, tenant))
    return len(leaves)


async def entry_proof(
    sql: Sql, tenant: str, site_id: str, sku: str, version: int
) -> Mapping[str, Any]:
    """Return the proof that one entry is part of the newest sealed log.

    Raises:
        NotFound: There is no such entry, or it is not sealed yet.
    """
    stream = stream_id(tenant, "stock", stock_key(site_id, sku))
    position = await sql.fetchval(
        "SELECT notification_id FROM events WHERE originator_id = $1 AND originator_version = $2",
        *(stream, version),
    )
    if position is None:
        raise NotFound(f"entry {version} of {sku} at {site_id} for tenant", tenant)
    known = await seals(sql)
    if not known or position > known[-1].size:
        of_all = f"seal over entry {version} yet (`oms stock proof seal --today` seals) of stream"
        raise NotFound(of_all, stream)
    leaves: list[bytes] = []
    entry: Mapping[str, Any] = {}
    async for row in _sealed_rows(sql, known[-1].size, lambda _, __: None):
        leaves.append(leaf(row))
        if row.position == position:
            entry = shown_row(row)
    path = [digest.hex() for digest in inclusion(position - 1, leaves)]
    return {"entry": entry, **_shown_seal(known[-1]), "path": path}


async def _sealed_rows(sql: Sql, size: int, progress: Callable[[int, int], None]) -> Any:
    position = 0
    while position < size:
        page = await rows_after(sql, position, min(_PAGE_ROWS, size - position))
        if not page:
            return
        for row in page:
            yield row
        position = page[-1].position
        progress(position, size)


async def _streams(sql: Sql, tenant: str) -> list[Mapping[str, Any]]:
    rows = await sql.fetch(
        "SELECT stream, version, encode(digest, 'hex') FROM stream_seal"
        " WHERE starts_with(stream, $1) ORDER BY stream",
        f"{tenant}/",
    )
    return [{"stream": row[0], "version": row[1], "digest": row[2]} for row in rows]


def shown_row(row: Row) -> Mapping[str, Any]:
    return {
        "position": row.position,
        "stream": row.stream,
        "version": row.version,
        "topic": row.topic,
        "event_id": row.event_id,
        "recorded_at": moment(row.recorded_at),
        "tenant": row.tenant,
        "cause": row.cause.decode(),
        "state": row.state.decode(),
    }


def _hidden(row: Row, digest: bytes) -> Mapping[str, Any]:
    return {"position": row.position, "leaf": digest.hex()}


def _shown_seal(seal: Seal) -> Mapping[str, Any]:
    return {"size": seal.size, "day": seal.day.isoformat(), "root": seal.root.hex()}


def _steps(known: Sequence[Seal], leaves: Sequence[bytes]) -> Iterator[Mapping[str, Any]]:
    for old, new in pairwise(known):
        path = [digest.hex() for digest in consistency(old.size, leaves[: new.size])]
        yield {"from": old.size, "to": new.size, "path": path}


def _write(file: Path, rows: Any) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
