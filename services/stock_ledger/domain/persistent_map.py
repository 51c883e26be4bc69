"""A mapping whose copies share almost everything, for states that are copied once per event.

A plain dictionary would be copied whole for each of the ten thousand entries of a busy stock
item. Here a change copies one of ``_WIDTH`` small dictionaries: for n keys, n / 128 of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

_WIDTH = 128
_EMPTY: dict[str, object] = {}


@dataclass(frozen=True, slots=True)
class PersistentMap[V]:
    """Text keys to values; every change returns another map and leaves this one as it is.

    >>> one = PersistentMap().including("a", 1)
    >>> two = one.including("b", 2).excluding("a")
    >>> one.get("a"), two.get("a"), two.get("b")
    (1, None, 2)
    """

    parts: tuple[dict[str, V], ...] = (_EMPTY,) * _WIDTH  # type: ignore[assignment]

    def get(self, key: str) -> V | None:
        return self.parts[crc32(key.encode()) % _WIDTH].get(key)

    def including(self, key: str, value: V) -> "PersistentMap[V]":
        place = crc32(key.encode()) % _WIDTH
        return self._replaced(place, {**self.parts[place], key: value})

    def excluding(self, key: str) -> "PersistentMap[V]":
        place = crc32(key.encode()) % _WIDTH
        if key not in self.parts[place]:
            return self
        part = self.parts[place].copy()
        del part[key]
        return self._replaced(place, part)

    def items(self) -> Iterator[tuple[str, V]]:
        """Yield keys and values; the order means nothing."""
        for part in self.parts:
            yield from part.items()

    def _replaced(self, place: int, part: dict[str, V]) -> "PersistentMap[V]":
        return PersistentMap((*self.parts[:place], part, *self.parts[place + 1 :]))
