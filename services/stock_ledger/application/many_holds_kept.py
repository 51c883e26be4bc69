"""Recording what is granted of many reservations: one entry of each stock item, one timer."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from services.kernel.application.work import Work
from services.kernel.domain.messages import Cause
from services.stock_ledger.application.batch_reservations import TAKEN, Answer, Round
from services.stock_ledger.application.hold_expiries import EXPIRIES_TIMER, expiries_timer
from services.stock_ledger.domain import reservation_commands as promise
from services.stock_ledger.domain.entry import Share
from services.stock_ledger.domain.expiry import EXPIRY, Note
from services.stock_ledger.domain.holder import HOLDER, CountHold
from services.stock_ledger.domain.many_holds import MANY_HOLDS, HoldAll
from services.stock_ledger.domain.reservation import RESERVATION


async def keep(work: Work, asked: Round, answers: list[Answer], most_holds: int) -> None:
    """Record what is granted, and put its end in the place of ``TAKEN``."""
    now, round_id = work.now, asked.cause.command_id
    until: dict[timedelta, Answer] = {}
    held: dict[str, Answer] = {}
    shares: dict[str, list[Share]] = defaultdict(list)
    together: dict[datetime, list[str]] = defaultdict(list)
    begun: list[tuple[Cause, list[tuple[str, promise.Hold]]]] = []
    start = 0
    for place, (cause, everybody) in enumerate(asked.calls):
        commands: list[tuple[str, promise.Hold]] = []
        for n, wanted in enumerate(everybody, start):
            if answers[n] is not TAKEN:
                continue
            reservation_id = wanted.reservation_id
            again = held.get(reservation_id)
            if again is not None:  # twice in one round
                answers[n] = again
                continue
            answer = until.get(wanted.hold_for)
            if answer is None:
                answer = until[wanted.hold_for] = Answer(now + wanted.hold_for)
            answers[n] = held[reservation_id] = answer
            expires_at = answer.expires_at
            assert expires_at is not None  # noqa: S101 - it is held
            hold = promise.Hold("", 1, wanted.lines, expires_at, holder_id=wanted.holder_id)
            commands.append((reservation_id, hold))
            together[expires_at].append(reservation_id)
            for key, quantity in wanted.needs:
                shares[key].append(Share(reservation_id, quantity))
        start += len(everybody)
        if commands:
            begun.append((_of_round(cause, f"{round_id}.{place}"), commands))
    work.begin_streams(RESERVATION, begun)
    work.begin(asked.cause)
    for key, of_item in shares.items():
        await work.handle(MANY_HOLDS, key, HoldAll(tuple(of_item), now))
    await _count(work, begun, most_holds)
    for n, (expires_at, ids) in enumerate(together.items()):
        key = f"{round_id}.{n}"
        await work.handle(EXPIRY, key, Note(tuple(ids), expires_at))
        await work.set_timer(expiries_timer(key), expires_at, EXPIRIES_TIMER, key)


async def _count(
    work: Work,
    begun: Sequence[tuple[Cause, Sequence[tuple[str, promise.Hold]]]],
    most_holds: int,
) -> None:
    for _, commands in begun:
        for reservation_id, hold in commands:
            if hold.holder_id and most_holds:
                await work.handle(HOLDER, hold.holder_id, CountHold(reservation_id, most_holds))


def _of_round(cause: Cause, command_id: str) -> Cause:
    """Return a call's cause under an id that no other round has: it may come again in another."""
    return Cause(
        *(cause.tenant, command_id, cause.correlation_id, cause.command_id),
        *(cause.actor, cause.traceparent),
    )
