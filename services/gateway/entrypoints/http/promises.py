"""What may be promised, and the rules for it."""

from services.gateway.entrypoints.http.contracts import PROMISES
from services.gateway.entrypoints.http.routes import Route

ROUTES = (
    Route(
        "POST",
        "/v1/stock/promises:batch",
        PROMISES["GetPromises"],
        "Show what may be promised of up to 1000 pairs of site and product",
    ),
    Route(
        "POST",
        "/v1/stock/promises:basket",
        PROMISES["GetBasketPromises"],
        "Say which sites could carry out a basket alone, for a channel",
    ),
    Route(
        "POST",
        "/v1/stock/rules:batch",
        PROMISES["PutStockRules"],
        "Set or withdraw safety stocks, buffers and ring-fences",
    ),
    Route("GET", "/v1/stock/rules", PROMISES["ListStockRules"], "Show the rules in force"),
    Route(
        "POST",
        "/v1/stock/inbound:batch",
        PROMISES["PutInbound"],
        "Tell what is expected to arrive, and when",
    ),
)
