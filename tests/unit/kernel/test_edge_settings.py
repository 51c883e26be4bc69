"""The edge's settings are the limits' defaults, and can be set from the environment."""

from dataclasses import asdict

import pytest
from pydantic import ValidationError

from services.kernel.entrypoints.grpc_limits import Limits
from services.kernel.settings import EdgeSettings


def test_the_defaults_are_those_of_the_server() -> None:
    assert EdgeSettings().limits() == asdict(Limits())


def test_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_REQUEST_BYTES", "2048")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")
    settings = EdgeSettings()
    assert Limits(**settings.limits()).request_bytes == 2_048
    assert settings.otlp_endpoint == "http://collector:4317"


@pytest.mark.parametrize(
    ("name", "value"),
    [("OMS_ENVIRONMENT", "Prod_1"), ("OMS_CONCURRENT_CALLS", "0"), ("OMS_LOG_LEVEL", "loud")],
)
def test_nonsense_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        EdgeSettings()


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_INTERNAL_TOKEN", "hunter2" * 5)
    assert "hunter2" not in repr(EdgeSettings())
