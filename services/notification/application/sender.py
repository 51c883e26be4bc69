"""Works the queue: claims what is due, hands it to a channel, records how it ended.

The mailbox is a table beside the queue: one unit takes messages off the one, puts them into the
other and records it, so each arrives exactly once. Webhooks leave the database, so they go out at
least once: claimed under a lease (a sender that dies loses nothing), called outside of any unit,
then recorded. Claims are made by ``FOR UPDATE SKIP LOCKED``, so senders side by side never claim
the same. One slow endpoint holds at most its own few tries: it is left out of the next claims
until they are done.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from services.kernel.application.runner import ConcurrentAppend, Runner
from services.kernel.application.work import Work
from services.kernel.domain.ids import derive
from services.kernel.domain.messages import Cause
from services.notification.application import queue
from services.notification.application.ports import Delivery, Mailbox, Outcome, Outlet, Result
from services.notification.domain.message import MESSAGE, RecordFailed, RecordSent
from services.notification.domain.retry import next_attempt

_LOG = logging.getLogger(__name__)
_FORGET_BATCH = 1_000
_FORGET_EVERY_S = 60.0
_RECORDS_AT_A_TIME = 2  # of the service's few connections
_RECORD_PAUSES_S = (0.2, 1.0, 3.0)
_NO_TENANT = "-"  # a claim spans tenants and records no event


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on sending.

    Attributes:
        idle_s: Pause when nothing was due.
        mailbox_batch: Messages per claim of the mailbox.
        in_flight: Webhook deliveries at a time.
        per_endpoint: Of those, to one endpoint.
        keep: How long settled deliveries can be listed and redelivered.
    """

    idle_s: float = 0.5
    mailbox_batch: int = 500
    in_flight: int = 128
    per_endpoint: int = 4
    keep: timedelta = timedelta(days=30)


class Sender:
    """Works both channels' queues.

    Args:
        runner: Runs the units of work.
        mailbox: Where messages to the mailbox go.
        webhook: Where messages to endpoints go.
        new_id: Makes a command id that nobody has used.
        is_outage: Tells a database that is away from a bug.
        chance: Draws evenly from 0 to 1; scatters the waits between tries.
        limits: Bounds.
    """

    def __init__(
        self,
        runner: Runner,
        mailbox: Mailbox,
        webhook: Outlet,
        *,
        new_id: Callable[[], str],
        is_outage: Callable[[BaseException], bool],
        chance: Callable[[], float],
        limits: Limits,
    ) -> None:
        self._runner = runner
        self._mailbox = mailbox
        self._webhook = webhook
        self._new_id = new_id
        self._is_outage = is_outage
        self._chance = chance
        self._limits = limits
        self._busy: dict[tuple[str, str], int] = {}
        self._done = asyncio.Event()
        self._recording = asyncio.Semaphore(_RECORDS_AT_A_TIME)

    async def work_mailbox(self) -> None:
        """Work the mailbox's queue until cancelled."""
        while True:
            # What is left of a full batch goes at once; otherwise let some more come together.
            if await self._survive(self.send_to_mailbox) < self._limits.mailbox_batch:
                await asyncio.sleep(self._limits.idle_s)

    async def work_webhooks(self) -> None:
        """Work the webhooks' queue until cancelled."""
        async with asyncio.TaskGroup() as tries:
            while True:
                self._done.clear()
                if not await self._survive(lambda: self.start_webhooks(tries)):
                    await self._idle()

    async def forget_settled(self) -> None:
        """Delete settled deliveries that are old, until cancelled."""
        while True:
            if await self._survive(self.forget_some) < _FORGET_BATCH:
                await asyncio.sleep(_FORGET_EVERY_S)

    async def forget_some(self) -> int:
        """Delete a batch of them; return how many."""

        async def use_case(work: Work) -> int:
            return await queue.forget(work.now - self._limits.keep, _FORGET_BATCH, work.sql)

        return await self._runner.execute(Cause(_NO_TENANT, self._new_id()), use_case)

    async def send_to_mailbox(self) -> int:
        """Put what is due into one tenant's mailboxes, in one unit; return how many that were."""

        async def look(work: Work) -> str | None:
            return await queue.tenant_with_mail(work.now, work.sql)

        async def use_case(work: Work) -> int:
            limit = self._limits.mailbox_batch
            taken = await queue.take_for_mailbox(work.cause.tenant, work.now, limit, work.sql)
            if taken:
                await self._mailbox.put(taken, work)
                await work.load(MESSAGE, [delivery.message_id for delivery in taken])
            for delivery in taken:
                await _say_sent(delivery, work)
            return len(taken)

        tenant = await self._runner.execute(Cause(_NO_TENANT, self._new_id()), look)
        if tenant is None:
            return 0
        return await self._runner.execute(Cause(tenant, self._new_id()), use_case)

    async def start_webhooks(self, tries: asyncio.TaskGroup) -> int:
        """Start a try for what is due; return how many were started."""
        free = self._limits.in_flight - sum(self._busy.values())
        if free <= 0:
            return 0
        busy = list(self._busy)

        async def claim(work: Work) -> list[Delivery]:
            return await queue.claim_webhooks(
                work.now, busy, free, self._limits.per_endpoint, work.sql
            )

        claimed = await self._runner.execute(Cause(_NO_TENANT, self._new_id()), claim)
        for delivery in claimed:
            endpoint = (delivery.tenant, delivery.endpoint_id)
            self._busy[endpoint] = self._busy.get(endpoint, 0) + 1
            tries.create_task(self._try(delivery))
        return len(claimed)

    async def _try(self, delivery: Delivery) -> None:
        try:
            await self.send_webhook(delivery)
        except Exception:  # noqa: BLE001 - one message's must not end the tries of all others
            _LOG.exception("the outcome of a try could not be recorded")
        finally:
            endpoint = (delivery.tenant, delivery.endpoint_id)
            self._busy[endpoint] -= 1
            if self._busy[endpoint] == 0:
                del self._busy[endpoint]
            self._done.set()

    async def send_webhook(self, delivery: Delivery) -> int:
        """Make one try and record how it ended."""
        outcome = await self._outcome(delivery)
        # What was sent and is not recorded would be sent again: insist, a few at a time.
        async with self._recording:
            for pause_s in _RECORD_PAUSES_S:
                if await self._survive(lambda: self._record(delivery, outcome)):
                    return 1
                await asyncio.sleep(pause_s)
        return 0

    async def _outcome(self, delivery: Delivery) -> Outcome:
        """Send; what a channel does not expect is a failure too, tried again and given up."""
        try:
            return await self._webhook.send(delivery)
        except Exception as error:  # noqa: BLE001 - handed on as the outcome
            _LOG.exception("a try failed unexpectedly")
            return Outcome(Result.RETRY, f"failed: {type(error).__name__}")

    async def _record(self, delivery: Delivery, outcome: Outcome) -> int:
        match outcome.result:
            case Result.TAKEN:
                await self._record_sent(delivery, outcome.detail)
            case Result.GONE:
                await self._record_failed(delivery, outcome, disable=True)
            case Result.RETRY:
                await self._retry(delivery, outcome)
        return 1

    async def _retry(self, delivery: Delivery, outcome: Outcome) -> None:
        chance = self._chance()

        async def use_case(work: Work) -> bool:
            due_at = next_attempt(
                delivery.attempts,
                delivery.first_attempt_at,
                work.now,
                outcome.asked_wait,
                chance,
            )
            if due_at is None:
                return False
            await queue.postpone(delivery, due_at, outcome.detail, work.sql)
            return True

        if not await self._runner.execute(_cause(delivery, "postponed"), use_case):
            await self._record_failed(delivery, outcome, disable=False)

    async def _record_sent(self, delivery: Delivery, detail: str) -> None:
        async def use_case(work: Work) -> None:
            await _say_sent(delivery, work)
            await queue.settle(delivery, "sent", detail, work.sql)

        await self._runner.execute(_cause(delivery, "sent"), use_case)

    async def _record_failed(self, delivery: Delivery, outcome: Outcome, *, disable: bool) -> None:
        async def use_case(work: Work) -> None:
            await work.handle(
                MESSAGE,
                delivery.message_id,
                RecordFailed(delivery.channel, delivery.endpoint_id, outcome.detail),
            )
            await queue.settle(delivery, "dead", outcome.detail, work.sql)
            if disable:
                await work.sql.execute(
                    "UPDATE webhook SET state = 'disabled', disabled_reason = 'gone'"
                    " WHERE tenant = $1 AND endpoint_id = $2 AND state = 'enabled'",
                    delivery.tenant,
                    delivery.endpoint_id,
                )

        await self._runner.execute(_cause(delivery, "failed"), use_case)

    async def _survive(self, step: Callable[[], Awaitable[int]]) -> int:
        """Take a step; when the database is away or a race is lost, the lease brings it back."""
        try:
            return await step()
        except Exception as error:
            if not isinstance(error, ConcurrentAppend) and not self._is_outage(error):
                raise
            _LOG.warning("sender waits: %r", error)
            return 0

    async def _idle(self) -> None:
        try:
            async with asyncio.timeout(self._limits.idle_s):
                await self._done.wait()
        except TimeoutError:
            pass


async def _say_sent(delivery: Delivery, work: Work) -> None:
    sent = RecordSent(delivery.channel, delivery.endpoint_id)
    await work.handle(MESSAGE, delivery.message_id, sent)


def _cause(delivery: Delivery, what: str) -> Cause:
    claim = (delivery.message_id, delivery.channel, delivery.endpoint_id, delivery.fence)
    return Cause(delivery.tenant, derive(what, *claim), causation_id=delivery.message_id)
