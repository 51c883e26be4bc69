"""Ending tasks for certain."""

import asyncio
from collections.abc import Iterable
from typing import Any

_AGAIN_AFTER_S = 0.5


async def end(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel tasks, again and again, until they have ended; what they fail with is dropped.

    Once is not enough: a task group whose child fails in the moment of the cancellation raises
    the child's failure instead, and a loop that survives failures then goes on.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_AGAIN_AFTER_S)
        for task in done:
            if not task.cancelled():
                task.exception()


def heed_cancellation() -> None:
    """Let a loop that survives every failure end when its task was asked to.

    A driver whose connection breaks in the moment of the cancellation raises that failure in its
    stead. A task group asks its children only once; one that went on would be waited for for ever.

    Raises:
        asyncio.CancelledError: The running task was asked to end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
