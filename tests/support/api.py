"""A retailer's platform and its staff, as small as tests need them, over the public HTTP API."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

from services.kernel.domain.ids import derive

NOON_TO_MIDNIGHT = [
    {"weekday": day, "opens_minute": 0, "closes_minute": 1440} for day in range(1, 8)
]
_BATCH_ROWS = 500


def _step(step_id: str, kind: str, completes_on: str, **more: Any) -> dict[str, Any]:
    return {
        "step_id": step_id,
        "type": kind,
        "completes_on": completes_on,
        "label": {"fr": f"Étape {step_id}", "en": f"Step {step_id}"},
        "visibility": "label_and_time",
    } | more


CLICK_AND_COLLECT = {
    "mode_id": "click_and_collect",
    "version": 1,
    "label": {"fr": "Retrait en magasin", "en": "Click & collect"},
    "choice_kind": "site",
    "fee": {"amount_minor": 0, "currency": "EUR"},
    "steps": [
        _step("confirmed", "system", "reserved", cancellable=True),
        _step("picking", "work", "picked", cancellable=True),
        _step("staging", "work", "ready", visibility="hidden"),
        _step("arrival", "wait", "arrived", optional=True),
        _step("handover", "handover", "handed_over"),
    ],
}
HOME_DELIVERY = {
    "mode_id": "home_delivery",
    "version": 1,
    "label": {"fr": "Livraison à domicile", "en": "Home delivery"},
    "choice_kind": "destination",
    "fee": {"amount_minor": 490, "currency": "EUR"},
    "steps": [
        _step("confirmed", "system", "reserved", cancellable=True),
        _step("picking", "work", "picked", cancellable=True),
        _step("dispatch", "transport", "handed_to_carrier"),
        _step("delivery", "transport", "delivered"),
    ],
}
TEMPERATURES = ["ambient", "chilled", "frozen"]


def a_site(number: int) -> dict[str, Any]:
    return {
        "site_id": f"S{number}",
        "name": f"Magasin {number}",
        "type": "store",
        "position": {"latitude_e6": 48_850_000 + number * 10_000, "longitude_e6": 2_350_000},
        "postcode": "75011",
        "time_zone": "Europe/Paris",
        "opening_hours": NOON_TO_MIDNIGHT,
        "capabilities": [
            {
                "mode_id": mode,
                "can_prepare": True,
                "can_hand_over": True,
                "temperatures": TEMPERATURES,
                "preparation_cost": {"amount_minor": 250, "currency": "EUR"},
                "lead_time_minutes": 60,
            }
            for mode in ("click_and_collect", "home_delivery")
        ],
        "priority": number,
        "is_active": True,
    }


def a_product(number: int, price_minor: int = 0) -> dict[str, Any]:
    return {
        "sku": f"P{number}",
        "name": f"Produit {number}",
        "category_path": ["Épicerie", "Divers"],
        "unit": "piece",
        "temperature": TEMPERATURES[number % 3],
        "price": {"amount_minor": price_minor or 100 + number % 900, "currency": "EUR"},
        "price_quantity": 1,
        "volume_ml": 1000,
        "weight_g": 500,
        "is_weight_variable": False,
    }


@dataclass
class Api:
    """Speaks for one tenant.

    Attributes:
        client: With base URL and key.
        retries: How often a call that got no clear answer is repeated, with the same key.
    """

    client: httpx.AsyncClient
    retries: int = 0

    @classmethod
    def at(cls, address: str, key: str, *, connections: int = 64, retries: int = 0) -> "Api":
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        return cls(
            httpx.AsyncClient(
                base_url=address,
                headers={"Authorization": f"Bearer {key}"},
                timeout=30,
                limits=limits,
            ),
            retries,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def post(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Post with an idempotency key that follows from path and body unless one is given."""
        key = key or derive(path, repr(body))
        for attempt in range(self.retries + 1):
            try:
                answer = await self.client.post(
                    path, json=body or {}, headers={"Idempotency-Key": key, **(headers or {})}
                )
            except httpx.TransportError:
                if attempt == self.retries:
                    raise
            else:
                if answer.status_code not in (429, 502, 503, 504) or attempt == self.retries:
                    return answer
            await asyncio.sleep(min(0.05 * 2**attempt, 1.0))
        raise AssertionError("unreachable")

    async def done(self, path: str, body: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Post and return the answer's body; fail on anything but success."""
        answer = await self.post(path, body, **more)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def get(self, path: str, **params: Any) -> Any:
        for attempt in range(self.retries + 1):
            try:
                answer = await self.client.get(path, params=params)
            except httpx.TransportError:
                if attempt == self.retries:
                    raise
                await asyncio.sleep(min(0.05 * 2**attempt, 1.0))
            else:
                assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
                return answer.json()
        raise AssertionError("unreachable")

    async def load_chain(
        self, sites: int, products: int | Sequence[Mapping[str, Any]], units: int
    ) -> None:
        """Create sites in one extended site, products, and ``units`` of each at each site."""
        for mode in (CLICK_AND_COLLECT, HOME_DELIVERY):
            await self.done("/v1/catalog/modes", mode)
        members = [f"S{n}" for n in range(1, sites + 1)]
        await self.done(
            "/v1/catalog/sites:batch", {"sites": [a_site(n) for n in range(1, sites + 1)]}
        )
        await self.done(
            "/v1/catalog/extended-sites:batch",
            {
                "extended_sites": [
                    {
                        "extended_site_id": "E1",
                        "name": "Paris",
                        "anchor_site_id": "S1",
                        "member_site_ids": members,
                    }
                ]
            },
        )
        await self.done(
            "/v1/catalog/sales-zones:batch",
            {"sales_zones": [{"sales_zone_id": "Z1", "name": "Nord", "extended_site_ids": ["E1"]}]},
        )
        rows = (
            [a_product(n) for n in range(1, products + 1)]
            if isinstance(products, int)
            else list(products)
        )
        for batch in _batches(rows):
            await self.done("/v1/catalog/products:batch", {"products": batch})
        if units:
            await self.receive({(site, row["sku"]): units for site in members for row in rows})

    async def receive(self, units: Mapping[tuple[str, str], int], source: str = "opening") -> None:
        rows = [
            {
                "site_id": site,
                "sku": sku,
                "quantity": quantity,
                "source_id": derive(source, site, sku),
                "occurred_at": "2026-01-01T06:00:00Z",
            }
            for (site, sku), quantity in units.items()
        ]
        for batch in _batches(rows):
            await self.done("/v1/stock/movements:batch", {"kind": "receive", "rows": batch})

    async def place(
        self,
        order_id: str,
        lines: Iterable[tuple[str, int]],
        *,
        choice: Mapping[str, Any] | None = None,
        wait_s: int = 10,
    ) -> httpx.Response:
        """Place an order of (sku, quantity) lines, by default for collection at any site."""
        return await self.post(
            "/v1/orders",
            an_order(order_id, lines, choice),
            key=f"place-{order_id}",
            headers={"Prefer": f"wait={wait_s}"},
        )


def an_order(
    order_id: str, lines: Iterable[tuple[str, int]], choice: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return an order of (sku, quantity) lines, by default for collection at any site."""
    return {
        "order_id": order_id,
        "customer_id": "C1",
        "lines": [
            {
                "line_id": f"L{n}",
                "sku": sku,
                "quantity": quantity,
                "choice": dict(choice or {"mode_id": "click_and_collect"}),
            }
            for n, (sku, quantity) in enumerate(lines, 1)
        ],
    }


def _batches(rows: Sequence[Any]) -> list[Sequence[Any]]:
    return [rows[start : start + _BATCH_ROWS] for start in range(0, len(rows), _BATCH_ROWS)]
