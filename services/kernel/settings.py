"""What may differ per environment."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

RANDOM_TEXT = "take a random text (openssl rand -hex 32)"


def random_text(at_least: int, *, otherwise: str) -> Callable[[SecretStr], SecretStr]:
    """Return what checks a secret that may be left out.

    Args:
        at_least: Characters.
        otherwise: What is used if it is left out; for who reads the fault.
    """

    def check(secret: SecretStr) -> SecretStr:
        if 0 < len(secret.get_secret_value()) < at_least:
            raise ValueError(
                f"must have at least {at_least} characters: {RANDOM_TEXT},"
                f" or leave it out for {otherwise}"
            )
        return secret

    return check


class KernelSettings(BaseSettings):
    """Read from ``OMS_…`` variables; every limit has a default that a laptop can live with."""

    model_config = SettingsConfigDict(env_prefix="OMS_", frozen=True, extra="ignore")

    data_home: Path = Field(
        default=Path(".oms"), description="Folder of the embedded database and the secrets"
    )
    postgres_dsn: str = Field(
        default="", description="Owner's DSN of a server; empty starts the embedded one"
    )
    postgres_app_dsn: str = Field(
        default="",
        description="DSN of a login role that may only append; empty makes one named oms_app",
    )
    api_key: SecretStr = Field(
        default=SecretStr(""),
        description="What `oms import` and `oms stock import` call with; empty: the demo's",
    )
    database_prefix: str = Field(default="oms_", pattern=r"^[a-z][a-z0-9_]{0,30}$")

    host: str = Field(default="127.0.0.1", description="Interface of every port")
    grpc_port: int = Field(default=50051, ge=0, le=65535)
    http_port: int = Field(default=8080, ge=0, le=65535)
    health_port: int = Field(default=8081, ge=0, le=65535)

    service_addresses: str = Field(
        default="",
        pattern=r"^([a-z_]+=[^=,]+(,[a-z_]+=[^=,]+)*)?$",
        description="For the gateway in a process of its own: order=HOST:PORT,picking=HOST:PORT,…;"
        " a service that is not named is at OMS_HOST and OMS_GRPC_PORT",
    )

    is_derived_work_lazy: bool = Field(
        default=True,
        description="On the local bus, consumers and read models commit before the disk has it;"
        " a power cut takes the newest of that work back, and it is done again",
    )
    pool_size: int = Field(default=6, ge=2, le=100, description="Connections per service")
    acquire_s: float = Field(default=2.0, gt=0, le=60)
    statement_s: float = Field(default=5.0, gt=0, le=300)
    append_batch_commands: int = Field(default=512, ge=1, le=10_000)
    append_batch_events: int = Field(default=4_000, ge=1, le=50_000)
    append_queue_commands: int = Field(default=8_192, ge=1, le=1_000_000)
    cached_states: int = Field(default=50_000, ge=0, le=10_000_000, description="Per service")
    message_tries: int = Field(default=3, ge=1, le=20, description="Before a message is parked")
    poll_s: float = Field(default=0.5, gt=0, le=60, description="Relay, when nobody wakes it")
    timer_poll_s: float = Field(default=0.5, gt=0, le=60)
    redrive_poll_s: float = Field(default=1.0, gt=0, le=60)
    heard_within_s: float = Field(
        default=900.0, gt=0, le=31_536_000, description="What takes longer is told by `oms verify`"
    )


class BusSettings(BaseSettings):
    """What carries public events between services; also ``OMS_…``."""

    model_config = SettingsConfigDict(env_prefix="OMS_", frozen=True, extra="ignore")

    bus: Literal["local", "kafka"] = Field(
        default="local", description="local: within one process; kafka: between processes"
    )
    broker: Literal["", "given", "docker", "jars", "mock"] = Field(
        default="", description="How `oms stack` and tests get a broker; empty: the best there is"
    )
    kafka_bootstrap_servers: str = Field(default="127.0.0.1:9092", min_length=1)
    kafka_prefix: str = Field(
        default="",
        pattern=r"^([a-z0-9]([a-z0-9_.-]{0,48}[a-z0-9])?[.])?$",
        description="Of topics and groups, with its dot, where installations share a cluster",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_username: str = ""
    kafka_password: SecretStr = SecretStr("")
    kafka_ca_file: str = Field(default="", description="Empty: what the system trusts")
    kafka_cert_file: str = ""
    kafka_key_file: str = ""
    kafka_partitions: int = Field(
        default=6, ge=1, le=1_000, description="Of each feed; settled for ever by the first start"
    )
    kafka_replication: int = Field(default=1, ge=1, le=9, description="3 in production")
    kafka_min_insync: int = Field(default=1, ge=1, le=9, description="2 in production")
    kafka_retention_ms: int = Field(default=-1, ge=-1, description="-1: feeds are kept for ever")
    kafka_parked_retention_ms: int = Field(
        default=1_209_600_000, ge=-1, description="Of topics that tell of parked messages; 14 days"
    )
    kafka_batch_messages: int = Field(default=500, ge=1, le=10_000)
    kafka_batch_wait_ms: int = Field(default=1_000, ge=1, le=5_000)
    kafka_session_ms: int = Field(default=30_000, ge=1_000, le=300_000)
    kafka_heartbeat_ms: int = Field(default=3_000, ge=100, le=60_000)
    kafka_longest_batch_ms: int = Field(default=300_000, ge=1_000, le=3_600_000)
    kafka_request_ms: int = Field(default=20_000, ge=1_000, le=300_000)
    kafka_finish_s: float = Field(
        default=10.0, gt=0, le=300, description="For a batch in flight, on a rebalance and a stop"
    )

    def kafka_options(self) -> dict[str, Any]:
        """Return the fields by the names of ``kafka_options.KafkaOptions``."""
        options = {
            name.removeprefix("kafka_"): value
            for name, value in self
            if name.startswith("kafka_") and name != "kafka_password"
        }
        return options | {"password": self.kafka_password.get_secret_value()}


class StackSettings(BaseSettings):
    """Of ``oms stack``: ``OMS_STACK_…``."""

    model_config = SettingsConfigDict(env_prefix="OMS_STACK_", frozen=True, extra="ignore")

    workers: str = Field(
        default="", description="Several workers of a service: stock_ledger=3,order=2"
    )
    starts_within_s: float = Field(
        default=180.0, gt=0, le=3_600, description="Until the next process is ready"
    )
    stops_within_s: float = Field(
        default=60.0, gt=0, le=600, description="For each process, before it is killed"
    )


class EdgeSettings(BaseSettings):
    """How the outside reaches a process, and what it tells about itself; also ``OMS_…``.

    The fields from ``call_timeout_s`` to ``grace_s`` have the names of ``grpc_guard.Limits``:
    ``Limits(**edge.limits())``.
    """

    model_config = SettingsConfigDict(
        env_prefix="OMS_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    environment: str = Field(
        default="dev",
        pattern=r"^[a-z0-9]{1,16}$",
        description="Part of every API key; a key of another environment is refused",
    )
    api_key_pepper: Annotated[
        SecretStr, AfterValidator(random_text(16, otherwise="the installation's own"))
    ] = Field(default=SecretStr(""), description="Empty: the installation's own, beside its data")
    internal_token: Annotated[
        SecretStr, AfterValidator(random_text(32, otherwise="the installation's own"))
    ] = Field(
        default=SecretStr(""), description="Of our own processes; empty: the installation's own"
    )
    has_reflection: bool = Field(default=False, description="Lets grpcurl discover the methods")

    call_timeout_s: float = Field(default=10.0, gt=0, le=300)
    longest_call_s: float = Field(default=60.0, gt=0, le=3_600)
    stream_timeout_s: float = Field(default=300.0, gt=0, le=86_400)
    concurrent_calls: int = Field(default=256, ge=1, le=100_000)
    concurrent_streams: int = Field(default=512, ge=1, le=100_000)
    streams_of_one: int = Field(default=320, ge=1, le=100_000)
    request_bytes: int = Field(default=1 << 20, ge=1 << 10, le=64 << 20)
    response_bytes: int = Field(default=4 << 20, ge=1 << 10, le=64 << 20)
    metadata_bytes: int = Field(default=16 << 10, ge=1 << 10, le=1 << 20)
    retry_after_ms: int = Field(default=250, ge=1, le=60_000)
    guesses_at_once: int = Field(default=20, ge=1, le=10_000)
    guesses_per_s: float = Field(default=0.5, gt=0, le=1_000)
    connection_age_s: float = Field(default=300.0, ge=10, le=86_400)
    ping_every_s: float = Field(default=20.0, ge=1, le=3_600)
    grace_s: float = Field(default=10.0, ge=0, le=300, description="For calls that still run")
    notice_s: float = Field(
        default=0.0, ge=0, le=60, description="Unready but still serving, for balancers to notice"
    )

    otlp_endpoint: str = Field(
        default="",
        validation_alias=AliasChoices("OMS_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="OTLP over gRPC, for example http://localhost:4317; empty: nothing is exported",
    )
    otlp_every_s: float = Field(
        default=15.0, gt=0, le=3_600, description="How often metrics are sent, where they are"
    )
    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")

    def limits(self) -> dict[str, Any]:
        """Return what the gRPC server takes on, by the names of ``grpc_guard.Limits``."""
        return {name: getattr(self, name) for name in _LIMITS}


_LIMITS = (
    "call_timeout_s",
    "longest_call_s",
    "stream_timeout_s",
    "concurrent_calls",
    "concurrent_streams",
    "streams_of_one",
    "request_bytes",
    "response_bytes",
    "metadata_bytes",
    "retry_after_ms",
    "guesses_at_once",
    "guesses_per_s",
    "connection_age_s",
    "ping_every_s",
    "grace_s",
)
