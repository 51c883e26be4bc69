"""Fills a service's read models: their rows and their checkpoint in one transaction."""

import asyncio
from collections.abc import Sequence
from typing import Any

from services.kernel.adapters.database import Database
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel


class Projector:
    """Follows the log for all read models of one service, in step.

    Args:
        database: The service's.
        models: What to fill.
        moved: Set after each commit, for those who wait to read their own writes.
    """

    name = "read models"

    def __init__(self, database: Database, models: Sequence[ReadModel]) -> None:
        self._database = database
        self._models = models
        self.position = 0
        self.moved = asyncio.Condition()

    async def start_position(self) -> int:
        names = [model.name for model in self._models]
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
        return self.position

    async def follow(self, batch: Sequence[Recorded[Any]]) -> None:
        last = batch[-1].position
        async with self._database.connection() as connection, connection.transaction():
            # Compare and set under the row's lock: a second leader finds another position.
            held = await connection.fetch(
                "SELECT name, position FROM checkpoints WHERE name = ANY($1) FOR UPDATE",
                list(self._positions),
            )
            positions = {row[0]: row[1] for row in held}
            for model in self._models:
                news = [e for e in batch if e.position > positions[model.name]]
                if news:
                    await model.project(news, connection)
            await connection.execute(
                "UPDATE checkpoints SET position = $2 WHERE name = ANY($1) AND position < $2",
                list(self._positions),
                last,
            )
        self._positions = {name: max(at, last) for name, at in positions.items()}
        self.position = last
        async with self.moved:
            self.moved.notify_all()
