"""A basket: products, quantities, and how each quantity is wanted.

Stream  ``basket-{basket_id}``
Rule    The parts of a line never exceed its quantity; once it became an order, nothing changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from services.kernel.domain.decider import Decider
from services.kernel.domain.errors import Rejected
from services.order.domain.basket_line import BasketLine, Part, resized
from services.order.domain.mode import Choice

MAX_LINES = 500


# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class BasketCreated:
    customer_id: str


@dataclass(frozen=True, slots=True)
class BasketLineAdded:
    line_id: str
    sku: str
    quantity: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class BasketLineChanged:
    """The quantity and the parts, as they are from now on."""

    line_id: str
    quantity: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class BasketLineRemoved:
    line_id: str


@dataclass(frozen=True, slots=True)
class BasketChoiceMade:
    """For all lines, those added later included."""

    choice: Choice


@dataclass(frozen=True, slots=True)
class BasketCheckedOut:
    order_id: str


type Event = (
    BasketCreated
    | BasketLineAdded
    | BasketLineChanged
    | BasketLineRemoved
    | BasketChoiceMade
    | BasketCheckedOut
)


# Commands.


@dataclass(frozen=True, slots=True)
class CreateBasket:
    customer_id: str


@dataclass(frozen=True, slots=True)
class AddLine:
    line_id: str
    sku: str
    quantity: int
    choice: Choice | None = None


@dataclass(frozen=True, slots=True)
class ChangeLine:
    line_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class RemoveLine:
    line_id: str


@dataclass(frozen=True, slots=True)
class ChooseForLine:
    """One part of quantity 0 stands for the whole line."""

    line_id: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class ChooseForAll:
    choice: Choice


@dataclass(frozen=True, slots=True)
class CheckOut:
    order_id: str


type Command = (
    CreateBasket | AddLine | ChangeLine | RemoveLine | ChooseForLine | ChooseForAll | CheckOut
)


class Refusal(StrEnum):
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    BASKET_UNKNOWN = "BASKET_UNKNOWN"
    BASKET_CHECKED_OUT = "BASKET_CHECKED_OUT"
    BASKET_FULL = "BASKET_FULL"
    BASKET_EMPTY = "BASKET_EMPTY"
    LINE_UNKNOWN = "LINE_UNKNOWN"
    QUANTITY_MISMATCH = "QUANTITY_MISMATCH"
    CHOICE_MISSING = "CHOICE_MISSING"


# State.


@dataclass(frozen=True, slots=True)
class Basket:
    is_created: bool = False
    customer_id: str = ""
    lines: Mapping[str, BasketLine] = field(default_factory=dict[str, BasketLine])
    choice: Choice | None = None
    order_id: str = ""


def decide(command: Command, basket: Basket) -> Sequence[Event]:  # noqa: PLR0911 - one per kind
    match command:
        case CreateBasket(customer_id):
            return _create(customer_id, basket)
        case _ if not basket.is_created:
            raise Rejected(Refusal.BASKET_UNKNOWN, "create the basket first")
        case CheckOut(order_id):
            return _check_out(order_id, basket)
        case _ if basket.order_id:
            raise Rejected(Refusal.BASKET_CHECKED_OUT, f"the basket became order {basket.order_id}")
        case AddLine():
            return _add(command, basket)
        case ChangeLine(line_id, quantity):
            line = _line(basket, line_id)
            changed = BasketLineChanged(line_id, quantity, resized(line, quantity))
            return [] if line.quantity == quantity else [changed]
        case RemoveLine(line_id):
            return [BasketLineRemoved(line_id)] if line_id in basket.lines else []
        case ChooseForLine(line_id, parts):
            line = _line(basket, line_id)
            chosen = _covering(line, parts)
            changed = BasketLineChanged(line_id, line.quantity, chosen)
            return [] if chosen == line.parts else [changed]
        case ChooseForAll(choice):
            is_so = basket.choice == choice and all(
                line.parts == (Part(line.quantity, choice),) for line in basket.lines.values()
            )
            return [] if is_so else [BasketChoiceMade(choice)]
        case _:
            assert_never(command)


def _create(customer_id: str, basket: Basket) -> Sequence[Event]:
    if not basket.is_created:
        return [BasketCreated(customer_id)]
    if basket.customer_id == customer_id:
        return []
    raise Rejected(Refusal.IDEMPOTENCY_MISMATCH, "this basket id belongs to another customer")


def _check_out(order_id: str, basket: Basket) -> Sequence[Event]:
    if basket.order_id == order_id:
        return []
    if basket.order_id:
        raise Rejected(Refusal.BASKET_CHECKED_OUT, f"the basket became order {basket.order_id}")
    if not basket.lines:
        raise Rejected(Refusal.BASKET_EMPTY, "the basket has no line")
    for line in basket.lines.values():
        if line.chosen_quantity != line.quantity:
            raise Rejected(
                Refusal.CHOICE_MISSING,
                f"line {line.line_id}: {line.quantity - line.chosen_quantity} of {line.quantity}"
                " have no mode yet; choose one",
            )
    return [BasketCheckedOut(order_id)]


def _add(command: AddLine, basket: Basket) -> Sequence[Event]:
    choice = command.choice or basket.choice
    parts = (Part(command.quantity, choice),) if choice else ()
    known = basket.lines.get(command.line_id)
    if known is not None:
        is_same = (known.sku, known.quantity) == (command.sku, command.quantity)
        if is_same and (command.choice is None or known.parts == parts):
            return []
        raise Rejected(
            Refusal.IDEMPOTENCY_MISMATCH,
            f"line {command.line_id} holds another product, quantity or choice; change it instead",
        )
    if len(basket.lines) >= MAX_LINES:
        raise Rejected(Refusal.BASKET_FULL, f"a basket has at most {MAX_LINES} lines")
    return [BasketLineAdded(command.line_id, command.sku, command.quantity, parts)]


def _line(basket: Basket, line_id: str) -> BasketLine:
    line = basket.lines.get(line_id)
    if line is None:
        raise Rejected(Refusal.LINE_UNKNOWN, f"the basket has no line {line_id}")
    return line


def _covering(line: BasketLine, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    match parts:
        case (Part(quantity=0, choice=choice),):
            return (Part(line.quantity, choice),)
        case _ if sum(part.quantity for part in parts) == line.quantity:
            return parts
        case _:
            raise Rejected(
                Refusal.QUANTITY_MISMATCH,
                f"the parts of line {line.line_id} must add up to {line.quantity}",
            )


def evolve(basket: Basket, event: Event) -> Basket:
    match event:
        case BasketCreated(customer_id):
            return replace(basket, is_created=True, customer_id=customer_id)
        case BasketLineAdded(line_id, sku, quantity, parts):
            return _put(basket, BasketLine(line_id, sku, quantity, tuple(parts)))
        case BasketLineChanged(line_id, quantity, parts):
            return _put(
                basket, replace(basket.lines[line_id], quantity=quantity, parts=tuple(parts))
            )
        case BasketLineRemoved(line_id):
            lines = {key: line for key, line in basket.lines.items() if key != line_id}
            return replace(basket, lines=lines)
        case BasketChoiceMade(choice):
            lines = {
                key: replace(line, parts=(Part(line.quantity, choice),))
                for key, line in basket.lines.items()
            }
            return replace(basket, lines=lines, choice=choice)
        case BasketCheckedOut(order_id):
            return replace(basket, order_id=order_id)
        case _:
            assert_never(event)


def _put(basket: Basket, line: BasketLine) -> Basket:
    return replace(basket, lines={**basket.lines, line.line_id: line})


BASKET: Decider[Command, Basket, Event] = Decider(Basket(), decide, evolve)
