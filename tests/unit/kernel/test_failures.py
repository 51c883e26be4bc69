"""A command that cannot do its work says so in one sentence; a bug keeps its trace."""

import errno
import socket
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from typing import Any

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from services.delivery.settings import DeliverySettings
from services.gateway.settings import GatewaySettings
from services.kernel.main import SERVICES
from services.kernel.main.failures import sentence_of
from services.kernel.settings import EdgeSettings, KernelSettings


def _wrong_setting() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        KernelSettings.model_validate({"grpc_port": "abc"})
    return caught.value


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (_wrong_setting(), "OMS_GRPC_PORT: Input should be a valid integer"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "OMS_POSTGRES_DSN"),
        (asyncpg.ClientConfigurationError("no scheme"), "postgresql://user:password@host"),
        (asyncpg.InvalidPasswordError("no"), "refuses the login"),
        (KafkaConnectionError("no broker"), "OMS_KAFKA_BOOTSTRAP_SERVERS"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "check OMS_HOST"),
        (OSError(errno.EADDRINUSE, "Address already in use"), "OMS_HTTP_PORT"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.csv"), "x.csv: No such file"),
        (ExceptionGroup("several", [TimeoutError()]), "the database is away"),
    ],
)
def test_what_is_no_bug_is_told_in_a_sentence(error: Exception, words: str) -> None:
    assert words in (sentence_of(error) or "")


@pytest.mark.parametrize("error", [TypeError("a bug"), KeyError("a bug"), AssertionError()])
def test_a_bug_keeps_its_trace(error: Exception) -> None:
    assert sentence_of(error) is None


@pytest.mark.parametrize(
    ("settings", "variable", "value", "words"),
    [
        (DeliverySettings, "OMS_DELIVERY_PICKUP_CODE_SECRET", "", "is missing"),
        (DeliverySettings, "OMS_DELIVERY_PICKUP_CODE_SECRET", "short", "is shorter than 16"),
        (DeliverySettings, "OMS_DELIVERY_PICKUP_CODE_SECRET", "changeme" * 4, "everybody knows"),
        (EdgeSettings, "OMS_API_KEY_PEPPER", "short", "at least 16 characters"),
        (EdgeSettings, "OMS_INTERNAL_TOKEN", "short", "at least 32 characters"),
        (GatewaySettings, "OMS_GATEWAY_INTERNAL_TOKEN", "short", "at least 32 characters"),
        (GatewaySettings, "OMS_GATEWAY_TRACKING_SECRET", "short", "at least 32 characters"),
        (GatewaySettings, "OMS_GATEWAY_PUBLIC_URL", "orders.example", "https://orders.example"),
        (GatewaySettings, "OMS_GATEWAY_TIME_ZONE", "Nowhere", "there is no time zone 'Nowhere'"),
    ],
)
def test_a_setting_that_is_wrong_is_named_and_how_to_mend_it(
    settings: Callable[[], Any],
    variable: str,
    value: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError) as caught:
        settings()
    if "secret" in variable.lower() or "token" in variable.lower():
        assert f"'{value}'" not in str(caught.value)
    sentence = sentence_of(caught.value) or ""
    assert sentence.startswith(f"a setting is wrong: {variable}: ")
    assert words in sentence
    assert "\n" not in sentence
    assert "Value error" not in sentence
    assert "short" not in sentence.replace("shorter", "")


@pytest.mark.parametrize(
    ("service", "variable"),
    [("notification", "OMS_NOTIFICATION_IDLE_S"), ("sourcing", "OMS_SOURCING_POLICY_NAME")],
)
def test_a_setting_is_called_by_the_variable_of_its_own_service(
    service: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings,) = _settings_of(service)
    monkeypatch.setenv(variable, "!")
    with pytest.raises(ValidationError) as caught:
        settings()
    assert (sentence_of(caught.value) or "").startswith(f"a setting is wrong: {variable}: ")


def test_no_two_settings_have_one_name() -> None:
    for service in SERVICES:
        _settings_of(service)
    names = Counter(one.__name__ for one in BaseSettings.__subclasses__())
    assert {name for name, count in names.items() if count > 1} == set()


def _settings_of(service: str) -> list[type[BaseSettings]]:
    try:
        module = import_module(f"services.{service}.settings")
    except ModuleNotFoundError:
        return []  # nothing of it may differ
    return [one for one in BaseSettings.__subclasses__() if one.__module__ == module.__name__]
