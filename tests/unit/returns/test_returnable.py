"""No unit comes back twice, and no more is given back than was captured."""

from datetime import UTC, datetime, timedelta

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.domain.errors import Rejected
from services.returns.domain.refund import refund_of
from services.returns.domain.returnable import RETURNABLE
from services.returns.domain.returnable_commands import (
    ClaimUnits,
    Command,
    RecordCapture,
    RecordDelivery,
    RecordRefund,
    Refusal,
    ReleaseUnits,
)
from services.returns.domain.returnable_events import (
    Captured,
    ClaimedPart,
    DeliveredPart,
    Event,
    GroupDelivered,
    Refunded,
    ReleasedPart,
    UnitsClaimed,
    UnitsReleased,
)
from tests.support.given import given

DECIDER = RETURNABLE.decider
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WINDOW = timedelta(days=30)
THREE_MILK = DeliveredPart("L1", "milk", 3, 1000)
DELIVERED = GroupDelivered("O.1", "EUR", NOON, (THREE_MILK,))
CAPTURED = Captured("c1", 1000, 1000)
ONE_BACK = UnitsClaimed("R1", (ClaimedPart("O.1", "L1", "milk", 0, 1, 333, claimed=1),))


def claim(return_id: str, *wanted: tuple[str, int], at: datetime = NOON) -> ClaimUnits:
    return ClaimUnits(return_id, wanted, at, WINDOW)


def test_a_delivery_is_kept_once_without_what_did_not_come() -> None:
    parts = (THREE_MILK, DeliveredPart("L2", "bread", 0, 0))
    given(DECIDER).when(RecordDelivery("O.1", "EUR", NOON, parts)).then(DELIVERED)
    given(DECIDER, DELIVERED).when(RecordDelivery("O.1", "EUR", NOON, parts)).then_nothing()


def test_two_entries_of_a_line_are_one_part() -> None:
    half = DeliveredPart("L1", "milk", 1, 300)
    rest = DeliveredPart("L1", "milk", 2, 700)
    given(DECIDER).when(RecordDelivery("O.1", "EUR", NOON, (half, rest))).then(DELIVERED)


def test_a_capture_counts_once() -> None:
    given(DECIDER).when(RecordCapture("c1", 1000)).then(CAPTURED)
    given(DECIDER, CAPTURED).when(RecordCapture("c1", 1000)).then_nothing()
    given(DECIDER, CAPTURED).when(RecordCapture("c2", 50)).then(Captured("c2", 50, 1050))


def test_claimed_units_are_worth_their_frozen_share() -> None:
    given(DECIDER, DELIVERED).when(claim("R1", ("L1", 1))).then(ONE_BACK)
    given(DECIDER, DELIVERED, ONE_BACK).when(claim("R2", ("L1", 2))).then(
        UnitsClaimed("R2", (ClaimedPart("O.1", "L1", "milk", 1, 2, 667, claimed=3),))
    )


def test_a_line_that_two_groups_brought_is_claimed_in_order_of_delivery() -> None:
    second = GroupDelivered("O.2", "EUR", NOON, (DeliveredPart("L1", "milk", 2, 501),))
    given(DECIDER, DELIVERED, ONE_BACK, second).when(claim("R2", ("L1", 3))).then(
        UnitsClaimed(
            "R2",
            (
                ClaimedPart("O.1", "L1", "milk", 1, 2, 667, claimed=3),
                ClaimedPart("O.2", "L1", "milk", 0, 1, 250, claimed=1),
            ),
        )
    )


def test_a_claim_from_before_withdrawals_counts_as_it_did() -> None:
    old = UnitsClaimed("R1", (ClaimedPart("O.1", "L1", "milk", 0, 1, 333),))
    given(DECIDER, DELIVERED, old).when(claim("R2", ("L1", 2))).then(
        UnitsClaimed("R2", (ClaimedPart("O.1", "L1", "milk", 1, 2, 667, claimed=3),))
    )


def test_a_unit_is_in_one_case_only() -> None:
    given(DECIDER, DELIVERED, ONE_BACK).when(claim("R2", ("L1", 3))).then_rejected(
        Refusal.QUANTITY_NOT_RETURNABLE
    )
    given(DECIDER, DELIVERED).when(claim("R1", ("L9", 1))).then_rejected(
        Refusal.QUANTITY_NOT_RETURNABLE
    )


def test_the_same_claim_again_is_silent_and_another_under_its_id_is_refused() -> None:
    given(DECIDER, DELIVERED, ONE_BACK).when(claim("R1", ("L1", 1))).then_nothing()
    given(DECIDER, DELIVERED, ONE_BACK).when(claim("R1", ("L1", 2))).then_rejected(
        Refusal.ID_REUSED
    )


def test_the_window_closes() -> None:
    late = NOON + WINDOW
    given(DECIDER, DELIVERED).when(claim("R1", ("L1", 1), at=late)).then(ONE_BACK)
    given(DECIDER, DELIVERED).when(
        claim("R1", ("L1", 1), at=late + timedelta(seconds=1))
    ).then_rejected(Refusal.RETURN_WINDOW_CLOSED)


def test_refunds_never_exceed_what_was_captured() -> None:
    given(DECIDER, DELIVERED, ONE_BACK).when(RecordRefund("R1", 333)).then_rejected(
        Refusal.REFUND_EXCEEDS_CAPTURE
    )
    refunded = Refunded("R1", 333, 333)
    given(DECIDER, CAPTURED).when(RecordRefund("R1", 333)).then(refunded)
    given(DECIDER, CAPTURED, refunded).when(RecordRefund("R1", 333)).then_nothing()
    given(DECIDER, CAPTURED, refunded).when(RecordRefund("R1", 1)).then_rejected(Refusal.ID_REUSED)
    given(DECIDER, CAPTURED, refunded).when(RecordRefund("R2", 668)).then_rejected(
        Refusal.REFUND_EXCEEDS_CAPTURE
    )


def test_units_of_a_withdrawn_case_can_be_claimed_again_for_what_they_were_worth() -> None:
    two_more = UnitsClaimed("R2", (ClaimedPart("O.1", "L1", "milk", 1, 2, 667, claimed=3),))
    released = UnitsReleased("R1", (ReleasedPart("O.1", "L1", claimed=2),))
    history = (DELIVERED, ONE_BACK, two_more)
    given(DECIDER, *history).when(ReleaseUnits("R1")).then(released)
    given(DECIDER, *history, released).when(claim("R3", ("L1", 1))).then(
        UnitsClaimed("R3", (ClaimedPart("O.1", "L1", "milk", 0, 1, 333, claimed=3),))
    )
    given(DECIDER, *history, released).when(claim("R3", ("L1", 2))).then_rejected(
        Refusal.QUANTITY_NOT_RETURNABLE
    )


def test_units_are_released_once_and_their_id_is_not_used_again() -> None:
    released = UnitsReleased("R1", (ReleasedPart("O.1", "L1", claimed=0),))
    given(DECIDER, DELIVERED).when(ReleaseUnits("R1")).then_nothing()
    given(DECIDER, DELIVERED, ONE_BACK, released).when(ReleaseUnits("R1")).then_nothing()
    given(DECIDER, DELIVERED, ONE_BACK, released).when(claim("R1", ("L1", 1))).then_rejected(
        Refusal.STEP_CONFLICT
    )


def test_what_was_refunded_is_not_released() -> None:
    refunded = Refunded("R1", 333, 333)
    given(DECIDER, DELIVERED, CAPTURED, ONE_BACK, refunded).when(ReleaseUnits("R1")).then_rejected(
        Refusal.STEP_CONFLICT
    )


def test_a_claim_fills_the_holes_that_withdrawn_cases_left() -> None:
    five = GroupDelivered("O.1", "EUR", NOON, (DeliveredPart("L1", "milk", 5, 999),))
    history: list[Event] = [five]
    for return_id in ("R1", "R2", "R3", "R4"):
        history += DECIDER.decide(claim(return_id, ("L1", 1)), DECIDER.fold(history))
    for return_id in ("R1", "R3"):
        history += DECIDER.decide(ReleaseUnits(return_id), DECIDER.fold(history))
    given(DECIDER, *history).when(claim("R5", ("L1", 3))).then(
        UnitsClaimed(
            "R5",
            (
                ClaimedPart("O.1", "L1", "milk", 0, 1, 199, claimed=3),
                ClaimedPart("O.1", "L1", "milk", 2, 1, 200, claimed=4),
                ClaimedPart("O.1", "L1", "milk", 4, 1, 200, claimed=5),
            ),
        )
    )


lines = st.sampled_from(["L1", "L2"])
groups = st.sampled_from(["O.1", "O.2", "O.3"])
cases = st.sampled_from(["R1", "R2", "R3", "R4"])
parts = st.lists(
    st.builds(DeliveredPart, lines, st.just("sku"), st.integers(0, 5), st.integers(0, 999)),
    max_size=3,
)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(RecordDelivery, groups, st.just("EUR"), st.just(NOON), parts.map(tuple)),
    st.builds(RecordCapture, st.sampled_from(["a", "b"]), st.integers(0, 2000)),
    st.builds(
        claim,
        cases,
        st.tuples(lines, st.integers(1, 6)),
    ),
    st.builds(RecordRefund, cases, st.integers(0, 1500)),
    st.builds(ReleaseUnits, cases),
)


@settings(max_examples=200)
@for_all(st.lists(commands, max_size=25))
def test_no_history_returns_or_refunds_too_much(script: list[Command]) -> None:
    history: list[Event] = []
    for command in script:
        try:
            history += DECIDER.decide(command, DECIDER.fold(history))
        except Rejected:
            continue
        order = DECIDER.fold(history)
        assert order.refunded_minor <= order.captured_minor
        assert DECIDER.decide(command, order) == []
        for part in order.parts:
            claims = sorted(
                (claimed.start, claimed.quantity, claimed.refund_minor)
                for claim_parts in order.claims.values()
                for claimed in claim_parts
                if (claimed.group_id, claimed.line_id) == (part.group_id, part.delivered.line_id)
            )
            reached = 0
            for start, quantity, refund in claims:
                assert start >= reached  # no unit twice; holes are units of withdrawn cases
                reached = start + quantity
                delivered = part.delivered
                assert refund == refund_of(start, quantity, delivered.quantity, delivered.net_minor)
            assert reached <= part.delivered.quantity
            assert sum(quantity for _, quantity, _ in claims) == part.claimed
            if part.left == 0:
                assert sum(refund for _, _, refund in claims) == part.delivered.net_minor
