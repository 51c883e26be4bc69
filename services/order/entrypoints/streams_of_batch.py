"""The orders that a batch of messages is about, read at once before each message is heard."""

from collections.abc import Sequence

from services.kernel.application.feeds import Envelope
from services.kernel.application.work import Work
from services.order.application.handlers import FULFILMENT_STATE, ORDER


async def load_orders(
    work: Work, orders: Sequence[tuple[Envelope, str]], *, has_process: bool = False
) -> None:
    """Read the streams of a batch at once; those of another tenant are read one by one."""
    keys = {order_id for envelope, order_id in orders if envelope.tenant == work.cause.tenant}
    if keys:
        await work.load(ORDER, keys)
        if has_process:
            await work.load(FULFILMENT_STATE, keys)
