"""What of notification may differ per environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class NotificationSettings(BaseSettings):
    """Attributes: ``allow_private_webhooks`` is for development only: it opens our own network."""

    model_config = SettingsConfigDict(env_prefix="OMS_NOTIFICATION_", frozen=True)

    allow_private_webhooks: bool = False
    webhook_timeout_s: float = Field(default=15.0, gt=0, le=45)
    webhooks_in_flight: int = Field(default=128, ge=1, le=2_000)
    webhooks_per_endpoint: int = Field(default=4, ge=1, le=100)
    idle_s: float = Field(default=0.5, gt=0, le=10)
    keep_days: int = Field(default=30, ge=7, le=3650)
    retry_seed: int = 0
