"""The demo against the whole system, through its public door."""

import secrets
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from services.demo.adapters.http_client import HttpApi
from services.demo.application import campaign, loading
from services.demo.domain.chain import chain
from services.demo.domain.shopping import Shop
from services.kernel.adapters.ports import free_port
from services.kernel.main import KernelSettings
from services.kernel.main.embedded import running

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]

PRODUCTS = 150
ORDERS = 12


def quiet(_what: str, _done: int, _total: int) -> None: ...


async def test_orders_of_the_made_up_chain_come_to_their_end(
    postgres_dsn: str, tmp_path: Path
) -> None:
    settings = KernelSettings(
        data_home=tmp_path,
        postgres_dsn=postgres_dsn,
        database_prefix=f"d{secrets.token_hex(4)}_",
        http_port=free_port(),
        grpc_port=free_port(),
        health_port=free_port(),
    )
    whole = chain(11)
    small = replace(whole, products=whole.products[:PRODUCTS])
    async with running(settings, lambda _line: None) as system:
        key = await system.demo_key(settings.data_home)
        async with HttpApi(system.addresses.http, key) as api:
            first = await loading.load(api, small, "run-1", quiet)
            assert first.problems == []
            assert first.changed > PRODUCTS
            again = await loading.load(api, small, "run-2", quiet)
            assert again.problems == []
            assert (again.changed, again.unchanged) == (0, first.changed)

            shop = Shop.of(small)
            half = await campaign.run(api, shop, ORDERS // 2, "run-3", quiet, at_once=4)
            told = await campaign.run(api, shop, ORDERS, "run-4", quiet, at_once=4)
    assert half.is_clean, half.stuck
    assert told.is_clean, told.stuck
    assert set(told.by_status) <= {"completed", "refused"}, told.by_status
    assert told.by_status["completed"] > ORDERS // 2
    assert Counter(half.by_status) <= Counter(told.by_status)
    assert told.captured_minor > half.captured_minor > 0
    assert told.cost_minor > 0
    assert sum(told.by_tier.values()) >= told.groups
