"""Named examples of reference data."""

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
from services.catalog.domain.values import LocalizedText, Money, Position, TemperatureClass, Unit

EUR_1 = Money(100, "EUR")
LABEL = LocalizedText("Étape", "Step")

MILK = Product(
    sku=Sku("MILK-1"),
    name="Lait demi-écrémé 1 l",
    category_path=("Crèmerie", "Lait", "Demi-écrémé"),
    unit=Unit.PIECE,
    temperature=TemperatureClass.AMBIENT,
    price=EUR_1,
    price_quantity=1,
    volume_ml=1000,
    weight_g=1030,
    barcode="3017620422003",
    is_weight_variable=False,
    localized_name=LocalizedText("Lait demi-écrémé 1 l", "Semi-skimmed milk 1 l"),
)

LYON = Site(
    site_id=SiteId("S-LYON"),
    name="Lyon Croix-Rousse",
    type=SiteType.STORE,
    position=Position(45_774_000, 4_832_000),
    postcode="69004",
    time_zone="Europe/Paris",
    opening_hours=(OpeningHours(1, 510, 750), OpeningHours(1, 840, 1200)),
    capabilities=(
        SiteCapability(
            mode_id="click_and_collect",
            can_prepare=True,
            can_hand_over=True,
            temperatures=(TemperatureClass.AMBIENT,),
            preparation_cost=Money(300, "EUR"),
            lead_time_minutes=90,
        ),
    ),
    priority=1,
    is_active=True,
    country="FR",
)

LYON_CIRCLE = ExtendedSite(ExtendedSiteId("X-LYON"), "Lyon", LYON.site_id, (LYON.site_id,))
EAST = SalesZone(SalesZoneId("Z-EAST"), "Est", (LYON_CIRCLE.extended_site_id,))


def step(
    step_id: str,
    step_type: StepType,
    completes_on: Milestone,
    *,
    visibility: Visibility = Visibility.LABEL_AND_TIME,
    cancellable: bool = False,
    optional: bool = False,
    label: LocalizedText = LABEL,
) -> Step:
    return Step(step_id, step_type, completes_on, label, visibility, cancellable, optional)


CONFIRMED = step("confirmed", StepType.SYSTEM, Milestone.RESERVED, cancellable=True)
PICKING = step("picking", StepType.WORK, Milestone.PICKED, cancellable=True)
STAGING = step(
    "staging",
    StepType.WORK,
    Milestone.READY,
    visibility=Visibility.HIDDEN,
    label=LocalizedText("", ""),
)
ARRIVAL = step("arrival", StepType.WAIT, Milestone.ARRIVED, optional=True)
HANDOVER = step("handover", StepType.HANDOVER, Milestone.HANDED_OVER)
DISPATCH = step("dispatch", StepType.TRANSPORT, Milestone.HANDED_TO_CARRIER)
DELIVERY = step("delivery", StepType.TRANSPORT, Milestone.DELIVERED)

COLLECT = Mode(
    ModeId("click_and_collect"),
    1,
    LocalizedText("Retrait", "Collection"),
    ChoiceKind.SITE,
    (CONFIRMED, PICKING, STAGING, ARRIVAL, HANDOVER),
    Money(0, "EUR"),
)
HOME = Mode(
    ModeId("home_delivery"),
    1,
    LocalizedText("Livraison", "Delivery"),
    ChoiceKind.DESTINATION,
    (CONFIRMED, PICKING, DISPATCH, DELIVERY),
    Money(590, "EUR"),
)
