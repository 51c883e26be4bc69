"""The stock pages: products by site, the ledger with its two clocks, live, in two languages."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from oms.catalog.v1 import catalog_events_pb2 as catalog
from oms.catalog.v1 import catalog_service_pb2 as catalog_service
from oms.common.v1 import common_pb2 as common
from oms.stock_ledger.v1 import promise_service_pb2 as promise
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as ledger

from services.gateway.entrypoints.http.bounded_head import MAX_HEAD_BYTES
from services.gateway.entrypoints.pages.links import Links
from services.gateway.entrypoints.pages.order_page import Reader
from services.gateway.entrypoints.pages.stock_page import board, points
from services.gateway.entrypoints.pages.stock_texts import ACCOUNTS, CAUSES
from services.kernel.application.runner import Overloaded
from services.kernel.domain.errors import Invalid
from services.stock_ledger.domain import entry
from tests.unit.gateway.fakes import SECRET, Fakes, gateway
from tests.unit.gateway.fakes import TOKEN as KEY

LINKS = Links([SECRET.encode()])
TOKEN = LINKS.stock_pages("demo").token
PAGE = f"/stock/{TOKEN}"


@dataclass
class Stopped:
    """A clock that shows what it is told."""

    at: datetime

    def now(self) -> datetime:
        return self.at


def at(hour: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime(2026, 3, 2, hour, tzinfo=UTC))
    return stamp


def a_board() -> promise.GetStockBoardResponse:
    one = promise.Promise(
        site_id="paris",
        sku="tea",
        on_hand=12,
        reserved=3,
        inbound=20,
        available_to_promise=27,
        confidence=promise.CONFIDENCE_LOW,
        updated_at=at(9),
    )
    row = promise.StockBoardRow(promise=one, on_hand_by_day=[0] * 29 + [12])
    product = promise.StockBoardProduct(sku="tea", name="Thé <vert>", rows=[row])
    return promise.GetStockBoardResponse(products=[product], next_page_token="bmV4dA==")


def some_entries() -> ledger.ListEntriesResponse:
    def entry(version: int, cause: str, **fields: Any) -> ledger.Entry:
        return ledger.Entry(
            version=version,
            cause=cause,
            occurred_at=at(8),
            recorded_at=at(9),
            free_after=9,
            on_hand_after=12,
            postings=[
                ledger.Posting(account="held", quantity=3),
                ledger.Posting(account="free", quantity=-3),
            ],
            **fields,
        )

    return ledger.ListEntriesResponse(
        entries=[
            entry(2, "hold", reservation_id="O-1"),
            entry(1, "goods_receipt", source_id="note-1"),
        ]
    )


async def test_the_board_shows_each_product_at_each_site() -> None:
    fakes = Fakes({"GetStockBoard": a_board()})
    async with gateway(fakes) as http:
        page = await http.get(PAGE, params={"lang": "fr", "q": "thé", "site_id": "paris"})
    assert page.status_code == 200
    assert fakes.calls[0].request.text == "thé"
    assert fakes.calls[0].metadata["x-oms-tenant"] == "demo"
    assert "Thé &lt;vert&gt;" in page.text
    for shown in (
        'data-label="En stock"><span class="number">12<',
        ">3<",
        ">7<",
        ">20<",
        "à compter",
    ):
        assert shown in page.text
    assert "<polyline points=" in page.text
    assert f"{PAGE}/stream?pair=paris%7Ctea" in page.text
    assert "page_token=bmV4dA%3D%3D" in page.text


async def test_a_key_that_may_read_stock_is_told_the_address_of_its_tenants_pages() -> None:
    fakes = Fakes({"GetStockBoard": a_board()})
    known = {"Authorization": f"Bearer {KEY}"}
    async with gateway(fakes) as http:
        told = await http.get("/v1/stock/page", headers=known)
        page = await http.get(told.json()["stock_page_url"], params={"lang": "en"})
        strange = await http.get("/v1/stock/page", headers=known, params={"tenant": "other"})
        nobody = await http.get("/v1/stock/page", headers={"Authorization": "Bearer oms_x_1_y"})
        fakes.replies["GetStockBoard"] = grpc.StatusCode.PERMISSION_DENIED
        poor = await http.get("/v1/stock/page", headers=known)
    assert told.json()["stock_page_url"] == PAGE
    assert datetime.fromisoformat(told.json()["expires_at"]) == LINKS.stock("demo")[1]
    assert told.headers["cache-control"] == "no-store"
    assert "Thé &lt;vert&gt;" in page.text
    assert (strange.status_code, nobody.status_code, poor.status_code) == (400, 401, 403)


async def test_an_address_holds_so_many_days_and_then_says_so() -> None:
    fakes = Fakes({"GetStockBoard": a_board(), "GetPromises": promise.GetPromisesResponse()})
    old, long_ago = Stopped(datetime(2026, 3, 2, 23, 59, tzinfo=UTC)), LINKS.token("demo", "~stock")
    links = Links([SECRET.encode()], stock_days=7, clock=old)
    pages = links.stock_pages("demo")
    assert pages.expires_at == datetime(2026, 3, 10, tzinfo=UTC)
    old.at = datetime(2026, 3, 9, 23, 59, tzinfo=UTC)
    known = links.read_stock(pages.token)
    assert known == pages
    assert not links.has_expired(pages)
    old.at += timedelta(minutes=1)
    assert links.has_expired(pages)
    async with gateway(fakes) as http:
        page = await http.get(f"/stock/{pages.token}", params={"lang": "en"})
        page_fr = await http.get(f"/stock/{pages.token}/ledger", params={"lang": "fr"})
        stream = await http.get(f"/stock/{pages.token}/stream", params={"pair": "paris|tea"})
        endless = await http.get(f"/stock/{long_ago}")
    assert [one.status_code for one in (page, page_fr, stream, endless)] == [410, 410, 404, 404]
    assert "holds no longer" in page.text
    assert "n’est plus valable" in page_fr.text
    assert not fakes.calls


async def test_the_ledger_shows_causes_and_both_clocks() -> None:
    fakes = Fakes({"ListEntries": some_entries()})
    pair = {"site_id": "paris", "sku": "tea"}
    async with gateway(fakes) as http:
        every = await http.get(f"{PAGE}/ledger", params={**pair, "lang": "fr"})
        held = await http.get(f"{PAGE}/ledger", params={**pair, "lang": "en", "cause": "hold"})
        then = await http.get(f"{PAGE}/ledger", params={**pair, "as_of": "2026-03-01T10:00"})
        wrong = await http.get(f"{PAGE}/ledger", params={**pair, "known_at": "yesterday"})
    assert "Réception" in every.text
    assert "Retenue" in every.text
    assert "retenu +3" in every.text
    assert "held +3" in held.text
    assert "heures de Europe/Paris" in every.text
    assert 'datetime="2026-03-02T08:00:00+00:00"' in every.text
    assert 'datetime="2026-03-02T09:00:00+00:00"' in every.text
    assert "O-1" in held.text
    assert "note-1" not in held.text
    asked = [call.request for call in fakes.calls if call.method == "ListEntries"]
    assert asked[2].as_of.ToDatetime(UTC) == datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert then.status_code == 200
    assert 'data-live="no"' in then.text, "the past does not move"
    assert wrong.status_code == 400


async def test_what_is_weighed_is_told_with_its_unit() -> None:
    board, entries = a_board(), some_entries()
    board.products[0].rows[0].promise.on_hand = 1_060_645
    entries.entries[0].on_hand_after = 60_645
    tea = catalog.Product(sku="tea", name="Thé en vrac", unit=common.UNIT_GRAM)
    tea.localized_name.en = "Loose tea"
    known = catalog_service.ListProductsResponse(products=[tea])
    fakes = Fakes({"GetStockBoard": board, "ListEntries": entries, "ListProducts": known})
    pair = {"site_id": "paris", "sku": "tea", "lang": "fr"}
    async with gateway(fakes) as http:
        page = await http.get(PAGE, params={"lang": "fr"})
        book = await http.get(f"{PAGE}/ledger", params=pair)
        english = await http.get(PAGE, params={"lang": "en"})
        fakes.replies["ListProducts"] = Overloaded("busy", 100)
        bare = await http.get(PAGE, params={"lang": "en"})
    assert ">1\u202f060,645\u00a0kg<" in page.text
    assert ">3\u00a0g<" in page.text
    assert "60,645\u00a0kg" in book.text
    assert "retenu +3\u00a0g" in book.text
    assert "libre -3\u00a0g" in book.text
    assert "Thé en vrac" in book.text
    assert "Loose tea" in english.text
    assert "Thé &lt;vert&gt;" in bare.text, "as the ledger knows it"
    assert bare.status_code == 200, "the catalog is away, the stock is not"
    assert ">1,060,645<" in bare.text


def test_the_address_of_a_stream_is_never_longer_than_the_gateway_takes() -> None:
    rows = [
        promise.StockBoardRow(promise=promise.Promise(site_id=f"{n:064}", sku="s" * 64))
        for n in range(500)
    ]
    found = promise.GetStockBoardResponse(
        products=[promise.StockBoardProduct(sku="s" * 64, rows=rows)]
    )
    asked = {"q": "", "site_id": ""}
    shown = board(found, "/stock/t", asked, Reader("fr", ZoneInfo("Europe/Paris")), {})
    assert 20_000 < len(shown["stream"]) < MAX_HEAD_BYTES - 4_096


def test_every_cause_and_account_has_its_name_in_french() -> None:
    accounts = {text for name, text in vars(entry).items() if name.isupper() and type(text) is str}
    assert accounts == ACCOUNTS["fr"].keys()
    assert {cause.value for cause in entry.Cause} <= CAUSES["fr"].keys()


async def test_the_page_is_told_when_to_read_itself_again() -> None:
    told = [
        promise.WatchPromisesResponse(promises=[promise.Promise(site_id="paris", sku="tea")]),
        promise.WatchPromisesResponse(),
    ]
    fakes = Fakes({"WatchPromises": lambda _: told})
    async with gateway(fakes, is_streaming=True) as http:
        stream = await http.get(f"{PAGE}/stream", params={"pair": "paris|tea"})
    assert "event: changed\n" in stream.text
    [pair] = fakes.calls[1].request.pairs
    assert (pair.site_id, pair.sku) == ("paris", "tea")


async def test_an_orders_address_does_not_open_the_stock_nor_the_other_way_round() -> None:
    order = LINKS.token("demo", "O-1")
    fakes = Fakes({})
    async with gateway(fakes) as http:
        answers = [
            await http.get(f"/stock/{order}"),
            await http.get(f"/stock/{order}/ledger", params={"site_id": "paris", "sku": "tea"}),
            await http.get(f"/stock/{order}/stream", params={"pair": "paris|tea"}),
            await http.get("/stock/nonsense"),
            await http.get("/stock"),
        ]
    assert [answer.status_code for answer in answers] == [404] * 5
    assert fakes.calls == []


async def test_the_demo_tenants_stock_is_found_without_a_link() -> None:
    async with gateway(Fakes({}), demo_tenant="demo") as http:
        answer = await http.get("/stock", params={"lang": "en"}, follow_redirects=False)
        assert answer.status_code == 303
        sought = {"site_id": "paris", "q": "thé vert", "lang": "fr", "x": "y"}
        narrowed = await http.get("/stock", params=sought, follow_redirects=False)
    assert answer.headers["location"] == f"{PAGE}?lang=en"
    assert narrowed.headers["location"] == f"{PAGE}?lang=fr&q=th%C3%A9+vert&site_id=paris"


async def test_what_the_service_refuses_or_cannot_answer_is_said() -> None:
    fakes = Fakes({"GetStockBoard": Overloaded("busy", 100)})
    async with gateway(fakes) as http:
        away = await http.get(PAGE)
        fakes.replies["GetStockBoard"] = Invalid(("site_id", "must be an id"))
        invalid = await http.get(PAGE, params={"site_id": "p a"})
    assert (away.status_code, invalid.status_code) == (503, 400)
    assert "secret" not in away.text


def test_a_line_that_never_moves_lies_flat() -> None:
    assert points([4, 4]) == "0.0,1.0 120.0,1.0"
    assert points([]) == ""
    assert points([-2, 2]) == "0.0,27.0 120.0,1.0"
