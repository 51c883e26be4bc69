"""What a process has when it is up is left out of the collector's rounds, in all kinds of them."""

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.kernel.main.collector import calm_collector, run


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_rounds_are_rare_and_leave_out_what_is_there() -> None:
    calm_collector()
    assert gc.get_threshold()[0] >= 10_000
    assert gc.get_freeze_count() > 0


def test_every_command_runs_with_it() -> None:
    gc.set_threshold(700, 10, 10)

    async def thresholds() -> int:
        return gc.get_threshold()[0]

    assert run(thresholds()) >= 10_000


_LOAD = """
import gc
def rounds(): return sum(generation["collections"] for generation in gc.get_stats())
before = rounds()
import services.kernel.__main__
print(rounds() - before, gc.isenabled(), gc.get_threshold()[0])
"""


def test_no_round_holds_up_the_loading_of_what_never_is_garbage() -> None:
    command = [sys.executable, "-c", _LOAD]
    told = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    rounds, is_enabled, threshold = told.stdout.split()
    assert int(rounds) < 10
    assert is_enabled == "True"
    assert int(threshold) >= 10_000
