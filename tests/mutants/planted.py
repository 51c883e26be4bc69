"""The bugs: what each changes, and the test that must notice.

An edit names a text that stands exactly once in its file. When the code moves on and the text no
longer stands there, the mutant is told as broken, not as caught: plant it anew where its rule lives
now.
"""

from dataclasses import dataclass

_KERNEL = "tests/integration/kernel"
_CONSUMER = "services/kernel/adapters/consumer.py"
_EFFECT = "services/kernel/adapters/effect.py"
# Where the function that appends is defined last: an earlier definition is nobody's.
_STORE = "services/kernel/migrations/0003_packed_columns.sql"


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement in one file.

    Attributes:
        path: From the root.
        before: Stands there exactly once.
        after: What stands there in the mutant.
    """

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug.

    Attributes:
        name: As the acceptance calls it.
        harm: What would happen to whoever ran it.
        edits: How it is planted.
        test: The test that must fail on it, as pytest names it, without parameters.
    """

    name: str
    harm: str
    edits: tuple[Edit, ...]
    test: str


MUTANTS = (
    Mutant(
        "naive poller",
        "positions from a sequence, without the lock: who reads on by position passes over what"
        " commits late",
        (
            Edit(
                _STORE,
                "-- guess, and it guesses quadratic plans.\n",
                "-- guess, and it guesses quadratic plans.\n"
                "CREATE SEQUENCE positions;\n"
                "GRANT USAGE, SELECT ON SEQUENCE positions TO PUBLIC;\n",
            ),
            Edit(_STORE, "    PERFORM pg_advisory_xact_lock(7235001);\n", ""),
            Edit(_STORE, "'UTF8'), base + e.n,\n", "'UTF8'), nextval('positions'),\n"),
            Edit(
                _STORE,
                "last_position := base + last_position;",
                "last_position := currval('positions');",
            ),
        ),
        f"{_KERNEL}/test_commits.py::test_a_reader_by_position_misses_nothing",
    ),
    Mutant(
        "reply before commit",
        "a caller is told that its command is recorded while it only waits in memory",
        (
            Edit(
                "services/kernel/adapters/appender.py",
                "        self._wake.set()\n        await waiting.done\n",
                "        self._wake.set()\n",
            ),
        ),
        f"{_KERNEL}/test_commits.py::test_what_was_not_committed_is_said_to_be_not_recorded",
    ),
    Mutant(
        "offset before effect",
        "the place in the feed is noted first: a process that dies then has lost the batch",
        (
            Edit(
                _CONSUMER,
                "                with METRICS.consume_seconds.labels(self.group).time():\n"
                "                    await self._effect.of_batch(fresh)\n",
                "                await self.watermarks.advance(\n"
                "                    self._database.sql, part.partition, batch[-1].position, -1\n"
                "                )\n"
                "                self.watermarks.stored[part.partition] = batch[-1].position\n"
                "                with METRICS.consume_seconds.labels(self.group).time():\n"
                "                    await self._effect.of_batch(fresh)\n",
            ),
        ),
        f"{_KERNEL}/test_consumer_unit.py::test_an_owner_that_dies_within_a_batch_loses_none_of_it",
    ),
    Mutant(
        "check-then-reserve",
        "stock is looked up in the read model and then taken without looking: oversold",
        (
            Edit(
                "services/stock_ledger/application/shortages.py",
                "        if (await work.state(STOCK, key)).state.buckets.free >= line.quantity:\n",
                "        free = await work.sql.fetchval(\n"
                '            "SELECT free FROM availability"\n'
                '            " WHERE tenant = $1 AND site_id = $2 AND sku = $3",\n'
                "            *(work.cause.tenant, line.site_id, line.sku),\n"
                "        )\n"
                "        if (free or 0) >= line.quantity:\n",
            ),
            Edit(
                "services/stock_ledger/domain/stock_promises.py",
                "    if changes[FREE]:\n        expect_free(-changes[FREE], item)\n",
                "",
            ),
        ),
        "tests/integration/stock_ledger/test_stock_ledger.py"
        "::test_two_hundred_callers_for_fifty_units",
    ),
    Mutant(
        "FastStream's default subscriber",
        "offsets are committed before the handler, and a new group begins at the end",
        (
            Edit(
                "services/kernel/adapters/kafka_group.py",
                "            **subscriber_arguments("
                "options, self._group, is_urgent=consumer.is_urgent),\n",
                "            group_id=self._group,\n            batch=True,\n",
            ),
        ),
        "tests/unit/kernel/test_kafka_options.py"
        "::test_no_subscriber_rests_on_a_default_that_loses_messages",
    ),
    Mutant(
        "producer without idempotence",
        "a send repeated after a lost acknowledgement may overtake the one behind it",
        (
            Edit(
                "services/kernel/adapters/kafka_options.py",
                '        "enable_idempotence": True,\n',
                "",
            ),
        ),
        "tests/unit/kernel/test_kafka_options.py::test_the_producer_is_told_all_of_this",
    ),
    Mutant(
        "watermark outside the transaction",
        "a second owner's rows are committed before anybody sees that they were written already",
        (
            Edit(
                _EFFECT,
                "        await self._watermarks.advance("
                "sql, part.partition, position, part.bus_offset)\n",
                "",
            ),
            Edit(
                _EFFECT,
                "        await self._parking.put_behind(sql, waiting)\n"
                "        return await _write(work, sql)\n",
                "        kept = await _write(work, sql)\n"
                "        await self._watermarks.advance(\n"
                "            self._home.database.sql, part.partition, position, part.bus_offset\n"
                "        )\n"
                "        return kept\n",
            ),
        ),
        f"{_KERNEL}/test_consumer_unit.py::test_a_second_owner_of_a_partition_changes_nothing_twice",
    ),
    Mutant(
        "relay that skips on a gap",
        "what another process wrote in between is never published",
        (
            Edit(
                "services/kernel/adapters/tail.py",
                "            self._offered = {}\n        return batch\n",
                "            events, position, at = self._offered.pop(min(self._offered))\n"
                "            batch = decode_new(self._codec, events, position, at)\n"
                "        return batch\n",
            ),
        ),
        f"{_KERNEL}/test_tail.py"
        "::test_what_another_process_wrote_in_between_is_published_in_its_place",
    ),
    Mutant(
        "process manager with random command ids",
        "a message heard again is a new command: everything that follows from it happens again",
        (
            Edit(
                _EFFECT,
                "        command_id=derive(envelope.event_id, group),\n",
                '        command_id=__import__("uuid").uuid4().hex,\n',
            ),
        ),
        f"{_KERNEL}/test_consumer_unit.py"
        "::test_what_is_heard_again_from_before_the_watermark_has_the_same_ids",
    ),
    Mutant(
        "projection with a side effect",
        "a rebuild tells every customer again what happened to his orders last year",
        (
            Edit(
                "services/order/read_models/order_summary.py",
                "    changes: dict[str, _Change] = {}\n",
                "    changes: dict[str, _Change] = {}\n"
                '    __import__("urllib.request").request.urlopen("http://127.0.0.1:9/sent")\n',
            ),
        ),
        "tests/unit/test_projections.py::test_a_projection_does_nothing_but_write_its_own_rows",
    ),
    Mutant(
        "projection that sets a timer",
        "the same, by way of the database",
        (
            Edit(
                "services/order/read_models/order_summary.py",
                "    changes: dict[str, _Change] = {}\n",
                "    changes: dict[str, _Change] = {}\n"
                '    await sql.execute("INSERT INTO timers SELECT * FROM timers WHERE false")\n',
            ),
        ),
        "tests/unit/test_projections.py::test_a_projection_does_nothing_but_write_its_own_rows",
    ),
    Mutant(
        "reply before the disk",
        "a power cut takes back what a caller was told is recorded",
        (
            Edit(
                "services/kernel/adapters/appender.py",
                "            await session.passed()\n",
                "            await asyncio.sleep(0)\n",
            ),
        ),
        f"{_KERNEL}/test_durability.py::test_a_caller_is_told_only_after_the_disk_has_it",
    ),
)
