"""A running system with two tenants in it, and everything a hostile caller would like to touch."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from services.kernel.adapters.api_keys import PostgresApiKeys
from services.kernel.adapters.database import Database, Limits, with_database
from services.kernel.adapters.installation_secrets import installation_secrets
from services.kernel.application.clock import SystemClock
from services.kernel.main import SERVICES
from services.kernel.main.embedded import ALL_SCOPES
from tests.support.api import Api
from tests.support.embedded import Embedded, embedded
from tests.support.stack import eventually

PREFIX = "hostile_"
COLLECT_AT_S1 = {"mode_id": "click_and_collect", "site_id": "S1"}
HOME = {"mode_id": "home_delivery", "destination": {"postcode": "75011", "country": "FR"}}


@dataclass
class Scene:
    """Two tenants, their keys, and what the first one owns.

    Attributes:
        system: The system.
        keys: Tokens: of the shop, of a stranger who may do everything with his own, of one who
            may only read orders, and of one revoked and one expired.
        names: Values for the placeholders of paths and bodies.
        apis: One for each key that was used.
        logs: One connection to the database of every service, to count what is recorded.
    """

    system: Embedded
    keys: dict[str, str]
    names: dict[str, str] = field(default_factory=dict[str, str])
    logs: dict[str, asyncpg.Connection] = field(default_factory=dict[str, Any])
    apis: dict[str, Api] = field(default_factory=dict[str, Api])

    def api(self, who: str = "shop") -> Api:
        if who not in self.apis:
            self.apis[who] = Api.at(self.system.address, self.keys[who])
        return self.apis[who]

    async def recorded(self) -> dict[str, tuple[int, ...]]:
        """Count, per service, what a request could have left behind."""
        counts: dict[str, tuple[int, ...]] = {}
        for name, log in self.logs.items():
            row: Any = await log.fetchrow(
                "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM timers),"
                " (SELECT count(*) FROM parked)"
            )
            counts[name] = tuple(row)
        return counts

    async def settled(self) -> dict[str, tuple[int, ...]]:
        """Count what is recorded once it no longer grows."""
        last = await self.recorded()
        while True:
            await asyncio.sleep(1)
            now = await self.recorded()
            if now == last:
                return now
            last = now

    def filled(self, value: Any) -> Any:
        """Put the scene's ids where ``{placeholders}`` stand."""
        if isinstance(value, str):
            for name, text in self.names.items():
                value = value.replace(f"{{{name}}}", text)
            return value
        if isinstance(value, Mapping):
            return {name: self.filled(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.filled(item) for item in value]
        return value


@asynccontextmanager
async def a_scene(dsn: str, folder: Path) -> AsyncIterator[Scene]:
    """Run the system for the block, with the scene set."""
    async with embedded(
        folder,
        OMS_POSTGRES_DSN=dsn,
        OMS_DATABASE_PREFIX=PREFIX,
        # More strangers come from one address than anybody would let in.
        OMS_GUESSES_AT_ONCE="1000",
        OMS_GATEWAY_GUESSES_AT_ONCE="1000",
    ) as system:
        scene = Scene(system, {"shop": system.key, **await _more_keys(dsn, folder)})
        for who, units in (("shop", 100), ("stranger", 5)):
            await scene.api(who).load_chain(2, 6, units)
        await _trade(scene)
        scene.logs = {
            name: await asyncpg.connect(with_database(dsn, f"{PREFIX}{name}")) for name in SERVICES
        }
        try:
            await scene.settled()
            yield scene
        finally:
            for log in scene.logs.values():
                await log.close()
            for api in scene.apis.values():
                await api.client.aclose()


async def _more_keys(dsn: str, folder: Path) -> dict[str, str]:
    database = await Database.open(with_database(dsn, f"{PREFIX}access"), Limits(2, 5, 5))
    pepper = installation_secrets(folder)["api_key_pepper"].encode()
    keys = PostgresApiKeys(database.sql, pepper=pepper, environment="dev", clock=SystemClock())
    stranger = await keys.issue("stranger", ALL_SCOPES)
    reader = await keys.issue("demo", ["orders:read"])
    revoked = await keys.issue("demo", ALL_SCOPES)
    await keys.revoke("demo", revoked.key.key_id)
    expired = await keys.issue("demo", ALL_SCOPES, datetime(2020, 1, 1, tzinfo=UTC))
    await database.close()
    return {
        "stranger": stranger.token,
        "reader": reader.token,
        "revoked": revoked.token,
        "expired": expired.token,
    }


async def _trade(scene: Scene) -> None:
    """Leave orders at every stage: to be picked, being picked, shipped, handed over, returned."""
    api = scene.api()
    for order_id in ("FRESH", "CLAIMED", "DONE"):
        placed = await api.place(order_id, [("P1", 3), ("P2", 2)], choice=COLLECT_AT_S1)
        assert placed.status_code == 201, placed.text
    placed = await api.place("SHIPPED", [("P3", 1)], choice=HOME)
    assert placed.status_code == 201, placed.text
    for order_id in ("CLAIMED", "DONE"):
        await _until(api, f"/v1/tasks/{order_id}.1", bool)
        await api.done(f"/v1/tasks/{order_id}.1:claim", {"picker_id": "ANNE"})
    for line_id, quantity in (("L1", 3), ("L2", 2)):
        await api.done(
            f"/v1/tasks/DONE.1/lines/{line_id}:pick", {"picker_id": "ANNE", "quantity": quantity}
        )
    group = "/v1/groups/DONE.1"
    await _until(api, f"{group}/handover", bool)
    await api.done(f"{group}:ready")
    await api.done(f"{group}:arrive")
    code = (await api.get(f"{group}/pickup-code"))["pickup_code"]
    await api.done(f"{group}:handover", {"pickup_code": code})
    await _until(api, "/v1/orders/DONE", lambda order: order["status"] == "completed")
    await _until(api, "/v1/orders/DONE/returnable", lambda returnable: returnable["lines"])
    await api.done(
        "/v1/returns",
        {
            "return_id": "R1",
            "order_id": "DONE",
            "site_id": "S1",
            "lines": [{"line_id": "L1", "quantity": 1}],
        },
    )
    await api.done(
        "/v1/returns/R1:inspect",
        {"lines": [{"line_id": "L1", "quantity": 1, "disposition": "restock"}]},
    )
    preview = await api.get("/v1/returns/R1/refund-preview")
    await api.done("/v1/baskets", {"basket_id": "B1", "customer_id": "C1"})
    await api.done(
        "/v1/baskets/B1/items", {"line_id": "L1", "sku": "P1", "quantity": 2}, key="basket-line"
    )
    await api.done(
        "/v1/reservations",
        {"reservation_id": "H1", "lines": [{"site_id": "S1", "sku": "P4", "quantity": 1}]},
    )
    decisions = (await api.get("/v1/orders/FRESH/decisions"))["decisions"]
    scene.names = {
        "decision": decisions[0]["decision_id"],
        "preview": str(preview["preview_version"]),
        "reservation": (await api.get("/v1/orders/FRESH"))["reservation_id"],
    }


async def _until(api: Api, path: str, holds: Any) -> None:
    async def held() -> bool:
        answer = await api.client.get(path)
        return answer.is_success and bool(holds(answer.json()))

    await eventually(held)
