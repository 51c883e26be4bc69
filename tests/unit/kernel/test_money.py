"""Amounts have as many decimals as ISO 4217 gives their currency."""

import pytest

from services.kernel.domain.money import in_units


@pytest.mark.parametrize(
    ("currency", "shown"),
    [
        *((one, (12345, "")) for one in ("JPY", "KRW", "ISK", "VND", "XPF")),
        *((one, (123, "45")) for one in ("EUR", "USD", "MGA", "HUF")),
        *((one, (12, "345")) for one in ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")),
        ("CLF", (1, "2345")),
    ],
)
def test_each_currency_has_its_own_decimals(currency: str, shown: tuple[int, str]) -> None:
    assert in_units(12345, currency) == shown


def test_small_amounts_keep_their_zeros() -> None:
    assert in_units(5, "KWD") == (0, "005")
    assert in_units(0, "EUR") == (0, "00")
