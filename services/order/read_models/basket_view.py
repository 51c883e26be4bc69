"""One row per basket, as it is.

Answers    OrderService.GetBasket, QuoteBasket
Fed by     this service's own events, in the order of its log
Staleness  milliseconds; a caller that just wrote passes ``min_version`` and waits
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from services.kernel.application.columns import packed, unnested
from services.kernel.application.work import Sql, Versioned
from services.kernel.domain.messages import Recorded, category_of
from services.kernel.read_models.read_model import ReadModel
from services.order.domain.basket import BASKET, Basket

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Basket)


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Fold the batch onto the baskets' rows; an event that a row knows already is passed over."""
    events = [recorded for recorded in batch if category_of(recorded.stream) == "basket"]
    if not events:
        return
    known = await _known({(recorded.tenant, recorded.key) for recorded in events}, sql)
    for recorded in events:
        key = (recorded.tenant, recorded.key)
        basket = known.get(key, Versioned(BASKET.initial, 0))
        if recorded.version > basket.version:
            known[key] = Versioned(BASKET.evolve(basket.state, recorded.event), recorded.version)
    rows = [
        (*key, _ENCODER.encode(basket.state).decode(), basket.version)
        for key, basket in known.items()
    ]
    await sql.execute(
        "INSERT INTO basket_view AS b (tenant, basket_id, body, version)"
        f" SELECT * FROM {unnested('text text text bigint')}"
        " ON CONFLICT (tenant, basket_id) DO UPDATE"
        " SET body = excluded.body, version = excluded.version WHERE excluded.version > b.version",
        *packed(rows),
    )


async def _known(keys: set[tuple[str, str]], sql: Sql) -> dict[tuple[str, str], Versioned[Basket]]:
    tenants, basket_ids = zip(*keys, strict=True)
    rows = await sql.fetch(
        "SELECT tenant, basket_id, body, version FROM basket_view"
        " JOIN unnest($1::text[], $2::text[]) AS k (tenant, basket_id) USING (tenant, basket_id)",
        *(list(tenants), list(basket_ids)),
    )
    return {
        (row["tenant"], row["basket_id"]): Versioned(_DECODER.decode(row["body"]), row["version"])
        for row in rows
    }


async def basket_of(sql: Sql, *, tenant: str, basket_id: str) -> Versioned[Basket] | None:
    """Return a basket, or nothing when the tenant has none under this id."""
    row = await sql.fetchrow(
        "SELECT body, version FROM basket_view WHERE tenant = $1 AND basket_id = $2",
        *(tenant, basket_id),
    )
    return Versioned(_DECODER.decode(row["body"]), row["version"]) if row else None


BASKET_VIEW = ReadModel("basket_view", ("basket_view",), project)
