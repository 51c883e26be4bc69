"""What may differ per environment: the numbers of the sourcing policy, and the bounds of memory."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SourcingSettings(BaseSettings):
    """Read from ``OMS_SOURCING_*``. Amounts in minor units; meanings in ``domain/policy.py``."""

    model_config = SettingsConfigDict(env_prefix="OMS_SOURCING_", frozen=True)

    policy_name: str = Field(default="base-1", pattern=r"^[a-z0-9.-]{1,32}$")
    transport_base_minor: int = Field(default=450, ge=0)
    transport_minor_per_km: int = Field(default=12, ge=0)
    transport_minor_per_kg: int = Field(default=8, ge=0)
    transfer_base_minor: int = Field(default=150, ge=0)
    transfer_minor_per_km: int = Field(default=6, ge=0)
    transfer_minor_per_kg: int = Field(default=3, ge=0)
    split_penalty_minor: int = Field(default=300, ge=0)
    tolerance_minor: int = Field(default=1, ge=0)
    max_groups_per_choice: int = Field(default=6, ge=1, le=20)
    wanted_slack_minutes: int = Field(default=2 * 24 * 60, ge=0)
    transfer_base_minutes: int = Field(default=60, ge=0)
    transfer_metres_per_minute: int = Field(default=600, ge=1)
    delivery_base_minutes: int = Field(default=120, ge=0)
    delivery_metres_per_minute: int = Field(default=400, ge=1)
    road_percent: int = Field(default=130, ge=100)
    unknown_distance_m: int = Field(default=20_000, ge=0)
    default_weight_g: int = Field(default=1_000, ge=0)
    max_search_nodes: int = Field(default=4_000, ge=1)
    max_search_looks: int = Field(default=20_000_000, ge=0)
    spoken_for_seconds: float = Field(default=10.0, ge=0)
    spoken_for_orders: int = Field(default=20_000, ge=0)
