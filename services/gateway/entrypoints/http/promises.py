"""What may be promised, and the rules for it."""

from typing import Annotated

import msgspec
from fastapi import Query, Request, Response
from oms.stock_ledger.v1 import promise_service_pb2 as wire

from services.gateway.entrypoints.http.bodies import json_response
from services.gateway.entrypoints.http.contracts import PROMISES
from services.gateway.entrypoints.http.document import described
from services.gateway.entrypoints.http.incoming import incoming
from services.gateway.entrypoints.http.parameters import refuse_stray
from services.gateway.entrypoints.http.problems import problem
from services.gateway.entrypoints.http.resource import Resource
from services.gateway.entrypoints.http.routes import Face, Route
from services.gateway.entrypoints.http.schemas import usual
from services.gateway.entrypoints.http.streams import MAX_SECONDS, Streams
from services.gateway.entrypoints.http.wire import to_json

MOST_PAIRS = 500

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
    Route(
        "GET",
        "/v1/stock/board",
        PROMISES["GetStockBoard"],
        "Show products with their sites, as people look at stock",
    ),
    Route("GET", "/v1/stock/rules", PROMISES["ListStockRules"], "Show the rules in force"),
    Route(
        "POST",
        "/v1/stock/inbound:batch",
        PROMISES["PutInbound"],
        "Tell what is expected to arrive, and when",
    ),
)


def promise_bytes(answer: wire.WatchPromisesResponse) -> bytes:
    """Return one event with the promises that changed; without any it is a comment."""
    if not answer.promises:
        return b": still here\n\n"
    data = msgspec.json.encode(to_json(answer)["promises"]).decode()
    return f"event: promises\ndata: {data}\n\n".encode()


def resource(face: Face, streams: Streams) -> Resource:
    """Return the routes of promises."""
    promises = Resource("promises", face)

    @promises.get(
        "/v1/stock/promises/stream",
        summary="Follow what may be promised of products at sites, live",
        **described(
            PROMISES["WatchPromises"], answer={"type": "string"}, media_type="text/event-stream"
        ),
    )
    async def stream(
        request: Request,
        sku: Annotated[list[str], Query(description="Once for each product.")],
        site_id: Annotated[list[str], Query(description="Once for each site.")],
        channel: Annotated[str, Query(default_factory=str, description=usual("channel"))],
    ) -> Response:
        """Tell all at first, then what changes; at most 500 pairs of product and site."""
        await face.caller(request)  # nobody unknown makes us multiply
        if len(sku) * len(site_id) > MOST_PAIRS:
            told = f"must be at most {MOST_PAIRS} pairs of product and site; open several streams"
            raise problem("MALFORMED_REQUEST", errors=[("?sku", told)])
        pairs = [wire.PromisePair(site_id=site, sku=one) for one in sku for site in site_id]
        watched = wire.WatchPromisesRequest(pairs=pairs, channel=channel, max_seconds=MAX_SECONDS)
        asked = wire.GetPromisesRequest(pairs=pairs, channel=channel)
        metadata = incoming(request.scope).metadata()
        return await streams.follow(
            face.remote,
            metadata,
            PROMISES["WatchPromises"],
            watched,
            promise_bytes,
            PROMISES["GetPromises"],
            asked,
        )

    @promises.get(
        "/v1/stock/page",
        summary="Show the address of the stock pages",
        **described(
            PROMISES["GetStockBoard"],
            answer={
                "type": "object",
                "required": ["stock_page_url", "expires_at"],
                "properties": {
                    "stock_page_url": {"type": "string", "format": "uri-reference"},
                    "expires_at": {"type": "string", "format": "date-time"},
                },
            },
        ),
    )
    async def page(request: Request) -> Response:
        """Show where staff look at stock and the ledger without a key, and until when it holds.

        Whoever has the address sees them.
        """
        refuse_stray(request, ())
        tenant, brought = (await face.caller(request)).tenant, incoming(request.scope)
        # It is shown to whom the ledger would show the same with his key.
        await face.remote.call(
            PROMISES["GetStockBoard"],
            wire.GetStockBoardRequest(page_size=1),
            brought.metadata(),
            brought.timeout_s,
        )
        url, expires_at = face.stock_pages(tenant)
        return json_response(
            {"stock_page_url": url, "expires_at": f"{expires_at:%Y-%m-%dT%H:%M:%SZ}"},
            200,
            {"Cache-Control": "no-store"},
        )

    promises.add(ROUTES)
    return promises
