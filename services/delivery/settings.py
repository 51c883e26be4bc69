"""What may differ per environment."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.kernel.settings import RANDOM_TEXT

SHORTEST_SECRET_CHARACTERS = 16
_KNOWN = frozenset({"changeme", "change-me", "secret", "password", "default", "pickup-code-secret"})


class DeliverySettings(BaseSettings):
    """Read from ``OMS_DELIVERY_*``.

    Attributes:
        pickup_code_secret: Makes pickup codes unguessable; random, one per installation.
    """

    model_config = SettingsConfigDict(
        env_prefix="OMS_DELIVERY_", frozen=True, hide_input_in_errors=True
    )

    pickup_code_secret: SecretStr = Field(default=SecretStr(""), validate_default=True)

    @field_validator("pickup_code_secret")
    @classmethod
    def _unguessable(cls, secret: SecretStr) -> SecretStr:
        value = secret.get_secret_value()
        if not value:
            fault = "is missing"
        elif len(value) < SHORTEST_SECRET_CHARACTERS:
            fault = f"is shorter than {SHORTEST_SECRET_CHARACTERS} characters"
        elif any(value.lower().startswith(known) for known in _KNOWN):
            fault = "is a value that everybody knows"
        else:
            return secret
        raise ValueError(f"{fault}: {RANDOM_TEXT}")

    def secret(self) -> bytes:
        """Return the secret."""
        return self.pickup_code_secret.get_secret_value().encode()
