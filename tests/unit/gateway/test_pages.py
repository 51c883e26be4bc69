"""The consumer's page: the visible steps, in his language, for the one order that is signed."""

import re
from collections.abc import Mapping
from html import unescape

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from oms.catalog.v1 import catalog_events_pb2 as catalog
from oms.catalog.v1 import catalog_service_pb2 as catalog_service
from oms.common.v1 import common_pb2 as common
from oms.delivery.v1 import delivery_service_pb2 as delivery
from oms.notification.v1 import notification_service_pb2 as notification
from oms.order.v1 import order_service_pb2 as order
from pydantic import ValidationError

from services.gateway.entrypoints.pages.links import Links
from services.gateway.entrypoints.pages.texts import (
    TEXTS,
    hours,
    language_of,
    quantity,
)
from services.gateway.settings import GatewaySettings
from services.kernel.domain.errors import Invalid, NotFound
from services.kernel.domain.money import amount
from tests.unit.gateway.fakes import INTERNAL, SECRET, Fakes, gateway

LINKS = Links([SECRET.encode()])
PAGE = LINKS.track("demo", "O-1")
STEPS = (
    ("Confirmée", "Confirmed", common.STEP_TYPE_SYSTEM, common.MILESTONE_RESERVED, True),
    ("Préparation", "Being prepared", common.STEP_TYPE_WORK, common.MILESTONE_PICKED, True),
    ("Mise en casier", "Staging", common.STEP_TYPE_WORK, common.MILESTONE_READY, False),
    ("Prête : vous pouvez venir", "Ready: you can come", common.STEP_TYPE_WAIT,
     common.MILESTONE_ARRIVED, True),
    ("Retirée", "Collected", common.STEP_TYPE_HANDOVER, common.MILESTONE_HANDED_OVER, True),
)  # fmt: skip


def an_order(*, completed: int, sku: str = "pear") -> order.GetOrderResponse:
    """An order of one group with its first steps completed and the next one started."""
    answer = order.GetOrderResponse()
    found = answer.order
    found.order_id = "O-1"
    found.status = order.ORDER_STATUS_ACCEPTED
    found.currency = "EUR"
    found.total_minor = 123456
    view = found.groups.add()
    view.group.group_id = "O-1.1"
    view.group.handover_site_id = "lyon-1"
    view.group.lines.add(line_id="1", sku=sku, quantity=1250)
    view.group.lines.add(line_id="2", sku="soap", quantity=2)
    view.group.promised_at.FromJsonString("2026-05-01T08:30:00Z")
    for place, (fr, en, kind, milestone, is_visible) in enumerate(STEPS):
        one = view.steps.add()
        one.step.label.fr, one.step.label.en = fr, en
        one.step.type, one.step.completes_on = kind, milestone
        one.step.visibility = (
            common.VISIBILITY_LABEL_AND_TIME if is_visible else common.VISIBILITY_HIDDEN
        )
        one.state = order.STEP_STATE_PENDING
        if place <= completed:
            one.state = order.STEP_STATE_STARTED
            one.started_at.FromJsonString("2026-05-01T06:00:00Z")
        if place < completed:
            one.state = order.STEP_STATE_COMPLETED
            one.completed_at.FromJsonString("2026-05-01T07:00:00Z")
    return answer


def fakes_with(shown: order.GetOrderResponse) -> Fakes:
    pear = catalog.Product(sku="pear", name="Poires <Conférence>", unit=common.UNIT_GRAM)
    shop = catalog.Site(site_id="lyon-1", name="Lyon Presqu’île", postcode="69002")
    shop.time_zone = "Europe/Lisbon"
    for weekday in range(1, 7):
        shop.opening_hours.add(weekday=weekday, opens_minute=510, closes_minute=1230)
    mailbox = notification.ListMessagesResponse()
    message = mailbox.messages.add(message_id="m", order_id="O-1")
    message.text.fr, message.text.en = "C’est <prêt>", "It is <ready>"
    message.occurred_at.FromJsonString("2026-05-01T07:00:00Z")
    code = delivery.GetPickupCodeResponse(pickup_code="481516")
    return Fakes(
        {
            "GetOrder": shown,
            "ListMessages": mailbox,
            "GetPickupCode": code,
            "ListProducts": catalog_service.ListProductsResponse(products=[pear]),
            "GetSite": catalog_service.GetSiteResponse(site=shop),
        }
    )


async def test_the_page_shows_visible_steps_messages_and_the_code_when_ready() -> None:
    fakes = fakes_with(an_order(completed=3))
    async with gateway(fakes) as http:
        page = await http.get(PAGE, headers={"Accept-Language": "fr-FR,fr;q=0.9"})
    assert page.status_code == 200
    assert "<h1" in page.text
    assert "Prête : vous pouvez venir" in page.text
    assert "Mise en casier" not in page.text
    assert "481516" in page.text
    assert "C’est &lt;prêt&gt;" in page.text
    assert "1\u202f234,56\u00a0€" in page.text
    assert "01/05/2026 à 07:00" in page.text  # 06:00 UTC where the goods are collected
    assert 'lang="fr"' in page.text
    assert fakes.calls[0].metadata["authorization"] == f"Bearer {INTERNAL}"
    assert fakes.calls[0].metadata["x-oms-tenant"] == "demo"


async def test_the_page_says_what_and_where() -> None:
    fakes = fakes_with(an_order(completed=3))
    async with gateway(fakes) as http:
        page = await http.get(PAGE)
        fakes.replies["ListProducts"] = fakes.replies["GetSite"] = RuntimeError("boom")
        bare = await http.get(PAGE)
    assert "Lyon Presqu’île</strong>, 69002" in page.text
    assert "<li>lun. - sam.\u00a0: 08:30 - 20:30</li><li>dim.\u00a0: fermé</li>" in page.text
    assert "Poires &lt;Conférence&gt;</span>" in page.text
    assert "1,25\u00a0kg" in page.text
    assert "soap" in page.text
    assert "3 articles" in page.text  # two soaps, and what is weighed counts as one
    asked = [call.request for call in fakes.calls if call.method == "ListProducts"]
    assert list(asked[0].skus) == ["pear", "soap"]
    assert bare.status_code == 200
    assert "Lyon" not in bare.text
    assert "01/05/2026 à 08:00" in bare.text  # in the chain's own zone


async def test_a_product_is_called_as_the_reader_calls_it_or_by_its_one_name() -> None:
    fakes = fakes_with(an_order(completed=3))
    known = fakes.replies["ListProducts"]
    assert isinstance(known, catalog_service.ListProductsResponse)
    known.products[0].localized_name.en = "Pears"
    async with gateway(fakes) as http:
        english = await http.get(PAGE, params={"lang": "en"})
        french = await http.get(PAGE, params={"lang": "fr"})
    assert "<span>Pears</span>" in english.text
    assert "Poires" not in english.text
    assert "Poires &lt;Conférence&gt;</span>" in french.text


async def test_the_newest_messages_are_shown_first_and_older_ones_a_page_further() -> None:
    fakes = fakes_with(an_order(completed=1))
    mailbox = fakes.replies["ListMessages"]
    assert isinstance(mailbox, notification.ListMessagesResponse)
    mailbox.next_page_token = "b2xk|=="  # noqa: S105 - a page
    last = mailbox.messages.add(message_id="l", order_id="O-1")
    last.text.fr = last.text.en = "older than the other"
    async with gateway(fakes) as http:
        page = await http.get(PAGE, headers={"Accept-Language": "en"})
        assert page.text.index("It is &lt;ready&gt;") < page.text.index("older than the other")
        (older,) = re.findall(r'<a rel="next" href="([^"]+)"', page.text)
        assert "Earlier messages" in page.text
        mailbox.next_page_token = ""
        second = await http.get(f"{PAGE}{unescape(older)}")
        too_long = await http.get(f"{PAGE}?messages={'x' * 501}")
    asked = [call.request for call in fakes.calls if call.method == "ListMessages"]
    assert [one.page_token for one in asked] == ["", "b2xk|==", ""]
    assert all(one.newest_first for one in asked)
    assert 'rel="next"' not in second.text
    assert "Latest messages" in second.text
    assert too_long.status_code == 200


async def test_a_message_says_of_which_part_it_is_when_there_are_several() -> None:
    shown = an_order(completed=1)
    shown.order.groups.add().group.group_id = "O-1.2"
    fakes = fakes_with(shown)
    fakes.replies["ListMessages"].messages[0].group_id = "O-1.2"  # type: ignore[union-attr]
    async with gateway(fakes) as http:
        page = await http.get(PAGE, params={"lang": "en"})
    assert re.search(r"It is &lt;ready&gt;</p><p class=\"quiet\">Part 2 of 2 ·", page.text)


async def test_nobody_comes_to_where_a_carrier_takes_it_over() -> None:
    shown = an_order(completed=1)
    for one in shown.order.groups[0].steps:
        if one.step.completes_on == common.MILESTONE_HANDED_OVER:
            one.step.completes_on = common.MILESTONE_DELIVERED
    fakes = fakes_with(shown)
    async with gateway(fakes) as http:
        page = await http.get(PAGE)
    assert "Lyon" not in page.text
    assert "GetSite" not in [call.method for call in fakes.calls]


async def test_who_does_not_collect_is_shown_no_code() -> None:
    """A mode may have goods made ready for a carrier."""
    shown = an_order(completed=3)
    steps = shown.order.groups[0].steps
    steps[-1].step.completes_on = common.MILESTONE_DELIVERED
    fakes = fakes_with(shown)
    async with gateway(fakes) as http:
        page = await http.get(PAGE)
    assert "481516" not in page.text
    assert not [call for call in fakes.calls if call.method == "GetPickupCode"]


async def test_before_ready_there_is_no_code_and_a_handover_is_told_only_when_done() -> None:
    fakes = fakes_with(an_order(completed=1))
    async with gateway(fakes) as http:
        page = await http.get(PAGE, params={"lang": "en"})
    assert "Being prepared" in page.text
    assert "481516" not in page.text
    assert re.search(
        r'class="todo">\s*<span class="mark".*\s*<span class="label">Collected', page.text
    )
    assert "GetPickupCode" not in [call.method for call in fakes.calls]


async def test_pages_are_locked_down() -> None:
    async with gateway(fakes_with(an_order(completed=1))) as http:
        page = await http.get(PAGE)
        script = await http.get("/assets/track.js")
        escape = await http.get("/assets/..%2fsite.py")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert not re.search(r'(src|href)="(https?:)?//', page.text)
    assert "<style" not in page.text
    assert " style=" not in page.text
    assert "<noscript>" in page.text
    assert script.headers["content-type"].startswith("text/javascript")
    assert escape.status_code == 404


async def test_an_unsigned_address_leads_nowhere_and_asks_no_service() -> None:
    fakes = fakes_with(an_order(completed=1))
    token = LINKS.token("demo", "O-1")
    forged = Links([b"x" * 32]).token("demo", "O-2")
    async with gateway(fakes) as http:
        for wrong in (forged, token[:-2], token + "A", "é", "x" * 400, token[::-1]):
            page = await http.get(f"/track/{wrong}")
            assert page.status_code == 404, wrong
        assert (await http.get(f"/track/{forged}/stream")).status_code == 404
    assert fakes.calls == []


async def test_an_order_that_is_gone_and_a_service_that_is_away_are_told_gently() -> None:
    fakes = Fakes({"GetOrder": NotFound("order", "O-1")})
    async with gateway(fakes) as http:
        gone = await http.get(PAGE, params={"lang": "en"})
        fakes.replies["GetOrder"] = RuntimeError("boom")
        away = await http.get(PAGE, params={"lang": "en"})
    assert (gone.status_code, away.status_code) == (404, 503)
    assert "This address leads to no order" in gone.text
    assert "boom" not in away.text


async def test_the_page_lives_on_without_its_mailbox() -> None:
    fakes = fakes_with(an_order(completed=3))
    fakes.replies["ListMessages"] = RuntimeError("boom")
    fakes.replies["GetPickupCode"] = NotFound("handover", "O-1.1")
    async with gateway(fakes) as http:
        assert (await http.get(PAGE)).status_code == 200


async def test_the_stream_of_the_page_tells_nothing_but_that_something_changed() -> None:
    entry = order.WatchTimelineResponse(version=5)
    entry.entry.version = 5
    entry.entry.sku = "pear"
    fakes = Fakes({"WatchTimeline": lambda _: [entry]})
    async with gateway(fakes, is_streaming=True) as http:
        answer = await http.get(f"{PAGE}/stream")
    assert "id: 5\nevent: changed\ndata: 5\n\n" in answer.text
    assert "pear" not in answer.text
    assert fakes.calls[-1].request.view == order.TIMELINE_VIEW_CONSUMER


async def test_the_start_page_lists_orders_of_the_demo_tenant_only_when_there_is_one() -> None:
    listed = order.ListOrdersResponse()
    listed.orders.add(order_id="O-1", currency="EUR", status=order.ORDER_STATUS_PLACED)
    listed.next_page_token = "a+b"  # noqa: S105 - of a page
    fakes = Fakes({"ListOrders": listed})
    async with gateway(fakes, demo_tenant="demo") as http:
        page = await http.get("/", params={"status": "placed", "lang": "en"})
        await http.get("/", params={"status": "nonsense", "page": "a+b"})
        asked = [call.request for call in fakes.calls]
        assert [(one.status, one.page_token) for one in asked] == [
            (order.ORDER_STATUS_PLACED, ""),
            (order.ORDER_STATUS_UNSPECIFIED, "a+b"),
        ]
        fakes.replies["ListOrders"] = Invalid(("page_token", "is not one of ours"))
        assert (await http.get("/", params={"page": "x"})).status_code == 404
        docs = await http.get("/docs")
    assert PAGE in page.text
    assert 'href="/?lang=en&amp;status=placed&amp;page=a%2Bb"' in page.text
    assert '<strong aria-current="true">received</strong>' in page.text
    assert "/v1/orders/{order_id}:cancel" in docs.text
    fakes.calls.clear()
    async with gateway(fakes) as http:
        assert (await http.get("/")).status_code == 200
    assert fakes.calls == []


async def test_the_api_can_be_read_and_tried_without_internet() -> None:
    async with gateway(Fakes()) as http:
        page = await http.get("/docs")
        files = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text)
        served = {name: await http.get(name) for name in files}
    assert not re.search(r'(src|href)="(https?:)?//', page.text)
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert {f"/assets/swagger-ui{end}" for end in (".css", "-bundle.js")} <= set(files)
    assert [one.status_code for one in served.values()] == [200] * len(files)


def test_both_languages_say_the_same_things() -> None:
    french, english = (set(TEXTS[language]) for language in ("fr", "en"))
    assert french == english


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        ("en", "fr", "en"),
        ("de", "en", "en"),
        ("", "", "fr"),
        ("", "en;q=0.1, fr;q=0", "en"),
        ("", "en;q=x", "en"),
    ],
)
def test_the_language_is_what_was_asked_or_is_preferred(
    asked: str, accepted: str, language: str
) -> None:
    assert language_of(asked, accepted) == language


@pytest.mark.parametrize(
    ("minor", "shown"),
    [(5, {"fr": "0,05\u00a0€", "en": "€0.05"}), (-100, {"fr": "-1,00\u00a0€", "en": "-€1.00"})],
)
def test_amounts_are_written_as_people_do(minor: int, shown: Mapping[str, str]) -> None:
    assert {one: amount(minor, "EUR", one) for one in shown} == shown


def test_amounts_have_as_many_decimals_as_their_currency() -> None:
    assert amount(1205, "JPY", "en") == "JPY\u00a01,205"
    assert amount(1205, "XPF", "fr") == "1\u202f205\u00a0XPF"
    assert amount(1_234_005, "KWD", "en") == "KWD\u00a01,234.005"
    assert amount(-1_005, "TND", "fr") == "-1,005\u00a0TND"


_BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize("path", ["/track", "/nosuch", "/problems/nosuch", "/v1/nosuch"])
async def test_an_address_that_leads_nowhere_has_a_page_for_people(path: str) -> None:
    async with gateway(Fakes()) as http:
        shown = {
            language: await http.get(
                path, headers={"Accept": _BROWSER, "Accept-Language": language}
            )
            for language in ("fr", "en")
        }
        by_link = await http.get(path, params={"lang": "en"}, headers={"Accept": _BROWSER})
    for language, answer in shown.items():
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["vary"] == "Accept, Accept-Language"
        assert answer.headers["x-correlation-id"]
        assert f'lang="{language}"' in answer.text
        assert TEXTS[language]["lost"] in unescape(answer.text)
    assert TEXTS["en"]["lost"] in unescape(by_link.text)


@pytest.mark.parametrize(
    ("method", "accepted"),
    [
        ("GET", "*/*"),
        ("GET", "application/json"),
        ("GET", "application/json, text/html;q=0.9"),
        ("GET", "text/html;q=0"),
        ("GET", ""),
        ("POST", _BROWSER),
    ],
)
async def test_programs_get_a_problem_where_nothing_is(method: str, accepted: str) -> None:
    async with gateway(Fakes()) as http:
        answer = await http.request(method, "/nosuch", headers={"Accept": accepted})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reason"] == "ROUTE_NOT_FOUND"


def test_quantities_and_hours_are_written_as_people_do() -> None:
    told = [quantity(n, unit, "fr") for n, unit in ((3, 1), (900, 2), (2000, 2), (1005, 3), (7, 0))]
    assert [one.replace("\u00a0", " ") for one in told] == [
        *("3 ×", "900 g", "2 kg", "1,005 l", "7 ×")
    ]
    assert hours({}, "en") == []
    week = {1: [(540, 720), (840, 1140)], 2: [(540, 720), (840, 1140)], 7: [(0, 1440)]}
    assert hours(week, "en") == [
        "Mon - Tue: 09:00 - 12:00, 14:00 - 19:00",
        "Wed - Sat: closed",
        "Sun: 00:00 - 24:00",
    ]


names = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=48)


@for_all(names, names)
def test_a_token_leads_back_to_its_order_under_the_old_secret_too(tenant: str, order: str) -> None:
    token = Links([b"old"]).token(tenant, order)
    assert Links([b"new", b"old"]).read(token) == (tenant, order)
    assert Links([b"new"]).read(token) is None


async def test_the_page_says_what_is_charged_once_that_is_known() -> None:
    shown = an_order(completed=3)
    fakes = fakes_with(shown)
    async with gateway(fakes) as http:
        before = await http.get(PAGE, params={"lang": "fr"})
        shown.order.status = order.ORDER_STATUS_COMPLETED
        shown.order.captured_minor = 100
        short = await http.get(PAGE, params={"lang": "fr"})
        shown.order.status = order.ORDER_STATUS_REFUSED
        shown.order.captured_minor = 0
        refused = await http.get(PAGE, params={"lang": "en"})
    assert "Débité" not in before.text
    assert "<dt>Débité</dt><dd>1,00\u00a0€</dd>" in short.text
    assert "<dt>Charged</dt><dd>€0.00</dd>" in refused.text


async def test_a_cancelled_order_promises_nothing_and_sends_nobody_anywhere() -> None:
    shown = an_order(completed=1)
    fakes = fakes_with(shown)
    async with gateway(fakes) as http:
        before = await http.get(PAGE, params={"lang": "fr"})
        shown.order.status = order.ORDER_STATUS_CANCELLED
        after = await http.get(PAGE, params={"lang": "fr"})
    assert "Prévue le" in before.text
    assert "Où venir" in before.text
    assert "Prévue le" not in after.text
    assert "Où venir" not in after.text


async def test_a_group_of_which_nothing_was_found_has_no_article() -> None:
    shown = an_order(completed=1)
    del shown.order.groups[0].group.lines[:]
    async with gateway(fakes_with(shown)) as http:
        french = await http.get(PAGE, params={"lang": "fr"})
        english = await http.get(PAGE, params={"lang": "en"})
    assert "0 article<" in french.text.replace("</p>", "<")
    assert "0 items" in english.text


async def test_messages_are_told_in_the_zone_of_their_part() -> None:
    shown = an_order(completed=3)
    fakes = fakes_with(shown)
    async with gateway(fakes) as http:
        alone = await http.get(PAGE, params={"lang": "fr"})
        shown.order.groups.add().group.group_id = "O-1.2"  # where, nobody knows: the chain's zone
        fakes.replies["ListMessages"].messages.add(group_id="O-1.1").CopyFrom(  # type: ignore[union-attr]
            fakes.replies["ListMessages"].messages[0]  # type: ignore[union-attr]
        )
        fakes.replies["ListMessages"].messages[1].group_id = "O-1.1"  # type: ignore[union-attr]
        several = await http.get(PAGE, params={"lang": "fr"})
    assert alone.text.count("01/05/2026 à 08:00</time></p></li>") == 1, "the site's, as the steps"
    assert "01/05/2026 à 09:00</time></p></li>" in several.text, "of the whole: the chain's"
    assert "Partie 1 sur 2 · <time" in several.text
    assert several.text.count("01/05/2026 à 08:00</time></p></li>") == 1


async def test_the_start_page_leads_to_the_stock_and_keeps_its_filter_across_languages() -> None:
    fakes = Fakes({"ListOrders": order.ListOrdersResponse()})
    async with gateway(fakes, demo_tenant="demo") as http:
        page = await http.get("/", params={"lang": "fr", "status": "refused"})
    assert 'href="/stock?lang=fr"' in page.text
    assert 'href="?lang=en&amp;status=refused"' in page.text
    assert "Montrer\u00a0:" in page.text


async def test_what_is_told_in_english_only_says_so_to_screen_readers() -> None:
    async with gateway(Fakes({})) as http:
        page = await http.get("/problems/out-of-stock", params={"lang": "fr"})
    assert '<div lang="en"><h1>Out of stock</h1>' in page.text


def test_a_zone_that_is_none_stops_the_start_in_a_sentence() -> None:
    for name in ("Mars/Base", "", "../etc/passwd"):
        with pytest.raises(ValidationError, match="there is no time zone"):
            GatewaySettings(time_zone=name)
