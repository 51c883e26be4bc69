"""``oms feeds``, ``tail``, ``export`` and ``replay``: the feeds for those who only read."""

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from services.kernel.adapters.database import with_database
from services.kernel.adapters.store_reader import StoreReader
from services.kernel.application.clock import SystemClock
from services.kernel.application.reading import Gone, Period
from services.kernel.domain.errors import NotFound
from services.kernel.main.analyst_arguments import (
    misused,
    the_moment,
    the_names,
    the_period,
    the_topic,
)
from services.kernel.main.console import (
    EXIT_FAILED,
    EXIT_USAGE,
    AsJson,
    bar,
    complain,
    errors,
    leave_pipe,
    print_line,
    print_rows,
)
from services.kernel.main.export import (
    FORMATS,
    CannotExport,
    Exported,
    Request,
    gone_on_with,
    settled,
)
from services.kernel.main.export import export as exporting
from services.kernel.main.feed_directory import feeds, read_model_named, topic_settings
from services.kernel.main.reading import (
    NothingToRead,
    bus_of,
    reading,
    server,
    store_reader,
)
from services.kernel.main.replay import (
    WrongConsumer,
    WrongSchema,
    consumer_named,
    replay_feed,
    replay_read_model,
    replay_store,
)
from services.kernel.main.tail import Wanted, as_json, as_text, line_width
from services.kernel.main.tail import tail as tailing
from services.kernel.settings import BusSettings, KernelSettings

app = typer.Typer()

FromStore = Annotated[
    bool, typer.Option("--store", help="read the event stores even where there is a broker")
]
Tenant = Annotated[str, typer.Option(help="only this tenant's")]
Events = Annotated[
    list[str] | None, typer.Option("--event", help="only events so called; may be repeated")
]


@app.command("feeds")
def list_feeds(as_json: AsJson = False) -> None:
    """List the feeds: who publishes what, under which keys, and who listens."""
    settings = BusSettings()
    retention = topic_settings(settings)["retention.ms"]
    rows = [
        {
            "feed": settings.kafka_prefix + feed.topic,
            "publisher": feed.publisher,
            "events": [event.name for event in feed.contract.events.values()],
            "keys": list(dict.fromkeys(feed.keys.values())),
            "heard_by": [listener.group for listener in feed.listeners],
            "partitions": settings.kafka_partitions,
            "retention_ms": int(retention),
            "contract": feed.contract.file,
        }
        for feed in feeds()
    ]
    if as_json:
        print_rows(rows, as_json=True, title="")
        return
    shown = ("feed", "events", "keys", "heard_by")
    print_rows(
        [{name: _cell(row[name]) for name in shown} for row in rows], as_json=False, title="feeds"
    )


def _cell(value: object) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


@app.command()
def tail(
    feed: Annotated[str, typer.Argument(help="for example order; without one: all")] = "",
    order: Annotated[str, typer.Option(help="everything that concerns this order")] = "",
    since: Annotated[
        str, typer.Option(help="`beginning`, how long ago (15m, 2h, 7d) or a time; default: now")
    ] = "",
    limit: Annotated[int, typer.Option(min=0, help="end after so many events; 0: never")] = 0,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="go on with what comes")
    ] = True,
    event: Events = None,
    tenant: Tenant = "",
    from_store: FromStore = False,
    as_json_lines: AsJson = False,
) -> None:
    """Print events as they come, decoded, one line each, until Ctrl-C."""
    if not feed and not order:
        raise misused("name a feed (`oms feeds` lists them), or an order with --order")
    # What became of an order is asked from its beginning, a feed from now on.
    from_now = not since and not order and follow
    topics = [the_topic(feed)] if feed else [one.topic for one in feeds()]
    period = Period(since=the_moment(since or "beginning"))
    wanted = Wanted(order, tenant, the_names(event, topics))

    async def work() -> int:
        count = 0
        width = line_width()
        async with reading(topics, period, KernelSettings(), from_store=from_store) as readers:
            shown = tailing(
                *(readers, wanted, complain), limit=limit, from_now=from_now, follow=follow
            )
            async with contextlib.aclosing(shown):
                async for one in shown:
                    print_line(as_json(one) if as_json_lines else as_text(one, width))
                    count += 1
        return count

    try:
        count = _run(work())
    except BrokenPipeError:
        leave_pipe()
        return
    except (KeyboardInterrupt, asyncio.CancelledError):
        return
    if not count:
        of = f"of order {order!r} " if order else ""
        complain(f"no such event {of}in {topics[0] if feed else 'any feed'}")
        if order:
            raise typer.Exit(EXIT_USAGE)


@app.command()
def export(
    feed: Annotated[str, typer.Argument(help="for example order")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the file to write")],
    format_: Annotated[
        str, typer.Option("--format", help="parquet, csv or jsonl; default: as the file is called")
    ] = "",
    since: Annotated[
        str, typer.Option("--from", help="`beginning`, how long ago, or a time")
    ] = "beginning",
    until: Annotated[
        str, typer.Option("--to", help="up to, and without; default: what there is now")
    ] = "",
    event: Events = None,
    tenant: Tenant = "",
    from_store: FromStore = False,
) -> None:
    """Write a feed's events to a file, as a table; killed, the same command goes on."""
    topic = the_topic(feed)
    chosen = format_ or output.suffix.removeprefix(".")
    if chosen not in FORMATS:
        raise misused(f"no format {chosen!r}: --format {', '.join(FORMATS)}")
    period = settled(output, the_period(since, until))
    if said := gone_on_with(output):
        complain(said)
    on_bus = bus_of(KernelSettings()).bus == "kafka" and not from_store
    names = the_names(event, [topic])
    request = Request(topic, chosen, since, until, tenant, names, "bus" if on_bus else "store")

    async def work() -> Exported:
        settings = KernelSettings()
        async with reading([topic], period, settings, from_store=from_store) as readers:
            with bar(f"exporting {topic}") as progress:
                return await exporting(
                    *(readers[0], request, period, output, progress, complain),
                    now=SystemClock().now(),
                )

    try:
        done = _run(work())
    except CannotExport as error:
        raise misused(error) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        complain("stopped: the same command goes on where this one ended")
        raise typer.Exit(EXIT_FAILED) from None
    before = f" ({done.resumed_rows} of them earlier)" if done.resumed_rows else ""
    errors.print(f"{done.rows} events in {output}{before}", markup=False, highlight=False)
    if done.unreadable:
        complain(f"{done.unreadable} records are no events and are not in it")
        raise typer.Exit(EXIT_FAILED)


@app.command()
def replay(
    source: Annotated[
        str, typer.Argument(help="a feed such as order, or a read model: order.order_summary")
    ],
    into: Annotated[
        str, typer.Option(help="the consumer of a feed, module:function, over an iterator")
    ] = "",
    schema: Annotated[
        str, typer.Option(help="where a read model's tables go; default: replay_ and its name")
    ] = "",
    private: Annotated[
        bool, typer.Option("--private", help="the events as the service stores them")
    ] = False,
    since: Annotated[
        str, typer.Option("--from", help="`beginning`, how long ago, or a time")
    ] = "beginning",
    until: Annotated[
        str, typer.Option("--to", help="up to, and without; default: what there is now")
    ] = "",
    event: Events = None,
    tenant: Tenant = "",
    from_store: FromStore = False,
) -> None:
    """Read what happened from the beginning, into something new, without any other effect."""
    narrowed = since != "beginning" or until or event or tenant
    if "." in source and not source.endswith(".events"):
        if into or private or narrowed:
            raise misused("a read model is replayed whole, into tables: --schema says which")
        _replay_read_model(source, schema)
        return
    if private and event:
        raise misused("--event names public events: with --private, your function chooses")
    topic = the_topic(source)
    if not into:
        raise misused("name a consumer with --into module:function")
    period = the_period(since, until)
    wanted = Wanted(tenant=tenant, names=the_names(event, [topic]))
    at_store = from_store or private

    async def work() -> Any:
        consumer = consumer_named(into)
        async with reading([topic], period, KernelSettings(), from_store=at_store) as readers:
            with bar(f"replaying {topic}") as progress:
                if private and isinstance(readers[0], StoreReader):
                    return await replay_store(readers[0], consumer, wanted, progress)
                return await replay_feed(readers[0], consumer, wanted, progress, complain)

    answer = _run(work())
    if answer is not None:
        print_line(json.dumps(answer, default=str, ensure_ascii=False))


def _replay_read_model(name: str, schema: str) -> None:
    async def work() -> tuple[str, dict[str, int]]:
        service, model = read_model_named(name)
        into = schema or f"replay_{model.name}"
        settings = KernelSettings()
        async with contextlib.AsyncExitStack() as stack:
            dsn = await stack.enter_async_context(server(settings, as_owner=True))
            reader = await store_reader(stack, settings, dsn, service, Period())
            progress = stack.enter_context(bar(f"replaying {name}"))
            owner = with_database(dsn, f"{settings.database_prefix}{service}")
            return into, await replay_read_model(reader, owner, model, into, progress)

    into, rows = _run(work())
    for table, count in rows.items():
        errors.print(f"{into}.{table}: {count} rows", markup=False, highlight=False)


def _run[T](work: Coroutine[Any, Any, T]) -> T:
    try:
        return uvloop.run(work)
    except (NothingToRead, NotFound, WrongConsumer, WrongSchema) as error:
        raise misused(error) from None
    except Gone as error:
        complain(error)
        raise typer.Exit(EXIT_FAILED) from None
