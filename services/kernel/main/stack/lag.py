"""How far each process of the stack is behind, by its own metrics."""

import asyncio

from services.kernel.main.stack.minding import fetch
from services.kernel.main.stack.state import StackState

# Each counts things that somebody recorded and somebody else has not dealt with yet.
_LAGS = (
    "oms_kafka_lag_messages",
    "oms_relay_lag_events",
    "oms_projection_lag_events",
    "oms_append_queue_commands",
)


async def lags(state: StackState) -> dict[str, int]:
    """Return how much waits in each process, by its name; those that do not answer are left out."""
    asked = [process for process in state.processes.values() if process.health]
    answers = await asyncio.gather(*(fetch(process.health, "/metrics") for process in asked))
    return {
        process.name: total(answer[1].decode(), _LAGS)
        for process, answer in zip(asked, answers, strict=True)
        if answer is not None
    }


def total(exposition: str, names: tuple[str, ...]) -> int:
    """Return the sum of what these metrics are, whatever their labels."""
    found = 0
    for line in exposition.splitlines():
        if line.startswith(names):
            name, _, value = line.rpartition(" ")
            if name.partition("{")[0] in names:
                found += int(float(value))
    return found
