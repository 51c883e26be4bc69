"""What may differ per environment: ``OMS_GATEWAY_*``."""

import re
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.kernel.settings import random_text

MIN_SECRET_CHARACTERS = 32
_ADDRESS = re.compile(r"(https?://[^\s/?#]+(/[^\s?#]*)?)?")

type TrackingSecret = Annotated[
    SecretStr,
    AfterValidator(random_text(MIN_SECRET_CHARACTERS, otherwise="one that dies with the process")),
]
type InternalToken = Annotated[
    SecretStr, AfterValidator(random_text(MIN_SECRET_CHARACTERS, otherwise="pages without data"))
]


class GatewaySettings(BaseSettings):
    """Settings of the gateway.

    Attributes:
        tracking_secret: Signs the addresses of consumers' pages. Without one, a secret is made
            at start and the addresses die with the process: for development only.
        previous_tracking_secret: Still accepted while addresses signed with it are in use.
        internal_token: What pages call the services with; it acts for the tenant they name.
        public_url: Where consumers reach the pages, for example ``https://orders.example``;
            empty: addresses are relative.
        stock_page_days: How many days the address of a tenant's stock pages holds.
        demo_tenant: Its latest orders are on the start page. Empty in production.
        guesses_at_once: Keys that nobody has, from one address, before the next are refused.
        guesses_per_s: How many more each second allows.
        time_zone: IANA name of the zone in which pages tell times.
    """

    model_config = SettingsConfigDict(
        env_prefix="OMS_GATEWAY_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    tracking_secret: TrackingSecret = SecretStr("")
    previous_tracking_secret: TrackingSecret = SecretStr("")
    internal_token: InternalToken = SecretStr("")
    public_url: str = ""
    stock_page_days: int = Field(default=30, ge=1, le=366)
    demo_tenant: str = ""
    guesses_at_once: int = Field(default=20, ge=1, le=10_000)
    guesses_per_s: float = Field(default=0.5, gt=0, le=1_000)
    time_zone: str = "Europe/Paris"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            return ZoneInfo(name).key
        except (KeyError, ValueError, OSError):
            raise ValueError(f"there is no time zone {name!r}; one is Europe/Paris") from None

    @field_validator("public_url")
    @classmethod
    def _address(cls, url: str) -> str:
        if _ADDRESS.fullmatch(url) is None:
            raise ValueError("must be an address such as https://orders.example, or be left out")
        return url
