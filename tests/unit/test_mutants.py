"""The planted bugs can still be planted, and each is held by a test that is there."""

import ast
from pathlib import Path

import pytest

from tests.mutants.__main__ import CannotPlant, plant
from tests.mutants.planted import MUTANTS, Edit, Mutant

ROOT = Path(__file__).parents[2]
# What the acceptance asks for; more may be planted.
ASKED_FOR = {
    "naive poller",
    "reply before commit",
    "offset before effect",
    "check-then-reserve",
    "FastStream's default subscriber",
    "producer without idempotence",
    "watermark outside the transaction",
    "relay that skips on a gap",
    "process manager with random command ids",
    "projection with a side effect",
}


def test_every_bug_that_was_asked_for_is_planted() -> None:
    assert {mutant.name for mutant in MUTANTS} >= ASKED_FOR


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_bug_can_be_planted(mutant: Mutant, tmp_path: Path) -> None:
    """Who moves the code plants the bug anew, in tests/mutants/planted.py."""
    for edit in mutant.edits:
        file = tmp_path / edit.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((ROOT / edit.path).read_text())
    former = plant(mutant, tmp_path)
    for file, text in former.items():
        assert file.read_text() != text
        if file.suffix == ".py":
            ast.parse(file.read_text())


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_test_that_catches_it_exists(mutant: Mutant) -> None:
    path, _, name = mutant.test.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    defined = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert name in defined


def test_a_bug_whose_place_is_gone_is_not_planted(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one = 1\none = 1\n")
    for text in ("two = 2\n", "one = 1\n"):
        with pytest.raises(CannotPlant, match="not once"):
            plant(Mutant("m", "h", (Edit("a.py", text, ""),), "t"), tmp_path)
    with pytest.raises(CannotPlant, match="gone"):
        plant(Mutant("m", "h", (Edit("b.py", "x", ""),), "t"), tmp_path)
