"""The README's first order runs as printed, against `oms up` with a part of the demo chain.

Only addresses and the place of the key differ from what is printed. A block that comes too early
for a feed (a script types faster than a reader) is tried again.
"""

import asyncio
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import pytest
import pytest_asyncio

from services.demo.adapters.http_client import HttpApi
from services.demo.application import loading
from services.demo.domain.chain import Chain, chain
from services.demo.domain.network import Network
from services.kernel.__main__ import _SEED as DEMO_SEED
from tests.support.embedded import Embedded, embedded

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(420)]

ROOT = Path(__file__).parents[2]
CURL = "The first order, with curl"
REFUSED = "An order that cannot be carried out"
GRPC = "The same with grpcurl"
PRODUCTS = 100
STEP_WITHIN_S = 20.0
CURL_HTTP_ERROR = 22
GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"
GRPCURL_WITHIN_S = 180.0


def blocks(heading: str) -> list[str]:
    """Return the bash blocks between a heading of the README and the next one."""
    text = (ROOT / "README.md").read_text()
    section = re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)[1]
    section = re.split(r"^#{2,} ", section, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```bash\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


def part_of_the_chain() -> Chain:
    """Return the demo chain's first extended site: the same ids and prices, loaded in seconds."""
    whole = chain(DEMO_SEED)
    extended = whole.network.extended_sites[0]
    zone = type(whole.network.sales_zones[0])("Z-ARA", "ARA", (extended.extended_site_id,))
    sites = tuple(s for s in whole.network.sites if s.site_id in extended.member_site_ids)
    return Chain(DEMO_SEED, whole.products[:PRODUCTS], Network(sites, (extended,), (zone,)))


class Terminal:
    """A shell that keeps its variables from block to block, as a reader's does."""

    def __init__(self, process: asyncio.subprocess.Process, system: Embedded) -> None:
        self._process = process
        self._system = system

    @classmethod
    @asynccontextmanager
    async def opened(cls, system: Embedded, path: str = "") -> AsyncIterator[Self]:
        process = await asyncio.create_subprocess_exec(
            "bash",
            env={**os.environ, "PATH": path or os.environ["PATH"]},
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield cls(process, system)
        finally:
            await process.communicate()

    async def run(self, block: str) -> tuple[int, str]:
        """Type a block; return the exit code of its last command and what was shown."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        typed = (
            block.replace("http://127.0.0.1:8080", self._system.address)
            .replace("127.0.0.1:50051", self._system.grpc_address)
            .replace(".oms/demo.key", str(self._system.data_home / "demo.key"))
        )
        stdin.write(f"{{\n{typed}\n}} </dev/null\nprintf '\\n--end-- %s\\n' $?\n".encode())
        await stdin.drain()
        shown = ""
        async with asyncio.timeout(STEP_WITHIN_S + 20):
            while True:
                line = (await stdout.readline()).decode()
                if not line:
                    raise AssertionError(f"the shell ended: {shown}")
                if line.startswith("--end-- "):
                    return int(line.split()[1]), shown
                shown += line

    async def shows(self, block: str, *expected: str, exit_code: int = 0) -> None:
        """Type a block, again if need be, until it ends and shows as expected."""
        until = time.monotonic() + STEP_WITHIN_S
        while True:
            code, shown = await self.run(block)
            lacking = [part for part in expected if part not in shown]
            if code == exit_code and not lacking:
                return
            assert time.monotonic() < until, f"{block}\n{code}: {shown}\nlacks {lacking}"
            await asyncio.sleep(0.3)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Embedded]:
    async with embedded(tmp_path_factory.mktemp("oms")) as running:
        async with HttpApi(running.address, running.key) as api:
            report = await loading.load(api, part_of_the_chain(), "readme", lambda *_: None)
            assert report.problems == []
        yield running


# What each block of a section must show, in their order.
FIRST_ORDER: Sequence[tuple[str, ...]] = (
    ('"site_id":"LYON-S1"',),
    ('"sku":"FR00001"', '"free":'),
    ('"total_minor":617', '"is_feasible":true', '"source_site_id":"LYON-S1"'),
    ('"status":"accepted"', '"total_minor":617', '"tracking_url":"/track/'),
    ('"step_id":"picking"', '"tier":"explicit"', '"is_decided":true'),
    ('"status":"open"',),
    ('"version":2',),
    ('"version":',),
    ('"status":"completed"',),
    ('"version":',),
    ('"version":',),
    ('"step_id":"handover"', '"status":"completed"', '"captured_minor":617'),
)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_first_order_runs_as_printed(system: Embedded) -> None:
    steps = blocks(CURL)
    assert len(steps) == len(FIRST_ORDER), "a step was added or removed: say what it must show"
    async with Terminal.opened(system) as terminal:
        for block, expected in zip(steps, FIRST_ORDER, strict=True):
            await terminal.shows(block, *expected)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_refusal_is_as_printed(system: Embedded) -> None:
    (block,) = blocks(REFUSED)
    async with Terminal.opened(system) as terminal:
        await terminal.run(blocks(CURL)[0])
        await terminal.shows(
            block,
            *('"reason":"OUT_OF_STOCK"', '"alternatives":[{"site_id":', '"/problems/out-of-stock"'),
            exit_code=CURL_HTTP_ERROR,
        )


@pytest.mark.asyncio(loop_scope="module")
async def test_grpcurl_runs_as_printed(
    system: Embedded, tmp_path_factory: pytest.TempPathFactory
) -> None:
    listed, placed, timeline = blocks(GRPC)
    path = await _path_with_grpcurl(tmp_path_factory)
    async with Terminal.opened(system, path) as terminal:
        await terminal.shows(listed, "oms.order.v1.OrderService", "oms.sourcing.v1.SourcingService")
        await terminal.shows(placed, '"status": "ORDER_STATUS_ACCEPTED"', '"total_minor": "179"')
        await terminal.shows(timeline, '"step_id": "picking"')


async def _path_with_grpcurl(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a PATH on which grpcurl is: the one there is, or one with a fresh build of it."""
    path = os.environ["PATH"]
    if shutil.which("grpcurl"):
        return path
    if not shutil.which("go"):
        pytest.skip("neither grpcurl nor Go, which would build it, is on this machine")
    folder = tmp_path_factory.mktemp("bin")
    build = await asyncio.create_subprocess_exec(
        *("go", "install", GRPCURL),
        env={**os.environ, "GOBIN": str(folder)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(GRPCURL_WITHIN_S):
            is_built = await build.wait() == 0
    except TimeoutError:
        build.kill()
        await build.wait()
        is_built = False
    if not is_built:
        pytest.skip(f"grpcurl is not on this machine, and `go install {GRPCURL}` did not build it")
    return f"{folder}{os.pathsep}{path}"
