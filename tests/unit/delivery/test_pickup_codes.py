"""Pickup codes: six digits, the same every time, different for everyone else."""

from typing import Any

import pytest

from services.delivery.adapters.pickup_codes import HmacPickupCodes
from services.delivery.main import build

NO_KERNEL: Any = None  # the secret is looked at first
CODES = HmacPickupCodes(b"0123456789abcdef0123456789abcdef")


def test_a_group_has_one_code_of_six_digits() -> None:
    code = CODES.code_of("demo", "O-1.1")
    assert len(code) == 6
    assert code.isdigit()
    assert code == CODES.code_of("demo", "O-1.1")
    assert CODES.is_right("demo", "O-1.1", code)


def test_a_code_opens_nothing_else() -> None:
    code = CODES.code_of("demo", "O-1.1")
    assert not CODES.is_right("demo", "O-1.2", code)
    assert not CODES.is_right("other", "O-1.1", code)
    assert not HmacPickupCodes(b"another secret, as long").is_right("demo", "O-1.1", code)
    assert not CODES.is_right("demo", "O-1.1", "é")


def test_codes_are_spread_over_all_six_digits() -> None:
    codes = [CODES.code_of("demo", f"O-{n}.1") for n in range(5_000)]
    assert len(set(codes)) > 4_950
    for place in range(6):
        for digit in "0123456789":
            assert 350 < sum(code[place] == digit for code in codes) < 650


@pytest.mark.parametrize(
    "secret", ["", "short", "changeme-changeme-changeme", "Secret-secret-secret"]
)
def test_a_missing_or_weak_secret_is_refused(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_DELIVERY_PICKUP_CODE_SECRET", secret)
    with pytest.raises(ValueError, match="pickup_code_secret"):
        build(NO_KERNEL)
