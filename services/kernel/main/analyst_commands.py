"""``oms feeds``, ``tail``, ``export`` and ``replay``: the feeds for those who only read."""

import typer

from services.kernel.main.console import AsJson, print_rows
from services.kernel.main.feed_directory import feeds, topic_settings
from services.kernel.settings import BusSettings

app = typer.Typer()


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
