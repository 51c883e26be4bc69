"""Who comes with keys that nobody has is slowed down, by the address he comes from.

A guess costs a look at the database or a hash, and its answer is worth as much as a call's. Each
address has a bucket of guesses that fills up slowly; a key that was valid lately costs nothing, so
that one guesser does not shut out those who share his address (a proxy, an office).
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from services.kernel.application.authenticator import Authenticator, Key
from services.kernel.application.runner import QueueFull

_MOST_ADDRESSES = 10_000
_MOST_TOKENS = 10_000
# Whoever has one IPv6 address has all of its network.
_NETWORK_BITS = 64


class GuessedTooOften(QueueFull):
    """Too many keys that nobody has came from this address; nothing was looked up."""


class Doorkeeper:
    """Asks an authenticator, as long as the caller's address has guesses left.

    Args:
        authenticator: Knows the keys.
        at_once: Guesses that an address may make without a pause.
        per_s: Guesses that it gets back each second.
        monotonic_s: For tests.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        *,
        at_once: int,
        per_s: float,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authenticator = authenticator
        self._at_once = at_once
        self._per_s = per_s
        self._monotonic_s = monotonic_s
        # What is left of the guesses of an address, and when that was so; who has all is not here.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        # Keyed hashes of Python's own, not the tokens.
        self._valid: OrderedDict[int, None] = OrderedDict()

    async def key_of(self, token: str, address: str) -> Key | None:
        """Return what a token says, or None when it is not a key that is valid now.

        Args:
            token: As it was sent.
            address: Where it came from, without the port; empty when that is not known.

        Raises:
            GuessedTooOften: Nothing was looked up.
            Overloaded: The keys cannot be read at the moment.
        """
        mark = hash(token)
        is_known = mark in self._valid
        if not is_known:
            address = _network_of(address)
            self._take(address)
        key = await self._authenticator.authenticate(token)
        if key is None:
            self._valid.pop(mark, None)
        elif not is_known:
            self._give_back(address)
            _put(self._valid, mark, None, _MOST_TOKENS)
        return key

    def _take(self, address: str) -> None:
        now_s = self._monotonic_s()
        left = self._now_left(address, now_s)
        if left < 1:
            wait_ms = math.ceil((1 - left) / self._per_s * 1_000)
            raise GuessedTooOften("too many unknown keys came from this address", wait_ms)
        _put(self._left, address, (left - 1, now_s), _MOST_ADDRESSES)

    def _give_back(self, address: str) -> None:
        now_s = self._monotonic_s()
        left = self._now_left(address, now_s) + 1
        if left >= self._at_once:
            self._left.pop(address, None)
        else:
            _put(self._left, address, (left, now_s), _MOST_ADDRESSES)

    def _now_left(self, address: str, now_s: float) -> float:
        left, then_s = self._left.get(address, (float(self._at_once), now_s))
        return min(float(self._at_once), left + (now_s - then_s) * self._per_s)


def _put[Name, Value](kept: OrderedDict[Name, Value], name: Name, value: Value, most: int) -> None:
    kept[name] = value
    kept.move_to_end(name)
    if len(kept) > most:
        kept.popitem(last=False)


def _network_of(address: str) -> str:
    """Return by what an address is known.

    >>> _network_of("192.0.2.7"), _network_of("2001:db8::1:2:3:4"), _network_of("unix")
    ('192.0.2.7', '2001:db8::/64', 'unix')
    >>> _network_of("::ffff:192.0.2.7")
    '192.0.2.7'
    """
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, _NETWORK_BITS), strict=False))
