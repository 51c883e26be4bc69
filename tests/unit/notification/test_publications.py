"""What others learn of a message, and how it is stored."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.json_format import Parse
from oms.notification.v1.notification_events_pb2 import NotificationEvent

from services.kernel.domain.messages import Cause, Recorded
from services.notification.adapters.event_codec import CODEC
from services.notification.adapters.publications import publish

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/contract/golden/notification"
EXAMPLES = ROOT / "contracts/examples/oms/notification/v1"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
STREAM = "demo/message-049d9adc-be75-8adb-baaf-16ea8a3f9f0f"


@pytest.mark.parametrize("what", ["queued", "sent", "failed"])
def test_a_stored_event_is_published_as_its_example(what: str) -> None:
    name = f"message.{what}.v1"
    event = CODEC.decode(name, (GOLDEN / f"{name}.json").read_bytes())
    example = Parse((EXAMPLES / f"message_{what}.json").read_text(), NotificationEvent())
    assert example.WhichOneof("event") == f"message_{what}"
    assert publish(Recorded(STREAM, 1, 1, event, "e", NOON, Cause("demo", "c"))) == example


def test_every_stored_name_has_an_example_that_survives() -> None:
    assert {file.name.removesuffix(".json") for file in GOLDEN.iterdir()} == CODEC.names()
    for name in CODEC.names():
        state = (GOLDEN / f"{name}.json").read_bytes().strip()
        assert CODEC.encode(CODEC.decode(name, state)) == (name, state)
