"""Packed columns: what PostgreSQL splits is what was packed."""

from datetime import UTC, datetime
from enum import StrEnum

from services.kernel.application.columns import pack, packed, unnested


class Colour(StrEnum):
    RED = "red"


def test_values_of_a_column_are_joined_by_the_unit_separator() -> None:
    assert pack(["a", "", "c"]) == "a\x1f\x1fc"
    assert pack([1, -2, True]) == "1\x1f-2\x1fTrue"
    assert pack([Colour.RED, Colour.RED]) == "red\x1fred"
    assert pack([datetime(2026, 1, 2, tzinfo=UTC), None]) == "2026-01-02T00:00:00+00:00\x1f\x1e"


def test_what_would_be_taken_for_a_boundary_becomes_a_space() -> None:
    assert pack(["a\x1fb", "c\x1ed"]) == "a b\x1fc d"
    assert pack(["a\x1fb", None, 3]) == "a b\x1f\x1e\x1f3"


def test_rows_become_columns() -> None:
    assert packed([("a", 1), ("b", None)]) == ("a\x1fb", "1\x1f\x1e")


def test_every_column_is_a_parameter_with_its_type() -> None:
    assert (
        unnested("text bigint", first=2)
        == "unnest(public.unpacked($2), public.unpacked($3)::bigint[])"
    )
