"""Small networks that the tests of sourcing share."""

from datetime import UTC, datetime

from services.sourcing.domain.network import (
    Capability,
    ExtendedSite,
    ModeFact,
    Network,
    NetworkFacts,
    SalesZone,
    Site,
)
from services.sourcing.domain.opening import Hours
from services.sourcing.domain.wishes import Choice, Line, Request

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
COLLECT, DELIVER = "click_and_collect", "home_delivery"
PARIS_HOURS = tuple(Hours(day, 9 * 60, 20 * 60) for day in range(1, 7))


def a_capability(mode_id: str = COLLECT, **differing: object) -> Capability:
    values: dict[str, object] = {
        "mode_id": mode_id,
        "can_prepare": True,
        "can_hand_over": True,
        "temperatures": ("ambient", "chilled"),
        "preparation_minor": 200,
        "lead_time_minutes": 60,
    }
    return Capability(**(values | differing))  # type: ignore[arg-type]


def a_site(site_id: str, north: int = 0, **differing: object) -> Site:
    """A site ``north`` hundredths of a degree north of the first one."""
    values: dict[str, object] = {
        "site_id": site_id,
        "time_zone": "Europe/Paris",
        "capabilities": (a_capability(), a_capability(DELIVER)),
        "position": (48_800_000 + north * 10_000, 2_300_000),
    }
    return Site(**(values | differing))  # type: ignore[arg-type]


def a_network(*sites: Site, zone: tuple[Site, ...] = ()) -> Network:
    """One extended site of ``sites``, anchored at the first, and one of ``zone`` that helps it."""
    extended = [ExtendedSite("E1", sites[0].site_id, tuple(site.site_id for site in sites))]
    if zone:
        extended.append(ExtendedSite("E2", zone[0].site_id, tuple(site.site_id for site in zone)))
    facts = NetworkFacts(
        modes=(ModeFact(COLLECT, 1, is_collected=True), ModeFact(DELIVER, 1, is_collected=False)),
        sites=(*sites, *zone),
        extended_sites=tuple(extended),
        sales_zones=(SalesZone("Z", tuple(each.extended_site_id for each in extended)),),
    )
    return Network(facts, "network")


def collect(site_id: str = "S1", **differing: object) -> Choice:
    return Choice(COLLECT, 1, site_id, **differing)  # type: ignore[arg-type]


def deliver(**differing: object) -> Choice:
    return Choice(DELIVER, 1, position=(48_810_000, 2_310_000), **differing)  # type: ignore[arg-type]


def a_request(*lines: tuple[str, int], choice: Choice | None = None) -> Request:
    return Request(
        "O1",
        1,
        tuple(
            Line(str(n + 1), sku, quantity, choice or collect())
            for n, (sku, quantity) in enumerate(lines)
        ),
        "EUR",
        MONDAY,
    )
