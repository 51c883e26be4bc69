"""The documents say what the code does: paths, links, feeds, listeners, settings, commands."""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from pydantic_settings import BaseSettings

from services.delivery.entrypoints import labels as delivery
from services.kernel.__main__ import app
from services.kernel.main import SERVICES
from services.notification.domain import occasions
from services.notification.domain.message import Text
from services.picking.entrypoints import labels as picking
from tests.contract.test_golden_messages import FEEDS
from tests.support.built import built

ROOT = Path(__file__).parents[2]
SERVICE_FOLDERS = sorted(p.parent.name for p in ROOT.glob("services/*/main.py"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("contracts/*.md")])
ADRS = sorted(ROOT.glob("docs/adr/[0-9]*.md"))
MAP = ROOT / "docs/map.md"
OPERATIONS = ROOT / "docs/operations.md"
ANSWERS = ROOT / "docs/answers.md"
APPLES = Text("Pommes Gala", "Pommes Gala")
# One of each kind of fact that has words of its own; steps have those of their mode.
FACTS = (
    occasions.LineShorted("O1.1", "FR00001", 0, APPLES),
    occasions.LineShorted("O1.1", "FR00001", 2, APPLES),
    occasions.LineShorted("O1.1", "FR00001", 0),
    occasions.LineShorted("O1.1", "FR00001", 2),
    occasions.OrderRefused(),
    occasions.OrderCancelled(),
    occasions.OrderRefunded(1234, "EUR"),
)

# What a path in backticks looks like: a folder of ours, then anything but placeholders and globs.
_OURS = r"(?:services|tests|contracts|docs|requirements|\.ci)"
_PATH = re.compile(rf"`({_OURS}/[A-Za-z0-9_./-]*)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_REFUSALS = re.compile(r"^class Refusal\(StrEnum\):\n((?:.*\n)*?)(?:\n\n|\Z)", re.MULTILINE)
_VARIABLE = re.compile(r"\bOMS_[A-Z0-9_]+\b")
_MADE_ELSEWHERE = {
    "OMS_TEST_POSTGRES_DSN",  # of the test suite: tests/conftest.py
}


def _id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def table(page: Path, first_column: str) -> list[list[str]]:
    """Return the cells of the table whose heading row begins with ``first_column``."""
    lines = page.read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def plain(cell: str) -> str:
    return cell.strip("`")


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    named = set(_PATH.findall(page.read_text()))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_link_resolves(page: Path) -> None:
    broken = []
    for link in _LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        if path.startswith(("https://", "http://")):
            continue
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in set(_anchors(target))):
            broken.append(link)
    assert broken == []


def _anchors(page: Path) -> Iterator[str]:
    for heading in re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_service_is_on_the_map() -> None:
    rows = table(MAP, "service")
    assert sorted(row[0] for row in rows) == SERVICE_FOLDERS
    for row in rows:
        assert plain(row[3]) == f"services/{row[0]}/main.py"


def test_the_readme_names_every_service() -> None:
    rows = table(ROOT / "README.md", "service")
    named = [re.sub(r"^\[(\w+)\].*", r"\1", row[0]) for row in rows]
    assert sorted(named) == SERVICE_FOLDERS


def test_every_feed_is_on_the_map_with_its_events() -> None:
    on_map = {plain(row[0]): (row[1], row[3].split(", ")) for row in table(MAP, "feed")}
    in_code = {built(name).topic: (name, _events(built(name).topic)) for name in SERVICES}
    assert on_map == in_code


def _events(topic: str) -> list[str]:
    descriptor = FEEDS[topic.removesuffix(".events").replace(".", "/")].DESCRIPTOR
    fields = descriptor.oneofs_by_name["event"].fields
    return [field.message_type.name for field in fields if field.message_type is not None]


def test_every_subscription_is_on_the_map_and_nothing_else() -> None:
    on_map = [(row[0], plain(row[1])) for row in table(MAP, "listener")]
    in_code = [(name, s.topic) for name in SERVICES for s in built(name).subscriptions]
    assert sorted(on_map) == sorted(in_code)


@pytest.mark.parametrize("row", table(MAP, "listener"), ids=lambda row: f"{row[0]} {row[1]}")
def test_the_map_names_the_events_that_a_listener_acts_on(row: list[str]) -> None:
    listener, topic = row[0], plain(row[1])
    (heard,) = [one for one in built(listener).subscriptions if one.topic == topic]
    package = topic.removesuffix(".events")
    in_code = [name for name in _events(topic) if f"{package}.{name}" not in heard.passes_over]
    assert row[2].split(", ") == in_code


def test_every_station_of_the_walk_is_where_the_map_says() -> None:
    rows = table(MAP, "no")
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    lost = [
        row[1]
        for row in rows
        if not re.search(rf"\b(?:def|class) {plain(row[3])}\b", (ROOT / plain(row[2])).read_text())
    ]
    assert lost == []


def test_there_are_decisions_and_their_numbers_have_no_gaps() -> None:
    assert [int(page.name[:4]) for page in ADRS] == list(range(1, len(ADRS) + 1))
    assert ADRS


@pytest.mark.parametrize("page", ADRS, ids=_id)
def test_a_decision_says_what_it_must_and_names_the_test_that_holds_it(page: Path) -> None:
    text = page.read_text()
    headings = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "Alternatives", "Held by"]
    assert re.search(r"^Status: \w+\. Area: .+\. Date: \d{4}-\d{2}-\d{2}\.$", text, re.MULTILINE)
    held_by = text.partition("## Held by")[2]
    named = re.findall(r"`(tests/[\w./]+\.py)`(?:, `(\w+)`)?", held_by)
    assert named or "pyproject.toml" in held_by
    for path, test in named:
        assert not test or re.search(rf"\bdef {test}\b", (ROOT / path).read_text()), (path, test)


def settings_classes() -> list[type[BaseSettings]]:
    """Return every settings class of the services and the kernel."""
    found = []
    for file in sorted(ROOT.glob("services/*/settings.py")):
        module = importlib.import_module(f"services.{file.parent.name}.settings")
        found += [
            kind
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if issubclass(kind, BaseSettings) and kind.__module__ == module.__name__
        ]
    return found


def variables() -> dict[str, str]:
    """Return every variable with its default as the operations page shows it."""
    shown = {}
    for kind in settings_classes():
        prefix = kind.model_config.get("env_prefix", "")
        for name, field in kind.model_fields.items():
            default = field.default
            if hasattr(default, "get_secret_value"):
                default = default.get_secret_value()
            shown[f"{prefix}{name}".upper()] = "" if default in ("", None) else str(default)
    return shown


def test_every_setting_is_documented_with_its_default() -> None:
    text = OPERATIONS.read_text()
    rows = re.findall(r"^\| `(OMS_[A-Z0-9_]+)` \| (?:`([^`]*)`)? ?\|", text, flags=re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a variable is documented twice"
    wanted = variables().items() - dict(rows).items()
    lacking = [
        f"| `{name}` | {f'`{default}`' if default else ''} | … |" for name, default in wanted
    ]
    assert not lacking, "docs/operations.md lacks, or has with another default:\n" + "\n".join(
        lacking
    )
    assert dict(rows).keys() <= variables().keys()


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_a_page_names_no_variable_that_nobody_reads(page: Path) -> None:
    named = set(_VARIABLE.findall(page.read_text()))
    prefixes = {kind.model_config.get("env_prefix", "") for kind in settings_classes()}
    assert named - variables().keys() - _MADE_ELSEWHERE - prefixes == set()


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    group = typer.main.get_command(app)
    commands = getattr(group, "commands", {})
    assert commands
    assert [name for name in commands if f"`oms {name}" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", page.read_text())) <= targets


def test_every_scope_is_documented() -> None:
    scopes = {scope for name in SERVICES for scope in built(name).scopes.values()}
    documented = {plain(row[0]) for row in table(OPERATIONS, "scope")}
    assert documented == scopes


def reasons() -> dict[str, set[str]]:
    """Return every reason of refusal, and the services that give it."""
    found: dict[str, set[str]] = {}
    files = [
        *ROOT.glob("services/*/domain/*.py"),
        *ROOT.glob("services/*/application/*.py"),
        *ROOT.glob("services/kernel/adapters/*.py"),
    ]
    for file in files:
        text = file.read_text()
        for body in re.findall(
            r"^class Refusal\(StrEnum\):\n((?:.*\n)*?)(?:\n\n|\Z)", text, re.MULTILINE
        ):
            for reason in re.findall(r'^    \w+ = "(\w+)"', body, re.MULTILINE):
                found.setdefault(reason, set()).add(file.relative_to(ROOT).parts[1])
    return found


def test_every_reason_of_refusal_is_documented() -> None:
    documented = {plain(row[0]): set(row[1].split(", ")) for row in table(ANSWERS, "reason")}
    assert documented == reasons()


def texts() -> list[tuple[str, str, str]]:
    """Return the texts of the services, where each is from, in French and English."""
    tables = (
        *(("pick task", one) for one in (picking.STATUS, picking.TEMPERATURE)),
        ("pick task", picking.SHORT_REASON),
        ("handover", delivery.HANDOVER_STATUS),
        ("shipment", delivery.SHIPMENT_STATUS),
    )
    labels = [(where, text.fr, text.en) for where, one in tables for text in one.values()]
    sayings = [saying for fact in FACTS if (saying := occasions.saying_of(fact))]
    return labels + [("message", saying.text.fr, saying.text.en) for saying in sayings]


def test_every_text_is_documented_in_both_languages() -> None:
    assert [tuple(row) for row in table(ANSWERS, "where")] == texts()
