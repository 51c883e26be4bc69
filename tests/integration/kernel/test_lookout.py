"""Whoever waits for a stream is told what other processes wrote to it, by one look for all."""

import asyncio

import pytest

from services.kernel.adapters import reader as readers
from services.kernel.adapters.event_log import NewEvent, append, encode_cause
from services.kernel.adapters.reader import PostgresReader
from services.kernel.application.work import Work
from services.kernel.domain.ids import derive
from tests.support import toy
from tests.support.stack import Stack, a_cause, eventually, running


async def _add(stack: Stack, key: str, command_id: str) -> None:
    async def use_case(work: Work) -> None:
        await work.handle(toy.COUNTER, key, toy.Add(1))

    await stack["order"].runner.execute(a_cause(command_id), use_case)


async def _nobody_looks() -> bool:
    return "lookout" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_who_waits_hears_what_another_process_wrote(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "_FIRST_LOOK_S", 600.0)  # nobody looks for himself
    async with running(postgres_dsn, {"order": toy.source}, is_sole_writer=False) as stack:
        await _add(stack, "a", "c1")
        # As in another process: nobody tells it what this one commits.
        elsewhere = PostgresReader(stack["order"].database, lambda: toy.CODEC, is_sole_writer=False)
        streams = [f"demo/counter-{key}" for key in "abc"]
        waiting = [
            asyncio.create_task(elsewhere.changed(stream, after, 60.0))
            for stream, after in zip(streams, (1, 0, 0), strict=True)
        ]
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in waiting)
        for number, key in enumerate("abc"):
            await _add(stack, key, f"c{2 + number}")
        assert await asyncio.wait_for(asyncio.gather(*waiting), 30) == [2, 1, 1]
        assert await elsewhere.changed(streams[0], 0, 60.0) == 2
        await elsewhere.stop()


async def test_it_looks_only_while_somebody_waits_and_begins_anew(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "_FIRST_LOOK_S", 600.0)
    async with running(postgres_dsn, {"order": toy.source}, is_sole_writer=False) as stack:
        elsewhere = PostgresReader(stack["order"].database, lambda: toy.CODEC, is_sole_writer=False)
        assert await elsewhere.changed("demo/counter-a", 0, 0.05) == 0

        await eventually(_nobody_looks)
        # Written while nobody looked: found all the same.
        await _add(stack, "a", "c1")
        assert await elsewhere.changed("demo/counter-a", 0, 60.0) == 1
        waiting = asyncio.create_task(elsewhere.changed("demo/counter-a", 1, 60.0))
        await asyncio.sleep(0.1)
        await _add(stack, "a", "c2")
        assert await asyncio.wait_for(waiting, 30) == 2
        await elsewhere.stop()


async def test_what_was_written_between_two_looks_is_not_missed(postgres_dsn: str) -> None:
    """Somebody else has begun to look again: what was known before that may be too little."""
    async with running(postgres_dsn, {"order": toy.source}, is_sole_writer=False) as stack:
        elsewhere = PostgresReader(stack["order"].database, lambda: toy.CODEC, is_sole_writer=False)
        first = asyncio.create_task(elsewhere.changed("demo/counter-a", 0, 60.0))
        await asyncio.sleep(0.1)
        await _add(stack, "a", "c1")
        assert await first == 1
        await eventually(_nobody_looks)
        await _add(stack, "a", "c2")

        another = asyncio.create_task(elsewhere.changed("demo/counter-b", 0, 60.0))

        async def somebody_looks() -> bool:
            return elsewhere._lookout is not None and elsewhere._lookout.is_looking

        await eventually(somebody_looks)
        async with asyncio.timeout(10):
            assert await elsewhere.changed("demo/counter-a", 1, 60.0) == 2
        another.cancel()
        await elsewhere.stop()


async def test_an_answer_that_comes_after_the_look_has_begun_is_no_news(
    postgres_dsn: str,
) -> None:
    """What was committed before the look, and told after, may have been followed by others."""
    async with running(postgres_dsn, {"order": toy.source}, is_sole_writer=False) as stack:
        elsewhere = PostgresReader(stack["order"].database, lambda: toy.CODEC, is_sole_writer=False)
        for number in (1, 2):
            await _add(stack, "a", f"c{number}")
        waiting = asyncio.create_task(elsewhere.changed("demo/counter-a", 2, 60.0))
        await asyncio.sleep(0.1)
        elsewhere._written_to("demo/counter-a", 1, 1)
        assert "demo/counter-a" not in elsewhere._written
        async with asyncio.timeout(10):
            assert await elsewhere.changed("demo/counter-a", 1, 60.0) == 2
        waiting.cancel()
        await elsewhere.stop()


async def test_nobody_looks_for_himself_while_the_lookout_does(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "_FIRST_LOOK_S", 0.02)
    monkeypatch.setattr(readers, "_LONGEST_LOOK_S", 0.02)
    asked: list[str] = []

    async def version(self: PostgresReader, stream: str) -> int:
        asked.append(stream)
        return await ask(self, stream)

    ask = PostgresReader._version
    monkeypatch.setattr(PostgresReader, "_version", version)
    async with running(postgres_dsn, {"order": toy.source}, is_sole_writer=False) as stack:
        await _add(stack, "a", "c1")
        elsewhere = PostgresReader(stack["order"].database, lambda: toy.CODEC, is_sole_writer=False)
        waiting = [
            asyncio.create_task(elsewhere.changed("demo/counter-a", 1, 60.0)) for _ in range(5)
        ]
        await asyncio.sleep(0.3)
        assert len(asked) <= 5
        asked.clear()
        await asyncio.sleep(0.3)
        assert asked == []
        # One that has failed is begun anew, and what it missed is looked up by all who wait.
        assert elsewhere._lookout is not None
        assert elsewhere._lookout._task is not None
        elsewhere._lookout._task.cancel()
        await asyncio.sleep(0)
        await _add(stack, "a", "c2")
        assert await asyncio.wait_for(asyncio.gather(*waiting), 30) == [2] * 5
        monkeypatch.setattr(readers, "_FIRST_LOOK_S", 0.5)
        waiting = [asyncio.create_task(elsewhere.changed("demo/counter-a", 2, 60.0))]
        await asyncio.sleep(0.1)
        elsewhere._lookout._task.cancel()
        await asyncio.sleep(0)
        await _add(stack, "a", "c3")
        waiting.append(asyncio.create_task(elsewhere.changed("demo/counter-b", 0, 60.0)))
        assert await asyncio.wait_for(waiting[0], 30) == 3
        waiting[1].cancel()
        await elsewhere.stop()
    asked.clear()
    async with running(postgres_dsn, {"order": toy.source}) as stack:
        await _add(stack, "a", "c1")
        assert await stack["order"].reader.changed("demo/counter-a", 1, 0.3) == 1
        assert asked == []  # it would be told


async def test_where_a_version_lies_is_not_asked_when_it_was_seen(postgres_dsn: str) -> None:
    async with running(postgres_dsn, {"order": toy.source}, is_sole_writer=False) as stack:
        elsewhere = PostgresReader(stack["order"].database, lambda: toy.CODEC, is_sole_writer=False)
        elsewhere.models = ["counter_totals"]
        waiting = asyncio.create_task(elsewhere.changed("demo/counter-a", 0, 60.0))
        await asyncio.sleep(0.1)
        await _add(stack, "b", "c1")
        await _add(stack, "a", "c2")
        assert await waiting == 1
        assert elsewhere._written["demo/counter-a"] == (1, 2)
        assert stack["order"].reader._written["demo/counter-a"] == (1, 2)
        await elsewhere.stop()


async def test_a_sole_writer_hears_of_what_it_was_not_told_that_it_wrote(
    postgres_dsn: str,
) -> None:
    """The answer to a commit was lost: nobody here was told, and the log's follower reads it."""
    async with running(postgres_dsn, {"order": toy.source}) as stack:
        await _add(stack, "a", "c1")
        waiting = asyncio.create_task(stack["order"].reader.changed("demo/counter-a", 1, 60.0))
        await asyncio.sleep(0.1)
        why = a_cause("c2")
        lost = NewEvent(
            stream="demo/counter-a",
            version=2,
            topic="counter.added.v1",
            state=b'{"amount":1}',
            event_id=derive("lost"),
            cause=encode_cause(why),
            why=why,
        )
        await append(stack["order"].database.sql, [[lost]])
        assert await asyncio.wait_for(waiting, 10) == 2
