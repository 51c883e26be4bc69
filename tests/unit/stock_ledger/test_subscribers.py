"""What is heard of goods that move keeps the books' discrepancies true."""

from datetime import datetime, timedelta

from oms.common.v1.common_pb2 import GroupLine
from oms.delivery.v1.delivery_events_pb2 import DeliveryEvent, HandedOver

from services.kernel.application.feeds import Envelope
from services.stock_ledger.application.discrepancies import note
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.domain.discrepancy import DISCREPANCY
from services.stock_ledger.domain.image import Basis, Seen
from services.stock_ledger.domain.stock_commands import Allocate, Observe, Pick, Receive
from services.stock_ledger.domain.stock_item import STOCK, stock_key
from services.stock_ledger.entrypoints.goods_subscriber import GoodsSubscriber
from tests.unit.stock_ledger.ledger_in_memory import NOON, LedgerInMemory, nowhere

MILK = stock_key("paris", "milk")
MINUTE = timedelta(minutes=1)


def heard(at: datetime) -> Envelope:
    topic, kind = "oms.delivery.v1.events", "oms.delivery.v1.HandedOver"
    return Envelope(topic, "demo/handover-O1.1", b"", "event-1", kind, "demo", 1, 1, at, "", "", "")


async def test_a_handover_heard_after_an_image_that_saw_it_settles_the_discrepancy() -> None:
    """The image missed five units that a customer had; hearing of it explains them."""
    ledger = LedgerInMemory()
    await ledger.handle(STOCK, MILK, Receive(5, "note-1", NOON))
    await ledger.handle(STOCK, MILK, Allocate("O1", 5, NOON + MINUTE))
    await ledger.handle(STOCK, MILK, Pick("O1", 5, "pick-1", NOON + 2 * MINUTE))
    at = NOON + 4 * MINUTE
    seen = Observe(
        Seen.IMAGE,
        Basis.PHYSICAL,
        has_picked=True,
        counted=0,
        source_id="image-1",
        occurred_at=at,
        expected=5,
    )
    await note(ledger, {MILK: await ledger.handle(STOCK, MILK, seen)})
    assert (await ledger.state(STOCK, MILK)).state.buckets.free == -5
    assert (await ledger.state(DISCREPANCY, MILK)).state.is_open

    handed_over = HandedOver(
        order_id="O1", source_site_id="paris", lines=[GroupLine(sku="milk", quantity=5)]
    )
    goods = GoodsSubscriber(Reservations(timedelta(minutes=15), nowhere))
    event = DeliveryEvent(handed_over=handed_over)
    await goods.hear_delivery(event, heard(NOON + 3 * MINUTE), ledger)

    assert (await ledger.state(STOCK, MILK)).state.buckets.free == 0
    assert not (await ledger.state(DISCREPANCY, MILK)).state.is_open
