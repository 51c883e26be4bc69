"""A real browser for tests of the pages, spoken to over its DevTools pipe: no Node, no package."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_ANSWERS_WITHIN_S = 20.0
_LOOK_S = 0.05
_MOST_BYTES = 64 << 20


class Browser:
    """Sends commands of the DevTools protocol, and keeps what pages complain of."""

    def __init__(self, commands: int, answers: asyncio.StreamReader) -> None:
        self._commands = commands
        self._answers = answers
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []

    async def listen(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                told = json.loads((await self._answers.readuntil(b"\0"))[:-1])
                waiting = self._waiting.pop(told.get("id", 0), None)
                if waiting is not None:
                    waiting.set_result(told)
                elif told.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                    self.complaints.append(json.dumps(told["params"])[:500])

    async def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        number = len(self._waiting) + 1 + max(self._waiting, default=0)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        asked = {"id": number, "method": method, "params": params}
        if session:
            asked["sessionId"] = session
        os.write(self._commands, json.dumps(asked).encode() + b"\0")
        async with asyncio.timeout(_ANSWERS_WITHIN_S):
            answer = await waiting
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    async def open(self, address: str, *, dark: bool = False) -> "Page":
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            await page.call(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await page.call("Emulation.setEmulatedMedia", features=[scheme])
        await page.call("Page.navigate", url=address)
        await page.until("document.readyState === 'complete'")
        return page


class Page:
    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self._browser.call(method, self._session, **params)

    async def value(self, expression: str) -> Any:
        """Return what an expression of JavaScript comes to."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, f"{expression}: {found['exceptionDetails']}"
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true.

        Raises:
            TimeoutError: It never was.
        """
        async with asyncio.timeout(_ANSWERS_WITHIN_S):
            while not await self.value(expression):
                await asyncio.sleep(_LOOK_S)


@contextlib.asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[Browser]:
    """Run a browser with a profile of its own for the block."""
    assert CHROMIUM is not None
    (heard, commands), (answers, spoken) = os.pipe(), os.pipe()
    # Chromium hears on descriptor 3 and speaks on 4.
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f'exec "$@" 3<&{heard} 4>&{spoken}', "bash", CHROMIUM),
        *("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
        *("--no-first-run", f"--user-data-dir={profile}", "about:blank"),
        pass_fds=(heard, spoken),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    os.close(heard)
    os.close(spoken)
    reader = asyncio.StreamReader(limit=_MOST_BYTES)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(answers, "rb")
    )
    driven = Browser(commands, reader)
    listening = asyncio.create_task(driven.listen())
    try:
        yield driven
    finally:
        listening.cancel()
        transport.close()
        os.close(commands)
        process.kill()
        await process.wait()
