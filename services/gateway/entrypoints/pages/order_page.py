"""What the consumer's page shows of an order: the visible steps, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp
from oms.catalog.v1 import catalog_events_pb2 as catalog
from oms.common.v1 import common_pb2 as common
from oms.notification.v1 import notification_service_pb2 as notification
from oms.order.v1 import order_service_pb2 as order

from services.gateway.entrypoints.http.wire import enum_names
from services.gateway.entrypoints.pages.texts import (
    TEXTS,
    hours,
    in_language,
    moment,
    product_name,
    quantity,
)
from services.kernel.domain.money import amount

_TOLD_AT_START = (common.STEP_TYPE_WORK, common.STEP_TYPE_WAIT)
_ENDED = (
    order.ORDER_STATUS_REFUSED,
    order.ORDER_STATUS_CANCELLED,
    order.ORDER_STATUS_COMPLETED,
)


@dataclass(frozen=True, slots=True)
class Extras:
    """What is told beside the order, where it could be had.

    Attributes:
        messages: A page of the order's mailbox, newest first.
        older: Token of the page after; empty on the last.
        codes: Pickup code by group id.
        products: By sku.
        sites: By site id.
    """

    messages: Sequence[notification.Message]
    older: str
    codes: Mapping[str, str]
    products: Mapping[str, catalog.Product]
    sites: Mapping[str, catalog.Site]


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads the page: the language, and the zone to tell times in."""

    language: str
    zone: ZoneInfo

    def time(self, at: Timestamp) -> Mapping[str, str]:
        """Return a time for machines and for people."""
        told = at.ToDatetime(tzinfo=UTC)
        local = moment(told.astimezone(self.zone), self.language)
        return {"iso": told.isoformat(timespec="seconds"), "text": local}


def awaits_collection(group: order.OrderGroupView) -> bool:
    """Return whether the group stands ready for its customer, so that he needs the code."""
    if group.is_completed or not hands_over(group):
        return False
    return any(
        one.step.completes_on == common.MILESTONE_READY and one.state == order.STEP_STATE_COMPLETED
        for one in group.steps
    )


def hands_over(view: order.OrderGroupView) -> bool:
    """Tell whether the customer comes for the group himself, so that he wants to know where."""
    return any(one.step.completes_on == common.MILESTONE_HANDED_OVER for one in view.steps)


def order_page(found: order.Order, extras: Extras, reader: Reader) -> dict[str, Any]:
    """Return what the template needs."""
    text = TEXTS[reader.language]
    total = len(found.groups)
    readers = {one.group.group_id: _at_its_site(one, extras, reader) for one in found.groups}
    # What concerns no single part is told in the zone of all of them, where they share one.
    zones = {one.zone for one in readers.values()}
    reader = Reader(reader.language, zones.pop()) if len(zones) == 1 else reader
    parts = {
        one.group.group_id: text["group"].format(n=place, total=total)
        for place, one in enumerate(found.groups, 1)
        if total > 1
    }
    return {
        "order": {"order_id": found.order_id},
        "headline": _headline(found, reader),
        "is_live": found.status not in _ENDED,
        "groups": [
            _group(one, place, total, found, extras, readers[one.group.group_id])
            for place, one in enumerate(found.groups, 1)
        ],
        "messages": [
            {
                "text": in_language(one.text, reader.language),
                "part": parts.get(one.group_id, ""),
                "at": readers.get(one.group_id, reader).time(one.occurred_at),
            }
            for one in extras.messages
        ],
        "older": urlencode({"lang": reader.language, "messages": extras.older})
        if extras.older
        else "",
        "total": amount(found.total_minor, found.currency, reader.language),
        "charged": amount(found.captured_minor, found.currency, reader.language)
        if found.captured_minor or found.status in _ENDED
        else "",
        "refunded": amount(found.refunded_minor, found.currency, reader.language)
        if found.refunded_minor
        else "",
        "text": text,
    }


def _headline(found: order.Order, reader: Reader) -> str:
    """The step that a single group is at says more than the status of the order."""
    if found.status == order.ORDER_STATUS_ACCEPTED and len(found.groups) == 1:
        shown = [one for one in _steps(found.groups[0], found, reader) if one["state"] != "todo"]
        if shown:
            label: str = shown[-1]["label"]
            return label
    status = enum_names(order.OrderStatus.DESCRIPTOR)[found.status]
    return TEXTS[reader.language][status]


def _at_its_site(view: order.OrderGroupView, extras: Extras, reader: Reader) -> Reader:
    """Return the reader with the zone of where the group changes hands, if that is known."""
    site = extras.sites.get(view.group.handover_site_id)
    if site is None or not site.time_zone:
        return reader
    return Reader(reader.language, ZoneInfo(site.time_zone))


def _group(
    view: order.OrderGroupView,
    place: int,
    total: int,
    found: order.Order,
    extras: Extras,
    reader: Reader,
) -> dict[str, Any]:
    text = TEXTS[reader.language]
    site = extras.sites.get(view.group.handover_site_id)
    goods = [_good(one, extras.products.get(one.sku), reader) for one in view.group.lines]
    count = sum(one["pieces"] for one in goods)
    # In French nothing is singular, in English plural.
    is_one = count == 1 or (count == 0 and reader.language == "fr")
    is_off = found.status == order.ORDER_STATUS_CANCELLED or not goods
    return {
        "title": text["group"].format(n=place, total=total) if total > 1 else text["steps"],
        "articles": text["articles_one" if is_one else "articles_many"].format(n=count),
        "goods": goods,
        "place": _place(site, reader)
        if site is not None and hands_over(view) and not is_off
        else None,
        "promised": reader.time(view.group.promised_at)
        if view.group.HasField("promised_at") and not view.is_completed and not is_off
        else None,
        "pickup_code": extras.codes.get(view.group.group_id, ""),
        "steps": _steps(view, found, reader),
    }


def _good(
    line: common.GroupLine, product: catalog.Product | None, reader: Reader
) -> dict[str, Any]:
    """Return a line as the customer reads it; what is weighed counts as one piece."""
    unit = product.unit if product is not None else common.UNIT_PIECE
    return {
        "name": (product_name(product, reader.language) if product is not None else "") or line.sku,
        "quantity": quantity(line.quantity, unit, reader.language),
        "pieces": line.quantity if unit == common.UNIT_PIECE else 1,
    }


def _place(site: catalog.Site, reader: Reader) -> dict[str, Any]:
    spans: dict[int, list[tuple[int, int]]] = {}
    for one in site.opening_hours:
        spans.setdefault(one.weekday, []).append((one.opens_minute, one.closes_minute))
    return {
        "name": site.name or site.site_id,
        "postcode": site.postcode,
        "hours": hours(spans, reader.language),
    }


def _steps(view: order.OrderGroupView, found: order.Order, reader: Reader) -> list[dict[str, Any]]:
    is_over = found.status == order.ORDER_STATUS_CANCELLED
    shown: list[dict[str, Any]] = []
    for one in view.steps:
        if one.step.visibility in (common.VISIBILITY_HIDDEN, common.VISIBILITY_UNSPECIFIED):
            continue
        state = _state(one)
        if state == "skipped" or (state == "todo" and is_over):
            continue
        shown.append(
            {
                "label": in_language(one.step.label, reader.language),
                "state": state,
                "at": _time(one, reader) if state != "todo" else None,
            }
        )
    return shown


def _state(one: order.GroupStep) -> str:
    """Work and waiting are told when they start; the others when they are done."""
    is_told_at_start = one.step.type in _TOLD_AT_START
    match one.state:
        case order.STEP_STATE_COMPLETED:
            return "done"
        case order.STEP_STATE_STARTED if is_told_at_start:
            return "current"
        case order.STEP_STATE_SKIPPED:
            return "done" if one.HasField("started_at") and is_told_at_start else "skipped"
        case _:
            return "todo"


def _time(one: order.GroupStep, reader: Reader) -> Mapping[str, str] | None:
    if one.step.visibility != common.VISIBILITY_LABEL_AND_TIME:
        return None
    if one.step.type in _TOLD_AT_START:
        return reader.time(one.started_at) if one.HasField("started_at") else None
    return reader.time(one.completed_at) if one.HasField("completed_at") else None
