"""A command that cannot do its work says so in one sentence; a bug keeps its trace."""

import errno

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError
from pydantic import ValidationError

from services.kernel.main.failures import sentence_of
from services.kernel.settings import KernelSettings


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
