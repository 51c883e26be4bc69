"""Barcodes: GTIN-8, -12, -13 and -14 with their check digit."""

GTIN_LENGTHS = (8, 12, 13, 14)


def check_digit(payload: str) -> int:
    """Return the digit that completes a GTIN: weights 3 and 1 from the right, up to the next ten.

    >>> check_digit("301762042200")
    3

    Args:
        payload: The digits before the check digit.

    Source:
        GS1 General Specifications, section 7.9.
    """
    total = sum(int(d) * (1 if i % 2 else 3) for i, d in enumerate(reversed(payload)))
    return -total % 10


def is_gtin(barcode: str) -> bool:
    """Tell whether ``barcode`` is digits only, of a GTIN's length, and ends in its check digit.

    >>> is_gtin("3017620422003"), is_gtin("3017620422004")
    (True, False)
    """
    return (
        len(barcode) in GTIN_LENGTHS
        and barcode.isascii()
        and barcode.isdigit()
        and check_digit(barcode[:-1]) == int(barcode[-1])
    )
