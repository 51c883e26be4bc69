"""What may differ per environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PickingSettings(BaseSettings):
    """Read from ``OMS_PICKING_*``.

    Attributes:
        over_pick_tolerance_percent: How far what is picked of a product whose weight varies may
            differ from what was ordered, in percent of it: more is taken, less is enough.
    """

    model_config = SettingsConfigDict(env_prefix="OMS_PICKING_", frozen=True)

    over_pick_tolerance_percent: int = Field(default=10, ge=0, le=100)
