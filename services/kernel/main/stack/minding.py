"""One process of the stack: started, watched, started again, and stopped when its turn comes."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from services.kernel.main.stack import state as states
from services.kernel.main.stack.plan import Planned

_LOOK_S = 0.2
_LOOK_AT_READY_S = 2.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0
_STEADY_S = 30.0
_ANSWER_S = 2.0
_MOST_ANSWER_BYTES = 4 << 20
_USAGE = 2
# A process that was never ready and has ended so often will not be.
_TRIES = 3


class Misstarted(Exception):
    """A process cannot start, and never will as things are."""


class Minder:
    """Keeps one process running.

    Args:
        planned: The process.
        environment: What all processes share.
        log: Where it writes.
        changed: Called when its state did.
        is_held: Whether somebody wants it stopped for now.
    """

    def __init__(
        self,
        planned: Planned,
        environment: Mapping[str, str],
        log: Path,
        changed: Callable[[], None],
        is_held: Callable[[str], bool],
    ) -> None:
        self.process = planned.process
        self._planned = planned
        self._environment = {**environment, **planned.environment}
        self._log = log
        self._changed = changed
        self._is_held = is_held
        self._child: asyncio.subprocess.Process | None = None
        self._making = asyncio.Lock()
        self._is_stopping = False
        self._was_ever_ready = False
        self.ready = asyncio.Event()

    async def mind(self, gate: asyncio.Semaphore) -> None:
        """Run the process until ``stop``; start it again when it dies.

        Args:
            gate: Held while it starts, so that a small machine is not asked for all at once.

        Raises:
            Misstarted: It ended before it was ever ready: at once when it says that it was called
                wrongly, else after some tries.
        """
        pause_s = _FIRST_PAUSE_S
        while not self._is_over():
            if self._is_held(self.process.name):
                self._tell(states.HELD)
                await asyncio.sleep(_LOOK_S)
                continue
            loop = asyncio.get_running_loop()
            async with gate:
                # Who stops it in this moment waits for what there will be to stop.
                async with self._making:
                    if self._is_over():
                        break
                    child = await self._start()
                await self._until_ready(child)
            ready_at = loop.time()
            code = await self._until_gone(child)
            self._child = None
            self.process.pid, self.process.exit_code = None, code
            was_ready = self.ready.is_set()
            self.ready.clear()
            if self._is_over():
                break
            self._was_ever_ready |= was_ready
            tries = 1 if code == _USAGE else _TRIES
            if not self._was_ever_ready and self.process.restarts + 1 >= tries:
                self._tell(states.FAILED)
                raise Misstarted(
                    f"{self.process.name} ended with code {code}: {self._last_words()}"
                )
            if self._is_held(self.process.name):
                continue
            self._tell(states.DOWN)
            if loop.time() - ready_at > _STEADY_S:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            self.process.restarts += 1
        self._tell(states.DOWN)

    async def stop(self, within_s: float) -> bool:
        """Ask the process to end; kill it when it does not. Tell whether it ended by itself."""
        self._is_stopping = True
        async with self._making:
            child = self._child
        if child is None or child.returncode is not None:
            return True
        self._tell(states.STOPPING)
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
            child.send_signal(signal.SIGCONT)  # a frozen one would never hear it
        try:
            await asyncio.wait_for(child.wait(), within_s)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGUSR1)  # its log tells where it stands
                await asyncio.sleep(_LOOK_S)
                child.kill()
            await child.wait()
            return False
        return True

    def _is_over(self) -> bool:
        return self._is_stopping

    async def _start(self) -> asyncio.subprocess.Process:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            child = await asyncio.create_subprocess_exec(
                *self._planned.command,
                env={**os.environ, **self._environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._child = child
        self.process.pid, self.process.born = child.pid, states.born(child.pid)
        self._tell(states.STARTING)
        return child

    async def _until_ready(self, child: asyncio.subprocess.Process) -> None:
        while child.returncode is None and not self._is_stopping:
            if await is_ready(self.process.health):
                self.ready.set()
                self._tell(states.READY)
                return
            await asyncio.sleep(_LOOK_S)

    async def _until_gone(self, child: asyncio.subprocess.Process) -> int:
        """Wait for the end; meanwhile note whether it is ready, and end it when it is held."""
        ended = asyncio.create_task(child.wait())
        while not ended.done():
            await asyncio.wait([ended], timeout=_LOOK_AT_READY_S)
            if ended.done() or self._is_stopping:
                continue
            if self._is_held(self.process.name):
                await self._end(child)
            else:
                ready = await is_ready(self.process.health)
                self._tell(states.READY if ready else states.UNREADY)
        return await ended

    async def _end(self, child: asyncio.subprocess.Process) -> None:
        self._tell(states.STOPPING)
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            await asyncio.wait_for(asyncio.shield(child.wait()), _STEADY_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()

    def _tell(self, state: str) -> None:
        if self.process.state != state:
            self.process.state = state
            self._changed()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return " / ".join(dict.fromkeys(lines[-3:])) or f"nothing said, see {self._log}"


async def is_ready(address: str) -> bool:
    """Tell whether a process of ours says that it is."""
    answer = await fetch(address, "/ready")
    return answer is not None and answer[0] == 200  # noqa: PLR2004 - HTTP's OK


async def fetch(address: str, path: str) -> tuple[int, bytes] | None:
    """Get a page of a health endpoint; None where nobody answers in time."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.read(_MOST_ANSWER_BYTES)
                while chunk := await reader.read(_MOST_ANSWER_BYTES):
                    body += chunk
                return int(head.split(b" ", 2)[1]), body
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, IndexError):
        return None
