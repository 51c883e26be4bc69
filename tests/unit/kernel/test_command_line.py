"""The command line fails in one sentence and with the exit code that is documented."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.kernel.__main__ import app
from services.kernel.main.console import EXIT_USAGE
from services.kernel.main.key_commands import key_to_call_with
from services.kernel.settings import KernelSettings


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_DATA_HOME", str(tmp_path / "nothing"))
    monkeypatch.delenv("OMS_BUS", raising=False)
    monkeypatch.delenv("OMS_POSTGRES_DSN", raising=False)
    # A command sets up the logs of its process, which is the test's here.
    monkeypatch.setattr("services.kernel.__main__.log_json", lambda *_: None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["demo"], "nothing has run here yet"),
        (["serve", "order"], "OMS_BUS=kafka"),
        (["work", "order"], "OMS_BUS=kafka"),
        (["serve", "nothing"], "no service 'nothing'"),
        (["import", "people", __file__], "cannot be imported"),
        (["import", "products", __file__], "OMS_API_KEY"),
        (["stock", "import", __file__, "--kind", "till_sale"], "OMS_API_KEY"),
        (["stack", "logs", "order.work"], "nothing has run here yet"),
        (["export", "order", "-o", "order.csv", "--from", "1h", "--to", "2h"], "is later"),
        (["replay", "order", "--into", "json:dumps", "--from", "1h", "--to", "2h"], "is later"),
        (["demo", "--orders", "0"], "--orders"),
        (["nothing"], "nothing"),
        (["keys", "issue", "shop"], "--scope"),
        (["keys", "issue", "shop", "--scope", "orders:all"], "no scope 'orders:all'"),
        (["keys", "issue", "shop", "--scope", "orders:read", "--days", "0"], "--days"),
        (["parked", "show"], "Usage: "),
        (["tail"], "name a feed"),
        (["tail", "nothing"], "no feed with id 'nothing': there are catalog, order"),
        (["tail", "order"], "nothing has run in"),
        (["tail", "order", "--since", "yesterday"], "'yesterday' is no time"),
        (["tail", "order", "--event", "LinePicked"], "no event LinePicked there"),
        (["export", "order", "-o", "order.xls"], "no format 'xls'"),
        (["export", "order", "-o", "order.csv"], "nothing has run in"),
        (["replay", "order"], "--into module:function"),
        (["replay", "order", "--into", "json:dumps"], "nothing has run in"),
        (["replay", "order", "--into", "json"], "is not called like module:function"),
        (["replay", "order.nothing"], "no feed or read model"),
        (["replay", "order.order_summary", "--from", "2d"], "is replayed whole"),
        (["replay", "order.order_summary", "--into", "json:dumps"], "is replayed whole"),
        (
            ["replay", "order", "--private", "--event", "OrderPlaced", "--into", "json:dumps"],
            "--event names public events",
        ),
    ],
)
def test_what_cannot_be_understood_ends_with_the_code_of_usage(
    arguments: list[str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = CliRunner().invoke(app, arguments)
    captured = capfd.readouterr()
    assert answer.exit_code == EXIT_USAGE
    assert says in answer.output + captured.err
    assert "Traceback" not in answer.output + captured.err


def test_a_broker_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMS_BUS", "kafka")
    monkeypatch.setenv("OMS_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    answer = CliRunner().invoke(app, ["tail", "order"])
    assert answer.exit_code == EXIT_USAGE
    assert "no broker answers at 127.0.0.1:1" in answer.output + capfd.readouterr().err


@pytest.mark.parametrize("command", ["show", "redrive", "drop --yes"])
def test_a_stream_of_which_nothing_is_parked_is_not_there(
    command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found: Any = [] if command == "show" else 0
    monkeypatch.setattr("services.kernel.main.parked_commands._inspect", lambda _: found)
    answer = CliRunner().invoke(app, ["parked", *command.split(), "demo/order-1"])
    assert answer.exit_code == EXIT_USAGE
    assert "nothing is parked of 'demo/order-1'" in answer.output + capfd.readouterr().err


def test_driving_on_all_of_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.kernel.main.parked_commands._inspect", lambda _: 0)
    assert CliRunner().invoke(app, ["parked", "redrive", "all"]).exit_code == 0


def test_a_key_of_ones_own_comes_before_the_demos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo.key").write_text("the demo's\n")
    monkeypatch.setenv("OMS_DATA_HOME", str(tmp_path))
    assert key_to_call_with(KernelSettings()) == "the demo's"
    monkeypatch.setenv("OMS_API_KEY", "mine")
    assert key_to_call_with(KernelSettings()) == "mine"
    assert "mine" not in repr(KernelSettings())
