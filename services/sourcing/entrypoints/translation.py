"""Messages of other services and of callers, in sourcing's words."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from google.protobuf.timestamp_pb2 import Timestamp
from oms.catalog.v1 import catalog_events_pb2 as catalog
from oms.common.v1.common_pb2 import Position as WirePosition
from oms.common.v1.common_pb2 import TemperatureClass
from oms.order.v1 import order_events_pb2 as order

from services.kernel.domain.errors import Invalid
from services.sourcing.domain.network import (
    Capability,
    ExtendedSite,
    ModeFact,
    Position,
    SalesZone,
    Site,
)
from services.sourcing.domain.opening import Hours
from services.sourcing.domain.wishes import AMBIENT, Choice, Line, Product

# Far enough from the calendar's ends for planning to add opening hours to a time.
_WANTED_YEARS = range(2000, 2200)
_TEMPERATURES = {
    TemperatureClass.TEMPERATURE_CLASS_AMBIENT: "ambient",
    TemperatureClass.TEMPERATURE_CLASS_CHILLED: "chilled",
    TemperatureClass.TEMPERATURE_CLASS_FROZEN: "frozen",
}


def _position(wire: WirePosition) -> Position | None:
    """Return a position; nothing stands at latitude 0, longitude 0 but missing values."""
    if not wire.latitude_e6 and not wire.longitude_e6:
        return None
    return wire.latitude_e6, wire.longitude_e6


def choice(wire: order.Choice) -> Choice:
    """Return a choice as planning reads it."""
    return Choice(
        wire.mode_id,
        wire.mode_version,
        wire.site_id,
        wire.destination.postcode,
        wire.destination.country,
        _position(wire.destination.position),
        _wanted(wire.wanted_at) if wire.HasField("wanted_at") else None,
    )


def _wanted(stamp: Timestamp) -> datetime:
    try:
        at = stamp.ToDatetime(tzinfo=UTC)
        if at.year not in _WANTED_YEARS:
            raise ValueError(f"year {at.year}")
    except (ValueError, OverflowError):
        years = f"{_WANTED_YEARS[0]} to {_WANTED_YEARS[-1]}"
        raise Invalid(("choice.wanted_at", f"must be a time in the years {years}")) from None
    return at


def lines(placed: order.OrderPlaced) -> tuple[Line, ...]:
    """Return the lines of an order, without their prices."""
    return tuple(
        Line(
            line.line_id,
            line.sku,
            line.quantity,
            choice(line.choice),
            _TEMPERATURES.get(line.temperature, ""),
        )
        for line in placed.lines
    )


def product(wire: catalog.Product) -> Product:
    """Return what planning needs of a product."""
    return Product(wire.sku, wire.weight_g, _TEMPERATURES.get(wire.temperature, AMBIENT))


def _time_zone(name: str) -> str:
    """Return the zone, or UTC for a name that this machine does not know."""
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError):
        return "UTC"


def site(wire: catalog.Site) -> Site:
    """Return a site as planning reads it."""
    return Site(
        site_id=wire.site_id,
        time_zone=_time_zone(wire.time_zone),
        hours=tuple(
            Hours(each.weekday, each.opens_minute, each.closes_minute)
            for each in wire.opening_hours
        ),
        capabilities=tuple(
            Capability(
                mode_id=each.mode_id,
                can_prepare=each.can_prepare,
                can_hand_over=each.can_hand_over,
                temperatures=tuple(_TEMPERATURES.get(t, AMBIENT) for t in each.temperatures),
                preparation_minor=each.preparation_cost.amount_minor,
                lead_time_minutes=each.lead_time_minutes,
            )
            for each in wire.capabilities
        ),
        position=_position(wire.position),
        postcode=wire.postcode,
        priority=wire.priority,
        is_active=wire.is_active,
        country=wire.country,
    )


def extended_site(wire: catalog.ExtendedSite) -> ExtendedSite:
    """Return the first circle of a site."""
    members = tuple(sorted(wire.member_site_ids))
    return ExtendedSite(wire.extended_site_id, wire.anchor_site_id, members)


def sales_zone(wire: catalog.SalesZone) -> SalesZone:
    """Return a second circle."""
    return SalesZone(wire.sales_zone_id, tuple(sorted(wire.extended_site_ids)))


def mode(wire: catalog.Mode) -> ModeFact:
    """Return what a mode version asks the customer for."""
    is_collected = wire.choice_kind == catalog.ChoiceKind.CHOICE_KIND_SITE
    return ModeFact(wire.mode_id, wire.version, is_collected)
