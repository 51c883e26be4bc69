"""What a command says when it cannot do its work: what is wrong, where, and how to mend it."""

import errno
import socket

import asyncpg
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from services.kernel.adapters.database import is_outage
from services.kernel.adapters.embedded_postgres import CannotStart
from services.kernel.main.embedded import AlreadyRunning


def sentence_of(  # noqa: C901, PLR0911 - one failure, one sentence
    error: BaseException,
) -> str | None:
    """Return what to tell whoever typed the command; nothing for a bug, which keeps its trace."""
    if isinstance(error, BaseExceptionGroup):
        return sentence_of(error.exceptions[0])
    match error:
        case AlreadyRunning() | CannotStart():
            return str(error)
        case ValidationError():
            return _of_settings(error)
        case asyncpg.ClientConfigurationError():
            return (
                f"the database's address cannot be read ({error}): set OMS_POSTGRES_DSN to"
                " postgresql://user:password@host:5432/database, or unset it for our own server"
            )
        case asyncpg.InvalidAuthorizationSpecificationError():
            return f"the database refuses the login ({error}): check OMS_POSTGRES_DSN"
        case _ if type(error).__module__.startswith("aiokafka."):
            return (
                f"Kafka cannot be reached ({error!r}): check OMS_KAFKA_BOOTSTRAP_SERVERS,"
                " or see what is wrong with: oms doctor"
            )
        case socket.gaierror():
            return (
                f"a host's name is not known ({error.strerror}): check OMS_HOST, OMS_POSTGRES_DSN"
                " and OMS_KAFKA_BOOTSTRAP_SERVERS, as far as they are set"
            )
        case OSError(filename=str() as name):
            return f"{name}: {error.strerror}"
        case OSError(errno=errno.EADDRINUSE):
            return (
                f"a port is taken ({error.strerror}): stop who has it, or choose others"
                " (OMS_HTTP_PORT, OMS_GRPC_PORT, OMS_HEALTH_PORT)"
            )
        case OSError(errno=errno.EACCES | errno.EADDRNOTAVAIL):
            return f"cannot listen ({error.strerror}): check OMS_HOST and the ports"
        case _ if is_outage(error):
            return (
                f"the database is away ({str(error) or type(error).__name__}): check that it runs,"
                " and OMS_POSTGRES_DSN, or see what is wrong with: oms doctor"
            )
        case _:
            return None


def _of_settings(error: ValidationError) -> str:
    prefix = next(
        (
            str(settings.model_config.get("env_prefix", ""))
            for settings in BaseSettings.__subclasses__()
            if settings.__name__ == error.title
        ),
        "",
    )
    faults = [
        # Not what it is: it may be a secret.
        f"{prefix}{'_'.join(map(str, fault['loc']))}".upper()
        + f": {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors()
    ]
    return "a setting is wrong: " + "; ".join(faults)
