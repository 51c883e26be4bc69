"""NotificationService over gRPC: translate in, hand over, translate out. No rule lives here."""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any, override

from oms.common.v1.common_pb2 import LocalizedText
from oms.notification.v1 import notification_service_pb2 as wire
from oms.notification.v1 import notification_service_pb2_grpc as rpc

from services.kernel.application.runner import Reader
from services.kernel.domain.errors import Invalid, NotFound
from services.kernel.domain.ids import identifier
from services.kernel.entrypoints.calls import caller, cause
from services.notification.application.webhooks import WebhookHandlers
from services.notification.domain.message import Occasion
from services.notification.domain.webhook_url import checked_url
from services.notification.read_models import mailbox, webhooks

MAX_PAGE = 200
DEFAULT_PAGE = 50

SCOPES = {
    f"/oms.notification.v1.NotificationService/{method}": scope
    for scope, methods in {
        "notifications:read": ("ListMessages", "ListWebhooks", "ListWebhookDeliveries"),
        "notifications:write": (
            "RegisterWebhook",
            "DisableWebhook",
            "EnableWebhook",
            "DeleteWebhook",
            "RotateWebhookSecret",
            "RedeliverWebhook",
        ),
    }.items()
    for method in methods
}

_KINDS = {
    Occasion.STEP: wire.MESSAGE_KIND_STEP,
    Occasion.SHORTED: wire.MESSAGE_KIND_SHORTED,
    Occasion.REFUSED: wire.MESSAGE_KIND_REFUSED,
    Occasion.CANCELLED: wire.MESSAGE_KIND_CANCELLED,
    Occasion.REFUNDED: wire.MESSAGE_KIND_REFUNDED,
}
_WEBHOOK_STATUSES = {
    "enabled": wire.WEBHOOK_STATUS_ENABLED,
    "disabled": wire.WEBHOOK_STATUS_DISABLED,
}
_DELIVERY_STATUSES = {
    "pending": wire.DELIVERY_STATUS_PENDING,
    "sent": wire.DELIVERY_STATUS_SENT,
    "dead": wire.DELIVERY_STATUS_DEAD,
}
_SEQUENCE = re.compile(r"[0-9]{1,18}")
_STATES = {status: state for state, status in _DELIVERY_STATUSES.items()}


class NotificationGrpc(rpc.NotificationServiceServicer):
    def __init__(self, handlers: WebhookHandlers, reader: Reader, *, allow_private: bool) -> None:
        self._handlers = handlers
        self._reader = reader
        self._allow_private = allow_private

    @override
    async def ListMessages(
        self, request: wire.ListMessagesRequest, context: Any
    ) -> wire.ListMessagesResponse:
        limit = _page_size(request.page_size)
        order_id = identifier(request.order_id, "order_id")
        after = None
        if request.page_token:
            sequence, message_id = _from_token(request.page_token)
            if _SEQUENCE.fullmatch(sequence) is None:
                raise Invalid(("page_token", "is not one of ours"))
            after = (int(sequence), message_id)
        # One more than asked for tells whether there is a next page.
        shown = await mailbox.of_order(
            self._reader.sql,
            caller().tenant,
            order_id,
            after=after,
            limit=limit + 1,
            is_newest_first=request.newest_first,
        )
        has_more, shown = len(shown) > limit, shown[:limit]
        return wire.ListMessagesResponse(
            messages=[_message(message) for message in shown],
            next_page_token=_to_token(str(shown[-1].sequence), shown[-1].message_id)
            if has_more
            else "",
        )

    @override
    async def RegisterWebhook(
        self, request: wire.RegisterWebhookRequest, context: Any
    ) -> wire.RegisterWebhookResponse:
        endpoint_id = identifier(request.webhook_id, "webhook_id")
        url = checked_url(request.url, allow_private=self._allow_private)
        registered = await self._handlers.register(cause(request.request_id), endpoint_id, url)
        shown = webhooks.ShownWebhook(endpoint_id, url, "enabled", "", registered.registered_at)
        return wire.RegisterWebhookResponse(webhook=_webhook(shown), secret=registered.secret)

    @override
    async def ListWebhooks(
        self, request: wire.ListWebhooksRequest, context: Any
    ) -> wire.ListWebhooksResponse:
        shown = await webhooks.webhooks_of(self._reader.sql, caller().tenant)
        return wire.ListWebhooksResponse(webhooks=[_webhook(each) for each in shown])

    @override
    async def DisableWebhook(
        self, request: wire.DisableWebhookRequest, context: Any
    ) -> wire.DisableWebhookResponse:
        endpoint_id = identifier(request.webhook_id, "webhook_id")
        await self._handlers.disable(cause(request.request_id), endpoint_id)
        return wire.DisableWebhookResponse()

    @override
    async def EnableWebhook(
        self, request: wire.EnableWebhookRequest, context: Any
    ) -> wire.EnableWebhookResponse:
        endpoint_id = identifier(request.webhook_id, "webhook_id")
        await self._handlers.enable(cause(request.request_id), endpoint_id)
        return wire.EnableWebhookResponse()

    @override
    async def DeleteWebhook(
        self, request: wire.DeleteWebhookRequest, context: Any
    ) -> wire.DeleteWebhookResponse:
        endpoint_id = identifier(request.webhook_id, "webhook_id")
        await self._handlers.delete(cause(request.request_id), endpoint_id)
        return wire.DeleteWebhookResponse()

    @override
    async def RotateWebhookSecret(
        self, request: wire.RotateWebhookSecretRequest, context: Any
    ) -> wire.RotateWebhookSecretResponse:
        endpoint_id = identifier(request.webhook_id, "webhook_id")
        rotated = await self._handlers.rotate(cause(request.request_id), endpoint_id)
        response = wire.RotateWebhookSecretResponse(secret=rotated.secret)
        response.old_secret_until.FromDatetime(rotated.old_secret_until)
        return response

    @override
    async def ListWebhookDeliveries(
        self, request: wire.ListWebhookDeliveriesRequest, context: Any
    ) -> wire.ListWebhookDeliveriesResponse:
        limit = _page_size(request.page_size)
        endpoint_id = identifier(request.webhook_id, "webhook_id")
        tenant = caller().tenant
        if request.status and request.status not in _STATES:
            raise Invalid(("status", "is unknown"))
        before = _moment_of(request.page_token) if request.page_token else None
        if await webhooks.webhook(self._reader.sql, tenant, endpoint_id) is None:
            raise NotFound("webhook", endpoint_id)
        shown = await webhooks.deliveries(
            self._reader.sql,
            tenant,
            endpoint_id,
            state=_STATES.get(request.status, ""),
            before=before,
            limit=limit + 1,
        )
        has_more, shown = len(shown) > limit, shown[:limit]
        return wire.ListWebhookDeliveriesResponse(
            deliveries=[_delivery(each) for each in shown],
            next_page_token=_to_token(shown[-1].queued_at.isoformat(), shown[-1].message_id)
            if has_more
            else "",
        )

    @override
    async def RedeliverWebhook(
        self, request: wire.RedeliverWebhookRequest, context: Any
    ) -> wire.RedeliverWebhookResponse:
        await self._handlers.redeliver(
            cause(request.request_id),
            identifier(request.webhook_id, "webhook_id"),
            identifier(request.message_id, "message_id"),
        )
        return wire.RedeliverWebhookResponse()


def _page_size(asked: int) -> int:
    limit = asked or DEFAULT_PAGE
    if not 1 <= limit <= MAX_PAGE:
        raise Invalid(("page_size", f"must be 1 to {MAX_PAGE}"))
    return limit


def _message(shown: mailbox.ShownMessage) -> wire.Message:
    message = wire.Message(
        message_id=shown.message_id,
        order_id=shown.order_id,
        group_id=shown.group_id,
        step_id=shown.step_id,
        kind=_KINDS[shown.occasion],
        text=LocalizedText(fr=shown.text.fr, en=shown.text.en),
    )
    message.occurred_at.FromDatetime(shown.occurred_at)
    return message


def _webhook(shown: webhooks.ShownWebhook) -> wire.Webhook:
    webhook = wire.Webhook(
        webhook_id=shown.endpoint_id,
        url=shown.url,
        status=_WEBHOOK_STATUSES[shown.state],
        disabled_reason=shown.disabled_reason,
    )
    webhook.registered_at.FromDatetime(shown.registered_at)
    return webhook


def _delivery(shown: webhooks.ShownDelivery) -> wire.WebhookDelivery:
    delivery = wire.WebhookDelivery(
        message_id=shown.message_id,
        order_id=shown.order_id,
        status=_DELIVERY_STATUSES[shown.state],
        attempts=shown.attempts,
        last_outcome=shown.last_outcome,
    )
    if shown.state == "pending":
        delivery.next_attempt_at.FromDatetime(shown.next_attempt_at)
    delivery.queued_at.FromDatetime(shown.queued_at)
    return delivery


def _to_token(*parts: str) -> str:
    return base64.urlsafe_b64encode("|".join(parts).encode()).decode()


def _from_token(token: str) -> tuple[str, str]:
    try:
        first, _, second = base64.urlsafe_b64decode(token).decode().partition("|")
    except (binascii.Error, ValueError) as error:
        raise Invalid(("page_token", "is not one of ours")) from error
    return first, identifier(second, "page_token")


def _moment_of(token: str) -> tuple[datetime, str]:
    first, message_id = _from_token(token)
    try:
        at = datetime.fromisoformat(first)
        if at.tzinfo is None:
            raise ValueError("no time zone")
        return at.astimezone(UTC), message_id
    except (ValueError, OverflowError) as error:
        raise Invalid(("page_token", "must be one that an answer carried")) from error
