"""Hot products, the long way: a hundred thousand holds run out while others buy."""

import pytest

from services.kernel.entrypoints.calls import CALLER, Caller
from tests.integration.stock_ledger.test_hot_products import Clock, Shop, expiry_storm
from tests.support.stack import TENANT, running

pytestmark = [pytest.mark.stack, pytest.mark.soak, pytest.mark.timeout(1_800)]

_MOST_S = 60


async def test_a_hundred_thousand_holds_run_out_in_a_minute_and_nothing_leaks(
    postgres_dsn: str,
) -> None:
    CALLER.set(Caller(TENANT, "key-1", frozenset({"stock:write"}), "correlation-1", ""))
    clock = Clock()
    async with running(postgres_dsn, ["stock_ledger"], clock=clock) as stack:
        took_s = await expiry_storm(Shop(stack, clock), 100_000)
    assert took_s < _MOST_S, f"they took {took_s:.0f} s"
