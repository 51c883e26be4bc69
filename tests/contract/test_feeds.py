"""Who speaks and who listens: every feed has both, and there is one way to do either."""

import ast
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf.json_format import Parse
from google.protobuf.message import Message

from services.kernel.adapters import kafka_records
from services.kernel.adapters.relay import Relay
from services.kernel.application.feeds import Envelope
from services.kernel.domain.ids import derive
from services.kernel.domain.messages import Cause, Recorded
from services.kernel.main import SERVICES
from tests.contract.test_golden_messages import FEEDS
from tests.support.built import built

_ROOT = Path(__file__).parents[2]
_SERVICES = _ROOT / "services"
_EXAMPLES = _ROOT / "contracts/examples"
_GOLDEN = Path(__file__).parent / "golden"
_SUBSCRIPTIONS = [(name, s) for name in SERVICES for s in built(name).subscriptions]

# Feeds that nobody here needs; each is for the retailer's own systems, and says why it exists.
_FOR_OTHERS = {
    "oms.notification.v1.events": "tells a retailer's own systems which messages went out",
}
# The broker's libraries may be touched by the one adapter that stands behind the port of a bus,
# and by the doctor, who asks whether the broker answers.
_BROKER_LIBRARIES = {"faststream", "aiokafka", "confluent_kafka", "kafka"}
_MAY_TOUCH_THE_BROKER = ("kernel/adapters/kafka", "kernel/main/doctor.py")


@pytest.mark.parametrize(("service", "subscription"), _SUBSCRIPTIONS)
def test_every_subscription_hears_a_feed_that_somebody_speaks_on(
    service: str, subscription: Any
) -> None:
    assert subscription.topic in {built(name).topic for name in SERVICES}
    assert subscription.topic != built(service).topic, "a service knows its own events already"


@pytest.mark.parametrize("service", SERVICES)
def test_every_feed_is_heard_or_says_why_it_exists(service: str) -> None:
    heard = {subscription.topic for _, subscription in _SUBSCRIPTIONS}
    topic = built(service).topic
    assert (topic in heard) != (topic in _FOR_OTHERS)


@pytest.mark.parametrize(("service", "subscription"), _SUBSCRIPTIONS)
def test_a_group_is_called_after_its_service(service: str, subscription: Any) -> None:
    """A watermark belongs to a group: two services in one group would hear half each."""
    assert subscription.group.split(".")[0] == service
    same = [s for _, s in _SUBSCRIPTIONS if (s.group, s.topic) == _named(subscription)]
    assert len(same) == 1


def _named(subscription: Any) -> tuple[str, str]:
    return subscription.group, subscription.topic


@pytest.mark.parametrize("service", SERVICES)
def test_every_feed_has_a_contract_of_its_own(service: str) -> None:
    assert f"oms/{service}/v1" in FEEDS


@pytest.mark.parametrize(("service", "subscription"), _SUBSCRIPTIONS)
def test_every_example_of_a_feed_can_be_decoded_by_its_listeners(
    service: str, subscription: Any
) -> None:
    folder = subscription.topic.removesuffix(".events").replace(".", "/")
    for file in (_EXAMPLES / folder).glob("*.json"):
        example = Parse(file.read_text(), FEEDS[folder]())
        assert subscription.read(_travelling(subscription.topic, example)) == example


def _travelling(topic: str, message: Message) -> Envelope:
    case = message.WhichOneof("event")
    assert case is not None
    return Envelope(
        topic=topic,
        key="demo/any-1",
        value=message.SerializeToString(),
        event_id=derive("example"),
        type=getattr(message, case).DESCRIPTOR.full_name,
        tenant="demo",
        stream_version=1,
        position=1,
        recorded_at=datetime(2026, 1, 2, tzinfo=UTC),
        causation_id="",
        correlation_id="",
        traceparent="",
    )


def test_listen_is_the_only_way_to_subscribe() -> None:
    made = [
        str(file.relative_to(_SERVICES))
        for file, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Subscription"
    ]
    assert made == ["kernel/entrypoints/listen.py"]


def test_only_the_bus_adapter_knows_the_broker() -> None:
    touched = {
        str(file.relative_to(_SERVICES))
        for file, tree in _modules()
        for name in _imported(tree)
        if name.split(".")[0] in _BROKER_LIBRARIES
    }
    assert [file for file in touched if not file.startswith(_MAY_TOUCH_THE_BROKER)] == []


def test_only_the_relay_speaks_on_a_bus() -> None:
    """A direct publish would be lost, or said of something that was never committed."""
    speaking = {
        str(file.relative_to(_SERVICES))
        for file, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "publish"
        and "bus" in ast.unparse(node.func.value).lower()
    }
    assert speaking == {"kernel/adapters/relay.py"}


@cache
def _modules() -> Sequence[tuple[Path, ast.Module]]:
    return [(file, ast.parse(file.read_text())) for file in sorted(_SERVICES.rglob("*.py"))]


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("service", SERVICES)
def test_every_envelope_carries_every_attribute(service: str) -> None:
    """Whatever a service publishes of its golden events leaves with all attributes filled."""
    built_service = built(service)
    nothing = cast("Any", None)
    relay = Relay(nothing, built_service.topic, built_service.publish, nothing)
    published = 0
    for file in sorted((_GOLDEN / service).glob("*.json")):
        event = built_service.codec.decode(file.stem, file.read_bytes())
        envelope = relay.envelope(_recorded(file.stem, event))
        if envelope is None:
            continue
        published += 1
        _assert_complete(envelope, service)
    assert published, f"{service} publishes none of its golden events"


def _recorded(name: str, event: object) -> Recorded[Any]:
    """The event as the log would hold it, with a key that keeps a composite one's shape."""
    category = name.partition(".")[0]
    key = {"stock": "S1|MILK"}.get(category, "O-17.1")
    return Recorded(
        stream=f"demo/{category}-{key}",
        version=3,
        position=42,
        event=event,
        event_id=derive("event", name),
        recorded_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        cause=Cause(
            "demo", "command-1", "correlation-1", "", "key-1", f"00-{'1' * 32}-{'2' * 16}-01"
        ),
    )


def _assert_complete(envelope: Envelope, service: str) -> None:
    empty = [
        name
        for name in inspect.signature(Envelope).parameters
        if getattr(envelope, name) in ("", b"", 0, None)
    ]
    assert empty == []
    assert envelope.type.startswith(f"oms.{service}.v1.")
    assert envelope.recorded_at.tzinfo is UTC
    assert envelope.key.startswith(f"{envelope.tenant}/")
    wrapper: type[Message] = FEEDS[f"oms/{service}/v1"]
    said = wrapper.FromString(envelope.value)
    case = said.WhichOneof("event")
    assert case is not None
    assert getattr(said, case).DESCRIPTOR.full_name == envelope.type
    record = _Received(envelope.key.encode(), envelope.value, kafka_records.headers_of(envelope))
    assert len(record.headers) == 13, "every attribute travels"
    assert kafka_records.envelope_of(envelope.topic, record) == envelope


@dataclass
class _Received:
    """The envelope as a record of a broker."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
