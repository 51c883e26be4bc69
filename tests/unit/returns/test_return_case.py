"""A case goes from opened to refunded, and no clerk gives more than the frozen prices say."""

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.kernel.domain.errors import Rejected
from services.returns.domain.return_case import (
    RETURN_CASE,
    CaseInspected,
    CaseLine,
    CaseOpened,
    CaseWithdrawn,
    Command,
    Disposition,
    Event,
    InspectCase,
    InspectedLine,
    OpenCase,
    RefundValidated,
    Refusal,
    ValidateRefund,
    WithdrawCase,
)
from tests.support.given import given

DECIDER = RETURN_CASE.decider
LINES = (CaseLine("L1", "milk", 3, 900), CaseLine("L2", "bread", 1, 100))
OPEN = OpenCase("O", "S1", "EUR", LINES)
OPENED = CaseOpened("O", "S1", "EUR", LINES)
INSPECT = InspectCase(
    (
        ("L2", 1, Disposition.WRITE_OFF),
        ("L1", 2, Disposition.RESTOCK),
        ("L1", 1, Disposition.WRITE_OFF),
    )
)
INSPECTED = CaseInspected(
    "O",
    "S1",
    (
        InspectedLine("L1", "milk", 1, Disposition.WRITE_OFF),
        InspectedLine("L1", "milk", 2, Disposition.RESTOCK),
        InspectedLine("L2", "bread", 1, Disposition.WRITE_OFF),
    ),
)
REFUNDED = RefundValidated("O", "S1", 1000, 1000, "EUR", "clerk-7", "")


def validate(amount_minor: int, reason: str = "", version: int = 2) -> ValidateRefund:
    return ValidateRefund(version, amount_minor, "clerk-7", reason, limit_percent=20)


def test_a_case_is_opened_once() -> None:
    given(DECIDER).when(OPEN).then(OPENED)
    given(DECIDER, OPENED).when(OPEN).then_nothing()
    given(DECIDER, OPENED).when(OpenCase("O", "S2", "EUR", LINES)).then_rejected(Refusal.ID_REUSED)


def test_every_unit_gets_its_disposition() -> None:
    given(DECIDER, OPENED).when(INSPECT).then(INSPECTED)
    given(DECIDER, OPENED, INSPECTED).when(INSPECT).then_nothing()
    for lines in (
        INSPECT.lines[:2],
        (*INSPECT.lines, ("L3", 1, Disposition.RESTOCK)),
        (*INSPECT.lines[:2], ("L1", 2, Disposition.WRITE_OFF)),
    ):
        given(DECIDER, OPENED).when(InspectCase(lines)).then_rejected(Refusal.INSPECTION_INCOMPLETE)


def test_an_inspection_is_not_changed_afterwards() -> None:
    other = InspectCase((("L1", 3, Disposition.RESTOCK), ("L2", 1, Disposition.RESTOCK)))
    given(DECIDER, OPENED, INSPECTED).when(other).then_rejected(Refusal.STEP_CONFLICT)
    given(DECIDER).when(other).then_rejected(Refusal.STEP_CONFLICT)


def test_a_case_is_withdrawn_until_it_is_inspected() -> None:
    withdrawn = CaseWithdrawn("O", "S1", "opened by mistake")
    withdraw = WithdrawCase("opened by mistake")
    given(DECIDER, OPENED).when(withdraw).then(withdrawn)
    given(DECIDER, OPENED, withdrawn).when(withdraw).then_nothing()
    given(DECIDER, OPENED, INSPECTED).when(withdraw).then_rejected(Refusal.STEP_CONFLICT)
    given(DECIDER, OPENED, INSPECTED, REFUNDED).when(withdraw).then_rejected(Refusal.STEP_CONFLICT)
    given(DECIDER).when(withdraw).then_rejected(Refusal.STEP_CONFLICT)


def test_nothing_follows_a_withdrawal() -> None:
    history = (OPENED, CaseWithdrawn("O", "S1", ""))
    given(DECIDER, *history).when(INSPECT).then_rejected(Refusal.STEP_CONFLICT)
    given(DECIDER, *history).when(validate(1000)).then_rejected(Refusal.STEP_CONFLICT)
    # Its units are free again: opened again under this id, they would be claimed by nobody.
    given(DECIDER, *history).when(OPEN).then_rejected(Refusal.STEP_CONFLICT)


def test_a_clerk_confirms_the_preview() -> None:
    given(DECIDER, OPENED, INSPECTED).when(validate(1000)).then(REFUNDED)
    given(DECIDER, OPENED, INSPECTED, REFUNDED).when(validate(1000)).then_nothing()
    given(DECIDER, OPENED, INSPECTED, REFUNDED).when(validate(900, "worn")).then_rejected(
        Refusal.STEP_CONFLICT
    )


def test_a_clerk_lowers_within_his_limit_and_says_why() -> None:
    given(DECIDER, OPENED, INSPECTED).when(validate(800, "worn")).then(
        RefundValidated("O", "S1", 800, 1000, "EUR", "clerk-7", "worn")
    )
    given(DECIDER, OPENED, INSPECTED).when(validate(800)).then_rejected(Refusal.REASON_MISSING)
    given(DECIDER, OPENED, INSPECTED).when(validate(799, "worn")).then_rejected(
        Refusal.REFUND_LIMIT_EXCEEDED
    )


def test_a_clerk_never_gives_more() -> None:
    given(DECIDER, OPENED, INSPECTED).when(validate(1001, "kind")).then_rejected(
        Refusal.REFUND_ABOVE_PREVIEW
    )


def test_a_preview_from_before_the_inspection_is_stale() -> None:
    given(DECIDER, OPENED, INSPECTED).when(validate(1000, version=1)).then_rejected(
        Refusal.PREVIEW_STALE
    )
    given(DECIDER, OPENED).when(validate(1000, version=1)).then_rejected(Refusal.STEP_CONFLICT)


commands: st.SearchStrategy[Command] = st.one_of(
    st.just(OPEN),
    st.just(OpenCase("O", "S2", "EUR", LINES[:1])),
    st.just(INSPECT),
    st.builds(InspectCase, st.just((("L1", 3, Disposition.RESTOCK),))),
    st.builds(
        ValidateRefund,
        st.integers(1, 3),
        st.integers(0, 1100),
        st.sampled_from(["anna", "ben"]),
        st.sampled_from(["", "worn"]),
        st.integers(0, 100),
    ),
)


@settings(max_examples=200)
@for_all(st.lists(commands, max_size=20))
def test_no_history_refunds_too_much_and_every_retry_is_silent(script: list[Command]) -> None:
    history: list[Event] = []
    for command in script:
        try:
            history += DECIDER.decide(command, DECIDER.fold(history))
        except Rejected:
            continue
        case = DECIDER.fold(history)
        assert case.version == len(history)
        assert case.refund is None or (case.inspected and case.refund.amount_minor <= 1000)
        assert DECIDER.decide(command, case) == []
