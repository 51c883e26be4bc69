"""How Python's cyclic garbage collector is set in every process of ours.

Hardly anything here is part of a cycle: what a request or a batch made is freed by counting. With
the defaults the collector still walks all that is young after every 700 objects, and all there is
now and then; decoding a page of events took twice as long for it, and an order that came at the
wrong moment waited.
"""

import gc
from collections.abc import Coroutine
from typing import Any

import uvloop

# How many more objects there are than before until the young are looked at; rounds before those
# that outlived one, and before all of them. 50,000 young ones stop a process for 30 ms.
_THRESHOLDS = (10_000, 20, 50)


def calm_collector() -> None:
    """Keep what is alive now out of every later round, and make rounds rare.

    Call it when a process is up: what it has by then lives as long as it does. A process that is
    still loading need not collect at all: this is also where collecting begins.
    """
    gc.enable()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def run[T](work: Coroutine[Any, Any, T]) -> T:
    """Run a process's work to its end, calmly."""
    calm_collector()
    return uvloop.run(work)
