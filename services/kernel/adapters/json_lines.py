"""Logs as one JSON object per line: a fixed list of fields, nothing else gets out."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO, override

from services.kernel.application.telemetry import LOG_CONTEXT

ALLOWED = frozenset(
    {
        "actor", "attempt", "causation_id", "command_id", "correlation_id", "count", "duration_ms",
        "event_id", "group", "method", "order_id", "position", "reason", "scope", "service",
        "stream", "tenant", "timer", "topic", "trace_id", "version",
    }
)  # fmt: skip
"""Names that ``extra`` and ``LOG_CONTEXT`` may bring into a line: ids, counts and kinds. Request
bodies, names, addresses and tokens have no field to go to."""

_LONGEST_TEXT = 4_000


class JsonLines(logging.Formatter):
    """One line per record whatever it contains: JSON escapes every line break."""

    def __init__(self, service: str = "") -> None:
        super().__init__()
        self._service = service

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:_LONGEST_TEXT],
        }
        if self._service:
            line["service"] = self._service
        context = LOG_CONTEXT.get(None)
        if context:
            line.update((name, value) for name, value in context.items() if name in ALLOWED)
        for name in ALLOWED & vars(record).keys():
            value = vars(record)[name]
            line[name] = value if isinstance(value, int | float | bool) else str(value)[:256]
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)[-_LONGEST_TEXT:]
        return json.dumps(line)


def log_json(service: str, level: str = "INFO", to: TextIO | logging.Handler | None = None) -> None:
    """Send every log line of this process there (None: to standard error) as JSON."""
    handler = to if isinstance(to, logging.Handler) else logging.StreamHandler(to or sys.stderr)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # It writes a line per request with the whole address, and an address of a webhook is a secret.
    logging.getLogger("httpx").setLevel(logging.WARNING)
