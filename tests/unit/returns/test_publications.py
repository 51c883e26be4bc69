"""What others learn of a return, and how it is stored."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from oms.returns.v1.returns_events_pb2 import ReturnsEvent

from services.kernel.domain.messages import Cause, Recorded
from services.returns.adapters.event_codec import CODEC
from services.returns.adapters.publications import publish
from services.returns.domain.returnable_events import Captured

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/contract/golden/returns"
EXAMPLES = ROOT / "contracts/examples/oms/returns/v1"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def recorded(stream: str, event: object) -> Recorded[Any]:
    return Recorded(stream, 1, 1, event, "e-1", NOON, Cause("demo", "c-1"))


@pytest.mark.parametrize(
    ("stored", "case"),
    [
        ("returncase.opened.v1", "return_opened"),
        ("returncase.inspected.v1", "return_inspected"),
        ("returncase.refund_validated.v1", "refund_validated"),
    ],
)
def test_a_stored_case_event_is_published_as_its_example(stored: str, case: str) -> None:
    event = CODEC.decode(stored, (GOLDEN / f"{stored}.json").read_bytes())
    example = Parse((EXAMPLES / f"{case}.json").read_text(), ReturnsEvent())
    assert example.WhichOneof("event") == case
    assert publish(recorded("demo/returncase-R-1", event)) == example


def test_what_an_order_has_left_stays_private() -> None:
    assert publish(recorded("demo/returnable-O-1", Captured("c", 1, 1))) is None


def test_every_stored_name_has_an_example_that_survives() -> None:
    assert {file.name.removesuffix(".json") for file in GOLDEN.iterdir()} == CODEC.names()
    for name in CODEC.names():
        state = (GOLDEN / f"{name}.json").read_bytes().strip()
        assert CODEC.encode(CODEC.decode(name, state)) == (name, state)
