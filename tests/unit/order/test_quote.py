"""What an order placed now would freeze, and how much of it there may be."""

from datetime import UTC, datetime, timedelta

import pytest

from services.kernel.domain.errors import Invalid
from services.order.domain.mode import Choice, ChoiceKind, Mode, Temperature
from services.order.domain.quote import (
    MAX_CHOICES,
    MAX_LINES,
    MAX_TOTAL_MINOR,
    Catalog,
    OfferedMode,
    Product,
    RequestedLine,
    Site,
    quote,
)

COLLECT = "click_and_collect"
DEAREST_MINOR = 1_000_000_000
MOST_UNITS = 1_000_000_000
CATALOG = Catalog(
    {"gold": Product(DEAREST_MINOR, 1, "EUR", Temperature.AMBIENT)},
    {"LILLE": Site(True, frozenset({COLLECT}), frozenset({COLLECT}))},  # noqa: FBT003 - active
    {COLLECT: OfferedMode(Mode(COLLECT, 1, 0, ()), ChoiceKind.SITE, "EUR")},
)
AT_LILLE = Choice(COLLECT, site_id="LILLE")
SOME_DAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


def gold(line_id: str, quantity: int, choice: Choice = AT_LILLE) -> RequestedLine:
    return RequestedLine(line_id, "gold", quantity, choice)


def test_an_order_costs_no_more_than_every_table_and_message_can_hold() -> None:
    most = MAX_TOTAL_MINOR // DEAREST_MINOR
    assert quote([gold("1", most)], [], CATALOG).total_minor == MAX_TOTAL_MINOR
    with pytest.raises(Invalid, match="lines: cost more than"):
        quote([gold("1", most), gold("2", 1)], [], CATALOG)
    with pytest.raises(Invalid, match="lines: cost more than"):
        quote([gold(str(n), MOST_UNITS) for n in range(20)], [], CATALOG)


def test_a_quote_has_no_more_lines_than_an_order_however_a_basket_is_split() -> None:
    lines = [gold(str(n), 1) for n in range(MAX_LINES + 1)]
    assert len(quote(lines[:MAX_LINES], [], CATALOG).lines) == MAX_LINES
    with pytest.raises(Invalid, match="lines: at most 500, the parts of split lines counted"):
        quote(lines, [], CATALOG)


def test_an_order_is_wanted_in_no_more_ways_than_sourcing_can_weigh() -> None:
    lines = [
        gold(str(n), 1, Choice(COLLECT, site_id="LILLE", wanted_at=SOME_DAY + timedelta(hours=n)))
        for n in range(MAX_CHOICES + 1)
    ]
    assert len(quote(lines[:MAX_CHOICES], [], CATALOG).choices) == MAX_CHOICES
    with pytest.raises(Invalid, match="lines: are wanted in 51 ways"):
        quote(lines, [], CATALOG)
