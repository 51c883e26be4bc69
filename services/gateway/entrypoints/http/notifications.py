"""The consumer's mailbox, and the platforms' webhooks."""

from services.gateway.entrypoints.http.contracts import NOTIFICATION
from services.gateway.entrypoints.http.routes import Route

_WEBHOOK = "/v1/webhooks/{webhook_id}"

ROUTES = (
    Route(
        "GET",
        "/v1/orders/{order_id}/messages",
        NOTIFICATION["ListMessages"],
        "The messages of an order, oldest first unless asked otherwise",
    ),
    # Secrets are shown once and stored nowhere, so these two answers are not kept either.
    Route(
        "POST",
        "/v1/webhooks",
        NOTIFICATION["RegisterWebhook"],
        "Register an endpoint; the secret is shown this once",
        status=201,
        minted="webhook_id",
        is_kept=False,
    ),
    Route(
        "POST",
        f"{_WEBHOOK}:rotate-secret",
        NOTIFICATION["RotateWebhookSecret"],
        "Make a new secret; it is shown this once",
        is_kept=False,
    ),
    Route("GET", "/v1/webhooks", NOTIFICATION["ListWebhooks"], "List the endpoints"),
    Route("DELETE", _WEBHOOK, NOTIFICATION["DeleteWebhook"], "Forget an endpoint"),
    Route("POST", f"{_WEBHOOK}:disable", NOTIFICATION["DisableWebhook"], "Stop deliveries"),
    Route("POST", f"{_WEBHOOK}:enable", NOTIFICATION["EnableWebhook"], "Resume deliveries"),
    Route(
        "GET",
        f"{_WEBHOOK}/deliveries",
        NOTIFICATION["ListWebhookDeliveries"],
        "List deliveries, newest first",
    ),
    Route(
        "POST",
        f"{_WEBHOOK}/deliveries/{{message_id}}:redeliver",
        NOTIFICATION["RedeliverWebhook"],
        "Send a message once more",
    ),
)
