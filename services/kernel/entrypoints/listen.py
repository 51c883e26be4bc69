"""``listen``: the only way to subscribe to a feed, on every bus."""

from collections.abc import Awaitable, Callable, Sequence

from google.protobuf.message import Message

from services.kernel.application.feeds import Envelope, Subscription
from services.kernel.application.work import Work


def listen[M: Message](
    feed: type[M],
    *,
    group: str,
    hear: Callable[[M, Envelope, Work], Awaitable[None]],
    prepare: Callable[[Sequence[tuple[M, Envelope]], Work], Awaitable[None]] | None = None,
) -> Subscription:
    """Subscribe ``group`` to the feed whose wrapper message is ``feed``.

    The topic follows from the message's package: ``oms.order.v1.OrderEvent`` travels on
    ``oms.order.v1.events``. ``hear`` and ``prepare`` run inside the unit of work of the batch:
    what they record, the rows they write and the watermark are committed together or not at
    all, so neither may have any effect outside of ``work``.
    """
    return Subscription(
        topic=f"{feed.DESCRIPTOR.file.package}.events",
        group=group,
        decode=feed.FromString,
        hear=hear,
        prepare=prepare,
    )
