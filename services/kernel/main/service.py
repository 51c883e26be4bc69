"""What a service is made of, and what the kernel gives it."""

import importlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
from google.protobuf.message import Message

from services.kernel.adapters.event_codec import EventCodec
from services.kernel.application.clock import Clock
from services.kernel.application.feeds import Subscription
from services.kernel.application.ownership import Ownership, SoleOwner
from services.kernel.application.runner import Reader, Runner
from services.kernel.application.work import Sql, Work
from services.kernel.domain.decider import Kind
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel

type Publish = Callable[[Recorded[Any]], Message | None]
type Register = Callable[[grpc.aio.Server], None]
type Check = Callable[[Sql], Awaitable[Sequence[str]]]
# (tenant, order id) of some orders to rows (tenant, order id, site, product, held, allocated,
# picked) of what the service still keeps for them.
type KeptStock = Callable[[Sql, Sequence[tuple[str, str]]], Awaitable[Sequence[Sequence[Any]]]]
type Wake = Callable[[str, Work], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the kernel gives a service to build itself with.

    Attributes:
        runner: Runs commands that arrive by gRPC.
        reader: Answers queries.
        clock: The only source of now.
        target: Address of the gRPC server of each service, by name, for those that call others.
        ownership: Says which partitions of its streams this process may take for its own.
    """

    runner: Runner
    reader: Reader
    clock: Clock
    target: Mapping[str, str]
    ownership: Ownership = field(default_factory=SoleOwner)


@dataclass(frozen=True, slots=True)
class Service:
    """A service, put together: what the kernel has to serve, feed, project and publish.

    Attributes:
        name: Folder name, for example ``stock_ledger``.
        codec: Stored names of the service's events and of the messages of its processes.
        publish: A private event to the public one (the feed's wrapper message), or to nothing.
        read_models: Fed by the service's own events.
        subscriptions: Made by ``listen``.
        timers: Handler for each timer name; gets the key the timer was set with. It runs in a
            unit of work of its own, whose command id derives from the timer's id.
        grpc: One function per servicer that adds it to a server.
        scopes: Scope that each gRPC method asks for, by full name
            (``/oms.order.v1.OrderService/PlaceOrder``). A method without one is refused.
        tasks: Long-running coroutines of the worker (senders); cancelled on shutdown.
        checks: Invariants of the service's own, by name, for ``oms verify``: each reads what it
            needs and returns one sentence per violation, a bounded number.
        open_stock: What a service that keeps stock for orders still keeps, for the comparison of
            services in ``oms verify``.
        long_streams: Kinds whose books are closed now and then, so that a cold load of a long
            stream need not read all of it; the codec has the format of their states.
        is_watched: Whether callers wait for what is recorded, by ``Reader.changed``, and read it
            from the log: then other processes are told of it before the read models show it.
    """

    name: str
    codec: EventCodec
    publish: Publish
    read_models: tuple[ReadModel, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    timers: Mapping[str, Wake] = field(default_factory=dict[str, Wake])
    grpc: tuple[Register, ...] = ()
    scopes: Mapping[str, str] = field(default_factory=dict[str, str])
    tasks: tuple[Callable[[], Awaitable[None]], ...] = ()
    checks: Mapping[str, Check] = field(default_factory=dict[str, Check])
    open_stock: KeptStock | None = None
    long_streams: tuple[Kind[Any, Any, Any], ...] = ()
    is_watched: bool = False

    @property
    def topic(self) -> str:
        """The feed that the service publishes."""
        return topic_of(self.name)


type Build = Callable[[Kernel], Service]


def topic_of(service: str) -> str:
    """Return the feed that a service publishes."""
    return f"oms.{service}.v1.events"


def builder(name: str) -> Build:
    """Return ``build`` of ``services.<name>.main``; services are found by name, never imported."""
    build: Build = importlib.import_module(f"services.{name}.main").build
    return build


def migrations_of(name: str) -> Path:
    """Return the folder of a service's own migrations."""
    return Path(__file__).parents[2] / name / "migrations"
