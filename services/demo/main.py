"""The demo, put together: what the command line calls."""

import secrets

from services.demo.adapters.http_client import HttpApi
from services.demo.adapters.summary_table import as_json, render
from services.demo.application import campaign, loading
from services.demo.application.campaign import ORDERS_AT_ONCE, Summary
from services.demo.application.loading import LoadReport
from services.demo.application.ports import Progress
from services.demo.domain.chain import chain
from services.demo.domain.shopping import Shop

__all__ = ["LoadReport", "Progress", "Summary", "as_json", "load_chain", "render", "run_orders"]

_RUN_ID_BYTES = 6


async def load_chain(base_url: str, api_key: str, seed: int, progress: Progress) -> LoadReport:
    """Load the chain of ``seed``; a second time nothing changes.

    Args:
        base_url: Of the gateway, for example ``http://127.0.0.1:8080``.
        api_key: With the scopes ``catalog:write``, ``stock:write`` and ``sourcing:read``.
        seed: Of everything that is made up.
        progress: Told what is being loaded, how many rows are in, and how many there are.
    """
    async with HttpApi(base_url, api_key) as api:
        return await loading.load(api, chain(seed), secrets.token_hex(_RUN_ID_BYTES), progress)


async def run_orders(
    base_url: str,
    api_key: str,
    seed: int,
    count: int,
    progress: Progress,
    at_once: int = ORDERS_AT_ONCE,
) -> Summary:
    """Play ``count`` orders to their end; those of a run that was cut off are carried on.

    Args:
        base_url: Of the gateway.
        api_key: With read and write scopes of orders, picking and delivery, and ``sourcing:read``.
        seed: The one that ``load_chain`` got.
        count: How many orders; the first n of a seed are always the same.
        progress: Told ``("orders", done, count)``.
        at_once: How many are under way at a time.
    """
    shop = Shop.of(chain(seed))
    async with HttpApi(base_url, api_key) as api:
        run_id = secrets.token_hex(_RUN_ID_BYTES)
        return await campaign.run(api, shop, count, run_id, progress, at_once)
