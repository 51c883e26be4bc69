"""The command line fails in one sentence and with the exit code that is documented."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.kernel.__main__ import app
from services.kernel.main.console import EXIT_USAGE


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
        (["demo", "--orders", "0"], "--orders"),
        (["nothing"], "nothing"),
        (["keys", "issue", "shop"], "--scope"),
        (["keys", "issue", "shop", "--scope", "orders:all"], "no scope 'orders:all'"),
        (["keys", "issue", "shop", "--scope", "orders:read", "--days", "0"], "--days"),
        (["parked", "show"], "Usage: "),
        (["tail"], "name a feed"),
        (["tail", "nothing"], "no feed (there are catalog, order"),
        (["tail", "order"], "nothing has run in"),
        (["tail", "order", "--since", "yesterday"], "'yesterday' is no time"),
        (["tail", "order", "--event", "LinePicked"], "no event LinePicked there"),
        (["export", "order", "-o", "order.xls"], "no format 'xls'"),
        (["export", "order", "-o", "order.csv"], "nothing has run in"),
        (["replay", "order"], "--into module:function"),
        (["replay", "order", "--into", "json:dumps"], "nothing has run in"),
        (["replay", "order", "--into", "json"], "is not called like module:function"),
        (["replay", "order.nothing"], "no feed or read model"),
        (["replay", "order.order_timeline", "--from", "2d"], "is replayed whole"),
        (["replay", "order.order_timeline", "--into", "json:dumps"], "is replayed whole"),
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
