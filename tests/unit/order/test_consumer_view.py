"""The consumer's view is a function of the visible steps and of what he is told in any case."""

from datetime import timedelta

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.order.domain.consumer_view import Fact, consumer_view
from services.order.domain.mode import Visibility
from services.order.domain.order import ORDER
from services.order.domain.order_events import (
    Event,
    LineShorted,
    OrderCancelled,
    StepCompleted,
    StepStarted,
)
from tests.unit.order.examples import (
    ARRIVAL,
    COLLECTED,
    CONFIRMED,
    HANDOVER,
    NOON,
    PICKING,
    PLACED,
    STAGING,
)
from tests.unit.order.test_order import ACCEPT, HANDED_1, PICKED_1, READY_1

WHO = PLACED.customer_id


def facts(events: list[Event]) -> list[Fact]:
    return [Fact(n, NOON + timedelta(minutes=n), event) for n, event in enumerate(events, start=1)]


def test_each_visible_step_is_told_once_and_hidden_ones_never() -> None:
    history: list[Event] = [PLACED]
    for command in (ACCEPT, PICKED_1, READY_1, HANDED_1):
        history += ORDER.decide(command, ORDER.fold(history))
    told = [
        (one.event.step.label_en, one.at is not None)
        for one in consumer_view(facts(history))
        if isinstance(one.event, StepStarted | StepCompleted)
    ]
    assert told == [
        ("Confirmed", True),
        ("Being prepared", True),
        ("Confirmed", True),
        ("Being prepared", True),
        ("Ready: you can come", False),
        ("Collected", True),
    ]


def test_a_short_line_and_a_cancellation_are_told() -> None:
    short = LineShorted("O-1.1", "1", "MILK", 6, 4, "NOT_FOUND")
    cancelled = OrderCancelled("CUSTOMER_REQUEST")
    told = consumer_view(facts([PLACED, short, cancelled]))
    assert [one.event for one in told] == [short, cancelled]


steps = st.sampled_from([CONFIRMED, PICKING, STAGING, ARRIVAL, HANDOVER])
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(StepStarted, st.just(WHO), st.just(COLLECTED), steps),
    st.builds(StepCompleted, st.just(WHO), st.just("O-1.1"), steps),
    st.sampled_from([PLACED, OrderCancelled("CUSTOMER_REQUEST")]),
)


def _is_hidden(event: Event) -> bool:
    return (
        isinstance(event, StepStarted | StepCompleted)
        and event.step.visibility is Visibility.HIDDEN
    )


@settings(max_examples=200)
@for_all(st.lists(events, max_size=20))
def test_histories_that_differ_in_hidden_steps_alone_look_the_same(history: list[Event]) -> None:
    everything = facts(history)
    visible = [fact for fact in everything if not _is_hidden(fact.event)]
    assert consumer_view(everything) == consumer_view(visible)
