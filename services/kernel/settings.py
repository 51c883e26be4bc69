"""What may differ per environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


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
    database_prefix: str = Field(default="oms_", pattern=r"^[a-z][a-z0-9_]{0,30}$")

    host: str = Field(default="127.0.0.1", description="Interface of every port")
    grpc_port: int = Field(default=50051, ge=0, le=65535)
    http_port: int = Field(default=8080, ge=0, le=65535)
    health_port: int = Field(default=8081, ge=0, le=65535)

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
