"""A retailer's platform gets a key, does what it may, and loses it."""

import json
import re

import httpx
import pytest

from tests.support.embedded import Embedded

pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="session"),
]

TOKEN = re.compile(r"oms_dev_([0-9a-f]{16})_[0-9a-f]{64}")


async def issued(system: Embedded, tenant: str, *arguments: str) -> tuple[str, str]:
    code, out = await system.oms("keys", "issue", tenant, *arguments)
    found = TOKEN.search(out)
    assert code == 0, out
    assert found is not None, out
    return found[0], found[1]


async def test_a_key_opens_what_it_says_and_only_for_its_tenant(system: Embedded) -> None:
    token, key_id = await issued(system, "lafermette", "--scope", "orders:read", "--days", "30")
    unused, unused_id = await issued(system, "lafermette", "--scope", "orders:read")

    async with httpx.AsyncClient(base_url=system.address) as http:
        mine = {"Authorization": f"Bearer {token}"}
        listed = await http.get("/v1/orders", headers=mine)
        assert (listed.status_code, listed.json()["orders"]) == (200, [])
        denied = await http.get("/v1/tasks", params={"site_id": "S"}, headers=mine)
        assert denied.status_code == 403

        code, out = await system.oms("keys", "list", "lafermette", "--json")
        assert code == 0, out
        keys = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        assert [one["key_id"] for one in keys] == [key_id, unused_id]
        assert [bool(one["expires_at"]) for one in keys] == [True, False]
        assert token.rpartition("_")[2] not in out

        code, out = await system.oms("keys", "revoke", "someone-else", unused_id)
        assert (code, "no key" in out) == (1, True)
        code, out = await system.oms("keys", "revoke", "lafermette", unused_id)
        assert code == 0, out
        # Never used before, so no process remembers it.
        gone = await http.get("/v1/orders", headers={"Authorization": f"Bearer {unused}"})
        assert gone.status_code == 401
