"""Extended sites that help each other: the second circle.

Stream  ``saleszone-{sales_zone_id}``
Rule    every extended site is named once. Zones may overlap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType, assert_never

from services.catalog.domain.extended_site import ExtendedSiteId
from services.catalog.domain.values import MAX_NAME_CHARACTERS, Fault, id_faults, text_faults
from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected

SalesZoneId = NewType("SalesZoneId", str)

MAX_EXTENDED_SITES = 500


@dataclass(frozen=True, slots=True)
class SalesZone:
    sales_zone_id: SalesZoneId
    name: str
    extended_site_ids: tuple[ExtendedSiteId, ...]


# Events. Fields are storage format: add, never rename.


@dataclass(frozen=True, slots=True)
class SalesZoneUpserted:
    sales_zone: SalesZone


type Event = SalesZoneUpserted


# Commands.


@dataclass(frozen=True, slots=True)
class UpsertSalesZone:
    """Define or change a sales zone.

    Attributes:
        sales_zone: As it is from now on.
        unknown_extended_site_ids: Those that no extended site has, as the caller looked them up.
    """

    sales_zone: SalesZone
    unknown_extended_site_ids: tuple[ExtendedSiteId, ...] = ()


type Command = UpsertSalesZone


class Refusal(StrEnum):
    UNSOUND = "SALES_ZONE_UNSOUND"
    UNKNOWN_EXTENDED_SITE = "UNKNOWN_EXTENDED_SITE"


@dataclass(frozen=True, slots=True)
class State:
    sales_zone: SalesZone | None = None


def decide(command: Command, state: State) -> Sequence[Event]:
    match command:
        case UpsertSalesZone(sales_zone, unknown_ids):
            if sales_zone == state.sales_zone:
                return []
            name = sales_zone.sales_zone_id
            for fault in faults(sales_zone):
                raise Rejected(Refusal.UNSOUND, f"sales zone {name}: {fault}")
            if unknown_ids:
                raise Rejected(
                    Refusal.UNKNOWN_EXTENDED_SITE,
                    f"sales zone {name} names {', '.join(unknown_ids)}, which no extended site is "
                    "called: define the extended sites first",
                )
            return [SalesZoneUpserted(sales_zone)]
        case _:
            assert_never(command)


def faults(sales_zone: SalesZone) -> Iterator[Fault]:
    """Yield everything that makes the sales zone unsound on its own."""
    ids = sales_zone.extended_site_ids
    yield from id_faults("sales_zone_id", sales_zone.sales_zone_id)
    yield from text_faults("name", sales_zone.name, MAX_NAME_CHARACTERS)
    if not 1 <= len(ids) <= MAX_EXTENDED_SITES:
        yield Fault("extended_site_ids", f"has {len(ids)} rows", f"give 1 to {MAX_EXTENDED_SITES}")
        return
    for i, extended_site_id in enumerate(ids):
        yield from id_faults(f"extended_site_ids[{i}]", extended_site_id)
    if len(set(ids)) < len(ids):
        yield Fault("extended_site_ids", "names one twice", "name every extended site once")


def evolve(_state: State, event: Event) -> State:
    match event:
        case SalesZoneUpserted(sales_zone):
            return State(sales_zone)
        case _:
            assert_never(event)


SALES_ZONE: Kind[Command, State, Event] = Kind("saleszone", Decider(State(), decide, evolve))
