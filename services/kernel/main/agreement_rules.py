"""What must agree between services while an order is carried out: pure rules over what they said.

A rule has two directions. Who heard something must have drawn its consequence; and a consequence
must have its cause. The first waits until the listener's watermark is past the cause.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from oms.common.v1 import common_pb2 as common

from services.kernel.main.agreement_facts import OrderFacts, Said

type Rule = Callable[[OrderFacts], Iterator[str]]

# Who makes a milestone happen, by which event.
_MADE_BY = {
    common.MILESTONE_PICKED: ("picking", "pick_completed"),
    common.MILESTONE_READY: ("delivery", "ready_for_pickup"),
    common.MILESTONE_ARRIVED: ("delivery", "customer_arrived"),
    common.MILESTONE_HANDED_OVER: ("delivery", "handed_over"),
    common.MILESTONE_HANDED_TO_CARRIER: ("delivery", "handed_to_carrier"),
    common.MILESTONE_DELIVERED: ("delivery", "delivered"),
}
# A mode that has no step for one of these passes over it.
_MAY_BE_IGNORED = {
    common.MILESTONE_READY,
    common.MILESTONE_ARRIVED,
    common.MILESTONE_DELIVERED,
}
# Which stream a step begins at the service that carries it out.
_CARRIED_OUT = {
    common.MILESTONE_PICKED: ("picking", "picktask"),
    common.MILESTONE_READY: ("delivery", "handover"),
    common.MILESTONE_HANDED_TO_CARRIER: ("delivery", "shipment"),
}
_HANDED = ("handed_over", "handed_to_carrier")


def planned(facts: OrderFacts) -> Iterator[str]:
    """Sourcing decides on every order; an order is accepted with the groups that it decided."""
    for said in facts.all("order", "order_placed"):
        if (
            facts.has_heard("sourcing", said)
            and not facts.has_ended
            and not facts.has_stream("sourcing", f"decision-{facts.order_id}")
        ):
            yield "it is placed, and sourcing has no decision on it"
    accepted = facts.first("order", "order_accepted")
    if accepted is None:
        return
    plans = {s.message.revision: s.message for s in facts.all("sourcing", "plan_decided")}
    replaced = [said.message for said in facts.all("order", "groups_replaced")]
    for believing in (accepted, *replaced):
        plan = plans.get(believing.plan_revision)
        if plan is None:
            yield (
                f"it has groups of revision {believing.plan_revision}, which sourcing never decided"
            )
            continue
        decided = {group.group_id: _group(group) for group in plan.groups}
        believed = {group.group_id: _group(group) for group in believing.groups}
        for group_id in sorted(decided.keys() | believed.keys()):
            if decided.get(group_id) != believed.get(group_id):
                yield (
                    f"group {group_id} is {believed.get(group_id)} to the order,"
                    f" {decided.get(group_id)} to sourcing"
                )


def reserved(facts: OrderFacts) -> Iterator[str]:
    """The ledger holds what was planned, the whole of it."""
    plans = {s.message.revision: s.message for s in facts.all("sourcing", "plan_decided")}
    held = {
        s.message.plan_revision: s.message for s in facts.all("stock_ledger", "reservation_held")
    }
    kept = {
        s.message.plan_revision: s.message.came
        for s in facts.all("stock_ledger", "reservation_moved")
        if s.message.came
    }
    kept |= {revision: hold.lines for revision, hold in held.items()}
    for revision, lines in kept.items():
        plan = plans.get(revision)
        if plan is None:
            yield f"the ledger holds for revision {revision}, which sourcing never decided"
            continue
        wanted = Counter[tuple[str, str]]()
        for group in plan.groups:
            for line in group.lines:
                wanted[group.source_site_id, line.sku] += line.quantity
        has = Counter({(line.site_id, line.sku): line.quantity for line in lines})
        for site_id, sku in sorted(wanted.keys() | has.keys()):
            if wanted[site_id, sku] != has[site_id, sku]:
                yield (
                    f"the ledger held {has[site_id, sku]} of {sku} at {site_id} for revision"
                    f" {revision}, which plans {wanted[site_id, sku]}"
                )


def confirmed(facts: OrderFacts) -> Iterator[str]:
    """The ledger confirms what was accepted, and keeps nothing of what has ended."""
    held = {s.message.plan_revision for s in facts.all("stock_ledger", "reservation_held")}
    for said in facts.all("order", "order_accepted"):
        if said.message.plan_revision not in held:
            yield f"it was accepted on revision {said.message.plan_revision}, which was never held"
        elif facts.has_heard("stock_ledger", said) and not any(
            facts.all(
                *("stock_ledger", "reservation_confirmed"),
                *("reservation_released", "reservation_refused"),
            )
        ):
            yield "it is accepted, and the ledger never confirmed its reservation"
    yield from _not_taken_up(facts)
    ends = facts.all("order", "order_refused", "order_cancelled")
    if any(facts.has_heard("stock_ledger", said) for said in ends):
        for stock in facts.open_stock or ():
            if stock.held or stock.allocated:
                yield (
                    f"it has ended, and the ledger keeps {stock.held + stock.allocated} of"
                    f" {stock.sku} at {stock.site_id} for it"
                )


def _not_taken_up(facts: OrderFacts) -> Iterator[str]:
    """A later plan than the accepted one may be held in its stead; the order has to answer."""
    answered = {
        said.message.plan_revision
        for said in facts.all("order", "order_accepted", "groups_replaced", "groups_kept")
    }
    known = [*facts.all("stock_ledger", "reservation_held")]
    if not known or not answered or facts.has_ended:
        return
    newest = max(known, key=lambda said: said.message.plan_revision)
    revision = newest.message.plan_revision
    plans = [s for s in facts.all("sourcing", "plan_decided") if s.message.revision == revision]
    is_heard = all(facts.has_heard("order", said) for said in (newest, *plans))
    if revision > max(answered) and is_heard:
        yield f"the ledger holds revision {revision} for it, and it works on an older one"


def carried_out(facts: OrderFacts) -> Iterator[str]:
    """Each step that began is known to who carries it out; who does so was asked to."""
    asked: set[tuple[str, str]] = set()
    for said in facts.all("order", "group_step_started"):
        group_id = said.message.group.group_id
        place = _CARRIED_OUT.get(said.message.step.completes_on)
        if place is None:
            continue
        service, category = place
        asked.add((service, group_id))
        if facts.has_heard(service, said) and not facts.has_stream(
            service, f"{category}-{group_id}"
        ):
            yield f"group {group_id} began {said.message.step.step_id}, and {service} has no task"
    for said in facts.all("picking", "task_released"):
        if ("picking", said.message.group_id) not in asked:
            yield f"picking released a task for group {said.message.group_id}, and nobody asked"


def milestones(facts: OrderFacts) -> Iterator[str]:
    """A step is complete to the order when, and only when, who carries it out has said so."""
    believed: dict[tuple[str, Any], Said] = {}
    started: set[tuple[str, Any]] = set()
    done = {said.message.group_id for said in facts.all("order", "group_completed")}
    done |= _replaced(facts)
    for said in facts.all("order", "group_step_completed"):
        believed[said.message.group_id, said.message.step.completes_on] = said
    for said in facts.all("order", "group_step_started"):
        started.add((said.message.group.group_id, said.message.step.completes_on))
    for (group_id, milestone), said in sorted(believed.items()):
        made_by = _MADE_BY.get(milestone)
        if made_by and not _of_group(facts, *made_by, group_id):
            yield (
                f"group {group_id} has completed {said.message.step.step_id},"
                f" and {made_by[0]} never said {made_by[1]}"
            )
    for milestone, (service, case) in _MADE_BY.items():
        for said in facts.all(service, case):
            at = said.message.group_id, milestone
            if (
                at not in believed
                and (milestone not in _MAY_BE_IGNORED or at in started)
                and at[0] not in done
                and not facts.has_ended
                and facts.has_heard("order", said)
            ):
                yield f"{service} said {case} of group {at[0]}, and its step is not complete"


def shorts(facts: OrderFacts) -> Iterator[str]:
    """What picking did not find is missing to the order too, and nothing else is."""
    missed = Counter[tuple[str, str]]()
    gone = _replaced(facts)
    for said in facts.all("picking", "line_shorted"):
        if said.message.group_id in gone:
            continue  # others pick it now
        at = said.message.group_id, said.message.line_id
        missed[at] += said.message.quantity
        if not facts.has_ended and not facts.has_heard("order", said):
            return
    told: dict[tuple[str, str], Any] = {}
    for said in facts.all("order", "group_line_shorted"):
        told[said.message.group_id, said.message.line_id] = said.message
    for group_id, line_id in sorted(missed.keys() | told.keys()):
        short = told.get((group_id, line_id))
        if short is None:
            if not facts.has_ended:
                yield (
                    f"picking lacks {missed[group_id, line_id]} of line {line_id} of group"
                    f" {group_id}, and the order does not know"
                )
        elif short.ordered_quantity - short.picked_quantity > missed[group_id, line_id]:
            yield (
                f"line {line_id} of group {group_id} lacks"
                f" {short.ordered_quantity - short.picked_quantity} to the order,"
                f" {missed[group_id, line_id]} to picking"
            )


def moved(facts: OrderFacts) -> Iterator[str]:
    """The ledger keeps as picked what was picked and has neither gone out nor been put back."""
    moves = [
        *facts.all("order", "order_accepted", "order_cancelled", "order_completed"),
        *facts.all("picking", "line_picked", "line_put_back"),
        *facts.all("delivery", *_HANDED),
    ]
    if facts.open_stock is None or not all(facts.has_heard("stock_ledger", said) for said in moves):
        return
    expected = Counter[tuple[str, str]]()
    for said in facts.all("picking", "line_picked"):
        expected[said.message.site_id, said.message.sku] += said.message.quantity
    for said in facts.all("picking", "line_put_back"):
        expected[said.message.site_id, said.message.sku] -= said.message.quantity
    for said in facts.all("delivery", *_HANDED):
        for line in said.message.lines:
            expected[said.message.source_site_id, line.sku] -= line.quantity
    believed = Counter({(s.site_id, s.sku): s.picked for s in facts.open_stock})
    for site_id, sku in sorted(expected.keys() | believed.keys()):
        if expected[site_id, sku] != believed[site_id, sku]:
            yield (
                f"{sku} at {site_id}: {believed[site_id, sku]} picked to the ledger,"
                f" {expected[site_id, sku]} to picking and delivery"
            )


RULES: dict[str, Rule] = {
    "order and sourcing: groups are those that were decided": planned,
    "stock_ledger and sourcing: what is held is what was planned": reserved,
    "stock_ledger and order: accepted is confirmed, ended is given back": confirmed,
    "order, picking and delivery: who carries out a step was asked to": carried_out,
    "order, picking and delivery: a step is complete when it was said": milestones,
    "order and picking: what is short to one is short to the other": shorts,
    "stock_ledger, picking and delivery: what is picked is where they say": moved,
}


def _replaced(facts: OrderFacts) -> set[str]:
    """Return the groups that others have taken the place of."""
    said = facts.all("order", "groups_replaced")
    return {group_id for one in said for group_id in one.message.replaced_group_ids}


def _group(group: Any) -> tuple[Any, ...]:
    lines = sorted((line.line_id, line.sku, line.quantity) for line in group.lines)
    return (group.mode_id, group.source_site_id, group.handover_site_id, lines)


def _of_group(facts: OrderFacts, service: str, case: str, group_id: str) -> bool:
    return any(said.message.group_id == group_id for said in facts.all(service, case))
