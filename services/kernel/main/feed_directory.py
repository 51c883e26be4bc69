"""Which feeds there are, with which events and keys, who listens, and how topics are declared."""

import contextlib
import importlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

from services.kernel.adapters.feed_contracts import FeedContract, contract_of
from services.kernel.application.clock import SystemClock
from services.kernel.application.feeds import Subscription
from services.kernel.domain.errors import NotFound
from services.kernel.main.runtime import SERVICES
from services.kernel.main.service import Kernel, Service, builder, topic_of
from services.kernel.read_models.read_model import ReadModel
from services.kernel.settings import BusSettings

# Stream ids without their tenant, by event; an event that is not named has the key under "".
_KEYS: Mapping[str, Mapping[str, str]] = {
    "catalog": {
        "product_upserted": "product-{sku}",
        "site_upserted": "site-{site_id}",
        "extended_site_upserted": "extendedsite-{extended_site_id}",
        "sales_zone_upserted": "saleszone-{sales_zone_id}",
        "mode_published": "mode-{mode_id}",
    },
    "order": {"": "order-{order_id}"},
    "sourcing": {"": "decision-{order_id}"},
    "stock_ledger": {
        "stock_changed": "stock-{site_id}|{sku}",
        "discrepancy_opened": "discrepancy-{site_id}|{sku}",
        "discrepancy_closed": "discrepancy-{site_id}|{sku}",
        "": "reservation-{reservation_id}",
    },
    "picking": {"": "picktask-{group_id}"},
    "delivery": {
        "handed_to_carrier": "shipment-{group_id}",
        "delivered": "shipment-{group_id}",
        "": "handover-{group_id}",
    },
    "returns": {"": "returncase-{return_id}"},
    "notification": {"": "message-{message_id}"},
}
# Services are only asked what they declare; one of them will not be built without its secret.
_NEEDED_TO_BUILD = "OMS_DELIVERY_PICKUP_CODE_SECRET"


@dataclass(frozen=True, slots=True)
class Listener:
    """One group on a feed.

    Attributes:
        group: Holds the watermark.
        events: The cases it acts on, in the order of the contract.
    """

    group: str
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed, as code and contracts declare it.

    Attributes:
        topic: Its name, without an installation's prefix.
        publisher: The service that speaks on it.
        contract: What may travel on it.
        keys: Key of each event by its case, without the tenant: ``order-{order_id}``.
        listeners: Who hears it.
    """

    topic: str
    publisher: str
    contract: FeedContract
    keys: Mapping[str, str]
    listeners: tuple[Listener, ...]


@cache
def feeds() -> tuple[Feed, ...]:
    """Return every feed, in the order in which orders pass through the services."""
    subscriptions = [s for name in SERVICES for s in declared(name).subscriptions]
    return tuple(_feed(name, subscriptions) for name in SERVICES)


def topic_named(name: str) -> str:
    """Return the topic that a person means: ``order`` or ``oms.order.v1.events``.

    Raises:
        NotFound: There is none; the message lists those there are.
    """
    for service in SERVICES:
        if name in (service, topic_of(service)):
            return topic_of(service)
    raise NotFound("feed", name, SERVICES)


def read_model_named(name: str) -> tuple[str, ReadModel]:
    """Return the service and the read model that a person means: ``order.order_summary``.

    Raises:
        NotFound: There is none; the message lists those there are.
    """
    known = {
        f"{service}.{model.name}": (service, model)
        for service in SERVICES
        for model in declared(service).read_models
    }
    if name not in known:
        raise NotFound("feed or read model", name, (*SERVICES, *known))
    return known[name]


def topic_settings(settings: BusSettings) -> dict[str, str]:
    """Return what is declared for each topic on Kafka."""
    options = importlib.import_module("services.kernel.adapters.kafka_options")
    topics = importlib.import_module("services.kernel.adapters.kafka_topics")
    declared_settings: dict[str, str] = topics.topic_settings(
        options.KafkaOptions(**settings.kafka_options())
    )
    return declared_settings


@cache
def declared(name: str) -> Service:
    """Put a service together on a kernel that can do nothing, to see what it declares."""
    nothing = cast("Any", SimpleNamespace(sql=None))
    kernel = Kernel(nothing, nothing, SystemClock(), dict.fromkeys(SERVICES, "127.0.0.1:1"))
    with _buildable():
        return builder(name)(kernel)


def _feed(publisher: str, subscriptions: list[Subscription]) -> Feed:
    topic = topic_of(publisher)
    contract = contract_of(topic)
    listeners = tuple(
        Listener(
            subscription.group,
            tuple(
                case
                for case, event in contract.events.items()
                if event.full_name not in subscription.passes_over
            ),
        )
        for subscription in subscriptions
        if subscription.topic == topic
    )
    patterns = _KEYS[publisher]
    keys = {case: patterns.get(case) or patterns[""] for case in contract.events}
    return Feed(topic, publisher, contract, keys, listeners)


@contextlib.contextmanager
def _buildable() -> Iterator[None]:
    if _NEEDED_TO_BUILD in os.environ:
        yield
        return
    os.environ[_NEEDED_TO_BUILD] = "declares-only-and-signs-nothing-0123456789abcdef"
    try:
        yield
    finally:
        del os.environ[_NEEDED_TO_BUILD]
