"""Ports to listen on."""

import socket

import pytest

from services.kernel.adapters import ports


def test_no_port_is_given_twice_and_none_that_outgoing_connections_may_take() -> None:
    given = [ports.free_port() for _ in range(500)]
    assert len(set(given)) == len(given)
    assert all(10_000 <= port < 32_768 for port in given)


def test_a_port_that_is_taken_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "_LOWEST", port)
        monkeypatch.setattr(ports, "_HIGHEST", port)
        with pytest.raises(OSError, match="no free port"):
            ports.free_port()
    assert ports.free_port() == port
