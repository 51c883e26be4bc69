"""One line per number: what was measured, beside what, and whether the target is met."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """A measurement.

    Attributes:
        metric: ``append``, ``project``, ``replay``, ``placement``, ``availability``.
        value: What our code reached, in ``unit``.
        unit: ``events/s``, ``orders/s``, ``ms``.
        reference: What it is compared with.
        reference_value: The same unit, measured in the same run; None where there is none.
        target: What is to be reached: on the ratio if ``target_on_ratio``, else on the value.
        params: ``writers``, ``concurrency``, ``transport`` and so on.
    """

    metric: str
    value: float
    unit: str
    reference: str = ""
    reference_value: float | None = None
    target: float | None = None
    is_target_on_ratio: bool = False
    is_less_better: bool = False
    params: dict[str, Any] = field(default_factory=dict[str, Any])

    def line(self) -> str:
        """Return the JSON line."""
        ratio = None if not self.reference_value else self.value / self.reference_value
        judged = ratio if self.is_target_on_ratio else self.value
        met = None
        if self.target is not None and judged is not None:
            met = judged <= self.target if self.is_less_better else judged >= self.target
        return json.dumps(
            {
                "metric": self.metric,
                "value": _rounded(self.value),
                "unit": self.unit,
                "reference": self.reference,
                "reference_value": _rounded(self.reference_value),
                "ratio": _rounded(ratio),
                "target": self.target,
                "met": met,
                "params": self.params,
            }
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` (0 to 1) of the values lie; nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine() -> str:
    """Say what this ran on."""
    return (
        f"{os.cpu_count()} cores, {platform.processor() or platform.machine()},"
        f" Python {platform.python_version()}, {platform.system()} {platform.release()}"
    )


def tell(message: str) -> None:
    """Report progress, beside the numbers."""
    print(message, file=sys.stderr, flush=True)
