"""Ports to listen on."""

import asyncio
import contextlib
import errno
import socket

import pytest

from services.kernel.adapters import ports
from services.kernel.adapters.telemetry import Metrics, ProcessTelemetry
from services.kernel.entrypoints.grpc_server import grpc_server
from services.kernel.main.door import open_gateway
from services.kernel.main.failures import sentence_of
from services.kernel.settings import KernelSettings
from tests.support.grpc_stand import OneKey


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


async def test_a_gateway_whose_port_is_taken_says_so_instead_of_waiting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = KernelSettings(http_port=port)
        async with asyncio.timeout(5), contextlib.AsyncExitStack() as stack:
            with pytest.raises(OSError, match=f"127.0.0.1:{port}") as caught:
                await open_gateway(
                    settings, "postgresql://nobody@127.0.0.1:1/x", OneKey(), {}, stack
                )
    assert caught.value.errno == errno.EADDRINUSE
    assert f"127.0.0.1:{port}" in (sentence_of(caught.value) or "")


async def test_services_whose_port_is_taken_say_so() -> None:
    server = grpc_server([], authenticator=OneKey(), telemetry=ProcessTelemetry(Metrics()))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}") as caught:
            await server.start(f"127.0.0.1:{port}")
    assert "OMS_GRPC_PORT" in (sentence_of(caught.value) or "")


def test_an_address_is_had_at_once_and_by_one_only() -> None:
    [mine] = ports.bound("127.0.0.1", 0)
    with mine:
        mine.listen()
        port = mine.getsockname()[1]
        with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port}"):
            ports.bound("127.0.0.1", port)
