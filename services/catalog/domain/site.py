"""A place that holds stock, prepares orders or hands them over.

Stream  ``site-{site_id}``
Rule    a site is sound: its hours do not overlap, and it says of each mode once what it can do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import NewType, assert_never

from services.catalog.domain.values import (
    MAX_NAME_CHARACTERS,
    Fault,
    Money,
    Position,
    TemperatureClass,
    country_faults,
    id_faults,
    money_faults,
    number_faults,
    text_faults,
)
from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected

SiteId = NewType("SiteId", str)

MAX_POSTCODE_CHARACTERS = 12
MAX_OPENING_HOURS = 28
MAX_CAPABILITIES = 50
MAX_LEAD_TIME_MINUTES = 28 * 24 * 60
MAX_PRIORITY = 1_000_000
LAST_WEEKDAY = 7
MINUTES_PER_DAY = 1440
MAX_LATITUDE_E6 = 90_000_000
MAX_LONGITUDE_E6 = 180_000_000


class SiteType(StrEnum):
    STORE = "store"
    WAREHOUSE = "warehouse"
    DARK_STORE = "dark_store"
    DRIVE = "drive"
    PEDESTRIAN = "pedestrian"


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """Minutes after local midnight; ISO weekday, 1 is Monday."""

    weekday: int
    opens_minute: int
    closes_minute: int


@dataclass(frozen=True, slots=True)
class SiteCapability:
    mode_id: str
    can_prepare: bool
    can_hand_over: bool
    temperatures: tuple[TemperatureClass, ...]
    preparation_cost: Money
    lead_time_minutes: int


@dataclass(frozen=True, slots=True)
class Site:
    """What a site is; fields and units as in the public contract."""

    site_id: SiteId
    name: str
    type: SiteType
    position: Position
    postcode: str
    time_zone: str
    opening_hours: tuple[OpeningHours, ...]
    capabilities: tuple[SiteCapability, ...]
    priority: int
    is_active: bool
    country: str = ""


# Events. Fields are storage format: add, never rename.


@dataclass(frozen=True, slots=True)
class SiteUpserted:
    site: Site


type Event = SiteUpserted


# Commands.


@dataclass(frozen=True, slots=True)
class UpsertSite:
    site: Site


type Command = UpsertSite


class Refusal(StrEnum):
    UNSOUND = "SITE_UNSOUND"


@dataclass(frozen=True, slots=True)
class State:
    site: Site | None = None


def decide(command: Command, state: State) -> Sequence[Event]:
    match command:
        case UpsertSite(site):
            if site == state.site:
                return []
            for fault in faults(site):
                raise Rejected(Refusal.UNSOUND, f"site {site.site_id}: {fault}")
            return [SiteUpserted(site)]
        case _:
            assert_never(command)


def faults(site: Site) -> Iterator[Fault]:
    """Yield everything that makes the site unsound on its own."""
    yield from id_faults("site_id", site.site_id)
    yield from text_faults("name", site.name, MAX_NAME_CHARACTERS)
    yield from number_faults(
        "position.latitude_e6", site.position.latitude_e6, -MAX_LATITUDE_E6, MAX_LATITUDE_E6
    )
    yield from number_faults(
        "position.longitude_e6", site.position.longitude_e6, -MAX_LONGITUDE_E6, MAX_LONGITUDE_E6
    )
    yield from text_faults("postcode", site.postcode, MAX_POSTCODE_CHARACTERS)
    if site.country:
        yield from country_faults("country", site.country)
    yield from _hours_faults(site.opening_hours)
    yield from _capabilities_faults(site.capabilities)
    yield from number_faults("priority", site.priority, 0, MAX_PRIORITY)


def _hours_faults(hours: tuple[OpeningHours, ...]) -> Iterator[Fault]:
    if len(hours) > MAX_OPENING_HOURS:
        yield Fault("opening_hours", f"has {len(hours)} rows", f"give at most {MAX_OPENING_HOURS}")
        return
    for i, span in enumerate(hours):
        path = f"opening_hours[{i}]"
        yield from number_faults(f"{path}.weekday", span.weekday, 1, LAST_WEEKDAY)
        yield from number_faults(f"{path}.opens_minute", span.opens_minute, 0, MINUTES_PER_DAY - 1)
        if not span.opens_minute < span.closes_minute <= MINUTES_PER_DAY:
            yield Fault(
                f"{path}.closes_minute",
                f"is {span.closes_minute}",
                f"give a minute after opens_minute, at most {MINUTES_PER_DAY}; "
                "a night is written as two days",
            )
    ordered = sorted(hours, key=lambda span: (span.weekday, span.opens_minute))
    for earlier, later in pairwise(ordered):
        if earlier.weekday == later.weekday and later.opens_minute < earlier.closes_minute:
            yield Fault(
                "opening_hours", f"overlap on weekday {later.weekday}", "join the two spans"
            )


def _capabilities_faults(capabilities: tuple[SiteCapability, ...]) -> Iterator[Fault]:
    if len(capabilities) > MAX_CAPABILITIES:
        yield Fault(
            "capabilities", f"has {len(capabilities)} rows", f"give at most {MAX_CAPABILITIES}"
        )
        return
    seen: set[str] = set()
    for i, capability in enumerate(capabilities):
        path = f"capabilities[{i}]"
        yield from id_faults(f"{path}.mode_id", capability.mode_id)
        if capability.mode_id in seen:
            yield Fault(f"{path}.mode_id", "is given twice", "write one capability per mode")
        seen.add(capability.mode_id)
        if not (capability.can_prepare or capability.can_hand_over):
            yield Fault(
                f"{path}.can_prepare",
                "is false, and can_hand_over too",
                "set one of them, or leave the capability out",
            )
        if not capability.temperatures:
            yield Fault(f"{path}.temperatures", "is empty", "name at least one temperature class")
        elif len(set(capability.temperatures)) < len(capability.temperatures):
            yield Fault(f"{path}.temperatures", "names one twice", "name each class once")
        yield from money_faults(f"{path}.preparation_cost", capability.preparation_cost)
        yield from number_faults(
            f"{path}.lead_time_minutes", capability.lead_time_minutes, 0, MAX_LEAD_TIME_MINUTES
        )


def evolve(_state: State, event: Event) -> State:
    match event:
        case SiteUpserted(site):
            return State(site)
        case _:
            assert_never(event)


SITE: Kind[Command, State, Event] = Kind("site", Decider(State(), decide, evolve))
