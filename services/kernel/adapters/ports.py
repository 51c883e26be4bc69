"""Choosing ports to listen on."""

import errno
import secrets
import socket
from typing import Any

# Below what operating systems give to outgoing connections (Linux from 32768, others from 49152):
# a process that is down for a moment finds its port free when it comes back.
_LOWEST, _HIGHEST = 10_000, 32_767
_TRIES = 100
_NOT_OF_THIS_MACHINE = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_given: set[int] = set()


def free_port() -> int:
    """Return a loopback port that nobody uses, and that this process has not been given before.

    Raises:
        OSError: None was found.
    """
    for _ in range(_TRIES):
        port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST + 1)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise OSError(f"no free port found between {_LOWEST} and {_HIGHEST}")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def bound(host: str, port: int) -> list[socket.socket]:
    """Return sockets that have the address, one for each that the name stands for.

    They do not listen yet: whoever connects before somebody answers is refused, not kept waiting.

    Raises:
        OSError: It cannot be had, for example because another process has it.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            sockets.append(_bound(family, kind, protocol, address))
        except OSError as error:
            absent = error
            if error.errno in _NOT_OF_THIS_MACHINE:
                continue  # `localhost` may stand for an address that the machine does not have
            sockets = _closed(sockets)
            break
    if absent is not None and not sockets:
        raise OSError(absent.errno, f"{host}:{port}: {absent.strerror}")
    return sockets


def _bound(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    one = socket.socket(family, kind, protocol)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # the other family has a socket of its own
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one


def _closed(sockets: list[socket.socket]) -> list[socket.socket]:
    for one in sockets:
        one.close()
    return []
