"""What is kept back of free stock: safety stocks, buffers and ring-fences, as data.

Stream  ``stockrule-{rule_id}``; the id follows from what the rule is about, so there is one of each
Rule    of several rules that apply, the nearest wins: product before category, the narrower
        category first, then site. Categories are the same if a reader sees the same: see ``alike``.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.ids import derive
from services.stock_ledger.domain.calls import NO_CALL, Call, CallNoted, NoteCall, including, noted


@lru_cache(maxsize=65_536)
def alike(level: str) -> str:
    """Return what two names of one category have in common, however they were typed.

    Any space counts as a plain one, several as one, those at the ends as none; an accent may be a
    character of its own. Capitals and accents count.

    >>> alike("Fruits\u00a0& légumes ") == alike("Fruits  & le\u0301gumes")
    True
    """
    return " ".join(unicodedata.normalize("NFC", level).split())


def alike_path(category_path: Iterable[str]) -> tuple[str, ...]:
    return tuple([alike(level) for level in category_path])


class RuleKind(StrEnum):
    """What a rule takes off, and from whom."""

    SAFETY = "safety"
    BUFFER = "buffer"
    RING_FENCE = "ring_fence"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a rule is about; what is empty means all.

    Attributes:
        channel: Of a buffer or a ring-fence; empty for safety stock.
        category_path: From the widest to the narrowest; not together with a product.
    """

    kind: RuleKind
    channel: str = ""
    site_id: str = ""
    category_path: tuple[str, ...] = ()
    sku: str = ""

    @property
    def rule_id(self) -> str:
        """Return the id of the one rule about this."""
        return self._id_by(alike_path(self.category_path))

    @property
    def letter_id(self) -> str:
        """Return the id that it had while categories were told apart letter by letter."""
        return self._id_by(self.category_path)

    def _id_by(self, category_path: tuple[str, ...]) -> str:
        return derive(
            *("stockrule", self.kind.value, self.channel, self.site_id, self.sku),
            *category_path,
        )

    def is_about(self, site_id: str, sku: str, category_path: Sequence[str]) -> bool:
        """Say whether it concerns this; paths of both are such as ``alike_path`` returns."""
        return (
            self.site_id in ("", site_id)
            and self.sku in ("", sku)
            and tuple(category_path[: len(self.category_path)]) == self.category_path
        )

    @property
    def nearness(self) -> tuple[bool, int, bool]:
        return bool(self.sku), len(self.category_path), bool(self.site_id)


# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Base units to keep back from now on. Who said so is told by his call, and what it said."""

    scope: Scope
    quantity: int
    command_id: str = ""
    content: str = ""


@dataclass(frozen=True, slots=True)
class RuleWithdrawn:
    """Wider rules apply again."""

    scope: Scope
    command_id: str = ""
    content: str = ""


type Event = RuleSet | RuleWithdrawn | CallNoted


# Commands.


@dataclass(frozen=True, slots=True)
class PutRule:
    """Quantity: None withdraws the rule."""

    scope: Scope
    quantity: int | None
    call: Call = NO_CALL


type Command = PutRule | NoteCall


@dataclass(frozen=True, slots=True)
class StockRule:
    """State: what is kept back, or nothing while there is no such rule; and the calls that said so.

    Attributes:
        calls: The newest, oldest first.
    """

    quantity: int | None = None
    calls: tuple[Call, ...] = ()


def decide(command: Command, rule: StockRule) -> Sequence[Event]:
    if isinstance(command, NoteCall):
        return noted(command, rule.calls)
    if command.quantity == rule.quantity:
        return []
    by = (command.call.command_id, command.call.content)
    if command.quantity is None:
        return [RuleWithdrawn(command.scope, *by)]
    return [RuleSet(command.scope, command.quantity, *by)]


def evolve(rule: StockRule, event: Event) -> StockRule:
    if isinstance(event, CallNoted):
        calls = including(rule.calls, event.command_id, event.content, changes=0)
        return replace(rule, calls=calls)
    calls = including(rule.calls, event.command_id, event.content)
    return StockRule(event.quantity if isinstance(event, RuleSet) else None, calls)


RULE: Decider[Command, StockRule, Event] = Decider(StockRule(), decide, evolve)
STOCK_RULE: Kind[Command, StockRule, Event] = Kind("stockrule", RULE)


class Rules:
    """The rules that may concern some pairs, asked one after the other."""

    def __init__(self, rules: Iterable[tuple[Scope, int]]) -> None:
        comparable = [
            (replace(scope, category_path=alike_path(scope.category_path)), quantity)
            if scope.category_path
            else (scope, quantity)
            for scope, quantity in rules
        ]
        self._has_categories = any(scope.category_path for scope, _ in comparable)
        nearest_first = sorted(comparable, key=lambda rule: rule[0].nearness, reverse=True)
        self._safety: list[tuple[Scope, int]] = []
        self._buffers: dict[str, list[tuple[Scope, int]]] = {}
        self._fences: dict[str, list[tuple[Scope, int]]] = {}
        for scope, quantity in nearest_first:
            match scope.kind:
                case RuleKind.SAFETY:
                    self._safety.append((scope, quantity))
                case RuleKind.BUFFER:
                    self._buffers.setdefault(scope.channel, []).append((scope, quantity))
                case RuleKind.RING_FENCE:
                    self._fences.setdefault(scope.channel, []).append((scope, quantity))

    def kept_back(
        self, channel: str, site_id: str, sku: str, category_path: Sequence[str]
    ) -> tuple[int, int, int]:
        """Return safety stock, the channel's buffer, and what is fenced for other channels."""
        place = (site_id, sku, alike_path(category_path) if self._has_categories else ())
        return (
            _nearest(self._safety, *place),
            _nearest(self._buffers.get(channel, ()), *place),
            sum(
                _nearest(rules, *place)
                for fenced_for, rules in self._fences.items()
                if fenced_for != channel
            ),
        )


def _nearest(
    rules: Iterable[tuple[Scope, int]], site_id: str, sku: str, category_path: Sequence[str]
) -> int:
    for scope, quantity in rules:
        if scope.is_about(site_id, sku, category_path):
            return quantity
    return 0
