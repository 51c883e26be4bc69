"""A feed as its contract defines it: the wrapper message, its events, and one event decoded.

Feeds are found by their names alone: ``oms.order.v1.events`` carries ``oms.order.v1.OrderEvent``.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from services.kernel.application.feeds import Envelope
from services.kernel.domain.errors import NotFound

ONEOF = "event"


@dataclass(frozen=True, slots=True)
class FeedContract:
    """What may travel on one feed.

    Attributes:
        topic: ``oms.order.v1.events``.
        package: ``oms.order.v1``.
        wrapper: The message of every value.
        events: Descriptor of each event by its case, in the order of the contract.
        file: Where the contract is written, from the folder of all contracts.
    """

    topic: str
    package: str
    wrapper: type[Message]
    events: Mapping[str, Descriptor]
    file: str


@dataclass(frozen=True, slots=True)
class PublicEvent:
    """One event of a feed, decoded.

    Attributes:
        envelope: As it travelled.
        case: ``order_placed``; empty for an event that is newer than this code.
        name: ``OrderPlaced``; for an unknown one, what its type says.
        message: The event's own message, ``oms.order.v1.OrderPlaced``; None for an unknown one.
    """

    envelope: Envelope
    case: str
    name: str
    message: Any


@cache
def contract_of(topic: str) -> FeedContract:
    """Return the contract of a feed.

    Raises:
        NotFound: No contract belongs to the topic.
    """
    package = topic.removesuffix(".events")
    parts = package.split(".")
    try:
        module = importlib.import_module(f"{package}.{parts[1]}_events_pb2")
    except (ImportError, IndexError, ValueError):
        raise NotFound("feed", topic) from None
    (name,) = (
        name
        for name, message in module.DESCRIPTOR.message_types_by_name.items()
        if ONEOF in message.oneofs_by_name
    )
    wrapper: type[Message] = getattr(module, name)
    events: dict[str, Any] = {
        field.name: field.message_type
        for field in wrapper.DESCRIPTOR.oneofs_by_name[ONEOF].fields
        if field.message_type is not None
    }
    return FeedContract(topic, package, wrapper, events, module.DESCRIPTOR.name)


def decoded(contract: FeedContract, envelope: Envelope) -> PublicEvent:
    """Decode one event.

    Raises:
        google.protobuf.message.DecodeError: The value is not a message.
    """
    wrapper = contract.wrapper.FromString(envelope.value)
    case = wrapper.WhichOneof(ONEOF)
    if case is None:
        return PublicEvent(envelope, "", envelope.type.rpartition(".")[2], None)
    message = getattr(wrapper, case)
    return PublicEvent(envelope, case, message.DESCRIPTOR.name, message)
