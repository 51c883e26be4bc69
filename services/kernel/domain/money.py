"""What is known of currencies, and how people write amounts.

Source  ISO 4217, list one: the minor unit of a currency is a tenth to its exponent. Nearly all have
        two decimals; those that have not are listed here, as they stood on 2024-06-25.
"""

_TWO_DECIMALS = 2
_SIGNS = {"EUR": "€", "GBP": "£", "USD": "$"}
_NARROW, WIDE = "\u202f", "\u00a0"  # French thousands; before a sign or a unit
_OTHER_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DECIMALS = {
    currency: decimals
    for decimals, currencies in _OTHER_DECIMALS.items()
    for currency in currencies.split()
}


def in_units(amount_minor: int, currency: str) -> tuple[int, str]:
    """Return an amount of 0 or more as whole units and the digits after the decimal sign.

    >>> in_units(1205, "EUR"), in_units(1205, "JPY"), in_units(1205, "KWD")
    ((12, '05'), (1205, ''), (1, '205'))
    """
    decimals = _DECIMALS.get(currency, _TWO_DECIMALS)
    units, minor = divmod(amount_minor, 10**decimals)
    return units, f"{minor:0{decimals}}" if decimals else ""


def amount(minor: int, currency: str, language: str) -> str:
    r"""Return an amount as people write it, in French or English.

    >>> amount(123456, "EUR", "en"), amount(-1205, "EUR", "fr"), amount(1205, "JPY", "fr")
    ('€1,234.56', '-12,05\xa0€', '1\u202f205\xa0JPY')
    """
    whole, decimals = in_units(abs(minor), currency)
    minus = "-" if minor < 0 else ""
    number = grouped(whole, language)
    if decimals:
        number += f"{'.' if language == 'en' else ','}{decimals}"
    sign = _SIGNS.get(currency, currency)
    if language == "en":
        return f"{minus}{sign}{'' if currency in _SIGNS else WIDE}{number}"
    return f"{minus}{number}{WIDE}{sign}"


def grouped(number: int, language: str) -> str:
    """Return a number of 0 or more with its thousands apart."""
    return f"{number:,}".replace(",", "," if language == "en" else _NARROW)
