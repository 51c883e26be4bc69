"""Calling the services: one channel per address, one callable per rpc, a deadline on every call."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.gateway.entrypoints.http.contracts import service_folder
from services.gateway.entrypoints.http.failures import problem_of_call
from services.gateway.entrypoints.http.incoming import Metadata

_OPTIONS = (
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.max_send_message_length", 8 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.enable_retries", 0),  # a retry is the caller's, with the same key
)


def method_of(service: ServiceDescriptor, name: str) -> MethodDescriptor:
    """Return an rpc of a service; a wrong name is found at start."""
    return service.methods_by_name[name]


class Remote:
    """The services, by gRPC.

    Args:
        target: Address of each service by its name; services may share one.
    """

    def __init__(self, target: Mapping[str, str]) -> None:
        self._target = target
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._unary: dict[str, Any] = {}
        self._streams: dict[str, Any] = {}

    async def call(
        self, method: MethodDescriptor, request: Message, metadata: Metadata, timeout_s: float
    ) -> Any:
        """Return the answer of an rpc.

        Raises:
            Problem: The service refused, or could not be reached in time.
        """
        invoke = self._unary.get(method.full_name)
        if invoke is None:
            invoke = self._unary[method.full_name] = self._channel(method).unary_unary(
                _path(method),
                request_serializer=type(request).SerializeToString,
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
        try:
            return await invoke(request, metadata=metadata, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise problem_of_call(error) from None

    async def stream(
        self, method: MethodDescriptor, request: Message, metadata: Metadata, timeout_s: float
    ) -> AsyncGenerator[Any]:
        """Yield the answers of a streaming rpc.

        Raises:
            Problem: As ``call``.
        """
        invoke = self._streams.get(method.full_name)
        if invoke is None:
            invoke = self._streams[method.full_name] = self._channel(method).unary_stream(
                _path(method),
                request_serializer=type(request).SerializeToString,
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
        answers = invoke(request, metadata=metadata, timeout=timeout_s)
        try:
            async for one in answers:
                yield one
        except grpc.aio.AioRpcError as error:
            raise problem_of_call(error) from None
        finally:
            answers.cancel()

    async def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            await channel.close(None)
        self._channels.clear()
        self._unary.clear()
        self._streams.clear()

    def _channel(self, method: MethodDescriptor) -> grpc.aio.Channel:
        address = self._target[service_folder(method)]
        channel = self._channels.get(address)
        if channel is None:
            channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
            self._channels[address] = channel
        return channel


def _path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"
