"""Which topic it is: one that was deleted and made anew has the same name, and another id.

Brokers tell the id since Kafka 2.8 (Metadata, version 10); the pinned client asks up to version 5.
"""

import uuid
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from aiokafka.errors import IncompatibleBrokerVersion, KafkaError
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_ID_BYTES = 16
_NO_ID = uuid.UUID(int=0)
_TEXT = CompactString("utf-8")


async def topic_ids(client: Any, topics: Sequence[str]) -> dict[str, str]:
    """Return the ids of topics; those that the brokers do not tell are absent.

    Args:
        client: An ``AIOKafkaClient`` that is connected.
        topics: Full names.

    Raises:
        KafkaError: No broker answers.
    """
    node = client.get_random_node()
    if node is None:
        raise KafkaError("no broker is known")
    try:
        answer: Any = await client.send(node, _Metadata(topics))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return {}  # before 2.8, or something that stands in for Kafka
    return {name: str(found) for _, name, found, *_ in answer.topics if found != _NO_ID}


class _Uuid(AbstractType[uuid.UUID]):  # type: ignore[misc] # aiokafka is untyped
    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(_ID_BYTES))


class _MetadataResponse(Response):  # type: ignore[misc] # aiokafka is untyped
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", _TEXT),
                ("port", Int32),
                ("rack", _TEXT),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _TEXT),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequest(RequestStruct):  # type: ignore[misc] # aiokafka is untyped
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", _TEXT), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Metadata(Request[_MetadataRequest]):  # type: ignore[misc] # aiokafka is untyped
    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequest]) -> _MetadataRequest:
        topics: list[Any] = [(_NO_ID, name, {}) for name in self._topics]
        # Nothing may be made by asking for it, and rights are none of our business.
        return request_struct_class(topics, *([False] * 3), {})
