"""What must agree between services once goods have changed hands: pure rules over what was said."""

from collections import Counter
from collections.abc import Iterable, Iterator

from oms.common.v1 import common_pb2 as common

from services.kernel.domain.ids import derive
from services.kernel.main.agreement_facts import OrderFacts, Said
from services.kernel.main.agreement_rules import Rule

_HANDED = ("handed_over", "handed_to_carrier")
_SHOWN = {common.VISIBILITY_LABEL, common.VISIBILITY_LABEL_AND_TIME}
_TOLD_AT_START = {common.STEP_TYPE_WORK, common.STEP_TYPE_WAIT}
_TOLD_AT_END = {common.STEP_TYPE_SYSTEM, common.STEP_TYPE_HANDOVER, common.STEP_TYPE_TRANSPORT}


def handed_over(facts: OrderFacts) -> Iterator[str]:
    """Nothing is handed over that was not picked, nor believed delivered that was not handed."""
    picked, handed = _picked(facts), _handed(facts)
    for (group_id, line_id), quantity in sorted(handed.items()):
        if quantity > picked[group_id, line_id]:
            yield (
                f"line {line_id} of group {group_id}: {quantity} handed over,"
                f" {picked[group_id, line_id]} picked"
            )
    for said in facts.all("order", "group_completed"):
        for line in said.message.delivered:
            at = said.message.group_id, line.line_id
            if line.quantity > handed[at]:
                yield (
                    f"line {at[1]} of group {at[0]}: {line.quantity} delivered to the order,"
                    f" {handed[at]} handed over by delivery"
                )
        if (
            said.message.delivered
            and facts.has_heard("returns", said)
            and not facts.has_stream("returns", f"returnable-{facts.order_id}")
        ):
            yield f"group {said.message.group_id} is complete, and returns does not know of it"


def captured(facts: OrderFacts) -> Iterator[str]:
    """What was handed over is captured, once; nothing else is."""
    groups = {s.message.group_id: s for s in facts.all("delivery", *_HANDED)}
    count_of = Counter(s.message.group_id for s in facts.all("order", "payment_captured"))
    for group_id, count in sorted(count_of.items()):
        if group_id not in groups:
            yield f"group {group_id} was captured, and delivery never handed it over"
        if count > 1:
            yield f"group {group_id} was captured {count} times"
    for group_id, said in sorted(groups.items()):
        if not count_of[group_id] and not facts.has_ended and facts.has_heard("order", said):
            yield f"group {group_id} was handed over, and never captured"


def refunded(facts: OrderFacts) -> Iterator[str]:
    """The order refunds what returns validated, once, to the cent."""
    validated = {s.message.return_id: s for s in facts.all("returns", "refund_validated")}
    believed = {s.message.return_id: s for s in facts.all("order", "order_refunded")}
    for return_id, said in sorted(believed.items()):
        cause = validated.get(return_id)
        if cause is None:
            yield f"return {return_id} was refunded, and returns never validated it"
        elif cause.message.amount.amount_minor != said.message.amount.amount_minor:
            yield (
                f"return {return_id}: {said.message.amount.amount_minor} refunded,"
                f" {cause.message.amount.amount_minor} validated"
            )
    for return_id, said in sorted(validated.items()):
        if return_id not in believed and facts.has_heard("order", said):
            yield f"returns validated {return_id}, and the order never refunded it"


def told(facts: OrderFacts) -> Iterator[str]:
    """Every fact that the customer is to know of has its message."""
    for said in occasions(facts):
        message = message_of(said)
        if facts.has_heard("notification", said) and not facts.has_stream("notification", message):
            yield f"{said.case} at {said.position}: there is no message of it"


RULES: dict[str, Rule] = {
    "order, picking and delivery: no more goes out than was picked": handed_over,
    "order and delivery: what was handed over is captured, once": captured,
    "order and returns: refunds are those that were validated": refunded,
    "order and notification: a message for what the customer is to know": told,
}


def occasions(facts: OrderFacts) -> Iterator[Said]:
    """Return what the customer is to be told of."""
    yield from facts.all(
        *("order", "group_line_shorted", "order_refused", "order_cancelled", "order_refunded")
    )
    for case, types in (
        ("group_step_started", _TOLD_AT_START),
        ("group_step_completed", _TOLD_AT_END),
    ):
        for said in facts.all("order", case):
            if said.message.step.visibility in _SHOWN and said.message.step.type in types:
                yield said


def message_of(said: Said) -> str:
    """Return the stream of the message that an event gives occasion to: same event, same id."""
    return f"message-{derive('message', said.event_id)}"


def _picked(facts: OrderFacts) -> Counter[tuple[str, str]]:
    quantities = Counter[tuple[str, str]]()
    for said in facts.all("picking", "line_picked"):
        quantities[said.message.group_id, said.message.line_id] += said.message.quantity
    for said in facts.all("picking", "line_put_back"):
        quantities[said.message.group_id, said.message.line_id] -= said.message.quantity
    return quantities


def _handed(facts: OrderFacts) -> Counter[tuple[str, str]]:
    return _quantities(facts.all("delivery", *_HANDED))


def _quantities(events: Iterable[Said]) -> Counter[tuple[str, str]]:
    quantities = Counter[tuple[str, str]]()
    for said in events:
        for line in said.message.lines:
            quantities[said.message.group_id, line.line_id] += line.quantity
    return quantities
