"""The log as a tree: what is sealed shows every change; the auditor's verifier agrees."""

import runpy
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.stock_ledger.domain.merkle import (
    EMPTY_ROOT,
    NO_DIGEST,
    Frontier,
    Row,
    chained,
    consistency,
    inclusion,
    leaf,
    node,
    root_of,
)

VERIFIER: dict[str, Any] = runpy.run_path(
    str(Path(__file__).parents[3] / "docs/proof/verify_stock_proof.py")
)
ROW = Row(
    *(1, "demo/stock-paris|milk", 1, "stock.entry_posted.v1", "e-1"),
    *(datetime(2026, 3, 2, 12, tzinfo=UTC), "demo", b"{}", b'{"a":1}'),
)


def leaves(count: int) -> list[bytes]:
    return [sha256(b"\0%d" % n).digest() for n in range(count)]


def plain_root(digests: Sequence[bytes]) -> bytes:
    """The definition in RFC 6962, 2.1, word by word."""
    if not digests:
        return sha256(b"").digest()
    if len(digests) == 1:
        return digests[0]
    half = 1
    while half * 2 < len(digests):
        half *= 2
    return node(plain_root(digests[:half]), plain_root(digests[half:]))


def test_the_root_is_that_of_the_standard() -> None:
    for size in range(70):
        assert root_of(leaves(size)) == plain_root(leaves(size))
    assert Frontier().root == EMPTY_ROOT


@settings(max_examples=100)
@for_all(st.integers(0, 200), st.integers(0, 200))
def test_a_tree_may_grow_in_any_steps(first: int, second: int) -> None:
    digests = leaves(first + second)
    grown = Frontier().including(digests[:first]).including(digests[first:])
    assert grown.root == root_of(digests)
    assert len(grown.peaks) == (first + second).bit_count()


def test_the_verifier_finds_every_root() -> None:
    assert VERIFIER["roots"](leaves(50), {7, 32, 50}) == {
        size: root_of(leaves(size)) for size in (7, 32, 50)
    }


@settings(max_examples=200)
@for_all(st.data(), st.integers(1, 120))
def test_a_row_is_shown_to_be_in_the_log_and_no_other(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    digests = leaves(size)
    path = inclusion(index, digests)
    assert len(path) <= size.bit_length()
    climb = VERIFIER["root_by_path"]
    assert climb(index, size, digests[index], path) == root_of(digests)
    assert climb(index, size, leaves(size + 1)[size], path) != root_of(digests)
    if size > 1:
        assert climb((index + 1) % size, size, digests[index], path) != root_of(digests)


@settings(max_examples=200)
@for_all(st.data(), st.integers(1, 120))
def test_a_log_is_shown_to_have_only_grown(data: st.DataObject, size: int) -> None:
    old = data.draw(st.integers(1, size))
    digests = leaves(size)
    path = consistency(old, digests)
    roots = root_of(digests[:old]), root_of(digests)
    assert VERIFIER["roots_by_path"](old, size, path, roots[0]) == roots
    if old < size:
        other = root_of([*digests[: old - 1], digests[old]])
        assert VERIFIER["roots_by_path"](old, size, path, other) != (other, roots[1])


def test_every_field_of_a_row_is_in_its_leaf() -> None:
    others = {
        "position": 2,
        "stream": "demo/stock-paris|mil",
        "version": 2,
        "topic": "k",
        "event_id": "e-2",
        "recorded_at": datetime(2026, 3, 2, 12, 0, 0, 1, tzinfo=UTC),
        "tenant": "dem",
        "cause": b"{ }",
        "state": b'{"a":2}',
    }
    changed = {leaf(replace(ROW, **{name: value})) for name, value in others.items()}  # type: ignore[arg-type]
    assert len(changed | {leaf(ROW)}) == len(others) + 1
    borrowed = replace(ROW, cause=b"{", state=b'}{"a":1}')
    assert leaf(borrowed) != leaf(ROW)


def test_the_order_of_a_stream_is_in_its_digest() -> None:
    one, other = leaves(2)
    assert chained(chained(NO_DIGEST, one), other) != chained(chained(NO_DIGEST, other), one)
