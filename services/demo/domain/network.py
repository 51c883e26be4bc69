"""The sites of the made-up chain: 60 of five kinds in 8 extended sites and 3 sales zones."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, radians

from services.demo.domain.dice import Dice
from services.demo.domain.goods import Money
from services.demo.domain.vocabulary import AMBIENT, CHILLED, FROZEN, TOWN_ENDS, TOWN_STARTS

COLLECT, HOME = "click_and_collect", "home_delivery"
TIME_ZONE = "Europe/Paris"
METRES_PER_DEGREE = 111_320
EVERY_TEMPERATURE = (AMBIENT, CHILLED, FROZEN)
MOST_OUT_OF_TOWN_M = 18_000

STORE, WAREHOUSE, DARK_STORE = "store", "warehouse", "dark_store"
DRIVE, PEDESTRIAN = "drive", "pedestrian"


@dataclass(frozen=True, slots=True)
class Position:
    latitude_e6: int
    longitude_e6: int


@dataclass(frozen=True, slots=True)
class OpeningHours:
    weekday: int
    opens_minute: int
    closes_minute: int


@dataclass(frozen=True, slots=True)
class Capability:
    mode_id: str
    can_prepare: bool
    can_hand_over: bool
    temperatures: tuple[str, ...]
    preparation_cost: Money
    lead_time_minutes: int


@dataclass(frozen=True, slots=True)
class Site:
    """A site with the fields of the public API, under their names there."""

    site_id: str
    name: str
    type: str
    position: Position
    postcode: str
    time_zone: str
    opening_hours: tuple[OpeningHours, ...]
    capabilities: tuple[Capability, ...]
    priority: int
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class ExtendedSite:
    extended_site_id: str
    name: str
    anchor_site_id: str
    member_site_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SalesZone:
    sales_zone_id: str
    name: str
    extended_site_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Network:
    sites: tuple[Site, ...]
    extended_sites: tuple[ExtendedSite, ...]
    sales_zones: tuple[SalesZone, ...]


@dataclass(frozen=True, slots=True)
class Basin:
    """A real catchment area around which made-up towns lie."""

    key: str
    name: str
    department: str
    latitude_e6: int
    longitude_e6: int
    stores: int


# Regions of France and the middle of their catchment areas; 20 stores in all.
REGIONS = (
    (
        "ARA",
        "Auvergne-Rhône-Alpes",
        (
            Basin("LYON", "Lyonnais", "69", 45_760_000, 4_835_000, 3),
            Basin("GRENOBLE", "Dauphiné", "38", 45_188_000, 5_724_000, 2),
            Basin("FOREZ", "Forez", "42", 45_439_000, 4_387_000, 2),
        ),
    ),
    (
        "HDF",
        "Hauts-de-France",
        (
            Basin("LILLE", "Flandre", "59", 50_629_000, 3_057_000, 3),
            Basin("AMIENS", "Amiénois", "80", 49_894_000, 2_296_000, 2),
            Basin("ARRAS", "Artois", "62", 50_291_000, 2_777_000, 2),
        ),
    ),
    (
        "OCC",
        "Occitanie",
        (
            Basin("TOULOUSE", "Toulousain", "31", 43_605_000, 1_444_000, 3),
            Basin("MONTPELLIER", "Languedoc", "34", 43_611_000, 3_877_000, 3),
        ),
    ),
)

# Kind, letter of the site's id, how many in every basin (stores differ).
_KINDS = ((WAREHOUSE, "W", 1), (DARK_STORE, "K", 1), (DRIVE, "D", 2), (PEDESTRIAN, "P", 1))


def network(seed: int) -> Network:
    sites: list[Site] = []
    extended_sites: list[ExtendedSite] = []
    sales_zones: list[SalesZone] = []
    for key, name, basins in REGIONS:
        for basin in basins:
            members = list(_members(seed, basin))
            sites += members
            ids = tuple(site.site_id for site in members)
            extended_sites.append(ExtendedSite(f"X-{basin.key}", basin.name, ids[0], ids))
        sales_zones.append(SalesZone(f"Z-{key}", name, tuple(f"X-{b.key}" for b in basins)))
    return Network(tuple(sites), tuple(extended_sites), tuple(sales_zones))


def _members(seed: int, basin: Basin) -> Iterator[Site]:
    towns = Dice(seed, "towns", basin.key).some(
        [start + end for start in TOWN_STARTS for end in TOWN_ENDS], 9
    )
    kinds = [(STORE, f"S{n + 1}") for n in range(basin.stores)]
    kinds += [(kind, f"{letter}{n + 1}") for kind, letter, count in _KINDS for n in range(count)]
    for priority, ((kind, suffix), town) in enumerate(zip(kinds, towns, strict=False), start=1):
        dice = Dice(seed, "site", basin.key, suffix)
        yield Site(
            site_id=f"{basin.key}-{suffix}",
            name=f"{_TITLES[kind]} {_spelled(town)}",
            type=kind,
            position=near(
                dice, Position(basin.latitude_e6, basin.longitude_e6), MOST_OUT_OF_TOWN_M
            ),
            postcode=f"{basin.department}{dice.between(1, 89) * 10:03d}",
            time_zone=TIME_ZONE,
            opening_hours=_HOURS[kind],
            capabilities=_capabilities(kind, dice),
            priority=priority,
        )


def _spelled(town: str) -> str:
    """Return the name with its second part in upper case after a hyphen."""
    start, hyphen, end = town.partition("-")
    return f"{start}-{end.capitalize()}" if hyphen else town


def near(dice: Dice, centre: Position, most_m: int) -> Position:
    """Return a point at most ``most_m`` metres north or south, and east or west, of ``centre``."""
    north_m, east_m = dice.between(-most_m, most_m), dice.between(-most_m, most_m)
    shrink = cos(radians(centre.latitude_e6 / 1e6))
    return Position(
        centre.latitude_e6 + round(north_m / METRES_PER_DEGREE * 1e6),
        centre.longitude_e6 + round(east_m / METRES_PER_DEGREE / shrink * 1e6),
    )


def _capabilities(kind: str, dice: Dice) -> tuple[Capability, ...]:
    """Return what a kind of site can do: prepare, hand over, at what cost and pace."""
    rows: dict[str, tuple[tuple[str, bool, bool, int, int], ...]] = {
        STORE: ((COLLECT, True, True, 320, 120), (HOME, True, True, 420, 180)),
        WAREHOUSE: ((COLLECT, True, False, 150, 240), (HOME, True, True, 190, 300)),
        DARK_STORE: ((COLLECT, True, False, 180, 90), (HOME, True, True, 220, 60)),
        DRIVE: ((COLLECT, True, True, 210, 90),),
        PEDESTRIAN: ((COLLECT, False, True, 120, 30),),
    }
    return tuple(
        Capability(
            mode_id,
            can_prepare,
            can_hand_over,
            EVERY_TEMPERATURE,
            Money(cost + dice.between(-20, 20)),
            lead_time,
        )
        for mode_id, can_prepare, can_hand_over, cost, lead_time in rows[kind]
    )


def _week(opens: int, closes: int, sunday: tuple[int, int] | None) -> tuple[OpeningHours, ...]:
    days = [OpeningHours(weekday, opens, closes) for weekday in range(1, 7)]
    return (*days, OpeningHours(7, *sunday)) if sunday else tuple(days)


_TITLES = {
    STORE: "Magasin",
    WAREHOUSE: "Entrepôt",
    DARK_STORE: "Réserve urbaine",
    DRIVE: "Drive",
    PEDESTRIAN: "Point piéton",
}
_HOURS = {
    STORE: _week(510, 1200, (540, 750)),
    WAREHOUSE: _week(300, 1320, (360, 1080)),
    DARK_STORE: _week(420, 1380, (480, 1320)),
    DRIVE: _week(480, 1230, (540, 780)),
    PEDESTRIAN: _week(480, 1290, (540, 1140)),
}
