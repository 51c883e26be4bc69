"""The whole system as processes on a broker, as an operator runs it: `oms stack up`."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any, override

import pytest

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

    async def status(self) -> dict[str, dict[str, Any]]:
        """Return what `oms stack status` knows, by process."""
        _, said = await self.oms("stack", "status", "--json")
        rows = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        return {row["name"]: row for row in rows}

    async def pids(self) -> dict[str, int]:
        """Return the pids of what runs, by name."""
        return {name: row["pid"] for name, row in (await self.status()).items() if row["pid"]}

    async def until(self, name: str, state: str = "ready", within_s: float = 90.0) -> None:
        """Wait until a process is in that state."""
        async with asyncio.timeout(within_s):
            while (await self.status())[name]["state"] != state:
                await asyncio.sleep(0.3)
