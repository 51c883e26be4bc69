"""A rule of the comparison between services, on facts that are told by hand."""

from collections.abc import Callable
from typing import Any

from oms.order.v1.order_events_pb2 import GroupsKept, GroupsReplaced, OrderAccepted, OrderCancelled
from oms.sourcing.v1.sourcing_events_pb2 import PlanDecided
from oms.stock_ledger.v1.stock_ledger_events_pb2 import ReservationConfirmed, ReservationHeld

from services.kernel.main.agreement_facts import OrderFacts, Said
from services.kernel.main.agreement_rules import confirmed

ACCEPTED = ("order", "order_accepted", OrderAccepted(order_id="O1", plan_revision=1))
FIRST = ("stock_ledger", "reservation_held", ReservationHeld(order_id="O1", plan_revision=1))
LATER = ("stock_ledger", "reservation_held", ReservationHeld(order_id="O1", plan_revision=2))
PLAN = ("sourcing", "plan_decided", PlanDecided(order_id="O1", revision=2))
CONFIRMED = ("stock_ledger", "reservation_confirmed", ReservationConfirmed(order_id="O1"))
CARRIED_ON = [ACCEPTED, FIRST, LATER, PLAN, CONFIRMED]


def facts(
    *told: tuple[str, str, Any], has_heard: Callable[[str, Said], bool] = lambda _, __: True
) -> OrderFacts:
    found = OrderFacts("demo", "O1", has_heard)
    for position, (service, case, message) in enumerate(told, start=1):
        said = Said(service, case, message, "any", position, f"e{position}")
        found.said[service, case].append(said)
    return found


def test_an_order_answers_a_later_plan_that_is_held_in_the_accepted_ones_stead() -> None:
    [sentence] = confirmed(facts(*CARRIED_ON))
    assert sentence == "the ledger holds revision 2 for it, and it works on an older one"
    for answer in (
        ("order", "groups_replaced", GroupsReplaced(order_id="O1", plan_revision=2)),
        ("order", "groups_kept", GroupsKept(order_id="O1", plan_revision=2)),
        ("order", "order_cancelled", OrderCancelled(order_id="O1")),
    ):
        assert list(confirmed(facts(*CARRIED_ON, answer))) == []
    assert list(confirmed(facts(ACCEPTED, FIRST, PLAN, CONFIRMED))) == []


def test_a_later_plan_that_is_still_on_its_way_is_no_difference() -> None:
    def has_heard(listener: str, said: Said) -> bool:
        return (listener, said.service) != ("order", "sourcing")

    assert list(confirmed(facts(*CARRIED_ON, has_heard=has_heard))) == []
