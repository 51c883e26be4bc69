"""One process of the stack under somebody's eyes: it never outlives who minds it."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.kernel.main.stack.minding import Minder
from services.kernel.main.stack.plan import Planned
from services.kernel.main.stack.state import ProcessState


async def test_a_process_that_is_just_being_started_is_stopped_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the moment in which the system makes the process."""
    is_made, may_go_on = asyncio.Event(), asyncio.Event()
    children: list[asyncio.subprocess.Process] = []
    make = asyncio.create_subprocess_exec

    async def slowly(*command: str, **options: Any) -> asyncio.subprocess.Process:
        children.append(await make(*command, **options))
        is_made.set()
        await may_go_on.wait()
        return children[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    process = ProcessState("order.work", "work", health="127.0.0.1:9")
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    minder = Minder(
        *(Planned(process, command), {}, tmp_path / "log", lambda: None, lambda _: False)
    )
    minding = asyncio.create_task(minder.mind(asyncio.Semaphore(1)))
    await is_made.wait()
    stopping = asyncio.create_task(minder.stop(10))
    await asyncio.sleep(0.1)
    may_go_on.set()
    try:
        assert await stopping
        assert not psutil.pid_exists(children[0].pid)
    finally:
        minding.cancel()
        await asyncio.gather(minding, return_exceptions=True)
        if children[0].returncode is None:
            children[0].kill()
            await children[0].wait()
