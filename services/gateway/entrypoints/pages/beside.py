"""What an order's page tells beside the order: each is an extra, the page does without it.

Who is away costs the page what he would have told, never the page.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from oms.catalog.v1 import catalog_events_pb2 as catalog
from oms.catalog.v1 import catalog_service_pb2 as catalog_service
from oms.delivery.v1 import delivery_service_pb2 as delivery
from oms.notification.v1 import notification_service_pb2 as notification
from oms.order.v1 import order_service_pb2 as order

from services.gateway.entrypoints.http.contracts import CATALOG, DELIVERY, NOTIFICATION
from services.gateway.entrypoints.http.incoming import Metadata
from services.gateway.entrypoints.http.problems import Problem
from services.gateway.entrypoints.pages.order_page import Extras, awaits_collection, hands_over

_MESSAGES = 50
_PAGE_SKUS = 200
_PICKUP_CODES = 10  # groups of one order whose codes a page shows
_PLACES = 10  # sites of one order that a page names

type Call = Callable[[MethodDescriptor, Message, Metadata], Awaitable[Any]]


async def beside(found: order.Order, acting: Metadata, call: Call, messages_page: str) -> Extras:
    """Ask for messages, codes, products and sites at once.

    ``messages_page`` is the token of a page of messages; empty: the newest.
    """
    (messages, older), codes, products, sites = await asyncio.gather(
        _messages(found, acting, call, messages_page),
        _codes(found, acting, call),
        _products(found, acting, call),
        _sites(found, acting, call),
    )
    return Extras(messages, older, codes, products, sites)


async def _messages(
    found: order.Order, acting: Metadata, call: Call, page: str
) -> tuple[Sequence[notification.Message], str]:
    asked = notification.ListMessagesRequest(
        order_id=found.order_id, page_size=_MESSAGES, page_token=page, newest_first=True
    )
    try:
        answer = await call(NOTIFICATION["ListMessages"], asked, acting)
    except Problem:
        return [], ""
    return list(answer.messages), answer.next_page_token


async def _codes(found: order.Order, acting: Metadata, call: Call) -> Mapping[str, str]:
    ready = [one.group.group_id for one in found.groups if awaits_collection(one)]
    codes: dict[str, str] = {}
    for group_id in ready[:_PICKUP_CODES]:
        asked = delivery.GetPickupCodeRequest(group_id=group_id)
        try:
            answer = await call(DELIVERY["GetPickupCode"], asked, acting)
        except Problem:
            continue  # the feed has not reached delivery yet: the next reading shows it
        codes[group_id] = answer.pickup_code
    return codes


async def _products(
    found: order.Order, acting: Metadata, call: Call
) -> Mapping[str, catalog.Product]:
    skus = sorted({line.sku for one in found.groups for line in one.group.lines})
    named: dict[str, catalog.Product] = {}
    for first in range(0, len(skus), _PAGE_SKUS):
        part = skus[first : first + _PAGE_SKUS]
        asked = catalog_service.ListProductsRequest(page_size=_PAGE_SKUS, skus=part)
        try:
            answer = await call(CATALOG["ListProducts"], asked, acting)
        except Problem:
            break
        named |= {one.sku: one for one in answer.products}
    return named


async def _sites(found: order.Order, acting: Metadata, call: Call) -> Mapping[str, catalog.Site]:
    """Return where the customer comes for a group himself."""
    wanted = sorted({one.group.handover_site_id for one in found.groups if hands_over(one)})
    sites: dict[str, catalog.Site] = {}
    for site_id in wanted[:_PLACES]:
        asked = catalog_service.GetSiteRequest(site_id=site_id)
        try:
            answer = await call(CATALOG["GetSite"], asked, acting)
        except Problem:
            continue
        sites[site_id] = answer.site
    return sites
