"""A mapping whose copies share almost everything, for states that are copied once per event.

A plain dictionary would be copied whole for each of the ten thousand entries of a busy stock
item. Here a change copies one of ``_WIDTH`` small dictionaries: for n keys, n / 128 of them. Most
stock items stay small, and there are many of them: up to ``_SMALL`` keys it is one dictionary.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from zlib import crc32

_WIDTH = 128
_SMALL = 32
_EMPTY: dict[str, object] = {}


@dataclass(frozen=True, slots=True)
class PersistentMap[V]:
    """Text keys to values; every change returns another map and leaves this one as it is.

    >>> one = PersistentMap().including("a", 1)
    >>> two = one.including("b", 2).excluding("a")
    >>> one.get("a"), two.get("a"), two.get("b")
    (1, None, 2)
    """

    parts: tuple[dict[str, V], ...] = (_EMPTY,)  # type: ignore[assignment]

    def get(self, key: str) -> V | None:
        parts = self.parts
        return parts[0 if len(parts) == 1 else crc32(key.encode()) % _WIDTH].get(key)

    def has_any(self, keys: Iterable[str]) -> bool:
        """Say whether it has any of these keys."""
        parts = self.parts
        if len(parts) == 1:
            return not parts[0].keys().isdisjoint(keys)
        return any(key in parts[crc32(key.encode()) % _WIDTH] for key in keys)

    def including(self, key: str, value: V) -> "PersistentMap[V]":
        return self.including_all({key: value})

    def including_all(self, more: Mapping[str, V]) -> "PersistentMap[V]":
        """Include many keys for the price of one copy."""
        if len(self.parts) == 1 and len(self.parts[0]) + len(more) <= _SMALL:
            return PersistentMap(({**self.parts[0], **more},))
        parts: list[dict[str, V]] = list(self.parts)
        copied: set[int] = set()
        if len(parts) == 1:
            more = {**parts[0], **more}
            parts = [{} for _ in range(_WIDTH)]
            copied = set(range(_WIDTH))
        for key, value in more.items():
            place = crc32(key.encode()) % _WIDTH
            if place not in copied:
                parts[place] = parts[place].copy()
                copied.add(place)
            parts[place][key] = value
        return PersistentMap(tuple(parts))

    def excluding(self, key: str) -> "PersistentMap[V]":
        """Leave out a key. A map that has grown stays wide: it may grow again."""
        place = 0 if len(self.parts) == 1 else crc32(key.encode()) % _WIDTH
        if key not in self.parts[place]:
            return self
        part = self.parts[place].copy()
        del part[key]
        return PersistentMap((*self.parts[:place], part, *self.parts[place + 1 :]))

    def excluding_all(self, keys: Iterable[str]) -> "PersistentMap[V]":
        """Leave out many keys for the price of one copy."""
        parts: list[dict[str, V]] = list(self.parts)
        copied: set[int] = set()
        for key in keys:
            place = 0 if len(parts) == 1 else crc32(key.encode()) % _WIDTH
            if key not in parts[place]:
                continue
            if place not in copied:
                parts[place] = parts[place].copy()
                copied.add(place)
            del parts[place][key]
        return PersistentMap(tuple(parts)) if copied else self

    def items(self) -> Iterator[tuple[str, V]]:
        """Yield keys and values; the order means nothing."""
        for part in self.parts:
            yield from part.items()
