"""Looking into a system, running or not: invariants, parked messages, rebuilds, health."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from services.kernel.adapters.database import Database, Limits
from services.kernel.adapters.local_bus import LocalBus
from services.kernel.adapters.log_verification import unfinished, verify_log
from services.kernel.adapters.parking import HOLD_PARKED, decode_envelope
from services.kernel.adapters.rebuild import Progress, compare, rebuild
from services.kernel.adapters.relay import RELAY
from services.kernel.application.clock import SystemClock
from services.kernel.application.feeds import Envelope
from services.kernel.application.work import Sql
from services.kernel.domain.errors import NotFound
from services.kernel.main.agreement import agreements
from services.kernel.main.embedded import Databases, hand_over_secrets, open_databases
from services.kernel.main.hearing import HEARD_IN_TIME, unheard
from services.kernel.main.host import ServiceHost
from services.kernel.main.runtime import SERVICES
from services.kernel.main.service import Check, builder
from services.kernel.read_models.remark import Remark
from services.kernel.settings import KernelSettings

# Reads of a whole log may take longer than a command may.
_STATEMENT_S = 120.0
_LOOKS_AGAIN = 2
_PAUSE_S = 0.5

# One statement: whoever looks sees both or neither.
_DROP_FIRST = """
WITH first AS (
    SELECT DISTINCT ON (group_name, topic) group_name, topic, position FROM parked
    WHERE stream = $1 ORDER BY group_name, topic, position
), rest AS (
    UPDATE parked p SET redrive = true FROM first f
    WHERE p.stream = $1 AND p.group_name = f.group_name AND p.topic = f.topic
    AND p.position > f.position
)
DELETE FROM parked p USING first f
WHERE p.stream = $1 AND p.group_name = f.group_name AND p.topic = f.topic
AND p.position = f.position RETURNING 1
"""
_GIVE_UP_PUBLISHING = """
INSERT INTO unpublished (topic, position, stream, event_id, reason)
SELECT topic, position, stream, event_id, reason FROM parked
WHERE group_name = $1 AND stream = $2 ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Inspection:
    """Every service, built but not running, on its database."""

    databases: Databases
    hosts: Mapping[str, ServiceHost]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        service: Where.
        invariant: Which.
        violations: One sentence each; empty when the invariant holds.
        remarks: What the check left out, and why.
    """

    service: str
    invariant: str
    violations: tuple[str, ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParkedMessage:
    """A message that waits for a person."""

    service: str
    group: str
    topic: str
    stream: str
    position: int
    type: str
    reason: str
    attempts: int
    parked_at: str


@contextlib.asynccontextmanager
async def inspecting(
    settings: KernelSettings, say: Callable[[str], None]
) -> AsyncIterator[Inspection]:
    """Open every service's database for the block; nothing is consumed, projected or sent."""
    async with open_databases(settings, say) as databases, contextlib.AsyncExitStack() as stack:
        hand_over_secrets(databases.secrets)
        hosts: dict[str, ServiceHost] = {}
        for name in SERVICES:
            database = await Database.open(
                databases.app_dsns[name], Limits(2, settings.acquire_s, _STATEMENT_S)
            )
            stack.push_async_callback(database.close)
            hosts[name] = ServiceHost(
                builder(name),
                database,
                database,
                databases.app_dsns[name],
                settings,
                LocalBus(),
                SystemClock(),
                {},
                is_sole_writer=False,
            )
        yield Inspection(databases, hosts)


async def verify(
    inspection: Inspection,
    progress: Callable[[str, int, int], None],
    services: Collection[str] = SERVICES,
    heard_within_s: float = 900.0,
) -> AsyncIterator[Finding]:
    """Check every invariant of these services, and that all agree; yield one finding for each."""
    for name, host in inspection.hosts.items():
        if name not in services:
            continue
        sql = host.database.sql

        def at(position: int, head: int, name: str = name) -> None:
            progress(name, position, head)

        yield Finding(
            name,
            "I1 I6 I12: nothing missing, doubled or unreadable in the log",
            tuple(await verify_log(sql, host.service.codec, at)),
        )
        for model in host.service.read_models:
            yield Finding(
                name,
                f"I7: {model.name} equals a replay from scratch",
                tuple(
                    await compare(
                        inspection.databases.owner_dsns[name], host.service.codec, model, at
                    )
                ),
            )
        for invariant, check in host.service.checks.items():
            violations, remarks = await _lasting(check, sql)
            yield Finding(name, invariant, violations, remarks)
        yield Finding(name, "I11: nothing is parked or given up", tuple(await unfinished(sql)))
    if set(services) >= set(SERVICES):
        late = await unheard(inspection.hosts, heard_within_s, progress)
        yield Finding("agreement", HEARD_IN_TIME, tuple(late))
        async for rule, sentences in agreements(inspection.hosts, progress):
            yield Finding("agreement", rule, sentences)


async def _lasting(check: Check, sql: Sql) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what a check finds however often it looks, and what it remarks.

    Beside a running system it may look between one commit and the next.
    """
    said = await check(sql)
    remarks = tuple(str(one) for one in said if isinstance(one, Remark))
    found = tuple(one for one in said if not isinstance(one, Remark))
    for _ in range(_LOOKS_AGAIN):
        if not found:
            break
        await asyncio.sleep(_PAUSE_S)
        again = frozenset(await check(sql))
        found = tuple(one for one in found if one in again)
    return found, remarks


async def rebuild_read_model(inspection: Inspection, name: str, progress: Progress) -> int:
    """Rebuild the read model ``name`` of whichever service has it.

    Raises:
        NotFound: No service has it; the message lists those there are.
    """
    known: list[str] = []
    for service, host in inspection.hosts.items():
        for model in host.service.read_models:
            known.append(f"{service}.{model.name}")
            if name in (model.name, known[-1]):
                return await rebuild(
                    inspection.databases.owner_dsns[service], host.service.codec, model, progress
                )
    raise NotFound("read model", name, known)


async def parked_messages(inspection: Inspection, limit: int) -> list[ParkedMessage]:
    """Return parked messages of all services, oldest first within each stream."""
    found: list[ParkedMessage] = []
    for service, host in inspection.hosts.items():
        rows = await host.database.sql.fetch(
            "SELECT group_name, topic, stream, position, type, reason, attempts, parked_at"
            " FROM parked ORDER BY group_name, topic, stream, position LIMIT $1",
            limit - len(found),
        )
        found += [_parked_message(service, row) for row in rows]
    return found


async def parked_envelopes(inspection: Inspection, stream: str) -> list[Envelope]:
    """Return the parked messages of one stream as they were received."""
    rows = await _in_all(
        inspection,
        lambda sql: sql.fetch(
            "SELECT envelope FROM parked WHERE stream = $1 ORDER BY position", stream
        ),
    )
    return [decode_envelope(row[0]) for row in rows]


async def redrive(inspection: Inspection, stream: str) -> int:
    """Ask the running workers to try a stream (or ``all``) again; return how many messages."""
    return len(
        await _in_all(
            inspection,
            lambda sql: sql.fetch(
                "UPDATE parked SET redrive = true WHERE $1 = 'all' RETURNING 1"
                if stream == "all"
                else "UPDATE parked SET redrive = true WHERE stream = $1 RETURNING 1",
                stream,
            ),
        )
    )


async def drop(inspection: Inspection, stream: str, *, first_only: bool = False) -> int:
    """Give up the parked messages of one stream for good; return how many there were.

    Args:
        inspection: Every service.
        stream: As listed.
        first_only: Give up the one that the others wait behind, and have these tried again.
    """
    query = _DROP_FIRST if first_only else "DELETE FROM parked WHERE stream = $1 RETURNING 1"
    dropped = 0
    for host in inspection.hosts.values():
        async with host.database.connection() as connection, connection.transaction():
            # Nobody may park behind what is about to go: nobody would ask for it then.
            for group, topic in await connection.fetch(
                "SELECT DISTINCT group_name, topic FROM parked WHERE stream = $1 ORDER BY 1, 2",
                stream,
            ):
                await connection.execute(HOLD_PARKED, group, topic, stream)
            # A relay tries what it parked until this tells it not to.
            await connection.execute(_GIVE_UP_PUBLISHING, RELAY, stream)
            dropped += len(await connection.fetch(query, stream))
    return dropped


async def _in_all(
    inspection: Inspection, query: Callable[[Any], Awaitable[list[Any]]]
) -> list[Any]:
    return [row for host in inspection.hosts.values() for row in await query(host.database.sql)]


def _parked_message(service: str, row: Any) -> ParkedMessage:
    return ParkedMessage(
        service=service,
        group=row["group_name"],
        topic=row["topic"],
        stream=row["stream"],
        position=row["position"],
        type=row["type"],
        reason=row["reason"],
        attempts=row["attempts"],
        parked_at=row["parked_at"].isoformat(),
    )
