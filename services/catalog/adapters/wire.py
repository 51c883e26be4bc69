"""Domain to contract: the same messages travel on the feed and in answers."""

from oms.catalog.v1 import catalog_events_pb2 as wire
from oms.common.v1 import common_pb2 as common

from services.catalog.domain.extended_site import ExtendedSite
from services.catalog.domain.mode_definition import (
    ChoiceKind,
    Milestone,
    Mode,
    Step,
    StepType,
    Visibility,
)
from services.catalog.domain.product import Product
from services.catalog.domain.sales_zone import SalesZone
from services.catalog.domain.site import Site, SiteType
from services.catalog.domain.values import NO_TEXT, LocalizedText, Money, TemperatureClass, Unit

UNITS = {unit: common.Unit.Value(f"UNIT_{unit.name}") for unit in Unit}
TEMPERATURES = {
    t: common.TemperatureClass.Value(f"TEMPERATURE_CLASS_{t.name}") for t in TemperatureClass
}
SITE_TYPES = {t: wire.SiteType.Value(f"SITE_TYPE_{t.name}") for t in SiteType}
CHOICE_KINDS = {k: wire.ChoiceKind.Value(f"CHOICE_KIND_{k.name}") for k in ChoiceKind}
STEP_TYPES = {t: common.StepType.Value(f"STEP_TYPE_{t.name}") for t in StepType}
MILESTONES = {m: common.Milestone.Value(f"MILESTONE_{m.name}") for m in Milestone}
VISIBILITIES = {v: common.Visibility.Value(f"VISIBILITY_{v.name}") for v in Visibility}


def product(value: Product) -> wire.Product:
    return wire.Product(
        sku=value.sku,
        name=value.name,
        category_path=value.category_path,
        unit=UNITS[value.unit],
        temperature=TEMPERATURES[value.temperature],
        price=money(value.price),
        price_quantity=value.price_quantity,
        volume_ml=value.volume_ml,
        weight_g=value.weight_g,
        barcode=value.barcode,
        is_weight_variable=value.is_weight_variable,
        localized_name=text(value.localized_name) if value.localized_name != NO_TEXT else None,
    )


def site(value: Site) -> wire.Site:
    return wire.Site(
        site_id=value.site_id,
        name=value.name,
        type=SITE_TYPES[value.type],
        position=common.Position(
            latitude_e6=value.position.latitude_e6, longitude_e6=value.position.longitude_e6
        ),
        postcode=value.postcode,
        time_zone=value.time_zone,
        opening_hours=[
            wire.OpeningHours(
                weekday=span.weekday,
                opens_minute=span.opens_minute,
                closes_minute=span.closes_minute,
            )
            for span in value.opening_hours
        ],
        capabilities=[
            wire.SiteCapability(
                mode_id=capability.mode_id,
                can_prepare=capability.can_prepare,
                can_hand_over=capability.can_hand_over,
                temperatures=[TEMPERATURES[t] for t in capability.temperatures],
                preparation_cost=money(capability.preparation_cost),
                lead_time_minutes=capability.lead_time_minutes,
            )
            for capability in value.capabilities
        ],
        priority=value.priority,
        is_active=value.is_active,
        country=value.country,
    )


def extended_site(value: ExtendedSite) -> wire.ExtendedSite:
    return wire.ExtendedSite(
        extended_site_id=value.extended_site_id,
        name=value.name,
        anchor_site_id=value.anchor_site_id,
        member_site_ids=value.member_site_ids,
    )


def sales_zone(value: SalesZone) -> wire.SalesZone:
    return wire.SalesZone(
        sales_zone_id=value.sales_zone_id,
        name=value.name,
        extended_site_ids=value.extended_site_ids,
    )


def mode(value: Mode) -> wire.Mode:
    return wire.Mode(
        mode_id=value.mode_id,
        version=value.version,
        label=text(value.label),
        choice_kind=CHOICE_KINDS[value.choice_kind],
        steps=[step(each) for each in value.steps],
        fee=money(value.fee),
    )


def step(value: Step) -> common.Step:
    return common.Step(
        step_id=value.step_id,
        type=STEP_TYPES[value.type],
        completes_on=MILESTONES[value.completes_on],
        label=text(value.label),
        visibility=VISIBILITIES[value.visibility],
        cancellable=value.is_cancellable,
        optional=value.is_optional,
    )


def text(value: LocalizedText) -> common.LocalizedText:
    return common.LocalizedText(fr=value.fr, en=value.en)


def money(value: Money) -> common.Money:
    return common.Money(amount_minor=value.amount_minor, currency=value.currency)
