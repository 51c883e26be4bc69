"""Every stored event has one public face, or none."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.json_format import Parse
from oms.stock_ledger.v1.stock_ledger_events_pb2 import ReservationRefused, StockLedgerEvent

from services.kernel.domain.messages import Cause, Recorded
from services.stock_ledger.adapters.event_codec import event_codec
from services.stock_ledger.adapters.publications import publish

ROOT = Path(__file__).parents[3]
STORED = sorted((ROOT / "tests/contract/golden/stock_ledger").glob("*.json"))
EXAMPLES = ROOT / "contracts/examples/oms/stock_ledger/v1"
PRIVATE = {
    "call.noted.v1",
    "expiry.noted.v1",
    "holder.counted.v1",
    "holder.uncounted.v1",
    "inbound.arrived.v1",
    "inbound.expected.v1",
    "reservation.closed.v1",
    "reservation.extended.v1",
    "reservation.restored.v1",
    "rule.set.v1",
    "rule.withdrawn.v1",
}


@pytest.mark.parametrize("path", STORED, ids=lambda path: str(path.stem))
def test_a_stored_event_is_published_as_its_example(path: Path) -> None:
    event = event_codec().decode(path.stem, path.read_bytes())
    category = path.stem.partition(".")[0]
    key = f"{category}-{'O-1' if category == 'reservation' else 'paris-11|4006381333931'}"
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    public = publish(Recorded(f"demo/{key}", 3, 3, event, "event-1", at, Cause("demo", "c")))
    if path.stem in PRIVATE:
        assert public is None
        return
    assert public is not None
    case = public.WhichOneof("event")
    if path.stem == "reservation.plan_declined.v1":  # it shares the public event of a shortage
        refused = ReservationRefused(
            reservation_id="O-1", order_id="O-1", plan_revision=1, reason="IDEMPOTENCY_MISMATCH"
        )
        assert public == StockLedgerEvent(reservation_refused=refused)
        return
    assert public == Parse((EXAMPLES / f"{case}.json").read_text(), StockLedgerEvent())


def test_every_public_event_has_an_example() -> None:
    cases = {field.name for field in StockLedgerEvent.DESCRIPTOR.fields}
    assert {path.stem for path in EXAMPLES.glob("*.json")} == cases
    assert {path.stem for path in STORED} == event_codec().names()
