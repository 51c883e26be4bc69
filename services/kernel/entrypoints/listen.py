"""``listen``: the only way to subscribe to a feed, on every bus."""

from collections.abc import Awaitable, Callable, Collection, Sequence

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from services.kernel.application.feeds import MOST_VALUE_BYTES, Envelope, Subscription, Unheard
from services.kernel.application.work import Work


def listen[M: Message](
    feed: type[M],
    *,
    group: str,
    hears: Collection[str],
    hear: Callable[[M, Envelope, Work], Awaitable[None]],
    prepare: Callable[[Sequence[tuple[M, Envelope]], Work], Awaitable[None]] | None = None,
    is_urgent: bool = False,
    takes_turns: bool = True,
) -> Subscription:
    """Subscribe ``group`` to the feed whose wrapper message is ``feed``.

    The topic follows from the message's package: ``oms.order.v1.OrderEvent`` travels on
    ``oms.order.v1.events``. ``hear`` and ``prepare`` run inside the unit of work of the batch:
    what they record, the rows they write and the watermark are committed together or not at
    all, so neither may have any effect outside of ``work``.

    Args:
        feed: Wrapper message.
        group: Who listens.
        hears: The cases of the feed's ``oneof`` that matter here, for example
            ``("order_placed",)``. Other known cases are passed over unread; a case that is newer
            than this code arrives as ``None``.
        hear: What to do with one message.
        prepare: What to read for a batch.
        is_urgent: Whether somebody waits for what follows. Other feeds step back under load: their
            batches come less often and grow, which costs less per message.
        takes_turns: Handle one batch of the service at a time. Without, batches of this feed and
            of others run side by side, and whoever loses a race over a stream decides again: for
            feeds that mostly fill tables and hardly ever decide anything.

    Raises:
        ValueError: The feed has no such case.
    """
    cases = {
        field.name: field.message_type.full_name
        for field in feed.DESCRIPTOR.oneofs_by_name["event"].fields
        if field.message_type is not None
    }
    if unknown := set(hears) - cases.keys():
        raise ValueError(f"{feed.DESCRIPTOR.full_name} has no {sorted(unknown)}")
    package = feed.DESCRIPTOR.file.package

    def read(envelope: Envelope) -> M:
        if len(envelope.value) > MOST_VALUE_BYTES:
            raise Unheard(f"value of {len(envelope.value)} bytes, at most {MOST_VALUE_BYTES}")
        message = feed.FromString(envelope.value)
        case = message.WhichOneof("event")
        if case is None:
            _check_newer(message, envelope, package)
        elif cases.get(case) != envelope.type:
            raise Unheard(f"type {envelope.type!r}, but the value holds a {cases.get(case)}")
        return message

    return Subscription(
        topic=f"{package}.events",
        group=group,
        read=read,
        passes_over=frozenset(name for case, name in cases.items() if case not in hears),
        hear=hear,
        prepare=prepare,
        is_urgent=is_urgent,
        takes_turns=takes_turns,
    )


def _check_newer(message: Message, envelope: Envelope, package: str) -> None:
    """Let an event pass that this package has got since; refuse what never was one of its events.

    Contracts only grow within a package, so an event that is not known is one that is newer than
    this code, and nothing that it acts on.
    """
    if envelope.type.rpartition(".")[0] != package:
        raise Unheard(
            f"type {envelope.type!r} is not of {package}: start the version that knows it"
        )
    if not len(UnknownFieldSet(message)):
        raise Unheard(f"type {envelope.type!r}, but the value holds no event")
