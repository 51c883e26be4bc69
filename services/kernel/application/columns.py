"""Rows on their way to the database: one parameter per column instead of one array per column.

A driver checks and encodes an array value by value; a text whose values are joined by a separator
is made, sent and split in a sixth of the time. Most of what this system writes are such columns.

    await sql.execute(
        f"INSERT INTO level SELECT * FROM {unnested('text bigint')} ON CONFLICT DO NOTHING",
        *packed([("P1", 3), ("P2", None)]),
    )
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

SEPARATOR, NOTHING = "\x1f", "\x1e"
_UNSPEAKABLE = str.maketrans({SEPARATOR: " ", NOTHING: " "})

_WHOLE, _TIMES = {int}, {datetime}

type Value = str | int | bool | datetime | None


def unnested(types: str, *, first: int = 1) -> str:
    """Return the SQL that gives packed columns back as rows.

    Args:
        types: SQL types of the columns, in the order of ``packed``, with spaces between.
        first: Number of the parameter that holds the first column.
    """
    columns = [
        # Named in full: a read model that is replayed sees no schema but its own.
        f"public.unpacked(${n})" + ("" if name == "text" else f"::{name}[]")
        for n, name in enumerate(types.split(), first)
    ]
    return f"unnest({', '.join(columns)})"


def packed(rows: Sequence[Sequence[Value]]) -> tuple[str, ...]:
    """Return the columns of rows, at least one, each as the text that ``unpacked`` splits.

    The two characters that mean something here become spaces where a text holds them; no id, no
    JSON and nothing that a person typed on purpose does.
    """
    return tuple([pack(column) for column in zip(*rows, strict=True)])


def pack(values: Sequence[Value]) -> str:
    """Return one column as text."""
    column: Any = values
    try:
        joined: str = SEPARATOR.join(column)  # most columns are text throughout
    except TypeError:
        kinds = set(map(type, values))
        if kinds == _WHOLE:
            return SEPARATOR.join(map(str, values))
        if kinds == _TIMES and len(distinct := set(values)) < len(values):
            told = {at: _text(at) for at in distinct}  # a batch has few times
            return SEPARATOR.join([told[at] for at in column])
        return SEPARATOR.join(map(_text, values))
    if joined.count(SEPARATOR) != len(values) - 1 or NOTHING in joined:
        return SEPARATOR.join(map(_text, values))
    return joined


def _text(value: Value) -> str:
    if type(value) is int:
        return str(value)
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value.translate(_UNSPEAKABLE)
    return value.isoformat() if isinstance(value, datetime) else str(value)
