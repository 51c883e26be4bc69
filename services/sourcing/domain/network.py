"""The network as sourcing knows it: sites, who helps whom, how far apart, what a mode asks for.

Facts are plain values and are stored under the hash of their content, so that a decision made on
them can be run again. ``Network`` is the same knowledge with the indexes that planning needs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt

from services.sourcing.domain.opening import Calendar, Hours

EARTH_RADIUS_M = 6_371_000
MAX_CACHED_DISTANCES = 100_000

type Position = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Capability:
    """What a site can do for one mode."""

    mode_id: str
    can_prepare: bool
    can_hand_over: bool
    temperatures: tuple[str, ...]
    preparation_minor: int
    lead_time_minutes: int


@dataclass(frozen=True, slots=True)
class Site:
    """A place that holds stock, prepares orders or hands them over.

    Attributes:
        position: Latitude and longitude in micro-degrees; None when nobody said.
        hours: No hours at all means that nobody said: the site counts as always open.
        country: Of the postcode; empty when nobody said.
    """

    site_id: str
    time_zone: str = "UTC"
    hours: tuple[Hours, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    position: Position | None = None
    postcode: str = ""
    priority: int = 0
    is_active: bool = True
    country: str = ""


@dataclass(frozen=True, slots=True)
class ExtendedSite:
    """A site and its ecosystem: the first circle."""

    extended_site_id: str
    anchor_site_id: str
    member_site_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SalesZone:
    """Extended sites that help each other: the second circle."""

    sales_zone_id: str
    extended_site_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModeFact:
    """What a mode version asks the customer for: a site of collection, or a destination."""

    mode_id: str
    version: int
    is_collected: bool


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """Everything the catalog said, in the order of ids."""

    sites: tuple[Site, ...] = ()
    extended_sites: tuple[ExtendedSite, ...] = ()
    sales_zones: tuple[SalesZone, ...] = ()
    modes: tuple[ModeFact, ...] = ()


def distance_m(one: Position, other: Position) -> int:
    """Return the great-circle distance in metres (haversine).

    >>> distance_m((48_856_600, 2_352_200), (45_764_000, 4_835_700))
    391494
    """
    latitude, longitude = radians(one[0] / 1e6), radians(one[1] / 1e6)
    other_latitude, other_longitude = radians(other[0] / 1e6), radians(other[1] / 1e6)
    half = (
        sin((other_latitude - latitude) / 2) ** 2
        + cos(latitude) * cos(other_latitude) * sin((other_longitude - longitude) / 2) ** 2
    )
    return round(2 * EARTH_RADIUS_M * asin(sqrt(min(1.0, half))))


class Network:
    """Facts with indexes. Immutable but for memory of what was worked out before."""

    def __init__(self, facts: NetworkFacts, content_hash: str) -> None:
        self.facts = facts
        self.content_hash = content_hash
        self.sites = {site.site_id: site for site in facts.sites}
        self._calendars: dict[str, Calendar] = {}
        self.extended_sites = {e.extended_site_id: e for e in facts.extended_sites}
        self._modes = {(mode.mode_id, mode.version): mode.is_collected for mode in facts.modes}
        self._capabilities = {
            (site.site_id, capability.mode_id): capability
            for site in facts.sites
            for capability in site.capabilities
        }
        self._extended_of: dict[str, set[str]] = {}
        for extended in facts.extended_sites:
            for member in (extended.anchor_site_id, *extended.member_site_ids):
                self._extended_of.setdefault(member, set()).add(extended.extended_site_id)
        self._zone_peers: dict[str, set[str]] = {}
        for zone in facts.sales_zones:
            for extended_id in zone.extended_site_ids:
                self._zone_peers.setdefault(extended_id, set()).update(zone.extended_site_ids)
        self._circles: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._preparing: dict[tuple[str, str], bool] = {}
        self._distances: dict[tuple[str, str], int | None] = {}

    def capability(self, site_id: str, mode_id: str) -> Capability | None:
        return self._capabilities.get((site_id, mode_id))

    def calendar(self, site_id: str) -> Calendar:
        """Return the opening hours of a known site."""
        known = self._calendars.get(site_id)
        if known is None:
            site = self.sites[site_id]
            known = self._calendars[site_id] = Calendar(site.time_zone, site.hours)
        return known

    def is_collected(self, mode_id: str, version: int, site_id: str) -> bool:
        """Return whether the customer collects; a mode not heard of yet shows it by its site."""
        return self._modes.get((mode_id, version), site_id != "")

    def circles_of_site(self, site_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the first circle of a site, itself included, and what its zones add to it."""
        known = self._circles.get(site_id)
        if known is None:
            known = self._around(self._extended_of.get(site_id, set()), {site_id})
            self._circles[site_id] = known
        return known

    def circles_of_extended(self, extended_site_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the first circle of an extended site, and what its zones add to it."""
        key = f"/{extended_site_id}"
        known = self._circles.get(key)
        if known is None:
            known = self._around({extended_site_id}, set())
            self._circles[key] = known
        return known

    def can_prepare(self, extended_site_id: str, mode_id: str) -> bool:
        """Return whether any member of an extended site prepares a mode."""
        key = extended_site_id, mode_id
        if key not in self._preparing:
            members = self.circles_of_extended(extended_site_id)[0]
            capabilities = (self.capability(site_id, mode_id) for site_id in members)
            self._preparing[key] = any(each and each.can_prepare for each in capabilities)
        return self._preparing[key]

    def _around(
        self, extended_ids: set[str], also: set[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        first = also | self._members(extended_ids)
        peers = {peer for e in extended_ids for peer in self._zone_peers.get(e, set())}
        second = self._members(peers) - first
        return tuple(sorted(first)), tuple(sorted(second))

    def _members(self, extended_ids: Iterable[str]) -> set[str]:
        members: set[str] = set()
        for extended_id in extended_ids:
            extended = self.extended_sites.get(extended_id)
            if extended is not None:
                members.add(extended.anchor_site_id)
                members.update(extended.member_site_ids)
        return members

    def between(self, one: str, other: str) -> int | None:
        """Return the distance of two sites in metres; None when a position is unknown."""
        key = (one, other) if one < other else (other, one)
        if key not in self._distances:
            if len(self._distances) >= MAX_CACHED_DISTANCES:
                self._distances.clear()
            here, there = self.sites[key[0]].position, self.sites[key[1]].position
            self._distances[key] = (
                None if here is None or there is None else distance_m(here, there)
            )
        return self._distances[key]
