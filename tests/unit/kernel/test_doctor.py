"""What the doctor sees of what runs."""

from pathlib import Path

import httpx
import pytest
from starlette.responses import Response
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from services.gateway.entrypoints.http.middleware import Around
from services.kernel.adapters.telemetry import Metrics, ProcessTelemetry
from services.kernel.entrypoints.health import HealthEndpoint
from services.kernel.main.doctor import examine
from services.kernel.settings import KernelSettings

PROXY, CUSTOMER = "10.0.0.5", "203.0.113.7"


@pytest.mark.parametrize(
    ("trusted", "forwarded", "state"),
    [
        ("127.0.0.1", CUSTOMER, "absent"),
        (PROXY, CUSTOMER, "fine"),
        (f"{PROXY},{CUSTOMER}", CUSTOMER, "fine"),
        (PROXY, "", "fine"),
        ("127.0.0.1", "", "fine"),
    ],
)
async def test_a_proxy_that_is_not_believed_is_told_of(
    trusted: str, forwarded: str, state: str, tmp_path: Path
) -> None:
    telemetry = ProcessTelemetry(Metrics())
    around = Around(Response(), lambda: None, lambda _: None)
    around.telemetry = telemetry
    passed_on = httpx.ASGITransport(
        app=ProxyHeadersMiddleware(around, trusted_hosts=trusted),  # type: ignore[arg-type]
        client=(PROXY, 4711),
    )
    async with httpx.AsyncClient(transport=passed_on, base_url="http://oms.test") as http:
        await http.get("/", headers={"X-Forwarded-For": forwarded} if forwarded else {})
    endpoint = HealthEndpoint(ready={}, metrics=telemetry.metrics.exposition)
    port = await endpoint.start("127.0.0.1", 0, telemetry.metrics.loop_lag_seconds.set)
    try:
        seen = await examine(KernelSettings(data_home=tmp_path, health_port=port))
    finally:
        await endpoint.stop()
    (proxy,) = [one for one in seen if one.what == "proxy"]
    assert proxy.state == state
    assert ("FORWARDED_ALLOW_IPS" in proxy.detail) == (state == "absent")


async def test_nothing_is_said_of_proxies_where_nothing_runs(tmp_path: Path) -> None:
    seen = await examine(KernelSettings(data_home=tmp_path, health_port=1))
    assert "proxy" not in {one.what for one in seen}
