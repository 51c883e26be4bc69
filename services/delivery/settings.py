"""What may differ per environment."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

SHORTEST_SECRET_CHARACTERS = 16
_KNOWN = frozenset({"changeme", "change-me", "secret", "password", "default", "pickup-code-secret"})


class DeliverySettings(BaseSettings):
    """Read from ``OMS_DELIVERY_*``.

    Attributes:
        pickup_code_secret: Makes pickup codes unguessable; random, one per installation.
    """

    model_config = SettingsConfigDict(env_prefix="OMS_DELIVERY_", frozen=True)

    pickup_code_secret: SecretStr = SecretStr("")

    def secret(self) -> bytes:
        """Return the secret.

        Raises:
            ValueError: It is missing, too short, or a value that everybody knows.
        """
        value = self.pickup_code_secret.get_secret_value()
        advice = "set OMS_DELIVERY_PICKUP_CODE_SECRET to a random text (openssl rand -hex 32)"
        if not value:
            raise ValueError(f"the secret of the pickup codes is missing: {advice}")
        if len(value) < SHORTEST_SECRET_CHARACTERS:
            raise ValueError(
                f"the secret of the pickup codes is shorter than {SHORTEST_SECRET_CHARACTERS} "
                f"characters: {advice}"
            )
        if any(value.lower().startswith(known) for known in _KNOWN):
            raise ValueError(f"the secret of the pickup codes is a well-known value: {advice}")
        return value.encode()
