"""A run's summary as tables for a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from services.demo.application.campaign import Summary

_CENTS = 100
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def render(summary: Summary) -> RenderableType:
    """Return tables: how orders ended, where groups were prepared, what it cost, how long."""
    totals = _table("Orders", "count")
    totals.add_row("placed", f"{summary.placed}")
    if earlier := summary.orders - summary.placed:
        totals.add_row("placed in an earlier run", f"{earlier}")
    _count(totals, summary.by_status)
    _count(totals, summary.by_mode, "mode ")
    _count(totals, summary.refused_by_reason, "refused: ")
    sources = _table("Groups of completed orders", "count")
    _count(sources, summary.by_source_type, "prepared by ")
    _count(sources, summary.by_tier, "served from ")
    money = _table("Goods and money", "")
    share = 100 * summary.short_lines / summary.lines if summary.lines else 0.0
    money.add_row("lines", f"{summary.lines}")
    money.add_row("lines short", f"{summary.short_lines} ({share:.1f} %)")
    money.add_row("captured", _euros(summary.captured_minor))
    money.add_row("cost of carrying out", _euros(summary.cost_minor))
    per_group = summary.cost_minor // summary.groups if summary.groups else 0
    money.add_row("cost per group", _euros(per_group))
    times = _table("Times", *_SHARES)
    times.add_row("placed to accepted", *_quantiles(summary.accepted_s))
    times.add_row("placed to done", *_quantiles(summary.completed_s))
    rate = f"{summary.placed / summary.took_s:.1f} orders/s" if summary.placed else ""
    times.add_row("whole run", f"{summary.took_s:.1f} s", rate, "")
    return Group(totals, sources, money, times, *(f"stuck: {each}" for each in summary.stuck))


def as_json(summary: Summary) -> Mapping[str, Any]:
    """Return the summary as data; of the times, what people are shown."""
    told = {one.name: getattr(summary, one.name) for one in fields(summary)}
    for name in ("accepted_s", "completed_s"):
        told[name] = dict(zip(_SHARES, _at(_SHARES.values(), told[name]), strict=True))
    return told


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=any(columns))
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _count(table: Table, counts: Mapping[str, int], prefix: str = "") -> None:
    for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        table.add_row(prefix + name.replace("_", " "), f"{count}")


def _euros(minor: int) -> str:
    return f"{minor / _CENTS:,.2f} €"


def _quantiles(ascending: Sequence[float]) -> tuple[str, ...]:
    found = _at(_SHARES.values(), ascending)
    return tuple("-" if one is None else f"{one * 1000:.0f} ms" for one in found)


def _at(shares: Iterable[float], ascending: Sequence[float]) -> list[float | None]:
    last = len(ascending) - 1
    return [ascending[round(last * share)] if ascending else None for share in shares]
