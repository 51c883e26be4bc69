"""What may stand in a text that people read."""

import unicodedata


def is_text(value: str) -> bool:
    """Return whether a person can read all of it in one line.

    Spaces that no line may break at are text, though Python does not print them: French writes them
    before a per cent sign and between thousands.
    """
    return all(each.isprintable() or unicodedata.category(each) == "Zs" for each in value)
