"""Giving goods to a carrier: once, and nothing is delivered that he never had."""

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.delivery.domain.lines import Line
from services.delivery.domain.shipment import (
    SHIPMENT_DECIDER,
    CancelShipment,
    Command,
    Delivered,
    Event,
    ExpectShipment,
    HandedToCarrier,
    HandToCarrier,
    RecordDelivered,
    Refusal,
    ShipmentCancelled,
    ShipmentExpected,
    ShipmentLinesChanged,
)
from services.kernel.domain.errors import Rejected
from tests.support.given import given

LINES, FEWER = (Line("1", "MILK", 2),), (Line("1", "MILK", 1),)
EXPECTED = ShipmentExpected("O-1", "hub", LINES, None)
TAKEN = HandedToCarrier("O-1", "hub", "van", "P-7", LINES)
DELIVERED = Delivered("O-1", "hub", "van", LINES)
RULE = SHIPMENT_DECIDER


def test_newer_lines_count_until_the_carrier_has_the_goods() -> None:
    given(RULE).when(ExpectShipment("O-1", "hub", LINES)).then(EXPECTED)
    given(RULE, EXPECTED).when(ExpectShipment("O-1", "hub", LINES)).then_nothing()
    newer = ExpectShipment("O-1", "hub", FEWER)
    given(RULE, EXPECTED).when(newer).then(ShipmentLinesChanged(FEWER))
    given(RULE, EXPECTED, TAKEN).when(newer).then_nothing()


def test_one_carrier_takes_the_goods_once() -> None:
    given(RULE, EXPECTED).when(HandToCarrier("van", "P-7")).then(TAKEN)
    taken = given(RULE, EXPECTED, TAKEN)
    taken.when(HandToCarrier("van", "P-7")).then_nothing()
    taken.when(HandToCarrier("bike", "P-7")).then_rejected(Refusal.STEP_CONFLICT)
    taken.when(HandToCarrier("van", "P-8")).then_rejected(Refusal.STEP_CONFLICT)


def test_only_what_a_carrier_has_is_delivered() -> None:
    given(RULE, EXPECTED).when(RecordDelivered()).then_rejected(Refusal.STEP_CONFLICT)
    given(RULE, EXPECTED, TAKEN).when(RecordDelivered()).then(DELIVERED)
    given(RULE, EXPECTED, TAKEN, DELIVERED).when(RecordDelivered()).then_nothing()


def test_what_has_left_the_house_is_not_cancelled() -> None:
    given(RULE).when(CancelShipment()).then_nothing()
    given(RULE, EXPECTED).when(CancelShipment()).then(ShipmentCancelled())
    given(RULE, EXPECTED, TAKEN).when(CancelShipment()).then_nothing()
    given(RULE, EXPECTED, ShipmentCancelled()).when(HandToCarrier("van", "")).then_rejected(
        Refusal.STEP_CONFLICT
    )


commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(ExpectShipment, st.just("O-1"), st.just("hub"), st.sampled_from([LINES, FEWER])),
    st.builds(HandToCarrier, st.sampled_from(["van", "bike"]), st.sampled_from(["", "P-7"])),
    st.just(RecordDelivered()),
    st.just(CancelShipment()),
)


@settings(max_examples=200)
@for_all(st.lists(commands, max_size=30))
def test_no_history_delivers_what_was_not_taken(script: list[Command]) -> None:
    history: list[Event] = []
    for command in script:
        try:
            history += RULE.decide(command, RULE.fold(history))
        except Rejected:
            continue
        assert not RULE.decide(command, RULE.fold(history)), "a repeat is silent"
    kinds = [type(event) for event in history]
    assert kinds.count(HandedToCarrier) <= 1
    assert kinds.count(Delivered) <= kinds.count(HandedToCarrier)
    assert not (HandedToCarrier in kinds and ShipmentCancelled in kinds)
    for event in history:
        if isinstance(event, Delivered):
            taken = next(e for e in history if isinstance(e, HandedToCarrier))
            assert (event.carrier_id, event.lines) == (taken.carrier_id, taken.lines)
