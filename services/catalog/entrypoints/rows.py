"""Rows of the contract to rows of the domain. What cannot be read becomes a fault of its row."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from oms.catalog.v1 import catalog_events_pb2 as wire
from oms.common.v1 import common_pb2 as common

from services.catalog.application.handlers import Row
from services.catalog.domain.extended_site import ExtendedSite, ExtendedSiteId
from services.catalog.domain.mode_definition import (
    ChoiceKind,
    Milestone,
    Mode,
    ModeId,
    Step,
    StepType,
    Visibility,
)
from services.catalog.domain.product import Product, Sku
from services.catalog.domain.sales_zone import SalesZone, SalesZoneId
from services.catalog.domain.site import OpeningHours, Site, SiteCapability, SiteId, SiteType
from services.catalog.domain.values import (
    Fault,
    LocalizedText,
    Money,
    Position,
    TemperatureClass,
    Unit,
)
from services.kernel.domain.errors import Invalid

_UNITS = {common.Unit.Value(f"UNIT_{u.name}"): u for u in Unit}
_TEMPERATURES = {
    common.TemperatureClass.Value(f"TEMPERATURE_CLASS_{t.name}"): t for t in TemperatureClass
}
SITE_TYPES = {wire.SiteType.Value(f"SITE_TYPE_{t.name}"): t for t in SiteType}
_CHOICE_KINDS = {wire.ChoiceKind.Value(f"CHOICE_KIND_{k.name}"): k for k in ChoiceKind}
_STEP_TYPES = {common.StepType.Value(f"STEP_TYPE_{t.name}"): t for t in StepType}
_MILESTONES = {common.Milestone.Value(f"MILESTONE_{m.name}"): m for m in Milestone}
_VISIBILITIES = {common.Visibility.Value(f"VISIBILITY_{v.name}"): v for v in Visibility}


def products(rows: Iterable[wire.Product]) -> list[Row[Product]]:
    return [_product(i, row) for i, row in enumerate(rows)]


def sites(rows: Iterable[wire.Site]) -> list[Row[Site]]:
    return [_site(i, row) for i, row in enumerate(rows)]


def extended_sites(rows: Iterable[wire.ExtendedSite]) -> list[Row[ExtendedSite]]:
    return [
        Row(
            i,
            row.extended_site_id,
            ExtendedSite(
                ExtendedSiteId(row.extended_site_id),
                row.name,
                SiteId(row.anchor_site_id),
                tuple(map(SiteId, row.member_site_ids)),
            ),
        )
        for i, row in enumerate(rows)
    ]


def sales_zones(rows: Iterable[wire.SalesZone]) -> list[Row[SalesZone]]:
    return [
        Row(
            i,
            row.sales_zone_id,
            SalesZone(
                SalesZoneId(row.sales_zone_id),
                row.name,
                tuple(map(ExtendedSiteId, row.extended_site_ids)),
            ),
        )
        for i, row in enumerate(rows)
    ]


def mode(row: wire.Mode) -> Mode:
    """Return the mode.

    Raises:
        Invalid: A value is not one that this version knows.
    """
    faults = [
        *_unknown("mode.choice_kind", row.choice_kind, _CHOICE_KINDS),
        *(fault for i, step in enumerate(row.steps) for fault in _step_faults(i, step)),
    ]
    if faults:
        raise Invalid(*((f.field, f"{f.problem}: {f.remedy}") for f in faults))
    return Mode(
        ModeId(row.mode_id),
        row.version,
        _text(row.label),
        _CHOICE_KINDS[row.choice_kind],
        tuple(_step(step) for step in row.steps),
        _money(row.fee),
    )


def _product(index: int, row: wire.Product) -> Row[Product]:
    faults = (
        *_unknown("unit", row.unit, _UNITS),
        *_unknown("temperature", row.temperature, _TEMPERATURES),
    )
    if faults:
        return Row(index, row.sku, None, faults)
    return Row(
        index,
        row.sku,
        Product(
            sku=Sku(row.sku),
            name=row.name,
            category_path=tuple(row.category_path),
            unit=_UNITS[row.unit],
            temperature=_TEMPERATURES[row.temperature],
            price=_money(row.price),
            price_quantity=row.price_quantity,
            volume_ml=row.volume_ml,
            weight_g=row.weight_g,
            barcode=row.barcode,
            is_weight_variable=row.is_weight_variable,
            localized_name=_text(row.localized_name),
        ),
    )


def _site(index: int, row: wire.Site) -> Row[Site]:
    faults = tuple(_site_faults(row))
    if faults:
        return Row(index, row.site_id, None, faults)
    return Row(
        index,
        row.site_id,
        Site(
            site_id=SiteId(row.site_id),
            name=row.name,
            type=SITE_TYPES[row.type],
            position=Position(row.position.latitude_e6, row.position.longitude_e6),
            postcode=row.postcode,
            time_zone=row.time_zone,
            opening_hours=tuple(
                OpeningHours(span.weekday, span.opens_minute, span.closes_minute)
                for span in row.opening_hours
            ),
            capabilities=tuple(
                SiteCapability(
                    capability.mode_id,
                    capability.can_prepare,
                    capability.can_hand_over,
                    tuple(_TEMPERATURES[t] for t in capability.temperatures),
                    _money(capability.preparation_cost),
                    capability.lead_time_minutes,
                )
                for capability in row.capabilities
            ),
            priority=row.priority,
            is_active=row.is_active,
            country=row.country,
        ),
    )


def _site_faults(row: wire.Site) -> Iterator[Fault]:
    yield from _unknown("type", row.type, SITE_TYPES)
    if not row.HasField("position"):
        yield Fault("position", "is missing", "give latitude and longitude in micro-degrees")
    if not _is_zone(row.time_zone):
        yield Fault(
            "time_zone", "is not a time zone", "give an IANA name, for example Europe/Paris"
        )
    for i, capability in enumerate(row.capabilities):
        for j, temperature in enumerate(capability.temperatures):
            yield from _unknown(f"capabilities[{i}].temperatures[{j}]", temperature, _TEMPERATURES)


def _step_faults(index: int, step: common.Step) -> Iterator[Fault]:
    path = f"mode.steps[{index}]"
    yield from _unknown(f"{path}.type", step.type, _STEP_TYPES)
    yield from _unknown(f"{path}.completes_on", step.completes_on, _MILESTONES)
    yield from _unknown(f"{path}.visibility", step.visibility, _VISIBILITIES)


def _step(step: common.Step) -> Step:
    return Step(
        step.step_id,
        _STEP_TYPES[step.type],
        _MILESTONES[step.completes_on],
        _text(step.label),
        _VISIBILITIES[step.visibility],
        step.cancellable,
        step.optional,
    )


def _unknown(field: str, value: int, known: Mapping[Any, object]) -> Iterator[Fault]:
    if value not in known:
        names = ", ".join(str(name) for name in known.values())
        yield Fault(field, "is missing or not known", f"give one of {names}")


def _money(value: common.Money) -> Money:
    return Money(value.amount_minor, value.currency)


def _text(value: common.LocalizedText) -> LocalizedText:
    return LocalizedText(value.fr, value.en)


@lru_cache(maxsize=1024)
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError, a directory an OSError
        return False
    except KeyError:
        return False
    return bool(name)
