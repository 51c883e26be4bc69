"""An analyst beside a running system: looks, takes away, asks, replays; and nobody notices."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
import pytest_asyncio

from services.demo.adapters.http_client import HttpApi
from services.demo.application import campaign, loading
from services.demo.domain.chain import chain
from services.demo.domain.shopping import Shop
from services.kernel.main.feed_directory import feeds
from tests.support.embedded import Embedded, embedded

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(420)]

ROOT = Path(__file__).parents[2]
ORDERS = 10
_IN_SESSION = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Embedded]:
    """A system through which ten orders have passed."""
    whole = chain(11)
    small = replace(whole, products=whole.products[:60])
    async with embedded(tmp_path_factory.mktemp("oms") / "home") as running:
        async with HttpApi(running.address, running.key) as api:
            loaded = await loading.load(api, small, "run-1", lambda *_: None)
            assert loaded.problems == []
            told = await campaign.run(
                api, Shop.of(small), ORDERS, "run-2", lambda *_: None, at_once=4
            )
            assert told.is_clean, told.stuck
        yield running


async def oms(system: Embedded, *arguments: str) -> str:
    code, out = await system.oms(*arguments)
    assert code == 0, out
    return out


async def rows(system: Embedded, *arguments: str) -> list[dict[str, object]]:
    out = await oms(system, *arguments, "--json", "--no-follow")
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def started(system: Embedded, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-m", "services.kernel", *arguments],
        cwd=ROOT,
        env=system.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@_IN_SESSION
async def test_an_order_is_told_from_its_beginning_to_its_end(system: Embedded) -> None:
    (first, *_) = await rows(
        system, "tail", "order", "--since", "beginning", "--event", "OrderCompleted", "--limit", "1"
    )
    payload = first["payload"]
    assert isinstance(payload, dict)
    told = await rows(system, "tail", "--order", payload["order_id"])
    names = [one["event"] for one in told]
    assert names[0] == "OrderPlaced"
    assert {"PlanDecided", "ReservationHeld", "OrderAccepted", "PickCompleted"} <= set(names)
    assert "OrderCompleted" in names
    times = [str(one["recorded_at"]) for one in told]
    assert times == sorted(times)


@_IN_SESSION
async def test_who_asks_for_an_order_that_nobody_knows_is_told_so(system: Embedded) -> None:
    for arguments, code in (
        (("tail", "--order", "NOBODYS", "--no-follow"), 2),
        (("tail", "returns", "--tenant", "nobody", "--since", "beginning", "--no-follow"), 0),
    ):
        asked = started(system, *arguments)
        shown, said = await asyncio.to_thread(asked.communicate, timeout=60)
        assert (asked.returncode, shown) == (code, b"")
        assert said.startswith(b"oms: no such event ")


@_IN_SESSION
async def test_every_stream_is_called_as_the_directory_says(system: Embedded) -> None:
    for feed in feeds():
        cases = {event.name: case for case, event in feed.contract.events.items()}
        for one in await rows(system, "tail", feed.publisher, "--since", "beginning"):
            pattern = re.sub(r"\{\w+\}", "§", feed.keys[cases[str(one["event"])]])
            called = re.escape(pattern).replace("§", ".+")
            assert re.fullmatch(f"[^/]+/{called}", str(one["stream"])), one


@_IN_SESSION
async def test_ctrl_c_and_a_closed_pipe_end_a_tail_quietly(system: Embedded) -> None:
    following = started(system, "tail", "order", "--since", "beginning")
    assert following.stdout is not None
    assert await asyncio.to_thread(following.stdout.readline)
    following.send_signal(signal.SIGINT)
    _, said = await asyncio.to_thread(following.communicate, timeout=60)
    assert (following.returncode, said) == (0, b"")

    piped = started(system, "tail", "catalog", "--since", "beginning", "--no-follow")
    assert piped.stdout is not None
    assert await asyncio.to_thread(piped.stdout.readline)
    piped.stdout.close()
    assert piped.stderr is not None
    said = await asyncio.to_thread(piped.stderr.read)
    assert (await asyncio.to_thread(piped.wait, 60), said) == (0, b"")
    piped.stderr.close()


@_IN_SESSION
async def test_an_export_that_was_killed_goes_on(system: Embedded, tmp_path: Path) -> None:
    target = tmp_path / "catalog.parquet"
    arguments = ("export", "catalog", "-o", str(target))
    killed = started(system, *arguments)
    note = tmp_path / "catalog.parquet.partial/note.json"
    ends = time.monotonic() + 60
    while not note.exists() and killed.poll() is None and time.monotonic() < ends:
        await asyncio.sleep(0.001)
    killed.kill()
    await asyncio.to_thread(killed.communicate, timeout=60)
    if not target.exists():
        await oms(system, *arguments)
    expected = await rows(system, "tail", "catalog", "--since", "beginning")
    found = duckdb.execute(f"SELECT log_position FROM '{target}' ORDER BY 1").fetchall()
    assert [row[0] for row in found] == sorted(one["position"] for one in expected)  # type: ignore[type-var]


@_IN_SESSION
async def test_the_example_answers_its_question(system: Embedded, tmp_path: Path) -> None:
    orders, shorts = tmp_path / "order.parquet", tmp_path / "shorts.parquet"
    await oms(system, "export", "order", "-o", str(orders))
    await oms(system, "export", "picking", "--event", "LineShorted", "-o", str(shorts))
    drawn = tmp_path / "lead-times.svg"
    answer = await asyncio.to_thread(
        subprocess.run,
        [
            *(sys.executable, "docs/examples/lead_times.py"),
            *(str(orders), str(shorts), str(drawn)),
        ],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    completed = await rows(
        system, "tail", "order", "--since", "beginning", "--event", "GroupCompleted"
    )
    said = answer.stdout.decode()
    assert sum(int(n) for n in re.findall(r": (\d+) groups", said)) == len(completed) > 0
    assert drawn.read_text().startswith("<svg")
    assert "home_delivery" in drawn.read_text() or "click_and_collect" in drawn.read_text()


@_IN_SESSION
async def test_a_replay_gives_an_answer_and_a_table(system: Embedded) -> None:
    answer = await oms(system, "replay", "order", "--into", "docs.examples.consumer:captured")
    captured = await rows(
        system, "tail", "order", "--since", "beginning", "--event", "PaymentCaptured"
    )
    total = 0
    for one in captured:
        payload = one["payload"]
        assert isinstance(payload, dict)
        total += payload["amount"]["amount_minor"]
        total += payload["fee"]["amount_minor"] if payload["fee"] else 0
    assert json.loads(answer.splitlines()[-1]) == {"EUR": total}
    said = await oms(system, "replay", "order.order_summary", "--schema", "replay_once")
    assert re.fullmatch(r"replay_once\.order_summary: [1-9]\d* rows\n", said.partition("\n")[2])
    code, said = await system.oms("replay", "order.order_summary", "--schema", "replay_once")
    assert (code, "is there already" in said) == (2, True)


@_IN_SESSION
async def test_after_all_that_everything_holds(system: Embedded) -> None:
    assert "0 broken" in await oms(system, "verify")
