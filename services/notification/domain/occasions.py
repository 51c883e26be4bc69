"""Which facts of an order are worth a message, and what it says.

Rule    one message per visible step: steps of type WORK and WAIT are told when they start (the
        customer learns that something goes on, or that it is his turn), SYSTEM, HANDOVER and
        TRANSPORT when they are completed. A hidden step is never told. A shorted line, a refusal,
        a cancellation and a refund of anything are always told.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from services.kernel.domain.money import amount
from services.notification.domain.message import Occasion, Text


class StepType(StrEnum):
    SYSTEM = "system"
    WORK = "work"
    WAIT = "wait"
    HANDOVER = "handover"
    TRANSPORT = "transport"


_TOLD_AT_START = frozenset({StepType.WORK, StepType.WAIT})


@dataclass(frozen=True, slots=True)
class Step:
    step_id: str
    type: StepType
    is_visible: bool
    label: Text


NO_NAME = Text("", "")


# Facts.


@dataclass(frozen=True, slots=True)
class StepStarted:
    group_id: str
    step: Step


@dataclass(frozen=True, slots=True)
class StepCompleted:
    group_id: str
    step: Step


@dataclass(frozen=True, slots=True)
class LineShorted:
    """``name`` is empty in both languages when the product's name is not known."""

    group_id: str
    sku: str
    picked_quantity: int
    name: Text = NO_NAME


@dataclass(frozen=True, slots=True)
class OrderRefused:
    pass


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    pass


@dataclass(frozen=True, slots=True)
class OrderRefunded:
    amount_minor: int
    currency: str


type Fact = (
    StepStarted | StepCompleted | LineShorted | OrderRefused | OrderCancelled | OrderRefunded
)


@dataclass(frozen=True, slots=True)
class Saying:
    """What is to be said: about which group and step, if any, and in which words."""

    occasion: Occasion
    text: Text
    group_id: str = ""
    step_id: str = ""


def saying_of(fact: Fact) -> Saying | None:
    """Return what the consumer is told about a fact, or nothing."""
    match fact:
        case StepStarted(group_id, step):
            return _of_step(group_id, step) if step.type in _TOLD_AT_START else None
        case StepCompleted(group_id, step):
            return _of_step(group_id, step) if step.type not in _TOLD_AT_START else None
        case LineShorted(group_id):
            return Saying(Occasion.SHORTED, _shorted(fact), group_id)
        case OrderRefused():
            return Saying(
                Occasion.REFUSED,
                Text(
                    "Votre commande n’a pas pu être acceptée ; rien ne vous est débité.",
                    "Your order could not be accepted; you are not charged.",
                ),
            )
        case OrderCancelled():
            return Saying(
                Occasion.CANCELLED,
                Text("Votre commande est annulée.", "Your order is cancelled."),
            )
        case OrderRefunded(amount_minor, currency):
            # What was worth nothing by its frozen price is no news for anybody.
            said = Saying(Occasion.REFUNDED, _refunded(amount_minor, currency))
            return said if amount_minor else None
        case _:
            assert_never(fact)


def _of_step(group_id: str, step: Step) -> Saying | None:
    fr, en = step.label.fr or step.label.en, step.label.en or step.label.fr
    if not step.is_visible or not fr:
        return None
    return Saying(Occasion.STEP, Text(fr, en), group_id, step.step_id)


def _shorted(line: LineShorted) -> Text:
    # Who does not know the name still has to be told which item it is.
    name = line.name
    fr, en = (f" : {name.fr}", f": {name.en}") if name.fr and name.en else _by_reference(line.sku)
    if line.picked_quantity == 0:
        return Text(
            f"Un article n’est plus disponible{fr} ; il ne vous est pas débité.",
            f"An item is no longer available{en}; you are not charged for it.",
        )
    return Text(
        f"Un article n’est disponible qu’en partie{fr} ; seul ce que vous recevez vous est débité.",
        f"An item is available in part only{en}; you pay for what you get.",
    )


def _by_reference(sku: str) -> tuple[str, str]:
    return f" (réf. {sku})", f" (ref. {sku})"


def _refunded(amount_minor: int, currency: str) -> Text:
    fr, en = (amount(amount_minor, currency, language) for language in ("fr", "en"))
    return Text(
        f"Un remboursement de {fr} vous est accordé.",
        f"You are refunded {en}.",
    )
