"""Planning: CPU time of one order of three lines over sixty sites."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random  # noqa: TID251 - seeded

from services.sourcing.domain.network import (
    Capability,
    ExtendedSite,
    Network,
    NetworkFacts,
    SalesZone,
    Site,
)
from services.sourcing.domain.opening import Hours
from services.sourcing.domain.plan import plan as decide
from services.sourcing.domain.policy import Policy
from services.sourcing.domain.wishes import Choice, Line, Product, Request, Snapshot
from tests.bench.result import Result, percentile

ORDERS = 1_000
SITES = 60
_HOURS = tuple(Hours(day, 480, 1_200) for day in range(1, 7))
_TARGET_MS = 1.0


def _network(random: Random, extended_sites: int) -> Network:
    sites = tuple(
        Site(
            f"S{n:02}",
            "Europe/Paris",
            _HOURS,
            tuple(
                Capability(mode_id, True, True, ("ambient",), 300 + n, 120)  # noqa: FBT003
                for mode_id in ("collect", "home")
            ),
            (48_000_000 + random.randrange(10**6), 2_000_000 + random.randrange(10**6)),
        )
        for n in range(SITES)
    )
    each = SITES // extended_sites
    extended = tuple(
        ExtendedSite(f"E{e}", ids[0], ids)
        for e in range(extended_sites)
        for ids in [tuple(site.site_id for site in sites[e * each : (e + 1) * each])]
    )
    zone = SalesZone("Z", tuple(e.extended_site_id for e in extended))
    return Network(NetworkFacts(sites, extended, (zone,)), "bench")


async def plan(_: str) -> AsyncIterator[Result]:
    """CPU of ``plan()`` with its receipt: plenty of stock, and stock so scarce that zones help."""
    random = Random(1)  # noqa: S311 - a benchmark
    for extended_sites, density in ((10, 0.9), (1, 0.9), (10, 0.05)):
        network = _network(random, extended_sites)
        for mode_id in ("collect", "home"):
            taken_ms = []
            for n in range(ORDERS):
                skus = [f"P{k}" for k in random.sample(range(1_000), 3)]
                site_id = random.choice(network.facts.sites).site_id if mode_id == "collect" else ""
                choice = Choice(mode_id, 1, site_id, position=(48_500_000, 2_500_000))
                lines = tuple(Line(sku, sku, 2, choice, "ambient") for sku in skus)
                at = datetime(2026, 3, 2, 9, tzinfo=UTC) + timedelta(minutes=n)
                stock = {
                    sku: {
                        site.site_id: random.randrange(1, 40)
                        for site in network.facts.sites
                        if random.random() < density
                    }
                    for sku in skus
                }
                snapshot = Snapshot(network, {sku: Product(sku, 500) for sku in skus}, stock)
                begun = time.process_time_ns()
                decide(Request("O", 1, lines, "EUR", at), snapshot, Policy())
                taken_ms.append((time.process_time_ns() - begun) / 1e6)
            for share in (0.5, 0.95):
                yield Result(
                    "plan",
                    percentile(taken_ms, share),
                    "ms",
                    target=_TARGET_MS,
                    is_less_better=True,
                    params={
                        "percentile": share,
                        "mode": mode_id,
                        "sites": SITES,
                        "first_circle": SITES // extended_sites,
                        "stocked": density,
                        "lines": 3,
                    },
                )
