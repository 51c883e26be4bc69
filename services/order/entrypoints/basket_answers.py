"""Baskets and prices out, in the words of the contract."""

from oms.order.v1 import order_service_pb2 as wire

from services.kernel.application.work import Versioned
from services.order.domain import mode
from services.order.domain.basket import Basket
from services.order.domain.quote import NO_CHOICE, Quote
from services.order.entrypoints.wire_values import (
    TEMPERATURES,
    choice_shown,
    destination_shown,
    fee_shown,
    timestamp_of,
)


def basket_shown(basket_id: str, known: Versioned[Basket]) -> wire.Basket:
    basket = known.state
    return wire.Basket(
        basket_id=basket_id,
        customer_id=basket.customer_id,
        lines=[
            wire.BasketLine(
                line_id=line.line_id,
                sku=line.sku,
                quantity=line.quantity,
                parts=[
                    wire.ChosenPart(quantity=part.quantity, choice=_requested(part.choice))
                    for part in line.parts
                ],
            )
            for line in basket.lines.values()
        ],
        choice=_requested(basket.choice) if basket.choice else None,
        order_id=basket.order_id,
        version=known.version,
    )


def prices_shown(quote: Quote) -> wire.Prices:
    choices = [choice_shown(choice) for choice in quote.choices]
    return wire.Prices(
        currency=quote.currency,
        lines=[
            wire.QuotedLine(
                line_id=line.line_id,
                sku=line.sku,
                quantity=line.quantity,
                choice=None if line.choice == NO_CHOICE else choices[line.choice],
                gross_minor=line.gross_minor,
                discount_minor=line.discount_minor,
                net_minor=line.net_minor,
                temperature=TEMPERATURES[line.temperature],
            )
            for line in quote.lines
        ],
        fees=[fee_shown(one) for one in quote.modes],
        discounts=[
            wire.AppliedDiscount(code=one.code, amount_minor=one.amount_minor)
            for one in quote.discounts
        ],
        gross_minor=sum(line.gross_minor for line in quote.lines),
        discount_minor=sum(line.discount_minor for line in quote.lines),
        fee_minor=sum(one.fee_minor for one in quote.modes),
        total_minor=quote.total_minor,
    )


def _requested(choice: mode.Choice) -> wire.RequestedChoice:
    return wire.RequestedChoice(
        mode_id=choice.mode_id,
        site_id=choice.site_id,
        destination=destination_shown(choice.destination),
        wanted_at=timestamp_of(choice.wanted_at),
    )
