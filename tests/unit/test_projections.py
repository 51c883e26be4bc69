"""A projection has no effect but its rows: a rebuild, or a replay, fires nothing.

Every read model of every service is given one example of every event that its service stores,
while whatever leaves the process is forbidden, and each statement is looked at.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.kernel.domain.messages import Cause, Recorded
from services.kernel.main import SERVICES
from services.kernel.read_models.read_model import ReadModel
from services.stock_ledger.domain.entry import Cause as StockCause
from services.stock_ledger.domain.entry import EntryPosted
from tests.support.built import built

GOLDEN = Path(__file__).parents[1] / "contract" / "golden"
MODELS = [(name, model) for name in SERVICES for model in built(name).read_models]
# A view that folds its stream needs one that could have happened.
A_BASKET = ("created", "line_added", "line_changed", "choice_made", "line_removed", "checked_out")
# Some of what is kept of a stream begins when it is long.
A_LONG_STREAM = 128
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)

# What Python's audit hooks call the ways out of a process.
_WAYS_OUT = {
    *("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.bind"),
    *("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "smtplib.send"),
    *("urllib.Request", "os.remove", "os.rename", "os.mkdir", "shutil.copyfile"),
}
_WRITES = re.compile(
    r"\b(?:INSERT INTO|UPDATE|DELETE FROM|TRUNCATE|COPY|MERGE INTO|(?:ALTER|DROP|LOCK) TABLE)"
    r'\s+(?:ONLY\s+)?"?([a-z_]+)"?',
    re.IGNORECASE,
)
_ACTS = re.compile(
    r"\b(?:NOTIFY|pg_notify|nextval|dblink|pg_advisory\w*|now\s*\(|random\s*\(|clock_timestamp)\b",
    re.IGNORECASE,
)

_watched: list[str] | None = None


def _on_audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched is None:
        return
    is_writing = (
        event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    )
    if event in _WAYS_OUT or is_writing:
        _watched.append(f"{event} {arguments[0]!r}")
        raise PermissionError(f"a projection may not {event}")


# A hook cannot be taken away again; outside of a watch it does nothing.
sys.addaudithook(_on_audit)


@contextmanager
def watching() -> Iterator[list[str]]:
    """Note, and forbid, whatever leaves the process within the block."""
    global _watched  # noqa: PLW0603 - a hook has no other place to look
    seen: list[str] = []
    _watched = seen
    try:
        yield seen
    finally:
        _watched = None


class Statements:
    """A database that is empty and forgets; it remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def execute(self, query: str, *_: Any) -> str:
        self.told.append(query)
        return "OK 0"

    async def executemany(self, query: str, _: Iterable[Sequence[Any]]) -> None:
        self.told.append(query)

    async def fetch(self, query: str, *_: Any) -> list[Any]:
        self.told.append(query)
        return []

    async def fetchrow(self, query: str, *_: Any) -> Any:
        self.told.append(query)

    async def fetchval(self, query: str, *_: Any) -> Any:
        self.told.append(query)


def stored_events(service: str) -> list[Recorded[Any]]:
    """One example of every event that a service stores, each in a stream of its own."""
    codec = built(service).codec
    recorded = []
    for position, name in enumerate(sorted(codec.names(), key=_moment), start=1):
        event = codec.decode(name, (GOLDEN / service / f"{name}.json").read_bytes())
        category = name.partition(".")[0]
        version, key = 1, f"O{position}.1"
        if category == "stock":
            version, key = A_LONG_STREAM, "S1|MILK"
        elif category == "basket":
            version, key = 1 + _moment(name)[0], "B1"
        cause = Cause("demo", f"c{position}", correlation_id=f"r{position}")
        stream = f"demo/{category}-{key}"
        for n, one in enumerate(_of_every_cause(event), start=1):
            recorded.append(Recorded(stream, version * n, position, one, f"e{n}", AT, cause))
    return recorded


def _of_every_cause(event: Any) -> list[Any]:
    """Some look at a stock entry of one cause only: give it for each."""
    if not isinstance(event, EntryPosted):
        return [event]
    return [replace(event, cause=cause) for cause in StockCause]


def _moment(name: str) -> tuple[int, str]:
    category, word, _ = name.split(".")
    return (A_BASKET.index(word) if category == "basket" else 0, name)


async def effects(model: ReadModel, events: Sequence[Recorded[Any]]) -> tuple[list[str], list[str]]:
    """Project the events; return the statements, and every attempt to do anything else."""
    sql = Statements()
    with watching() as seen:
        try:
            await model.project(events, sql)
        except PermissionError:
            assert seen
    return sql.told, seen


@pytest.mark.parametrize(("service", "model"), MODELS, ids=lambda v: getattr(v, "name", v))
async def test_a_projection_does_nothing_but_write_its_own_rows(
    service: str, model: ReadModel
) -> None:
    statements, left = await effects(model, stored_events(service))
    assert left == []
    assert statements, f"none of the stored examples concerns {model.name}"
    for statement in statements:
        written = {table.lower() for table in _WRITES.findall(statement)} - {"set"}
        assert written <= set(model.tables), statement
        assert not _ACTS.search(statement), statement


@pytest.mark.parametrize(("service", "model"), MODELS, ids=lambda v: getattr(v, "name", v))
async def test_a_projection_told_twice_says_the_same(service: str, model: ReadModel) -> None:
    events = stored_events(service)
    assert (await effects(model, events))[0] == (await effects(model, events))[0]


async def test_a_projection_that_calls_out_is_seen() -> None:
    async def calls_out(_: Sequence[Recorded[Any]], __: Any) -> None:
        import socket  # noqa: PLC0415

        socket.create_connection(("127.0.0.1", 9), timeout=0.1)

    _, left = await effects(ReadModel("toy", (), calls_out), [])
    assert left
    assert left[0].startswith("socket.")
