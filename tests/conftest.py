"""Fixtures, and nothing else."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from services.kernel.adapters.embedded_postgres import EmbeddedPostgres
from services.kernel.main.collector import calm_collector
from tests.support.kafka import any_broker, kafka_bootstrap, own_broker, real_broker
from tests.support.stack import forget_power_cuts

# Started in the background of a shell, Ctrl-C is ignored here and in all that is started here; but
# there are tests that send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# As every process of ours: with the defaults a tenth of the run goes to looking for cycles.
calm_collector()

# A machine that is busy with something else does not make a rule wrong.
hypothesis.settings.register_profile(
    "house",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("house")

__all__ = ["any_broker", "kafka_bootstrap", "own_broker", "postgres_dsn", "real_broker"]


@pytest.fixture(scope="session")
def postgres_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Owner's DSN of a PostgreSQL server for this run: the one given, or one of our own."""
    if given := os.environ.get("OMS_TEST_POSTGRES_DSN"):
        yield given
        return
    folder: Path = tmp_path_factory.mktemp("postgres")
    server = EmbeddedPostgres(folder / "data")
    dsn = asyncio.run(server.start())
    asyncio.run(forget_power_cuts(dsn))
    yield dsn
    server.stop()
