"""A site and its ecosystem: the first circle in which an order is carried out.

Stream  ``extendedsite-{extended_site_id}``
Rule    the anchor is a member, and every member is named once. A site may belong to several.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType, assert_never

from services.catalog.domain.site import SiteId
from services.catalog.domain.values import MAX_NAME_CHARACTERS, Fault, id_faults, text_faults
from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected

ExtendedSiteId = NewType("ExtendedSiteId", str)

MAX_MEMBERS = 200


@dataclass(frozen=True, slots=True)
class ExtendedSite:
    extended_site_id: ExtendedSiteId
    name: str
    anchor_site_id: SiteId
    member_site_ids: tuple[SiteId, ...]


# Events. Fields are storage format: add, never rename.


@dataclass(frozen=True, slots=True)
class ExtendedSiteUpserted:
    extended_site: ExtendedSite


type Event = ExtendedSiteUpserted


# Commands.


@dataclass(frozen=True, slots=True)
class UpsertExtendedSite:
    """Define or change an extended site.

    Attributes:
        extended_site: As it is from now on.
        unknown_site_ids: Those of its members that no site has, as the caller looked them up.
    """

    extended_site: ExtendedSite
    unknown_site_ids: tuple[SiteId, ...] = ()


type Command = UpsertExtendedSite


class Refusal(StrEnum):
    UNSOUND = "EXTENDED_SITE_UNSOUND"
    UNKNOWN_SITE = "UNKNOWN_SITE"


@dataclass(frozen=True, slots=True)
class State:
    extended_site: ExtendedSite | None = None


def decide(command: Command, state: State) -> Sequence[Event]:
    match command:
        case UpsertExtendedSite(extended_site, unknown_site_ids):
            if extended_site == state.extended_site:
                return []
            name = extended_site.extended_site_id
            for fault in faults(extended_site):
                raise Rejected(Refusal.UNSOUND, f"extended site {name}: {fault}")
            if unknown_site_ids:
                raise Rejected(
                    Refusal.UNKNOWN_SITE,
                    f"extended site {name} names {', '.join(unknown_site_ids)}, which no site is "
                    "called: define the sites first",
                )
            return [ExtendedSiteUpserted(extended_site)]
        case _:
            assert_never(command)


def faults(extended_site: ExtendedSite) -> Iterator[Fault]:
    """Yield everything that makes the extended site unsound on its own."""
    members = extended_site.member_site_ids
    yield from id_faults("extended_site_id", extended_site.extended_site_id)
    yield from text_faults("name", extended_site.name, MAX_NAME_CHARACTERS)
    yield from id_faults("anchor_site_id", extended_site.anchor_site_id)
    if not 1 <= len(members) <= MAX_MEMBERS:
        yield Fault("member_site_ids", f"has {len(members)} rows", f"give 1 to {MAX_MEMBERS}")
        return
    for i, site_id in enumerate(members):
        yield from id_faults(f"member_site_ids[{i}]", site_id)
    if len(set(members)) < len(members):
        yield Fault("member_site_ids", "names a site twice", "name every member once")
    if extended_site.anchor_site_id not in members:
        yield Fault("member_site_ids", "lacks the anchor", "name the anchor among the members")


def evolve(_state: State, event: Event) -> State:
    match event:
        case ExtendedSiteUpserted(extended_site):
            return State(extended_site)
        case _:
            assert_never(event)


EXTENDED_SITE: Kind[Command, State, Event] = Kind("extendedsite", Decider(State(), decide, evolve))
