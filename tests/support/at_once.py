"""Runs what waits for nothing: an event loop made for each call took most of a property's time."""

from collections.abc import Awaitable
from typing import Any, cast


def at_once[T](work: Awaitable[T]) -> T:
    """Run ``work`` to its end; it must not wait for anything outside of itself."""
    steps = cast("Any", work.__await__())
    try:
        waits_for = next(steps)
    except StopIteration as end:
        return cast("T", end.value)
    steps.close()
    raise AssertionError(f"it waits for {waits_for!r}: run it in a loop")
