"""Notification, put together. Production and tests call ``build`` with different parts."""

import secrets
from datetime import timedelta
from random import Random  # noqa: TID251 - seeded here, and only scatters waits

from oms.notification.v1.notification_service_pb2_grpc import (
    add_NotificationServiceServicer_to_server,
)

from services.kernel.adapters.database import is_outage
from services.kernel.main import Kernel, Service
from services.notification.adapters.event_codec import CODEC
from services.notification.adapters.mailbox import MailboxTable
from services.notification.adapters.publications import publish
from services.notification.adapters.webhook_http import WebhookHttp
from services.notification.application.sender import Limits, Sender
from services.notification.application.webhooks import WebhookHandlers
from services.notification.domain.signature import SECRET_BYTES, secret_of
from services.notification.entrypoints.grpc_server import SCOPES, NotificationGrpc
from services.notification.entrypoints.subscribers import subscriptions
from services.notification.settings import NotificationSettings


def build(kernel: Kernel) -> Service:
    """Put notification together."""
    settings = NotificationSettings()
    handlers = WebhookHandlers(kernel.runner, _new_secret)
    servicer = NotificationGrpc(
        handlers, kernel.reader, allow_private=settings.allow_private_webhooks
    )
    webhook = WebhookHttp(
        kernel.clock,
        timeout_s=settings.webhook_timeout_s,
        allow_private=settings.allow_private_webhooks,
        at_a_time=settings.webhooks_in_flight,
    )
    sender = Sender(
        kernel.runner,
        MailboxTable(),
        webhook,
        new_id=_new_id,
        is_outage=is_outage,
        chance=Random(settings.retry_seed).random,  # noqa: S311 - waits need no secrecy
        limits=Limits(
            idle_s=settings.idle_s,
            in_flight=settings.webhooks_in_flight,
            per_endpoint=settings.webhooks_per_endpoint,
            keep=timedelta(days=settings.keep_days),
        ),
    )

    async def work_webhooks() -> None:
        async with webhook:
            await sender.work_webhooks()

    return Service(
        name="notification",
        codec=CODEC,
        publish=publish,
        subscriptions=subscriptions(),
        grpc=(lambda server: add_NotificationServiceServicer_to_server(servicer, server),),
        scopes=SCOPES,
        tasks=(sender.work_mailbox, work_webhooks, sender.forget_settled),
    )


def _new_id() -> str:
    return secrets.token_hex(16)


def _new_secret() -> str:
    return secret_of(secrets.token_bytes(SECRET_BYTES))
