"""Returns: what comes back, what happens to it, what is given back for it."""

from services.gateway.entrypoints.http.contracts import RETURNS
from services.gateway.entrypoints.http.routes import Route

_CASE = "/v1/returns/{return_id}"

ROUTES = (
    Route(
        "POST",
        "/v1/returns",
        RETURNS["OpenReturn"],
        "Open a case for delivered units",
        status=201,
        minted="return_id",
        location=_CASE,
    ),
    Route("GET", "/v1/returns", RETURNS["ListReturns"], "List cases, newest first"),
    Route("GET", _CASE, RETURNS["GetReturn"], "Show a case", shows="return_case"),
    Route(
        "POST",
        f"{_CASE}:withdraw",
        RETURNS["WithdrawReturn"],
        "Withdraw a case of which nothing was inspected",
    ),
    Route("POST", f"{_CASE}:inspect", RETURNS["InspectReturn"], "Say what happens to the goods"),
    Route("GET", f"{_CASE}/refund-preview", RETURNS["PreviewRefund"], "Preview the refund"),
    Route("POST", f"{_CASE}:validate", RETURNS["ValidateRefund"], "Confirm the refund"),
    Route(
        "GET",
        "/v1/orders/{order_id}/returnable",
        RETURNS["GetReturnable"],
        "What of an order may still be returned",
    ),
)
