"""``make mutants``: plant each bug in a copy of the tree and see its test fail.

First every named test must pass on the copy as it is. Then each mutant: caught when its test fails;
survived when it passes; broken when the bug can no longer be planted or the test does not run. Only
"caught" is good. The report goes to ``reports/mutants.json`` and ``reports/mutants.md``.
"""

import argparse
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.mutants.planted import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
REPORTS = ROOT / "reports"
_COPIED = ("services", "tests", "contracts", "docs", "pyproject.toml", "README.md", "requirements")
_TEST_ENDS_WITHIN_S = 300
# All of them, on the tree as it is, on a machine that is busy with something else.
_ALL_END_WITHIN_S = 1_200
_ALL_FAILED, _NOTHING_RAN_WRONG = 1, 0
_SHOWN_LINES = 25
# How pytest's --tb=line tells a failure: file, line, what was raised.
_FAILURE = re.compile(r"^/\S+:\d+: ")


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one mutant.

    Attributes:
        name: Of the mutant.
        state: ``caught``, ``survived`` or ``broken``.
        test: That had to catch it.
        harm: Of the bug.
        seconds: That it took.
        says: The line in which the test failed, or why the mutant is broken.
    """

    name: str
    state: str
    test: str
    harm: str
    seconds: float
    says: str


class CannotPlant(Exception):
    """The text that an edit replaces does not stand exactly once in its file."""


def plant(mutant: Mutant, root: Path) -> dict[Path, str]:
    """Change the files under ``root``; return their former texts.

    Raises:
        CannotPlant: Nothing was changed.
    """
    former: dict[Path, str] = {}
    changed: dict[Path, str] = {}
    for edit in mutant.edits:
        file = root / edit.path
        if not file.is_file():
            raise CannotPlant(f"{edit.path} is gone")
        text = changed.get(file) or file.read_text()
        former.setdefault(file, text)
        if (count := text.count(edit.before)) != 1:
            raise CannotPlant(f"{edit.path} holds {count} times, not once: {edit.before.strip()!r}")
        changed[file] = text.replace(edit.before, edit.after)
    for file, text in changed.items():
        file.write_text(text)
    return former


def copy_of_the_tree(folder: Path) -> Path:
    """Copy what tests need; return its root."""
    root = folder / "tree"
    root.mkdir()
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc", ".hypothesis", "node_modules")
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=unwanted)
        else:
            shutil.copy(source, root / name)
    return root


def run(
    root: Path, tests: Sequence[str], temporary: Path, within_s: int = _TEST_ENDS_WITHIN_S
) -> subprocess.CompletedProcess[str]:
    """Run tests of the copy on the copy's code."""
    paths = f"{root}{os.pathsep}{root / 'contracts/gen'}"
    return subprocess.run(  # noqa: S603 - our own words
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header"),
            *(f"--basetemp={temporary}", "-x", "--tb=line", *tests),
        ],
        cwd=root,
        env=os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=within_s,
    )


def judge(mutant: Mutant, root: Path, temporary: Path) -> Verdict:
    """Plant one mutant, run its test, take it out again."""
    started = time.monotonic()

    def verdict(state: str, says: str) -> Verdict:
        seconds = round(time.monotonic() - started, 1)
        return Verdict(mutant.name, state, mutant.test, mutant.harm, seconds, says)

    try:
        former = plant(mutant, root)
    except CannotPlant as reason:
        return verdict("broken", f"cannot be planted any more: {reason}")
    try:
        answer = run(root, [mutant.test], temporary)
    except subprocess.TimeoutExpired:
        return verdict("broken", f"its test did not end within {_TEST_ENDS_WITHIN_S} s")
    finally:
        for file, text in former.items():
            file.write_text(text)
    lines = answer.stdout.splitlines()
    failed = next((line for line in lines if line.startswith("FAILED ")), "")
    if answer.returncode == _NOTHING_RAN_WRONG:
        return verdict("survived", "the test passes")
    if answer.returncode != _ALL_FAILED or not failed:
        return verdict("broken", f"the test did not run: {' '.join(lines[-2:])[:300]}")
    where = next((line for line in lines if _FAILURE.match(line)), failed)
    return verdict("caught", where.removeprefix(f"{root}/")[:300])


def main() -> int:
    """Judge every mutant, or those asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", default="", help="names that hold this text")
    wanted = [m for m in MUTANTS if parser.parse_args().only in m.name]
    console = Console(stderr=True, soft_wrap=True)
    if not wanted:
        console.print("no mutant has such a name")
        return 2
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        root, temporary = copy_of_the_tree(Path(folder)), Path(folder) / "pytest"
        console.print(f"{len(wanted)} mutants; first, their tests on the tree as it is")
        healthy = run(
            root, sorted({mutant.test for mutant in wanted}), temporary, _ALL_END_WITHIN_S
        )
        if healthy.returncode:
            console.print("a named test fails without any bug planted:", style="red")
            print("\n".join(healthy.stdout.splitlines()[-_SHOWN_LINES:]), file=sys.stderr)  # noqa: T201
            return 1
        verdicts: list[Verdict] = []
        bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), console=console, disable=not console.is_terminal,
        )  # fmt: skip
        with bar:
            task = bar.add_task("planting", total=len(wanted))
            for mutant in wanted:
                bar.update(task, description=mutant.name)
                verdicts.append(judge(mutant, root, temporary))
                bar.advance(task)
                tell(console, verdicts[-1])
    report(verdicts)
    bad = [verdict for verdict in verdicts if verdict.state != "caught"]
    console.print(f"{len(verdicts) - len(bad)} of {len(verdicts)} mutants caught")
    return 1 if bad else 0


def tell(console: Console, verdict: Verdict) -> None:
    """Say what became of one."""
    colour = "green" if verdict.state == "caught" else "red"
    console.print(f"[{colour}]{verdict.state}[/{colour}]  {verdict.name}", highlight=False)
    console.print(f"        {verdict.test.rpartition('::')[2]}", highlight=False)
    console.print(f"        {verdict.says}", markup=False, highlight=False)


def report(verdicts: Sequence[Verdict]) -> None:
    """Write both reports."""
    REPORTS.mkdir(exist_ok=True)
    rows = [dataclasses.asdict(verdict) for verdict in verdicts]
    (REPORTS / "mutants.json").write_text(json.dumps(rows, indent=2) + "\n")
    lines = ["# Mutants", "", "| bug | harm | state | caught by | s |", "|---|---|---|---|---|"]
    lines += [f"| {v.name} | {v.harm} | {v.state} | `{v.test}` | {v.seconds} |" for v in verdicts]
    (REPORTS / "mutants.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
