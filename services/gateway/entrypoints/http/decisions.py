"""Why an order is prepared where it is: receipts of decisions, and their replay."""

from services.gateway.entrypoints.http.contracts import SOURCING
from services.gateway.entrypoints.http.routes import Route

ROUTES = (
    Route(
        "GET",
        "/v1/orders/{order_id}/decisions",
        SOURCING["ListDecisions"],
        "Every decision made for an order",
    ),
    Route(
        "GET",
        "/v1/decisions/{decision_id}",
        SOURCING["GetDecision"],
        "Show a decision with its receipt",
        shows="decision",
    ),
    Route(
        "POST",
        "/v1/decisions/{decision_id}:replay",
        SOURCING["ReplayDecision"],
        "Run the policy again on what it saw, and compare",
    ),
)
