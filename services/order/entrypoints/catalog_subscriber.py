"""What exists and how modes run, from the catalog: rows, written for a whole batch at once."""

from collections.abc import Sequence

from oms.catalog.v1 import catalog_events_pb2 as catalog
from oms.common.v1 import common_pb2 as common

from services.kernel.application.feeds import Envelope
from services.kernel.application.work import Work
from services.order.application.catalog_facts import (
    ModeRow,
    ProductRow,
    SiteRow,
    document_of,
    remember,
)
from services.order.domain.mode import (
    ChoiceKind,
    Milestone,
    Step,
    StepType,
    Temperature,
    Visibility,
)


async def remember_catalog(
    batch: Sequence[tuple[catalog.CatalogEvent, Envelope]], work: Work
) -> None:
    products: list[ProductRow] = []
    sites: list[SiteRow] = []
    modes: list[ModeRow] = []
    for event, envelope in batch:
        match event.WhichOneof("event"):
            case "product_upserted":
                products.append(_product(event.product_upserted.product, envelope))
            case "site_upserted":
                sites.append(_site(event.site_upserted.site, envelope))
            case "mode_published":
                modes.append(_mode(event.mode_published.mode, envelope))
            case _:
                pass  # who helps whom is sourcing's business
    await remember(work.sql, products, sites, modes)


async def known_already(_: catalog.CatalogEvent, __: Envelope, ___: Work) -> None:
    """Nothing is left to do for a single message."""


def _product(product: catalog.Product, envelope: Envelope) -> ProductRow:
    return ProductRow(
        envelope.tenant,
        product.sku,
        product.price.amount_minor,
        max(1, product.price_quantity),
        product.price.currency,
        common.Unit.Name(product.unit).removeprefix("UNIT_").lower(),
        _temperature(product.temperature).value,
        envelope.stream_version,
    )


def _temperature(wire_class: "common.TemperatureClass.ValueType") -> Temperature:
    if wire_class == common.TEMPERATURE_CLASS_UNSPECIFIED:
        return Temperature.AMBIENT
    name = common.TemperatureClass.Name(wire_class)
    return Temperature[name.removeprefix("TEMPERATURE_CLASS_")]


def _site(site: catalog.Site, envelope: Envelope) -> SiteRow:
    return SiteRow(
        envelope.tenant,
        site.site_id,
        site.is_active,
        tuple(one.mode_id for one in site.capabilities if one.can_prepare),
        tuple(one.mode_id for one in site.capabilities if one.can_hand_over),
        envelope.stream_version,
    )


def _mode(mode: catalog.Mode, envelope: Envelope) -> ModeRow:
    needs_destination = mode.choice_kind == catalog.CHOICE_KIND_DESTINATION
    return ModeRow(
        envelope.tenant,
        mode.mode_id,
        mode.version,
        (ChoiceKind.DESTINATION if needs_destination else ChoiceKind.SITE).value,
        mode.fee.amount_minor,
        mode.fee.currency,
        document_of(_step(step) for step in mode.steps),
    )


def _step(step: common.Step) -> Step:
    # What a later catalog may leave unsaid stays hidden from the consumer.
    visibility = common.Visibility.Name(step.visibility).removeprefix("VISIBILITY_")
    return Step(
        step.step_id,
        StepType[common.StepType.Name(step.type).removeprefix("STEP_TYPE_")],
        Milestone[common.Milestone.Name(step.completes_on).removeprefix("MILESTONE_")],
        step.label.fr,
        step.label.en,
        Visibility.HIDDEN if visibility == "UNSPECIFIED" else Visibility[visibility],
        step.cancellable,
        step.optional,
    )
