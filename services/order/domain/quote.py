"""Lines, discounts and the catalog to prices: what an order placed now would freeze."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from services.kernel.domain.errors import Invalid, Rejected
from services.order.domain.mode import Choice, ChoiceKind, Mode, Temperature
from services.order.domain.order_events import Line
from services.order.domain.pricing import AppliedDiscount, Discount, gross_minor, split_discounts

NO_CHOICE = -1
# What sums of money are kept and sent as ends at 2^63; a thousand of these still fit.
MAX_TOTAL_MINOR = 1_000_000_000_000_000
MAX_LINES = 500
# Sourcing weighs every site for every choice, and choices of one product against each other.
MAX_CHOICES = 50


@dataclass(frozen=True, slots=True)
class RequestedLine:
    """A product, how much of it, and how it is wanted; the mode's version is not chosen."""

    line_id: str
    sku: str
    quantity: int
    choice: Choice | None


@dataclass(frozen=True, slots=True)
class Product:
    price_minor: int
    price_quantity: int
    currency: str
    temperature: Temperature


@dataclass(frozen=True, slots=True)
class Site:
    is_active: bool
    preparing_mode_ids: frozenset[str]
    handing_over_mode_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class OfferedMode:
    """The newest version of a mode."""

    mode: Mode
    choice_kind: ChoiceKind
    currency: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """The part of the catalog that some lines name."""

    products: Mapping[str, Product] = field(default_factory=dict[str, Product])
    sites: Mapping[str, Site] = field(default_factory=dict[str, Site])
    modes: Mapping[str, OfferedMode] = field(default_factory=dict[str, OfferedMode])


@dataclass(frozen=True, slots=True)
class Quote:
    """``choice`` of a line is a place in ``choices``, or ``NO_CHOICE``."""

    currency: str
    lines: tuple[Line, ...]
    choices: tuple[Choice, ...]
    modes: tuple[Mode, ...]
    discounts: tuple[AppliedDiscount, ...]

    @property
    def total_minor(self) -> int:
        return sum(line.net_minor for line in self.lines) + sum(
            mode.fee_minor for mode in self.modes
        )


class Refusal(StrEnum):
    MODE_NOT_CAPABLE = "MODE_NOT_CAPABLE"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"


def quote(lines: Sequence[RequestedLine], discounts: Sequence[Discount], catalog: Catalog) -> Quote:
    """Price lines.

    Raises:
        Invalid: A line names a product, site or mode that is not in the catalog, lacks the
            destination that its mode needs, or a discount names no product of the lines; or
            the lines cost more, or are wanted in more ways, than one order may hold.
        Rejected: The site does not offer the mode, or the currencies differ.
    """
    _check_ids(lines)
    _check_discounts(lines, discounts)
    gross: list[tuple[str, int]] = []
    currencies: set[str] = set()
    places: dict[Choice, int] = {}
    modes: dict[str, Mode] = {}
    chosen: list[int] = []
    frozen: dict[Choice, int] = {}
    for number, line in enumerate(lines):
        product = catalog.products.get(line.sku)
        if product is None:
            raise Invalid((f"lines[{number}].sku", f"no product {line.sku!r} in the catalog"))
        gross.append(
            (line.sku, gross_minor(product.price_minor, product.price_quantity, line.quantity))
        )
        currencies.add(product.currency)
        if line.choice is None:
            chosen.append(NO_CHOICE)
            continue
        place = frozen.get(line.choice)
        if place is None:
            offered = offered_mode(line.choice, f"lines[{number}].choice", catalog)
            place = places.setdefault(
                replace(line.choice, mode_version=offered.mode.version), len(places)
            )
            frozen[line.choice] = place
            modes[offered.mode.mode_id] = offered.mode
            if offered.mode.fee_minor:
                currencies.add(offered.currency)
        chosen.append(place)
    _check_size(gross, places)
    if len(currencies) > 1:
        raise Rejected(
            Refusal.CURRENCY_MISMATCH,
            f"one order has one currency, these lines have {', '.join(sorted(currencies))}",
        )
    split = split_discounts(gross, discounts)
    return Quote(
        currencies.pop(),
        tuple(
            Line(
                line.line_id,
                line.sku,
                line.quantity,
                place,
                line_gross_minor,
                discount_minor,
                catalog.products[line.sku].temperature,
            )
            for line, place, (_, line_gross_minor), discount_minor in zip(
                lines, chosen, gross, split.per_line_minor, strict=True
            )
        ),
        tuple(places),
        tuple(modes.values()),
        split.applied,
    )


def _check_ids(lines: Sequence[RequestedLine]) -> None:
    if not lines:
        raise Invalid(("lines", "at least one line is needed"))
    if len(lines) > MAX_LINES:
        raise Invalid(("lines", f"at most {MAX_LINES}, the parts of split lines counted singly"))
    seen: set[str] = set()
    for number, line in enumerate(lines):
        if line.line_id in seen:
            raise Invalid((f"lines[{number}].line_id", f"{line.line_id!r} is used twice"))
        seen.add(line.line_id)


def _check_size(gross: Sequence[tuple[str, int]], choices: Mapping[Choice, int]) -> None:
    ways, amount_minor = len(choices), sum(one for _, one in gross)
    if ways > MAX_CHOICES:
        problem = f"are wanted in {ways} ways (mode, place, time), at most {MAX_CHOICES}"
        raise Invalid(("lines", f"{problem}; place several orders"))
    if amount_minor > MAX_TOTAL_MINOR:
        problem = f"cost more than {MAX_TOTAL_MINOR} minor units together"
        raise Invalid(("lines", f"{problem}; check the quantities, which are in base units"))


def _check_discounts(lines: Sequence[RequestedLine], discounts: Sequence[Discount]) -> None:
    skus = {line.sku for line in lines}
    for number, discount in enumerate(discounts):
        if discount.skus and skus.isdisjoint(discount.skus):
            raise Invalid((f"discounts[{number}].skus", "no line has one of these products"))


def offered_mode(choice: Choice, path: str, catalog: Catalog) -> OfferedMode:
    """Return the mode that ``choice`` names, if it can be had like that.

    Raises:
        Invalid: Mode or site are unknown, or the destination is missing; ``path`` says where.
        Rejected: The site does not offer the mode.
    """
    offered = catalog.modes.get(choice.mode_id)
    if offered is None:
        raise Invalid((f"{path}.mode_id", f"no mode {choice.mode_id!r} in the catalog"))
    if offered.choice_kind is ChoiceKind.DESTINATION and choice.destination is None:
        raise Invalid((f"{path}.destination", f"mode {choice.mode_id} needs a destination"))
    if choice.site_id:
        site = catalog.sites.get(choice.site_id)
        if site is None:
            raise Invalid((f"{path}.site_id", f"no site {choice.site_id!r} in the catalog"))
        able = site.handing_over_mode_ids
        if offered.choice_kind is ChoiceKind.DESTINATION:
            # A site named for a delivery is where the goods come from.
            able |= site.preparing_mode_ids
        if not site.is_active or choice.mode_id not in able:
            raise Rejected(
                Refusal.MODE_NOT_CAPABLE,
                f"site {choice.site_id} does not offer mode {choice.mode_id} now;"
                " choose another site or mode",
            )
    return offered
