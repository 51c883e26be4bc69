"""Administering endpoints.

They are configuration, not history: plain rows, no stream, so that no secret is ever in the log.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.kernel.application.runner import Runner
from services.kernel.application.work import Work
from services.kernel.domain.errors import NotFound, Rejected
from services.kernel.domain.messages import Cause

MAX_WEBHOOKS = 20
OLD_SECRET_LIVES = timedelta(days=1)


class Refusal(StrEnum):
    TOO_MANY_WEBHOOKS = "TOO_MANY_WEBHOOKS"
    ID_REUSED = "IDEMPOTENCY_MISMATCH"
    DELIVERY_PENDING = "STEP_CONFLICT"


@dataclass(frozen=True, slots=True)
class Registered:
    """``secret`` is empty unless this request made it."""

    registered_at: datetime
    secret: str


@dataclass(frozen=True, slots=True)
class Rotated:
    secret: str
    old_secret_until: datetime


class WebhookHandlers:
    """Args: ``new_secret`` makes a secret nobody can guess."""

    def __init__(self, runner: Runner, new_secret: Callable[[], str]) -> None:
        self._runner = runner
        self._new_secret = new_secret

    async def register(self, cause: Cause, endpoint_id: str, url: str) -> Registered:
        """Register an endpoint; the same request again gets the same answer."""
        secret = self._new_secret()

        async def use_case(work: Work) -> Registered:
            tenant = work.cause.tenant
            # One registration of a tenant at a time, or two could both be the last one allowed.
            await work.sql.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", tenant)
            known = await work.sql.fetchrow(
                "SELECT url, secret, request_id, registered_at, state FROM webhook"
                " WHERE tenant = $1 AND endpoint_id = $2",
                tenant,
                endpoint_id,
            )
            if known is not None:
                same = known["request_id"] == work.cause.command_id and known["url"] == url
                if not same or known["state"] == "deleted":
                    raise Rejected(
                        Refusal.ID_REUSED,
                        f"webhook {endpoint_id} was registered before; choose another id",
                    )
                return Registered(known["registered_at"], known["secret"])
            count = await work.sql.fetchval(
                "SELECT count(*) FROM webhook WHERE tenant = $1 AND state <> 'deleted'", tenant
            )
            if count >= MAX_WEBHOOKS:
                raise Rejected(
                    Refusal.TOO_MANY_WEBHOOKS, f"a tenant has at most {MAX_WEBHOOKS}; delete one"
                )
            await work.sql.execute(
                "INSERT INTO webhook (tenant, endpoint_id, url, secret, request_id, registered_at)"
                " VALUES ($1, $2, $3, $4, $5, $6)",
                tenant,
                endpoint_id,
                url,
                secret,
                work.cause.command_id,
                work.now,
            )
            return Registered(work.now, secret)

        return await self._runner.execute(cause, use_case)

    async def disable(self, cause: Cause, endpoint_id: str) -> None:
        """Stop deliveries by request."""
        await self._set_state(cause, endpoint_id, "disabled", "requested")

    async def enable(self, cause: Cause, endpoint_id: str) -> None:
        """Resume deliveries."""
        await self._set_state(cause, endpoint_id, "enabled", "")

    async def delete(self, cause: Cause, endpoint_id: str) -> None:
        """Forget an endpoint; its secret goes at once, its row stays so that its id does."""

        async def use_case(work: Work) -> None:
            tenant = work.cause.tenant
            await _change(
                work,
                "UPDATE webhook SET state = 'deleted', secret = '', old_secret = ''"
                " WHERE tenant = $1 AND endpoint_id = $2",
                endpoint_id,
            )
            await work.sql.execute(
                "UPDATE delivery SET state = 'dead', last_outcome = 'endpoint deleted'"
                " WHERE tenant = $1 AND endpoint_id = $2 AND channel = 'webhook'"
                " AND state = 'pending'",
                tenant,
                endpoint_id,
            )

        await self._runner.execute(cause, use_case)

    async def rotate(self, cause: Cause, endpoint_id: str) -> Rotated:
        """Make a new secret; the old one signs too for a day. The same request, the same one."""
        secret = self._new_secret()

        async def use_case(work: Work) -> Rotated:
            row = await work.sql.fetchrow(
                "UPDATE webhook SET"
                " old_secret = CASE WHEN rotation_id = $3 THEN old_secret ELSE secret END,"
                " old_secret_until = CASE WHEN rotation_id = $3 THEN old_secret_until ELSE $5 END,"
                " secret = CASE WHEN rotation_id = $3 THEN secret ELSE $4 END,"
                " rotation_id = $3"
                " WHERE tenant = $1 AND endpoint_id = $2 AND state <> 'deleted'"
                " RETURNING secret, old_secret_until",
                work.cause.tenant,
                endpoint_id,
                work.cause.command_id,
                secret,
                work.now + OLD_SECRET_LIVES,
            )
            if row is None:
                raise NotFound("webhook", endpoint_id)
            return Rotated(row["secret"], row["old_secret_until"])

        return await self._runner.execute(cause, use_case)

    async def redeliver(self, cause: Cause, endpoint_id: str, message_id: str) -> None:
        """Make a sent or dead delivery pending again; once per request."""

        async def use_case(work: Work) -> None:
            key = (work.cause.tenant, endpoint_id, message_id)
            row = await work.sql.fetchrow(
                "SELECT d.state, d.redelivery_id, w.state AS endpoint_state FROM delivery d"
                " JOIN webhook w ON w.tenant = d.tenant AND w.endpoint_id = d.endpoint_id"
                " WHERE d.tenant = $1 AND d.endpoint_id = $2 AND d.message_id = $3"
                " AND d.channel = 'webhook' AND w.state <> 'deleted' FOR UPDATE OF d",
                *key,
            )
            if row is None:
                raise NotFound("delivery", message_id)
            if row["redelivery_id"] == work.cause.command_id:
                return
            if row["state"] == "pending":
                raise Rejected(Refusal.DELIVERY_PENDING, "the delivery is still being tried")
            await work.sql.execute(
                "UPDATE delivery SET state = 'pending', attempts = 0, first_attempt_at = NULL,"
                " next_attempt_at = $4, redelivery_id = $5, fence = fence + 1"
                " WHERE tenant = $1 AND endpoint_id = $2 AND message_id = $3"
                " AND channel = 'webhook'",
                *key,
                work.now,
                work.cause.command_id,
            )

        await self._runner.execute(cause, use_case)

    async def _set_state(self, cause: Cause, endpoint_id: str, state: str, reason: str) -> None:
        async def use_case(work: Work) -> None:
            await _change(
                work,
                "UPDATE webhook SET state = $3, disabled_reason = $4"
                " WHERE tenant = $1 AND endpoint_id = $2 AND state <> 'deleted'",
                endpoint_id,
                state,
                reason,
            )

        await self._runner.execute(cause, use_case)


async def _change(work: Work, statement: str, endpoint_id: str, *args: str) -> None:
    done = await work.sql.execute(statement, work.cause.tenant, endpoint_id, *args)
    if done.endswith(" 0"):
        raise NotFound("webhook", endpoint_id)
