"""The feeds of the stock ledger, in batches; what could not be posted; what is to be counted."""

from services.gateway.entrypoints.http.contracts import FEEDS
from services.gateway.entrypoints.http.routes import Route

_FEED = "/v1/stock/feeds/"

ROUTES = (
    Route("POST", f"{_FEED}receipts:batch", FEEDS["PostReceipts"], "Post goods receipts"),
    Route("POST", f"{_FEED}shrinkage:batch", FEEDS["PostShrinkage"], "Post losses"),
    Route("POST", f"{_FEED}till-sales:batch", FEEDS["PostTillSales"], "Post till sales"),
    Route(
        "POST",
        f"{_FEED}online:batch",
        FEEDS["PostOnlineMovements"],
        "Post what an e-commerce platform did with its orders",
    ),
    Route(
        "POST",
        f"{_FEED}reservations:batch",
        FEEDS["PostReservations"],
        "Reserve, confirm and release many reservations",
    ),
    Route("POST", f"{_FEED}returns:batch", FEEDS["PostReturns"], "Post customers' returns"),
    Route(
        "POST",
        f"{_FEED}transport:batch",
        FEEDS["PostTransport"],
        "Post what was shipped, received, delivered or lost on the way",
    ),
    Route(
        "POST",
        f"{_FEED}unreadable:batch",
        FEEDS["ReportUnreadableRows"],
        "Put rows that could not be read into quarantine",
    ),
    Route("GET", "/v1/stock/quarantine", FEEDS["ListQuarantinedRows"], "Show rows in quarantine"),
    Route(
        "GET",
        "/v1/stock/discrepancies",
        FEEDS["ListDiscrepancies"],
        "Show what is to be counted at a site, because its books went below zero",
    ),
)
