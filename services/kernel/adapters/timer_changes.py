"""Timers that a unit of work sets and withdraws: written with its events, or not at all."""

from datetime import datetime
from typing import Any

from services.kernel.application.columns import pack, packed, unnested
from services.kernel.application.work import Sql
from services.kernel.domain.messages import Cause

_TYPES = "text text text text timestamptz text text text"


class TimerChanges:
    """The last word on each timer that the unit touched."""

    def __init__(self) -> None:
        self._timers: dict[str, tuple[Any, ...] | None] = {}

    def __len__(self) -> int:
        """Return how many timers are touched."""
        return len(self._timers)

    def set(self, cause: Cause, timer_id: str, due_at: datetime, name: str, key: str) -> None:
        self._timers[f"{cause.tenant}/{timer_id}"] = (
            *(cause.tenant, name, key, due_at),
            *(cause.correlation_id, cause.causation_id or cause.command_id, cause.traceparent),
        )

    def cancel(self, cause: Cause, timer_id: str) -> None:
        self._timers[f"{cause.tenant}/{timer_id}"] = None

    def columns(self) -> tuple[str | None, ...]:
        """Return the ids of withdrawn timers, then the columns of those that are set, packed."""
        rows = [(timer_id, *timer) for timer_id, timer in self._timers.items() if timer is not None]
        withdrawn = [timer_id for timer_id, timer in self._timers.items() if timer is None]
        return (
            pack(withdrawn) if withdrawn else None,
            *(packed(rows) if rows else (None,) * len(_TYPES.split())),
        )

    async def write(self, sql: Sql) -> None:
        """Write them; part of the unit's transaction."""
        withdrawn, *rows = self.columns()
        if withdrawn is not None:
            await sql.execute("DELETE FROM timers WHERE timer_id = ANY(unpacked($1))", withdrawn)
        if rows[0] is not None:
            await sql.execute(
                "INSERT INTO timers (timer_id, tenant, name, key, due_at,"
                " correlation_id, causation_id, traceparent)"
                f" SELECT * FROM {unnested(_TYPES)}"
                " ON CONFLICT (timer_id) DO UPDATE SET due_at = excluded.due_at,"
                " attempts = 0, failed = NULL",
                *rows,
            )
