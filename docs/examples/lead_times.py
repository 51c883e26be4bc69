"""How long do customers wait, by mode, and when are lines short? From exports, as a drawing.

    oms export order -o order.parquet
    oms export picking --event LineShorted -o shorts.parquet
    python docs/examples/lead_times.py order.parquet shorts.parquet lead-times.svg

Needs duckdb and pyarrow (`make analyst`) and nothing of So'OMS: it reads two files and writes one.
"""

import sys
from html import escape
from pathlib import Path

import duckdb

# From placed to in the customer's hands, group by group: half of them wait no longer than the
# median, nine of ten no longer than p90. The mode is what the group's first step said.
LEAD_TIMES = """
WITH placed AS (
    SELECT order_id, recorded_at AS placed_at FROM read_parquet($orders)
    WHERE event = 'OrderPlaced'
), modes AS (
    SELECT group_id, any_value(group_mode_id) AS mode FROM read_parquet($orders)
    WHERE event = 'GroupStepStarted' GROUP BY group_id
), completed AS (
    SELECT order_id, group_id, recorded_at AS completed_at FROM read_parquet($orders)
    WHERE event = 'GroupCompleted'
)
SELECT mode, count(*) AS groups,
    median(epoch(completed_at) - epoch(placed_at)) AS median_s,
    quantile_cont(epoch(completed_at) - epoch(placed_at), 0.9) AS p90_s
FROM completed JOIN placed USING (order_id) JOIN modes USING (group_id)
GROUP BY mode ORDER BY mode
"""
SHORTS_PER_HOUR = """
SELECT strftime(date_trunc('hour', recorded_at AT TIME ZONE 'UTC'), '%d %b %Hh') AS hour,
    count(*) AS shorts
FROM read_parquet($shorts) GROUP BY ALL ORDER BY min(recorded_at)
"""

_WIDTH, _ROW, _LABEL = 720, 26, 170
_INK, _FIRST, _SECOND = "#1f2937", "#2563eb", "#93c5fd"

type Bar = tuple[str, float, float, str]


def main(orders: str, shorts: str, target: str) -> None:
    """Ask both questions, print the answers and draw them."""
    lead_times = duckdb.execute(LEAD_TIMES, {"orders": orders}).fetchall()
    per_hour = duckdb.execute(SHORTS_PER_HOUR, {"shorts": shorts}).fetchall()
    for mode, groups, median_s, p90_s in lead_times:
        print(f"{mode}: {groups} groups, median {median_s:.1f} s, p90 {p90_s:.1f} s")
    for hour, count in per_hour:
        print(f"{hour}: {count} short lines")
    waits: list[Bar] = [
        (f"{mode} ({groups})", median_s, p90_s, f"{median_s:.1f} s, p90 {p90_s:.1f} s")
        for mode, groups, median_s, p90_s in lead_times
    ]
    lacks: list[Bar] = [(hour, count, count, str(count)) for hour, count in per_hour]
    charts = [
        ("From placed to handed over: median and p90, by mode", waits),
        ("Short lines per hour (UTC)", lacks),
    ]
    Path(target).write_text(drawing(charts))


def drawing(charts: list[tuple[str, list[Bar]]]) -> str:
    """Return bar charts, one under the other, as SVG."""
    parts: list[str] = []
    top = 0
    for title, bars in charts:
        top += 34
        parts.append(f'<text x="10" y="{top}" font-weight="bold">{escape(title)}</text>')
        longest = max((longer for _, _, longer, _ in bars), default=1) or 1
        scale = (_WIDTH - _LABEL - 190) / longest
        for label, value, longer, said in bars:
            top += _ROW
            y = top - 14
            right = _LABEL + longer * scale + 8
            parts += [
                f'<text x="{_LABEL - 8}" y="{top}" text-anchor="end">{escape(label)}</text>',
                bar(y, longer * scale, _SECOND),
                bar(y, value * scale, _FIRST),
                f'<text x="{right:.1f}" y="{top}">{escape(said)}</text>',
            ]
        if not bars:
            top += _ROW
            parts.append(f'<text x="{_LABEL}" y="{top}">none</text>')
    height = top + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="13" '
        f'fill="{_INK}">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def bar(y: int, width: float, colour: str) -> str:
    """Return one bar."""
    return f'<rect x="{_LABEL}" y="{y}" width="{width:.1f}" height="18" fill="{colour}"/>'


if __name__ == "__main__":
    main(*sys.argv[1:4])
