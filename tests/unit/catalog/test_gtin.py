"""Barcodes: one wrong digit is always found."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalog.domain.gtin import check_digit, is_gtin


@pytest.mark.parametrize("barcode", ["3017620422003", "96385074", "036000291452", "10012345678902"])
def test_real_barcodes_pass(barcode: str) -> None:
    assert is_gtin(barcode)


@pytest.mark.parametrize(
    "barcode", ["", "301762042200", "30176204220O3", "٣٠١٧٦٢٠٤٢٢٠٠٣", "1" * 15]
)
def test_anything_else_fails(barcode: str) -> None:
    assert not is_gtin(barcode)


@settings(max_examples=200)
@given(st.text("0123456789", min_size=12, max_size=12), st.integers(0, 12), st.integers(1, 9))
def test_one_wrong_digit_is_found(payload: str, place: int, shift: int) -> None:
    barcode = payload + str(check_digit(payload))
    assert is_gtin(barcode)
    wrong = str((int(barcode[place]) + shift) % 10)
    assert not is_gtin(barcode[:place] + wrong + barcode[place + 1 :])
