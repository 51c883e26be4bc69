"""Rules that an import graph cannot see; those it can see are in pyproject.toml."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool

from services.kernel.main import SERVICES
from tests.support.built import built

_ROOT = Path(__file__).parents[2]
_SERVICES = _ROOT / "services"
_PACKAGES = sorted(
    folder.name for folder in _SERVICES.iterdir() if (folder / "__init__.py").is_file()
)
_MODULES = sorted(_SERVICES.rglob("*.py"))

# What a rule may use of the standard library: values, and ways to compute with them. No clock, no
# chance, no loop, no file, no process, no network.
_PURE = {
    *("abc", "base64", "bisect", "collections", "copy", "dataclasses", "datetime", "decimal"),
    *("enum", "fractions", "functools", "hashlib", "heapq", "hmac", "ipaddress", "itertools"),
    *("math", "operator", "re", "statistics", "string", "typing", "unicodedata", "urllib"),
    *("zlib", "zoneinfo"),
}
# The demo's dice are seeded by its caller: the same seed, the same customers.
_ALSO = {"demo": {"random"}}

_FORBIDDEN_WORDS = ("Manager", "Helper", "Util", "Utils", "Data", "Info")

_LONGEST_MODULE = 300

# What the name of a method that changes nothing begins with.
_QUESTIONS = ("Ask", "Get", "List", "Find", "Watch", "Preview", "Quote", "Explain", "Compare")


@cache
def _tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text())


def _name(module: Path) -> str:
    return str(module.relative_to(_SERVICES))


def _dotted(module: Path) -> str:
    return ".".join(module.relative_to(_ROOT).with_suffix("").parts)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


def _rules() -> Iterator[Path]:
    return (m for m in _MODULES if "domain" in m.relative_to(_SERVICES).parts)


def test_rules_import_nothing_that_could_surprise_them() -> None:
    strange = {}
    for module in _rules():
        service = module.relative_to(_SERVICES).parts[0]
        own = (f"services.{service}.domain.", "services.kernel.domain.")
        allowed = _PURE | _ALSO.get(service, set())
        strange[_name(module)] = [
            name
            for name in _imported(_tree(module))
            if name.split(".")[0] not in allowed and not f"{name}.".startswith(own)
        ]
    assert _only_full(strange) == {}


def test_rules_never_ask_what_time_it_is() -> None:
    asked = {
        _name(module): [
            ast.unparse(node)
            for node in ast.walk(_tree(module))
            if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today")
            if ast.unparse(node.value) in ("datetime", "date", "datetime.datetime")
        ]
        for module in _rules()
    }
    assert _only_full(asked) == {}


def _only_full(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: wrong for name, wrong in found.items() if wrong}


@pytest.mark.parametrize("service", _PACKAGES)
def test_every_service_says_what_it_decides(service: str) -> None:
    said = ast.get_docstring(_tree(_SERVICES / service / "__init__.py"))
    assert said
    assert len(said.split()) >= 10


def test_importing_a_module_does_nothing() -> None:
    """Nothing is opened, started, read or sent by an import; a loop or a bare call would."""
    does = {
        _name(module): [
            ast.unparse(node).splitlines()[0]
            for node in _tree(module).body
            if _does_something(node)
        ]
        for module in _MODULES
        if module.name != "__main__.py"  # never imported; it sets up its process before imports
    }
    assert _only_full(does) == {}


def _does_something(node: ast.stmt) -> bool:
    match node:
        case ast.For() | ast.While() | ast.With() | ast.AsyncFor() | ast.AsyncWith():
            return True
        case ast.If(test=test):
            return not any(word in ast.unparse(test) for word in ("__main__", "TYPE_CHECKING"))
        case ast.Expr(value=ast.Call(func=func)):
            # Commands are entered into the command line's table; a library's logger is quietened.
            return ast.unparse(func).split(".")[-1] not in ("add_typer", "setLevel")
        case _:
            return False


def test_a_module_has_one_subject() -> None:
    """One idea, readable alone: past 300 lines it is two, and each gets a module with its name."""
    lengths = {_name(module): len(module.read_text().splitlines()) for module in _MODULES}
    long = {name: lines for name, lines in lengths.items() if lines > _LONGEST_MODULE}
    assert long == {}, "split it along its ideas"


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Pieces of one subject lie in layers: each can be read, and imported, after what it needs."""
    modules = {_dotted(module): module for module in _MODULES}
    needs: dict[str, set[str]] = {path: set() for path in modules}
    for path, module in modules.items():
        for node in _tree(module).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                named = {f"{node.module}.{alias.name}" for alias in node.names}
                needs[path] |= (named | {node.module}) & modules.keys()
    TopologicalSorter(needs).prepare()  # a CycleError names the circle


def test_names_of_classes_say_what_they_are() -> None:
    vague = [
        f"{_name(module)}: {node.name}"
        for module in _MODULES
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.ClassDef)
        and set(re.findall(r"[A-Z][a-z]*", node.name)) & set(_FORBIDDEN_WORDS)
    ]
    assert vague == []


def test_sql_is_never_made_of_what_callers_send() -> None:
    """Statements are put together from constants; a value goes in as a parameter."""
    made = [
        f"{_name(module)}: {ast.unparse(node.args[0])[:80]}"
        for module in _MODULES
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value).split(".")[-1] in ("sql", "_sql", "connection")
        and node.args
        and any(
            "request" in part.id for part in ast.walk(node.args[0]) if isinstance(part, ast.Name)
        )
    ]
    assert made == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_method_asks_for_a_scope(service: str) -> None:
    built_service = built(service)
    pool = descriptor_pool.Default()
    methods: set[str] = set()
    for scoped in {name.split("/")[1] for name in built_service.scopes}:
        described = pool.FindServiceByName(scoped)
        methods |= {f"/{scoped}/{name}" for name in described.methods_by_name}
    assert methods == set(built_service.scopes)
    for method, scope in built_service.scopes.items():
        assert re.fullmatch(r"[a-z]+:(read|write|code)", scope), (method, scope)
        if method.split("/")[2].startswith(_QUESTIONS):
            assert not scope.endswith(":write"), method
        elif not method.endswith("ReplayDecision"):  # runs the policy again and changes nothing
            assert scope.endswith(":write"), method


def test_every_service_of_the_contracts_is_served() -> None:
    """A service of a proto that nobody declares scopes for would be refused to everybody."""
    declared = {
        f"oms.{proto.parent.parent.name}.v1.{name}"
        for proto in (_ROOT / "contracts/proto").rglob("*_service.proto")
        for name in re.findall(r"^service (\w+)", proto.read_text(), re.MULTILINE)
    }
    served = {method.split("/")[1] for name in SERVICES for method in built(name).scopes}
    assert declared == served


_IMPORT_ALONE = """
import importlib, pkgutil, sys

class Hiding:
    def find_spec(self, name, path=None, target=None):
        parts = name.split(".")
        if parts[0] == "services" and len(parts) > 1 and parts[1] not in ("kernel", alone):
            raise ImportError(f"{name} is hidden from {alone}")

sys.meta_path.insert(0, Hiding())
for alone in sys.argv[1:]:
    package = importlib.import_module(f"services.{alone}")
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(found.name)
    for name in [n for n in sys.modules if n.startswith(f"services.{alone}")]:
        del sys.modules[name]
"""


def test_every_service_can_be_imported_without_the_others() -> None:
    """Also what an import within a function would bring in: each ships without the others."""
    services = [name for name in _PACKAGES if name != "kernel"]
    done = subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", _IMPORT_ALONE, *services],
        cwd=_ROOT,
        env={"PYTHONPATH": f"{_ROOT}:{_ROOT / 'contracts/gen'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607
        cwd=_ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a clone")
    return [_ROOT / name for name in listed.stdout.decode().split("\0") if name]


_NAMES_THE_LINT_RULE = (
    '"FIX", "TD",                 # a TO' + "DO names an issue; checked in review"
)


def test_nothing_in_the_tree_belongs_to_one_machine() -> None:
    """No path of somebody's machine, no host of a package mirror, no note to be done later."""
    wrong = re.compile(
        r"(?<![\w.{}])/(?:work|home|Users|root|tmp/\w)[/\w]"
        r"|https?://[^\s\"')]*(?:/simple\b|artifactory|nexus|devpi|/pypi/\w+/packages)"
        r"|--(?:extra-)?index-url|\bTO" + r"DO\b|\bFIX" + r"ME\b"
    )
    found = []
    for file in _tracked():
        if file.suffix in (".gz", ".parquet", ".png", ".ico") or "gen" in file.parts:
            continue
        text = file.read_text()
        for hit in wrong.finditer(text):
            line = text[text.rfind("\n", 0, hit.start()) + 1 : text.find("\n", hit.end())].strip()
            if line != _NAMES_THE_LINT_RULE:
                found.append(f"{file.relative_to(_ROOT)}: {line[:80]}")
    assert found == []
