"""The whole system as processes on a broker, as an operator runs it: `oms stack up`."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any, override

import pytest

from services.kernel.adapters.api_keys import PostgresApiKeys
from services.kernel.adapters.database import Database, Limits, with_database
from services.kernel.adapters.installation_secrets import installation_secrets
from services.kernel.application.clock import SystemClock
from services.kernel.main.embedded import ALL_SCOPES
from services.kernel.main.stack.state import ProcessState, StateFile
from tests.support.embedded import Embedded

_NO_BROKER = "given: "


@dataclass
class OnStack(Embedded):
    """A data folder with a stack on it; what is asked of it is asked by the command line."""

    workers: str = ""
    caveat: str = ""

    @property
    @override
    def variables(self) -> dict[str, str]:
        return {
            **super().variables,
            "OMS_GRPC_PORT": "0",
            "OMS_HEALTH_PORT": "0",
            # A test machine is shared: what a person would call stuck may only be slow.
            "OMS_STACK_STARTS_WITHIN_S": "240",
            # So that who sleeps is missed before the test is over.
            "OMS_KAFKA_SESSION_MS": "6000",
            "OMS_KAFKA_HEARTBEAT_MS": "1000",
            **self.environment,
        }

    @override
    async def start(self) -> float:
        started = time.monotonic()
        self.data_home.mkdir(parents=True, exist_ok=True)
        code, said = await self.oms("stack", "up", "--workers", self.workers)
        if code and _NO_BROKER in said:
            pytest.skip(f"no Kafka broker: {said[-1_000:]}")
        if code:
            raise RuntimeError(said[-4_000:])
        self.caveat = said if "ATTENTION" in said else ""
        return time.monotonic() - started

    @override
    async def stop(self) -> int:
        code, said = await self.oms("stack", "down")
        assert code == 0, said
        return code

    @override
    async def kill(self) -> None:
        raise NotImplementedError("a stack is many processes: kill one of them")

    async def key_of(self, tenant: str) -> str:
        """Issue an API key of another tenant: tests that share the stack do not share a chain."""
        dsn = with_database(self.told["OMS_POSTGRES_DSN"], "oms_access")
        access = await Database.open(dsn, Limits())
        try:
            keys = PostgresApiKeys(
                access.sql,
                pepper=installation_secrets(self.data_home)["api_key_pepper"].encode(),
                environment="dev",
                clock=SystemClock(),
            )
            return (await keys.issue(tenant, ALL_SCOPES)).token
        finally:
            await access.close()

    @property
    def told(self) -> dict[str, str]:
        """What the keeper tells every process: where database and broker are."""
        state = StateFile(self.data_home).read()
        assert state is not None
        return state.environment

    def hold(self, *names: str) -> None:
        """Have processes stopped, as `oms stack hold` does, without a process for it."""
        file = StateFile(self.data_home)
        file.hold(file.held() | frozenset(names))

    def release(self) -> None:
        """Have everything run again, as `oms stack release` does."""
        StateFile(self.data_home).hold(frozenset())

    async def status(self) -> dict[str, dict[str, Any]]:
        """Return what `oms stack status` knows, by process."""
        _, said = await self.oms("stack", "status", "--json")
        rows = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        return {row["name"]: row for row in rows}

    def processes(self) -> dict[str, ProcessState]:
        """Return what the keeper knows, by name; without a new process for each look."""
        state = StateFile(self.data_home).read()
        return state.processes if state is not None else {}

    def pids(self) -> dict[str, int]:
        """Return the pids of what runs, by name."""
        found = self.processes().values()
        return {one.name: one.pid for one in found if one.pid is not None and one.is_alive()}

    async def until(self, name: str, state: str = "ready", within_s: float = 180.0) -> None:
        """Wait until a process is in that state."""
        async with asyncio.timeout(within_s):
            while self.processes()[name].state != state:
                await asyncio.sleep(0.1)

    async def until_replaced(self, name: str, pid: int, within_s: float = 180.0) -> None:
        """Wait until another process than ``pid`` is ready under that name."""
        async with asyncio.timeout(within_s):
            while self.pids().get(name, pid) == pid:
                await asyncio.sleep(0.1)
        await self.until(name, within_s=within_s)
