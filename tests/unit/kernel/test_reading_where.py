"""Where feeds are read: as the environment says, else where the stack of the folder has them."""

import os
from pathlib import Path

import psutil
import pytest

from services.kernel.main.reading import bus_of
from services.kernel.main.stack.state import StackState, StateFile
from services.kernel.settings import KernelSettings


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMS_BUS", raising=False)
    monkeypatch.delenv("OMS_KAFKA_BOOTSTRAP_SERVERS", raising=False)


def a_stack(folder: Path, *, is_alive: bool = True) -> KernelSettings:
    born = psutil.Process().create_time()
    StateFile(folder).write(
        StackState(
            pid=os.getpid(),
            born=born if is_alive else born - 3_600,
            environment={
                "OMS_BUS": "kafka",
                "OMS_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:4711",
                "OMS_POSTGRES_DSN": "postgresql://nobody@nowhere/",
            },
        )
    )
    return KernelSettings(data_home=folder)


def test_without_a_broker_it_is_the_event_stores(tmp_path: Path) -> None:
    assert bus_of(KernelSettings(data_home=tmp_path)).bus == "local"


def test_beside_a_stack_it_is_the_stack_s_broker(tmp_path: Path) -> None:
    found = bus_of(a_stack(tmp_path))
    assert (found.bus, found.kafka_bootstrap_servers) == ("kafka", "127.0.0.1:4711")


def test_a_stack_that_ended_says_nothing(tmp_path: Path) -> None:
    assert bus_of(a_stack(tmp_path, is_alive=False)).bus == "local"


def test_the_environment_says_it_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = a_stack(tmp_path)
    monkeypatch.setenv("OMS_BUS", "local")
    assert bus_of(settings).bus == "local"
    monkeypatch.setenv("OMS_BUS", "kafka")
    monkeypatch.setenv("OMS_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    assert bus_of(settings).kafka_bootstrap_servers == "127.0.0.1:9"
