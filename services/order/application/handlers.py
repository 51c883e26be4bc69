"""What can be asked of the order service, each as one unit of work."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import count

from services.kernel.application.runner import Runner
from services.kernel.application.work import Send, Versioned, Work
from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Invalid, NotFound, Rejected
from services.kernel.domain.ids import derive
from services.kernel.domain.messages import Cause
from services.kernel.domain.process import ProcessKind
from services.order.application.catalog_facts import CatalogFacts
from services.order.domain import basket as baskets
from services.order.domain import fulfilment_process as process
from services.order.domain import order as orders
from services.order.domain import order_commands, order_events, order_state
from services.order.domain.mode import Choice
from services.order.domain.pricing import Discount
from services.order.domain.quote import Quote, RequestedLine, offered_mode, quote

BASKET: Kind[baskets.Command, baskets.Basket, baskets.Event] = Kind("basket", baskets.BASKET)
ORDER: Kind[order_commands.Command, order_state.Order, order_events.Event] = Kind(
    "order", orders.ORDER
)
FULFILMENT: ProcessKind[process.Message, process.Fulfilment, process.Command] = ProcessKind(
    "fulfilment", process.FULFILMENT
)


def _only_read(_: process.Message, __: process.Fulfilment) -> Sequence[process.Message]:
    raise NotImplementedError("a process hears; it takes no command")


# The streams of the process, to be read like any other (``Work.state``, ``Work.load``).
FULFILMENT_STATE: Kind[process.Message, process.Fulfilment, process.Message] = Kind(
    FULFILMENT.category, Decider(process.FULFILMENT.initial, _only_read, process.FULFILMENT.evolve)
)


class Refusal(StrEnum):
    VERSION_MISMATCH = "VERSION_MISMATCH"
    QUOTE_STALE = "QUOTE_STALE"


@dataclass(frozen=True, slots=True)
class Placement:
    """What a client asks to place: lines, or a basket."""

    order_id: str
    customer_id: str
    lines: tuple[RequestedLine, ...] = ()
    basket_id: str = ""
    discounts: tuple[Discount, ...] = ()
    expected_total_minor: int | None = None
    expected_basket_version: int = 0

    @property
    def fingerprint(self) -> str:
        """The same for the same content: it tells a retry from another order.

        Prices are not part of it: they may change between a call and its retry.
        """
        parts: list[str | int] = [self.customer_id, self.basket_id]
        for line in self.lines:
            parts += [line.line_id, line.sku, line.quantity, *_parts_of(line.choice)]
        for discount in self.discounts:
            parts += ["-", discount.code, discount.amount_minor, *discount.skus]
        return derive(*parts)


def _parts_of(choice: Choice | None) -> Sequence[str | int]:
    if choice is None:
        return ()
    where = choice.destination
    place = () if where is None else (where.postcode, where.country)
    point = () if where is None else (f"{where.latitude_e6},{where.longitude_e6}",)
    when = choice.wanted_at.isoformat() if choice.wanted_at else ""
    return (choice.mode_id, choice.site_id, when, *place, *point)


class OrderHandlers:
    def __init__(self, runner: Runner, catalog: CatalogFacts) -> None:
        self._runner = runner
        self._catalog = catalog

    async def quote(
        self, tenant: str, lines: Sequence[RequestedLine], discounts: Sequence[Discount]
    ) -> Quote:
        """Price lines with the catalog as it is now."""
        catalog = await self._catalog.of(
            tenant, (line.sku for line in lines), (line.choice for line in lines)
        )
        return quote(lines, discounts, catalog)

    async def change_basket(
        self, cause: Cause, basket_id: str, command: baskets.Command, expected_version: int = 0
    ) -> Versioned[baskets.Basket]:
        """Carry out a command on a basket and return the basket as it is then.

        Args:
            cause: Why.
            basket_id: The basket.
            command: What to do.
            expected_version: The version the client saw; 0: any. A retry of what was done
                already is answered whatever it expects.
        """

        async def use_case(work: Work) -> Versioned[baskets.Basket]:
            await self._check_named(cause.tenant, command)
            events = await _on_basket(work, basket_id, command)
            basket = await work.state(BASKET, basket_id)
            if events:
                _check_version(basket.version - len(events), expected_version, "basket")
            return basket

        return await self._runner.execute(cause, use_case)

    async def place(self, cause: Cause, asked: Placement) -> Versioned[order_state.Order]:
        """Place an order, durably, and return it; placing it again returns it as it stands."""
        fingerprint = asked.fingerprint
        may_guess, has_guessed = True, False

        async def use_case(work: Work) -> Versioned[order_state.Order]:
            nonlocal may_guess, has_guessed
            has_guessed, may_guess = may_guess, False
            if has_guessed:
                # Nearly every placement is of a new order: guessing so spares a read. Where the
                # guess is wrong the append is refused, and this runs again on what is there.
                work.expect_new(ORDER, asked.order_id)
            known = await work.state(ORDER, asked.order_id)
            if known.state.status is not order_state.Status.NEW:
                orders.check_content(known.state, fingerprint)
                return known
            customer_id, lines = asked.customer_id, asked.lines
            if asked.basket_id:
                customer_id, lines = await _check_out(work, asked)
            if not customer_id:
                raise Invalid(("customer_id", "required: the basket names no customer"))
            _check_complete(lines)
            priced = await self.quote(cause.tenant, lines, asked.discounts)
            _check_total(priced, asked)
            placed = _placed(asked, priced, customer_id, fingerprint, work.now)
            await work.handle(ORDER, asked.order_id, order_commands.PlaceOrder(placed))
            return await work.state(ORDER, asked.order_id)

        try:
            return await self._runner.execute(cause, use_case)
        except (Rejected, Invalid):
            if not has_guessed:
                raise
        # What is refused to a new order (a price has changed) is no matter to one that is placed.
        return await self._runner.execute(cause, use_case)

    async def cancel(
        self, cause: Cause, order_id: str, reason: str, expected_version: int = 0
    ) -> Versioned[order_state.Order]:
        """Cancel an order and return it; the order says whether it is still possible."""

        async def use_case(work: Work) -> Versioned[order_state.Order]:
            held = await work.state(FULFILMENT_STATE, order_id)
            command = order_commands.CancelOrder(reason, held.state.reservation_id)
            try:
                events = await work.handle(ORDER, order_id, command)
            except Rejected as refused:
                if refused.reason is order_commands.Refusal.ORDER_UNKNOWN:
                    raise NotFound("order", order_id) from refused
                raise
            order = await work.state(ORDER, order_id)
            if events:
                _check_version(order.version - len(events), expected_version, "order")
                await work.hear(FULFILMENT, order_id, process.Abandoned(), sender(order_id))
            return order

        return await self._runner.execute(cause, use_case)

    async def standing(self, cause: Cause, order_id: str) -> Versioned[order_state.Order]:
        """Return an order as this process knows it; possibly behind another process's writes."""

        async def use_case(work: Work) -> Versioned[order_state.Order]:
            return await work.state(ORDER, order_id)

        return await self._runner.execute(cause, use_case)

    async def _check_named(self, tenant: str, command: baskets.Command) -> None:
        """Refuse what no order could be made of, while the customer is still looking at it."""
        match command:
            case baskets.AddLine(_, sku, _, choice):
                skus, choices = [sku], [(choice, "choice")]
            case baskets.ChooseForLine(_, parts):
                skus = []
                choices = [(part.choice, f"parts[{n}].choice") for n, part in enumerate(parts)]
            case baskets.ChooseForAll(choice):
                skus, choices = [], [(choice, "choice")]
            case _:
                return
        catalog = await self._catalog.of(tenant, skus, [c for c, _ in choices])
        for sku in skus:
            if sku not in catalog.products:
                raise Invalid(("sku", f"no product {sku!r} in the catalog"))
        for choice, path in choices:
            if choice is not None:
                offered_mode(choice, path, catalog)


def sender(order_id: str) -> Send[process.Command]:
    """Return what carries out the commands of an order's process: on the order, in its unit."""

    async def send(work: Work, command: process.Command) -> None:
        try:
            await work.handle(ORDER, order_id, command)
        except Rejected as refused:
            # The stock ledger lost the reservation of an order whose goods were picked meanwhile:
            # they are in the tote, so there is nothing to cancel.
            if refused.reason is not order_commands.Refusal.CUTOFF_PASSED:
                raise

    return send


async def _check_out(work: Work, asked: Placement) -> tuple[str, tuple[RequestedLine, ...]]:
    """Close the basket for this order; return its customer and its lines."""
    events = await _on_basket(work, asked.basket_id, baskets.CheckOut(asked.order_id))
    basket = await work.state(BASKET, asked.basket_id)
    _check_version(basket.version - len(events), asked.expected_basket_version, "basket")
    return asked.customer_id or basket.state.customer_id, lines_of(basket.state)


async def _on_basket(
    work: Work, basket_id: str, command: baskets.Command
) -> Sequence[baskets.Event]:
    try:
        return await work.handle(BASKET, basket_id, command)
    except Rejected as refused:
        if refused.reason is baskets.Refusal.BASKET_UNKNOWN:
            raise NotFound("basket", basket_id) from refused
        raise


def _placed(
    asked: Placement, priced: Quote, customer_id: str, fingerprint: str, now: datetime
) -> order_events.OrderPlaced:
    return order_events.OrderPlaced(
        customer_id,
        priced.currency,
        priced.lines,
        priced.choices,
        priced.modes,
        priced.discounts,
        now,
        fingerprint,
        asked.basket_id,
    )


def _check_total(priced: Quote, asked: Placement) -> None:
    if asked.expected_total_minor not in (None, priced.total_minor):
        raise Rejected(
            Refusal.QUOTE_STALE,
            f"the total is {priced.total_minor} now; show it to the customer and place again",
        )


def _check_complete(lines: Sequence[RequestedLine]) -> None:
    for number, line in enumerate(lines):
        if line.choice is None:
            raise Invalid((f"lines[{number}].choice", "required: choose a mode"))


def _check_version(version: int, expected_version: int, what: str) -> None:
    if expected_version not in (0, version):
        raise Rejected(
            Refusal.VERSION_MISMATCH,
            f"the {what} is at version {version}, not {expected_version}; read it again",
        )


def lines_of(basket: baskets.Basket) -> tuple[RequestedLine, ...]:
    """Return a basket's lines as an order takes them: one per part, the unchosen rest last.

    A line wanted in one way keeps its id; the parts of a split one are numbered after it, past
    the numbers that make another line's id.
    """
    lines: list[RequestedLine] = []
    for line in basket.lines.values():
        rest = line.quantity - line.chosen_quantity
        wanted: list[tuple[int, Choice | None]] = [(p.quantity, p.choice) for p in line.parts]
        if rest > 0:
            wanted.append((rest, None))
        numbered = (f"{line.line_id}.{number}" for number in count(1))
        part_ids = (part_id for part_id in numbered if part_id not in basket.lines)
        for quantity, choice in wanted:
            line_id = line.line_id if len(wanted) == 1 else next(part_ids)
            lines.append(RequestedLine(line_id, line.sku, quantity, choice))
    return tuple(lines)
