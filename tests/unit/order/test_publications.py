"""Every stored event reads back as it was written; every order event is public, as exemplified."""

from pathlib import Path

import pytest
from google.protobuf.json_format import Parse
from oms.order.v1.order_events_pb2 import OrderEvent

from services.kernel.domain.messages import Cause, Recorded
from services.order.adapters.event_codec import CODEC
from services.order.adapters.publications import publish
from tests.unit.order.examples import NOON

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/contract/golden/order"
EXAMPLES = ROOT / "contracts/examples/oms/order/v1"


def recorded(name: str) -> Recorded[object]:
    category = name.partition(".")[0]
    event = CODEC.decode(name, (GOLDEN / f"{name}.json").read_bytes())
    return Recorded(f"demo/{category}-O-1", 1, 1, event, "event", NOON, Cause("demo", "command"))


@pytest.mark.parametrize("name", sorted(CODEC.names()))
def test_what_is_stored_reads_back_as_it_was_written(name: str) -> None:
    event = recorded(name).event
    assert CODEC.decode(*CODEC.encode(event)) == event


def test_every_order_event_is_published_as_its_example_shows() -> None:
    published = [
        public
        for name in CODEC.names()
        if name.startswith("order.") and (public := publish(recorded(name))) is not None
    ]
    cases = {public.WhichOneof("event"): public for public in published}
    assert cases.keys() == {field.name for field in OrderEvent.DESCRIPTOR.oneofs[0].fields}
    for case, public in cases.items():
        example = (EXAMPLES / f"{case}.json").read_text(encoding="utf-8")
        assert Parse(example, OrderEvent()) == public


@pytest.mark.parametrize("name", ["basket.created.v1", "fulfilment.held.v1"])
def test_baskets_and_the_process_are_private(name: str) -> None:
    assert publish(recorded(name)) is None
