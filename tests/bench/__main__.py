"""``make bench``: JSON lines on standard output, progress on standard error."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import uvloop

from services.kernel.adapters.embedded_postgres import EmbeddedPostgres
from services.kernel.main.collector import calm_collector
from tests.bench import (
    availability,
    freshness,
    imports,
    kafka,
    past,
    placement,
    plan,
    reservations,
    stack,
    store,
)
from tests.bench.result import Result, machine, tell

type Bench = Callable[[str], AsyncIterator[Result]]

BENCHES: dict[str, Bench] = {
    "append": store.append,
    "project": store.project,
    "replay": store.replay,
    "plan": plan.plan,
    "placement": placement.placement,
    "availability": availability.availability,
    "freshness": freshness.freshness,
    "as_of": past.as_of,
    "image": past.image,
    "import": imports.imports,
    "reservations": reservations.reservations,
    "kafka_consume": kafka.kafka_consume,
    "stack_placement": stack.stack_placement,
    "end_to_end": stack.end_to_end,
}


async def run(names: list[str]) -> int:
    """Run benchmarks one after the other; return how many targets were missed."""
    tell(f"on {machine()}")
    missed = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = EmbeddedPostgres(Path(folder) / "data")
        dsn = await server.start()
        try:
            for name in names:
                calm_collector()  # as every process of ours does
                async for result in BENCHES[name](dsn):
                    line = result.line()
                    missed += '"met": false' in line
                    print(line, flush=True)
        finally:
            await asyncio.to_thread(server.stop)
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(BENCHES), help="one metric")
    chosen = parser.parse_args().only
    missed = uvloop.run(run([chosen] if chosen else list(BENCHES)))
    tell(f"{missed} targets missed" if missed else "every target met")
    sys.exit(0)


if __name__ == "__main__":
    main()
