"""Chance that repeats: numbers that follow from a seed and from what they are thrown for."""

from bisect import bisect_left
from collections.abc import Sequence
from hashlib import blake2b

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


class Dice:
    """A SplitMix64 generator of its own for every purpose.

    Two dice with the same parts give the same throws, on every machine and version of Python;
    what is thrown for one purpose never shifts what is thrown for another.

    >>> dice = Dice(7, "example")
    >>> [dice.below(100) for _ in range(3)]
    [52, 15, 56]

    Source:
        Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
    """

    __slots__ = ("_state",)

    def __init__(self, *parts: str | int) -> None:
        digest = blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
        self._state = int.from_bytes(digest)

    def _next(self) -> int:
        self._state = (self._state + _GOLDEN) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def below(self, most: int) -> int:
        """Return 0 to ``most`` - 1."""
        return (self._next() * most) >> 64

    def between(self, least: int, most: int) -> int:
        """Return ``least`` to ``most``, both included."""
        return least + self.below(most - least + 1)

    def share(self) -> float:
        """Return a number from 0 up to, but not including, 1."""
        return (self._next() >> 11) / (1 << 53)

    def is_one_in(self, chances: float) -> bool:
        return self.share() * chances < 1

    def pick[T](self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def weighted(self, cumulative: Sequence[float]) -> int:
        """Return an index, as likely as its step in ``cumulative`` is high."""
        return bisect_left(cumulative, self.share() * cumulative[-1])

    def some[T](self, items: Sequence[T], count: int) -> list[T]:
        """Return ``count`` different items in random order."""
        pool = list(items)
        for i in range(min(count, len(pool))):
            j = i + self.below(len(pool) - i)
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:count]
