"""How it ships and what is stored: one distribution, pinned, of frozen events."""

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from services.kernel.main import SERVICES
from tests.support.built import built

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = {folder.parent.name for folder in ROOT.glob("services/*/__init__.py")}
# They run beside the services and have no event store.
WITHOUT_STORE = {"gateway", "demo"}
_PINNED = re.compile(r"^[a-zA-Z0-9._-]+(?:\[[a-z0-9,_-]+\])?==\S+(?: ; .+)? \\$")


def test_every_service_is_on_the_architecture_s_map() -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    (drawn,) = [one for one in contracts if one["id"] == "map"]
    siblings, kernel = drawn["layers"]
    assert kernel == "kernel"
    assert drawn["exhaustive"]
    assert set(siblings.split(" | ")) == FOLDERS - {"kernel"}
    assert set(SERVICES) == FOLDERS - {"kernel"} - WITHOUT_STORE


def test_every_package_is_where_its_import_says() -> None:
    find = PROJECT["tool"]["setuptools"]["packages"]["find"]
    assert find["where"] == [".", "contracts/gen"]
    for name in FOLDERS:
        file = importlib.import_module(f"services.{name}").__file__
        assert file is not None
        assert Path(file) == ROOT / "services" / name / "__init__.py"


def test_the_extras_are_what_is_pinned_for_them() -> None:
    extras = PROJECT["tool"]["setuptools"]["dynamic"]["optional-dependencies"]
    assert extras == {name: {"file": [f"requirements/{name}.in"]} for name in ("analyst", "broker")}
    for name in extras:
        assert f"-r {name}.in" in (ROOT / "requirements/dev.in").read_text().splitlines()


@pytest.mark.parametrize("file", ["run.txt", "dev.txt", "analyst.txt"])
def test_every_pin_has_a_hash_and_no_address(file: str) -> None:
    text = (ROOT / "requirements" / file).read_text()
    assert "://" not in text
    blocks = re.split(r"\n(?=[a-zA-Z0-9])", text.strip())
    unpinned = [
        block.splitlines()[0]
        for block in blocks
        if not _PINNED.match(block.splitlines()[0]) or "--hash=sha256:" not in block
    ]
    assert unpinned == []


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_stored_is_frozen_and_slotted(name: str) -> None:
    changeable = [kind.__name__ for kind in built(name).codec._names if not _is_fixed(kind)]
    assert changeable == []


def _is_fixed(kind: Any) -> bool:
    how = getattr(kind, "__dataclass_params__", None)
    return how is not None and how.frozen and "__slots__" in vars(kind)
