"""What of returns may differ per environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ReturnsSettings(BaseSettings):
    """Attributes: ``window_days`` 14 is the least that distance selling allows in the EU."""

    model_config = SettingsConfigDict(env_prefix="OMS_RETURNS_", frozen=True)

    window_days: int = Field(default=30, ge=14, le=3650)
    clerk_limit_percent: int = Field(default=20, ge=0, le=100)
