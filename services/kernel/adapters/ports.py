"""Choosing ports to listen on."""

import secrets
import socket

# Below what operating systems give to outgoing connections (Linux from 32768, others from 49152):
# a process that is down for a moment finds its port free when it comes back.
_LOWEST, _HIGHEST = 10_000, 32_767
_TRIES = 100
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
