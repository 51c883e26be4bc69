"""What a group costs, in its parts, and how it becomes minor units without losing one.

Planning computes in millionths of a minor unit ("micro"), so that grams and metres stay integers.
"""

from collections.abc import Mapping, Sequence

from services.kernel.domain.apportion import apportion
from services.sourcing.domain.asked import Way
from services.sourcing.domain.wishes import Cost

MICRO = 1_000_000


def parts_of(way: Way, units: Mapping[int, int], split: int) -> tuple[int, int, int, int]:
    transport = way.transport + sum(way.transport_per_unit[d] * n for d, n in units.items())
    transfer = way.transfer + sum(way.transfer_per_unit[d] * n for d, n in units.items())
    return way.preparation, transport, transfer, split


def to_minor(micro: int) -> int:
    return (micro + MICRO // 2) // MICRO


def rounded(parts: Sequence[int], total_minor: int) -> Cost:
    if total_minor == 0:
        return Cost()
    return Cost(*apportion(total_minor, parts))
