"""What is known of currencies."""

WITHOUT_MINOR_UNIT = frozenset({"JPY", "KRW", "XAF", "XOF", "XPF"})
"""Those that shoppers see; amounts of every other one here have two decimals."""
