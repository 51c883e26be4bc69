"""What may differ per environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class StockLedgerSettings(BaseSettings):
    """Settings of the stock ledger, from ``OMS_STOCK_LEDGER_*``."""

    model_config = SettingsConfigDict(env_prefix="OMS_STOCK_LEDGER_", frozen=True)

    hold_seconds: int = Field(default=900, ge=1, le=86_400)
    """How long a hold waits for its order, unless the caller says otherwise."""
    most_holds_per_customer: int = Field(default=20, ge=0, le=1_000)
    """How many reservations may be held, unpaid, for one customer or session; 0: no limit."""
    hot_round_lines: int = Field(default=512, ge=1, le=10_000)
    """Most reservation lines that the writer of hot products decides at once."""
    hot_waiting_lines: int = Field(default=8_192, ge=1, le=1_000_000)
    """Most that wait for it; a call beyond is told to come back."""
