"""A mode version is checked before anyone may order by it, and never changes after."""

from dataclasses import replace

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.catalog.domain.mode import MODE, Event, ModePublished, PublishMode, Refusal
from services.catalog.domain.mode_checks import CAPTURES, faults
from services.catalog.domain.mode_definition import (
    ChoiceKind,
    Milestone,
    Mode,
    Step,
    StepType,
    Visibility,
)
from services.catalog.domain.values import LocalizedText, Money
from services.kernel.domain.errors import Rejected
from tests.support.given import given
from tests.unit.catalog.samples import (
    ARRIVAL,
    COLLECT,
    CONFIRMED,
    DELIVERY,
    DISPATCH,
    HANDOVER,
    HOME,
    PICKING,
    STAGING,
)

DECIDER = MODE.decider
SECOND = replace(COLLECT, version=2, fee=Money(100, "EUR"))


@pytest.mark.parametrize("mode", [COLLECT, HOME])
def test_the_standard_modes_are_sound(mode: Mode) -> None:
    given(DECIDER).when(PublishMode(mode)).then(ModePublished(mode))


def test_publishing_again_changes_nothing_even_after_a_newer_version() -> None:
    given(DECIDER, ModePublished(COLLECT), ModePublished(SECOND)).when(
        PublishMode(COLLECT)
    ).then_nothing()


def test_a_published_version_never_changes() -> None:
    given(DECIDER, ModePublished(COLLECT)).when(
        PublishMode(replace(SECOND, version=1))
    ).then_rejected(Refusal.VERSION_MISMATCH)


def test_versions_follow_each_other() -> None:
    given(DECIDER, ModePublished(COLLECT)).when(
        PublishMode(replace(SECOND, version=3))
    ).then_rejected(Refusal.VERSION_MISMATCH)


def test_version_0_is_numbered_and_its_repeat_is_silent() -> None:
    unnumbered = replace(SECOND, version=0)
    given(DECIDER, ModePublished(COLLECT)).when(PublishMode(unnumbered)).then(ModePublished(SECOND))
    given(DECIDER, ModePublished(COLLECT), ModePublished(SECOND)).when(
        PublishMode(unnumbered)
    ).then_nothing()


def of(*steps: Step, kind: ChoiceKind = ChoiceKind.SITE) -> Mode:
    return replace(COLLECT, steps=steps, choice_kind=kind)


EMPTY = LocalizedText("Retirée", "")
TO = ChoiceKind.DESTINATION


@pytest.mark.parametrize(
    ("mode", "field"),
    [
        (of(), "steps"),
        (of(CONFIRMED, PICKING, STAGING), "steps[2].completes_on"),
        (of(CONFIRMED, PICKING, STAGING, ARRIVAL), "steps[3].optional"),
        (of(CONFIRMED, PICKING, HANDOVER), "steps[2].completes_on"),
        (of(PICKING, CONFIRMED, STAGING, HANDOVER), "steps[1].completes_on"),
        (of(CONFIRMED, PICKING, STAGING, replace(HANDOVER, label=EMPTY)), "steps[3].label.en"),
        (of(CONFIRMED, PICKING, STAGING, replace(HANDOVER, is_optional=True)), "steps[3].optional"),
        (
            of(CONFIRMED, PICKING, STAGING, replace(ARRIVAL, is_cancellable=True), HANDOVER),
            "steps[3].cancellable",
        ),
        (
            of(
                *(CONFIRMED, PICKING, replace(STAGING, is_cancellable=True)),
                *(replace(ARRIVAL, is_cancellable=True), HANDOVER),
            ),
            "steps[3].cancellable",
        ),
        (
            of(CONFIRMED, PICKING, STAGING, replace(ARRIVAL, is_optional=False), HANDOVER),
            "steps[3].optional",
        ),
        (of(CONFIRMED, PICKING, PICKING, STAGING, HANDOVER), "steps[2].step_id"),
        (
            of(
                CONFIRMED, replace(PICKING, type=StepType.WAIT, is_optional=True), STAGING, HANDOVER
            ),
            "steps[1].completes_on",
        ),
        (
            of(CONFIRMED, PICKING, replace(DISPATCH, is_cancellable=True), DELIVERY, kind=TO),
            "steps[2].cancellable",
        ),
        (of(CONFIRMED, PICKING, DISPATCH, kind=TO), "steps[2].completes_on"),
        (of(CONFIRMED, PICKING, STAGING, HANDOVER, kind=TO), "steps[3].completes_on"),
        (of(CONFIRMED, PICKING, DISPATCH, STAGING, HANDOVER), "steps"),
    ],
)
def test_an_unsound_mode_is_refused_with_its_field(mode: Mode, field: str) -> None:
    assert field in [fault.field for fault in faults(mode)]
    given(DECIDER).when(PublishMode(mode)).then_rejected(Refusal.UNSOUND)


steps = st.builds(
    replace,
    st.sampled_from([CONFIRMED, PICKING, STAGING, ARRIVAL, HANDOVER, DISPATCH, DELIVERY]),
    is_cancellable=st.booleans(),
    is_optional=st.booleans(),
    visibility=st.sampled_from(Visibility),
)
modes = st.builds(
    replace,
    st.just(COLLECT),
    steps=st.lists(steps, max_size=6).map(tuple),
    choice_kind=st.sampled_from(ChoiceKind),
    version=st.integers(0, 3),
    fee=st.builds(Money, st.integers(0, 1), st.just("EUR")),
)
sound = st.sampled_from(
    [
        replace(m, version=v, fee=Money(f, "EUR"))
        for m in (COLLECT,)
        for v in range(4)
        for f in (0, 1)
    ]
)


@settings(max_examples=200)
@for_all(modes)
def test_a_mode_that_passes_can_be_walked_to_its_end(mode: Mode) -> None:
    if list(faults(mode)):
        return
    happened: list[Milestone] = [step.completes_on for step in mode.steps]
    assert len(set(happened)) == len(happened)
    assert sum(milestone in CAPTURES for milestone in happened) == 1
    cancellable = [step.is_cancellable for step in mode.steps]
    assert cancellable == sorted(cancellable, reverse=True)
    assert not mode.steps[-1].is_optional
    assert not mode.steps[-1].is_cancellable


@settings(max_examples=150)
@for_all(st.lists(st.one_of(modes, sound), max_size=8))
def test_versions_are_dense_and_every_retry_is_silent(script: list[Mode]) -> None:
    history: list[Event] = []
    for mode in script:
        try:
            history += DECIDER.decide(PublishMode(mode), DECIDER.fold(history))
        except Rejected:
            continue
        assert list(DECIDER.decide(PublishMode(mode), DECIDER.fold(history))) == []
    assert [event.mode.version for event in history] == list(range(1, len(history) + 1))
