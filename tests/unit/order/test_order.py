"""Orders: never both handed over and cancelled; captured and refunded to the cent."""

from dataclasses import replace

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.domain.errors import Rejected
from services.order.domain.mode import Milestone
from services.order.domain.order import ORDER
from services.order.domain.order_commands import (
    AcceptOrder,
    CancelOrder,
    Command,
    NoteShort,
    PlaceOrder,
    ReachedLine,
    ReachMilestone,
    RefundOrder,
    Refusal,
    RefuseOrder,
    ReplaceGroups,
)
from services.order.domain.order_events import (
    Alternative,
    DeliveredLine,
    Event,
    GroupCompleted,
    GroupLine,
    GroupsKept,
    GroupsReplaced,
    LineShorted,
    LineWeighed,
    OrderAccepted,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    OrderRefused,
    PaymentCaptured,
    StepCompleted,
    StepStarted,
)
from services.order.domain.order_state import Order, Status
from tests.support.given import given
from tests.unit.order.examples import (
    ARRIVAL,
    COLLECTED,
    CONFIRMED,
    DELIVERED,
    DELIVERY,
    DISPATCH,
    HANDOVER,
    PICKING,
    PLACED,
    STAGING,
)

WHO = PLACED.customer_id
ACCEPT = AcceptOrder((COLLECTED, DELIVERED), "R-1", 1)
ACCEPTED: list[Event] = [PLACED, *ORDER.decide(ACCEPT, ORDER.fold([PLACED]))]


def after(*commands: Command, since: list[Event] = ACCEPTED) -> list[Event]:
    history = list(since)
    for command in commands:
        history += ORDER.decide(command, ORDER.fold(history))
    return history


PICKED_1 = ReachMilestone("O-1.1", Milestone.PICKED, (ReachedLine("1", 6),))
READY_1 = ReachMilestone("O-1.1", Milestone.READY)
HANDED_1 = ReachMilestone("O-1.1", Milestone.HANDED_OVER, (ReachedLine("1", 6),))
PICKED_2 = ReachMilestone("O-1.2", Milestone.PICKED, (ReachedLine("2", 3),))
SENT_2 = ReachMilestone("O-1.2", Milestone.HANDED_TO_CARRIER, (ReachedLine("2", 3),))
DELIVERED_2 = ReachMilestone("O-1.2", Milestone.DELIVERED, (ReachedLine("2", 3),))


def test_placing_records_the_frozen_order() -> None:
    given(ORDER).when(PlaceOrder(PLACED)).then(PLACED)


def test_placing_it_again_changes_nothing_even_when_prices_have_changed() -> None:
    dearer = replace(PLACED, lines=(replace(PLACED.lines[0], gross_minor=999),))
    given(ORDER, PLACED).when(PlaceOrder(dearer)).then_nothing()


def test_an_order_id_stands_for_one_content() -> None:
    other = replace(PLACED, fingerprint="other")
    given(ORDER, PLACED).when(PlaceOrder(other)).then_rejected(Refusal.IDEMPOTENCY_MISMATCH)


def test_acceptance_completes_the_confirmation_and_starts_picking() -> None:
    given(ORDER, PLACED).when(ACCEPT).then(
        OrderAccepted((COLLECTED, DELIVERED), "R-1", 1),
        StepCompleted(WHO, "O-1.1", CONFIRMED),
        StepStarted(WHO, COLLECTED, PICKING),
        StepCompleted(WHO, "O-1.2", CONFIRMED),
        StepStarted(WHO, DELIVERED, PICKING),
    )


def test_an_order_is_accepted_once() -> None:
    given(ORDER, *ACCEPTED).when(ACCEPT).then_nothing()


def test_a_plan_must_cover_the_lines_exactly() -> None:
    short = replace(COLLECTED, lines=(GroupLine("1", "MILK", 5),))
    given(ORDER, PLACED).when(AcceptOrder((short, DELIVERED), "R-1", 1)).then_rejected(
        Refusal.PLAN_MISMATCH
    )


def test_a_plan_keeps_to_the_chosen_modes() -> None:
    other = replace(COLLECTED, mode_version=2)
    given(ORDER, PLACED).when(AcceptOrder((other, DELIVERED), "R-1", 1)).then_rejected(
        Refusal.PLAN_MISMATCH
    )


def test_a_refused_order_says_why_and_what_else() -> None:
    elsewhere = (Alternative("ROUBAIX", "MILK", 40),)
    given(ORDER, PLACED).when(RefuseOrder("OUT_OF_STOCK", elsewhere)).then(
        OrderRefused("OUT_OF_STOCK", elsewhere)
    )


def test_what_comes_after_a_cancellation_changes_nothing() -> None:
    cancelled = OrderCancelled("CUSTOMER_REQUEST")
    for late in (ACCEPT, RefuseOrder("OUT_OF_STOCK"), CancelOrder("CUSTOMER_REQUEST"), PICKED_1):
        given(ORDER, PLACED, cancelled).when(late).then_nothing()


def test_a_milestone_completes_its_step_and_starts_the_next() -> None:
    given(ORDER, *ACCEPTED).when(PICKED_1).then(
        StepCompleted(WHO, "O-1.1", PICKING), StepStarted(WHO, COLLECTED, STAGING)
    )


def test_a_milestone_that_fits_no_step_is_ignored() -> None:
    given(ORDER, *ACCEPTED).when(HANDED_1).then_nothing()
    given(ORDER, *after(PICKED_1)).when(PICKED_1).then_nothing()
    unknown = ReachMilestone("O-1.9", Milestone.PICKED)
    given(ORDER, *ACCEPTED).when(unknown).then_nothing()


def test_a_customer_who_never_announces_himself_gets_his_goods() -> None:
    history = after(PICKED_1, READY_1)
    assert history[-1] == StepStarted(WHO, COLLECTED, ARRIVAL)
    milk = (DeliveredLine("1", "MILK", 6, 499),)
    given(ORDER, *history).when(HANDED_1).then(
        StepCompleted(WHO, "O-1.1", HANDOVER),
        PaymentCaptured("O-1.1", "EUR", 499, 0, 499, milk),
        GroupCompleted(WHO, "O-1.1", "LILLE", "EUR", milk),
    )


def test_the_carrier_taking_the_goods_captures_them_with_the_fee_of_the_mode() -> None:
    history = after(PICKED_2)
    assert history[-1] == StepStarted(WHO, DELIVERED, DISPATCH)
    pasta = (DeliveredLine("2", "PASTA", 3, 295),)
    given(ORDER, *history).when(SENT_2).then(
        StepCompleted(WHO, "O-1.2", DISPATCH),
        PaymentCaptured("O-1.2", "EUR", 295, 490, 785, pasta),
        StepStarted(WHO, DELIVERED, DELIVERY),
    )


def test_the_last_group_completes_the_order() -> None:
    history = after(PICKED_1, READY_1, HANDED_1, PICKED_2, SENT_2, DELIVERED_2)
    assert history[-1] == OrderCompleted()
    order = ORDER.fold(history)
    assert order.status is Status.COMPLETED
    assert order.captured_minor == PLACED.total_minor


def test_a_short_line_is_charged_for_what_was_handed_over() -> None:
    short = NoteShort("O-1.1", "1", 2, "NOT_FOUND", 3)
    given(ORDER, *ACCEPTED).when(short).then(
        LineShorted("O-1.1", "1", "MILK", 6, 4, "NOT_FOUND", 3)
    )
    picked = replace(PICKED_1, lines=(ReachedLine("1", 4, "NOT_FOUND"),))
    history = after(short, short, picked, READY_1, HANDED_1)
    started = [e.group.lines for e in history if isinstance(e, StepStarted)]
    assert started[-2] == (GroupLine("1", "MILK", 4),)
    captured = [e for e in history if isinstance(e, PaymentCaptured)]
    assert [e.amount_minor for e in captured] == [333]  # 4 of 6 units of 499
    assert captured[0].delivered == (DeliveredLine("1", "MILK", 4, 333),)


def test_a_short_that_only_the_end_of_picking_tells_counts_too() -> None:
    picked = ReachMilestone("O-1.1", Milestone.PICKED, (ReachedLine("1", 5, "DAMAGED"),))
    left = replace(COLLECTED, lines=(GroupLine("1", "MILK", 5),))
    given(ORDER, *ACCEPTED).when(picked).then(
        LineShorted("O-1.1", "1", "MILK", 6, 5, "DAMAGED", 0),
        StepCompleted(WHO, "O-1.1", PICKING),
        StepStarted(WHO, left, STAGING),
    )


def test_more_weight_than_ordered_is_not_billed() -> None:
    heavy = ReachMilestone("O-1.2", Milestone.HANDED_TO_CARRIER, (ReachedLine("2", 4),))
    captured = [e for e in after(PICKED_2, heavy) if isinstance(e, PaymentCaptured)]
    assert captured[0].amount_minor == 295


def test_more_weight_than_ordered_leaves_the_house_with_the_rest() -> None:
    heavy = ReachMilestone("O-1.1", Milestone.PICKED, (ReachedLine("1", 7),))
    weighed = replace(COLLECTED, lines=(GroupLine("1", "MILK", 6, over=1),))
    given(ORDER, *ACCEPTED).when(heavy).then(
        StepCompleted(WHO, "O-1.1", PICKING), StepStarted(WHO, weighed, STAGING)
    )
    handed = ReachMilestone("O-1.1", Milestone.HANDED_OVER, (ReachedLine("1", 7),))
    history = after(heavy, READY_1, handed)
    assert [e.group for e in history if isinstance(e, StepStarted)][-1] == weighed
    captured = [e for e in history if isinstance(e, PaymentCaptured)]
    assert captured[0].delivered == (DeliveredLine("1", "MILK", 6, 499),)


def test_what_is_weighed_after_a_short_counts_from_what_was_left() -> None:
    short = NoteShort("O-1.1", "1", 4, "NOT_FOUND", 3)
    heavy = ReachMilestone("O-1.1", Milestone.PICKED, (ReachedLine("1", 3, "NOT_FOUND"),))
    started = [e.group for e in after(short, heavy) if isinstance(e, StepStarted)]
    assert started[-1].lines == (GroupLine("1", "MILK", 2, over=1),)


def test_a_group_with_nothing_left_is_completed_at_once() -> None:
    nothing = NoteShort("O-1.1", "1", 6, "NOT_FOUND", 3)
    given(ORDER, *ACCEPTED).when(nothing).then(
        LineShorted("O-1.1", "1", "MILK", 6, 0, "NOT_FOUND", 3),
        GroupCompleted(WHO, "O-1.1", "LILLE", "EUR", ()),
    )
    history = after(nothing, NoteShort("O-1.2", "2", 3, "DAMAGED", 1))
    assert history[-1] == OrderCompleted()
    assert ORDER.fold(history).captured_minor == 0


def test_an_order_can_be_cancelled_until_the_step_that_says_no() -> None:
    cancel = CancelOrder("CUSTOMER_REQUEST", "R-1")
    given(ORDER, PLACED).when(cancel).then(OrderCancelled("CUSTOMER_REQUEST", "R-1"))
    given(ORDER, *ACCEPTED).when(cancel).then(OrderCancelled("CUSTOMER_REQUEST", "R-1"))
    given(ORDER, *after(PICKED_1)).when(cancel).then_rejected(Refusal.CUTOFF_PASSED)
    given(ORDER).when(cancel).then_rejected(Refusal.ORDER_UNKNOWN)
    given(ORDER, PLACED, OrderRefused("OUT_OF_STOCK")).when(cancel).then_rejected(
        Refusal.STEP_CONFLICT
    )


ELSEWHERE = replace(COLLECTED, group_id="O-1.2.1", source_site_id="ROUBAIX")
REPLACE = ReplaceGroups(("O-1.1",), (ELSEWHERE,), 2)


def test_a_group_is_prepared_elsewhere_from_where_it_stood() -> None:
    replaced = GroupsReplaced(("O-1.1",), (ELSEWHERE,), 2)
    started = StepStarted(WHO, ELSEWHERE, PICKING)
    given(ORDER, *ACCEPTED).when(REPLACE).then(replaced, started)
    given(ORDER, *ACCEPTED, replaced, started).when(REPLACE).then_nothing()
    moved = ORDER.fold([*ACCEPTED, replaced, started])
    assert list(moved.groups) == ["O-1.2", "O-1.2.1"]
    gone = ReachMilestone("O-1.1", Milestone.PICKED)
    given(ORDER, *ACCEPTED, replaced, started).when(gone).then_nothing()


def test_a_group_that_is_picked_or_short_stays_and_it_is_said() -> None:
    stay = (COLLECTED, DELIVERED)
    kept = GroupsKept((ELSEWHERE,), 2, stay, ("O-1.1",))
    picked = after(ReachMilestone("O-1.1", Milestone.PICKED, (ReachedLine("1", 6),)))
    given(ORDER, *picked).when(REPLACE).then(kept)
    given(ORDER, *picked, kept).when(REPLACE).then_nothing()
    # Short of all: what the ledger allocated is told as it was planned.
    short = after(NoteShort("O-1.1", "1", 6, "NOT_FOUND", 1))
    given(ORDER, *short).when(REPLACE).then(replace(kept, picked_group_ids=("O-1.1",)))
    less = after(NoteShort("O-1.1", "1", 2, "NOT_FOUND", 1))
    given(ORDER, *less).when(REPLACE).then(replace(kept, picked_group_ids=()))


def test_what_weighs_less_is_paid_for_as_it_weighs_and_nothing_is_missing() -> None:
    picked = ReachMilestone("O-1.1", Milestone.PICKED, (ReachedLine("1", 4, lighter=2),))
    weighed = replace(COLLECTED, lines=(GroupLine("1", "MILK", 4),))
    given(ORDER, *ACCEPTED).when(picked).then(
        LineWeighed("O-1.1", "1", "MILK", 6, 4, lighter=2),
        StepCompleted(WHO, "O-1.1", PICKING),
        StepStarted(WHO, weighed, STAGING),
    )
    history = after(picked, READY_1, HANDED_1)  # six are said to leave, four are in the tote
    (captured,) = [event for event in history if isinstance(event, PaymentCaptured)]
    assert [line.quantity for line in captured.delivered] == [4]
    assert not [event for event in history if isinstance(event, LineShorted)]


def test_what_weighs_less_and_what_is_missing_are_told_apart() -> None:
    missing = NoteShort("O-1.1", "1", 3, "NOT_FOUND", 7)
    picked = ReachMilestone("O-1.1", Milestone.PICKED, (ReachedLine("1", 2, "NOT_FOUND", 1),))
    given(ORDER, *after(missing)).when(picked).then(
        LineWeighed("O-1.1", "1", "MILK", 6, 2, lighter=1),
        StepCompleted(WHO, "O-1.1", PICKING),
        StepStarted(WHO, replace(COLLECTED, lines=(GroupLine("1", "MILK", 2),)), STAGING),
    )
    # The shortage itself was lost on the way: it is told now, beside the weight.
    given(ORDER, *ACCEPTED).when(picked).then(
        LineWeighed("O-1.1", "1", "MILK", 6, 5, lighter=1),
        LineShorted("O-1.1", "1", "MILK", 6, 2, "NOT_FOUND"),
        StepCompleted(WHO, "O-1.1", PICKING),
        StepStarted(WHO, replace(COLLECTED, lines=(GroupLine("1", "MILK", 2),)), STAGING),
    )


def test_what_is_over_is_not_prepared_elsewhere() -> None:
    given(ORDER, PLACED).when(REPLACE).then_nothing()
    given(ORDER, *after(CancelOrder("mind"))).when(REPLACE).then_nothing()


def test_refunds_never_exceed_what_was_captured() -> None:
    history = after(PICKED_1, READY_1, HANDED_1)
    first = OrderRefunded("RET-1", "EUR", 400, 400)
    given(ORDER, *history).when(RefundOrder("RET-1", "EUR", 400)).then(first)
    given(ORDER, *history, first).when(RefundOrder("RET-1", "EUR", 400)).then_nothing()
    given(ORDER, *history, first).when(RefundOrder("RET-1", "EUR", 1)).then_rejected(
        Refusal.IDEMPOTENCY_MISMATCH
    )
    given(ORDER, *history, first).when(RefundOrder("RET-2", "EUR", 100)).then_rejected(
        Refusal.REFUND_EXCEEDS_CAPTURE
    )
    given(ORDER, *history).when(RefundOrder("RET-1", "CHF", 1)).then_rejected(
        Refusal.CURRENCY_MISMATCH
    )


commands: st.SearchStrategy[Command] = st.one_of(
    st.sampled_from(
        [
            PlaceOrder(PLACED),
            ACCEPT,
            RefuseOrder("OUT_OF_STOCK"),
            CancelOrder("CUSTOMER_REQUEST"),
            PICKED_1,
            READY_1,
            ReachMilestone("O-1.1", Milestone.ARRIVED),
            HANDED_1,
            PICKED_2,
            SENT_2,
            DELIVERED_2,
            REPLACE,
            ReplaceGroups(("O-1.2.1",), (replace(COLLECTED, group_id="O-1.3.1"),), 3),
            ReachMilestone("O-1.2.1", Milestone.PICKED, (ReachedLine("1", 6),)),
            ReachMilestone("O-1.2.1", Milestone.HANDED_OVER, (ReachedLine("1", 6),)),
        ]
    ),
    st.builds(
        NoteShort,
        st.just("O-1.1"),
        st.just("1"),
        st.integers(1, 4),
        st.just("NOT_FOUND"),
        st.integers(1, 9),
    ),
    st.builds(
        RefundOrder,
        st.sampled_from(["RET-1", "RET-2", "RET-3"]),
        st.just("EUR"),
        st.integers(1, 600),
    ),
)


@settings(max_examples=200)
@for_all(st.lists(commands, max_size=40))
def test_no_history_breaks_a_promise_and_every_retry_is_silent(script: list[Command]) -> None:
    order = Order()
    history: list[Event] = []
    for command in [PlaceOrder(PLACED), ACCEPT, *script]:
        try:
            events = ORDER.decide(command, order)
        except Rejected:
            continue
        history += events
        order = ORDER.fold(events) if order == Order() else _evolved(order, events)
        assert ORDER.decide(command, order) == []
    assert order == ORDER.fold(history)
    assert order.refunded_minor <= order.captured_minor <= PLACED.total_minor
    ends = [e for e in history if isinstance(e, OrderCancelled | OrderCompleted | OrderRefused)]
    assert len(ends) <= 1
    if order.status is Status.CANCELLED:
        assert order.captured_minor == 0


def _evolved(order: Order, events: object) -> Order:
    assert isinstance(events, list | tuple)
    for event in events:
        order = ORDER.evolve(order, event)
    return order
