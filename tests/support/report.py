"""Reports of the long campaigns: JSON, an SVG histogram beside it, and a few lines on stderr."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

FOLDER = Path(__file__).parents[2] / "reports"
_BARS = 30
_WIDTH, _HEIGHT, _MARGIN = 640, 240, 40


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of the values do not exceed.

    >>> quantile([3.0, 1.0, 2.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(share * 1000) // 1000) - 1)] if ordered else 0.0


def write(name: str, facts: Mapping[str, Any], latencies_ms: Sequence[float] = ()) -> None:
    """Write ``reports/<name>.json``, and its histogram; print both in short.

    Args:
        name: Of the campaign.
        facts: What happened.
        latencies_ms: What to draw.
    """
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(facts, indent=2, default=str) + "\n")
    say(f"{name}: " + ", ".join(f"{key} {value}" for key, value in facts.items()))
    if latencies_ms:
        (FOLDER / f"{name}.svg").write_text(_histogram(name, latencies_ms))


def say(text: str) -> None:
    """Tell whoever watches; pytest shows it with -s, and on failure."""
    sys.stderr.write(f"[{time.strftime('%H:%M:%S')}] {text}\n")
    sys.stderr.flush()


def _histogram(title: str, values: Sequence[float]) -> str:
    top = max(quantile(values, 0.99) * 1.2, 1.0)
    counts = [0] * _BARS
    for value in values:
        counts[min(int(value / top * _BARS), _BARS - 1)] += 1
    bar, most = (_WIDTH - 2 * _MARGIN) / _BARS, max(counts)
    drawn = []
    for place, count in enumerate(counts):
        height = count / most * (_HEIGHT - 2 * _MARGIN)
        drawn.append(
            f'<rect x="{_MARGIN + place * bar:.1f}" y="{_HEIGHT - _MARGIN - height:.1f}"'
            f' width="{bar - 1:.1f}" height="{height:.1f}" fill="#3b6ea5">'
            f"<title>{place * top / _BARS:.0f} to {(place + 1) * top / _BARS:.0f} ms:"
            f" {count}</title></rect>"
        )
    text = f'font-family="sans-serif" font-size="12" y="{_HEIGHT - _MARGIN + 16}"'
    caption = (
        f"{escape(title)}: {len(values)} answers, p50 {quantile(values, 0.5):.0f} ms,"
        f" p99 {quantile(values, 0.99):.0f} ms"
    )
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">',
            f'<text x="{_MARGIN}" y="20" font-family="sans-serif" font-size="14">{caption}</text>',
            *drawn,
            f'<text x="{_MARGIN}" {text}>0 ms</text>',
            f'<text x="{_WIDTH - _MARGIN}" text-anchor="end" {text}>{top:.0f} ms and more</text>',
            "</svg>\n",
        )
    )
