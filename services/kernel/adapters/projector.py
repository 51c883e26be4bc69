"""Fills a service's read models: their rows and their checkpoint in one transaction."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from services.kernel.adapters.database import Database
from services.kernel.adapters.telemetry import METRICS
from services.kernel.application.pace import Pace
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel

_ROUND_S = 0.02
# People look at what is shown: it may not be much older than half a second.
_LONGEST_REST_S = 0.1


class CheckpointMoved(Exception):
    """A checkpoint is not where this process left it."""


class Projector:
    """Follows the log for all read models of one service, in step.

    Args:
        database: The service's.
        service: Its name.
        models: What to fill.
        moved: Called after each commit.
        is_sole: Whether no other process fills these tables: then their memories are told.
    """

    name = "read models"

    def __init__(
        self,
        database: Database,
        service: str,
        models: Sequence[ReadModel],
        moved: Callable[[], None] = lambda: None,
        *,
        is_sole: bool = False,
    ) -> None:
        self._service = service
        self._database = database
        self._told = moved
        self._models = models
        self._memories = [
            (model.name, memory) for model in models if is_sole for memory in model.memories
        ]
        self.position = 0
        # Read models may be a little behind: several commits a blink make one of theirs.
        self.pace = Pace(_ROUND_S, rests=3 if is_sole else 1, longest_rest_s=_LONGEST_REST_S)
        # Notified after each commit, for those who wait to read their own writes.
        self.moved = asyncio.Condition()

    async def start_position(self) -> int:
        names = [model.name for model in self._models]
        self.forget()
        async with self._database.connection() as connection:
            await connection.execute(
                "INSERT INTO checkpoints (name, position) SELECT unnest($1::text[]), 0"
                " ON CONFLICT DO NOTHING",
                names,
            )
            positions = await connection.fetch(
                "SELECT name, position FROM checkpoints WHERE name = ANY($1)", names
            )
        self._positions = {row[0]: row[1] for row in positions}
        self.position = min(self._positions.values(), default=0)
        for _, memory in self._memories:
            memory.begin()
        return self.position

    def forget(self) -> None:
        """Let nothing be remembered of the tables until they are followed from the start again."""
        for _, memory in self._memories:
            memory.end()

    def note_lag(self, events: int) -> None:
        METRICS.projection_lag_events.labels(self._service).set(events)

    async def follow(self, batch: Sequence[Recorded[Any]]) -> None:
        try:
            await self._follow(batch)
        except CheckpointMoved:
            # A rebuild has switched a table, or another leader went on: begin where that ended.
            await self.start_position()
            await self._follow(batch)
        except Exception:
            # It may have been committed all the same.
            for _, memory in self._memories:
                memory.begin()
            raise

    async def _follow(self, batch: Sequence[Recorded[Any]]) -> None:
        last = batch[-1].position
        fresh = {
            model.name: [e for e in batch if e.position > self._positions[model.name]]
            for model in self._models
        }
        async with self._database.connection() as connection, connection.transaction():
            for model in self._models:
                if news := fresh[model.name]:
                    await model.project(news, connection)
            # Compare and set: where another leader has moved a checkpoint meanwhile, nothing of
            # this transaction may stay.
            moved = await connection.execute(
                "UPDATE checkpoints AS c SET position = greatest(c.position, $3)"
                " FROM unnest($1::text[], $2::bigint[]) AS known(name, position)"
                " WHERE c.name = known.name AND c.position = known.position",
                *(list(self._positions), list(self._positions.values()), last),
            )
            if moved != f"UPDATE {len(self._positions)}":
                raise CheckpointMoved(self.name)
        # Without a pause since the commit: no question may find a memory behind what it was told.
        for name, memory in self._memories:
            memory.committed(fresh[name])
        self._positions = {name: max(at, last) for name, at in self._positions.items()}
        self.position = last
        self._told()
        async with self.moved:
            self.moved.notify_all()
