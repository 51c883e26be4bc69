"""Every version of every mode.

Answers    CatalogService.GetMode, ListModes
Fed by     this service's own events, in the order of its log
Staleness  milliseconds
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from services.catalog.domain.mode import ModePublished
from services.catalog.domain.mode_definition import Mode
from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel

_decode = msgspec.json.Decoder(Mode).decode
_encode = msgspec.json.Encoder().encode


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Add the versions that are new; a version never changes, so a repeat is nothing."""
    published = [
        (recorded.tenant, recorded.event.mode)
        for recorded in batch
        if isinstance(recorded.event, ModePublished)
    ]
    if not published:
        return
    await sql.execute(
        "INSERT INTO mode_version (tenant, mode_id, version, content)"
        " SELECT tenant, mode_id, version, content::jsonb"
        " FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])"
        " AS r (tenant, mode_id, version, content)"
        " ON CONFLICT (tenant, mode_id, version) DO NOTHING",
        [tenant for tenant, _ in published],
        [mode.mode_id for _, mode in published],
        [mode.version for _, mode in published],
        [_encode(mode).decode() for _, mode in published],
    )


MODES = ReadModel("modes", ("mode_version",), project)


async def get(sql: Sql, *, tenant: str, mode_id: str, version: int) -> Mode | None:
    """Return a version of a mode; version 0 is the newest."""
    content = await sql.fetchval(
        "SELECT content FROM mode_version WHERE tenant = $1 AND mode_id = $2"
        " AND ($3::bigint = 0 OR version = $3) ORDER BY version DESC LIMIT 1",
        *(tenant, mode_id, version),
    )
    return None if content is None else _decode(content)


async def page(sql: Sql, *, tenant: str, after: str, limit: int) -> list[Mode]:
    """Return the newest version of up to ``limit`` modes with an id above ``after``."""
    rows = await sql.fetch(
        "SELECT DISTINCT ON (mode_id) content FROM mode_version"
        " WHERE tenant = $1 AND mode_id > $2 ORDER BY mode_id, version DESC LIMIT $3",
        *(tenant, after, limit),
    )
    return [_decode(row[0]) for row in rows]
