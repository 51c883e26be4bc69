"""The embedded system as a stranger runs it: `oms up` in a process of its own."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from services.kernel.adapters.ports import free_port
from tests.support.api import Api

_READY_WITHIN_S = 90.0
_STOPPED_WITHIN_S = 60.0
_ROOT = Path(__file__).parents[2]


@dataclass
class Embedded:
    """A data folder and the ports on which `oms up` serves it; may be killed and started again."""

    data_home: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])
    http_port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    health_port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def key(self) -> str:
        return (self.data_home / "demo.key").read_text().strip()

    @property
    def variables(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": f"{_ROOT}:{_ROOT / 'contracts/gen'}",
            "OMS_DATA_HOME": str(self.data_home),
            "OMS_HTTP_PORT": str(self.http_port),
            "OMS_GRPC_PORT": str(self.grpc_port),
            "OMS_HEALTH_PORT": str(self.health_port),
            **self.environment,
        }

    def api(self, *, connections: int = 64, retries: int = 0) -> Api:
        return Api.at(self.address, self.key, connections=connections, retries=retries)

    async def start(self) -> float:
        """Start and wait until it is ready; return how long that took in seconds."""
        started = time.monotonic()
        self.data_home.mkdir(parents=True, exist_ok=True)
        with (self.data_home / "up.out").open("ab") as out:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.kernel", "up"),
                cwd=_ROOT,
                env=self.variables,
                stdout=out,
                stderr=out,
            )
        async with httpx.AsyncClient() as client, asyncio.timeout(_READY_WITHIN_S):
            while True:
                if self.process.returncode is not None:
                    raise RuntimeError((self.data_home / "up.out").read_text()[-4000:])
                with contextlib.suppress(httpx.TransportError, FileNotFoundError):
                    answer = await client.get(f"{self.address}/healthz")
                    if answer.is_success and self.key:
                        return time.monotonic() - started
                await asyncio.sleep(0.1)

    async def kill(self) -> None:
        """Kill it with -9, as a power cut would; the database's processes live on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.process.wait(), _STOPPED_WITHIN_S)
        except TimeoutError:
            self.process.kill()
            raise

    async def oms(self, *arguments: str) -> tuple[int, str]:
        """Run `oms …` on the same data; return exit code and everything it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.kernel", *arguments),
            cwd=_ROOT,
            env=self.variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode()


@asynccontextmanager
async def embedded(data_home: Path, **environment: str) -> AsyncIterator[Embedded]:
    """Run the embedded system for the block."""
    system = Embedded(data_home, environment)
    await system.start()
    try:
        yield system
    finally:
        await system.stop()
