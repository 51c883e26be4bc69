"""One message per visible step, at the right end of it; hidden steps are never told."""

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.notification.domain.message import Occasion, Text
from services.notification.domain.occasions import (
    Fact,
    LineShorted,
    OrderCancelled,
    OrderRefunded,
    OrderRefused,
    Saying,
    Step,
    StepCompleted,
    StepStarted,
    StepType,
    saying_of,
)

LABEL = Text("Préparation", "Being picked")


def step(step_type: StepType, *, is_visible: bool = True, label: Text = LABEL) -> Step:
    return Step("s", step_type, is_visible, label)


@pytest.mark.parametrize("step_type", list(StepType))
def test_a_visible_step_is_told_once(step_type: StepType) -> None:
    at_start = saying_of(StepStarted("G", step(step_type)))
    at_end = saying_of(StepCompleted("G", step(step_type)))
    told = Saying(Occasion.STEP, LABEL, "G", "s")
    if step_type in {StepType.WORK, StepType.WAIT}:
        assert (at_start, at_end) == (told, None)
    else:
        assert (at_start, at_end) == (None, told)


@settings(max_examples=100)
@for_all(st.sampled_from(list(StepType)), st.booleans())
def test_a_hidden_step_is_never_told(step_type: StepType, starts: bool) -> None:  # noqa: FBT001
    hidden = step(step_type, is_visible=False)
    assert saying_of(StepStarted("G", hidden) if starts else StepCompleted("G", hidden)) is None


def test_a_label_in_one_language_serves_for_both_and_none_for_none() -> None:
    only_french = step(StepType.WORK, label=Text("Préparation", ""))
    saying = saying_of(StepStarted("G", only_french))
    assert saying is not None
    assert saying.text == Text("Préparation", "Préparation")
    assert saying_of(StepStarted("G", step(StepType.WORK, label=Text("", "")))) is None


@pytest.mark.parametrize(
    ("fact", "occasion"),
    [
        (LineShorted("G", "356", 0), Occasion.SHORTED),
        (LineShorted("G", "356", 2), Occasion.SHORTED),
        (LineShorted("G", "356", 2, Text("Pommes Gala", "Gala apples")), Occasion.SHORTED),
        (OrderRefused(), Occasion.REFUSED),
        (OrderCancelled(), Occasion.CANCELLED),
        (OrderRefunded(1234, "EUR"), Occasion.REFUNDED),
    ],
)
def test_what_changes_the_order_is_always_told_in_both_languages(
    fact: Fact, occasion: Occasion
) -> None:
    saying = saying_of(fact)
    assert saying is not None
    assert saying.occasion is occasion
    assert saying.text.fr != saying.text.en != ""


def test_amounts_are_written_as_shoppers_read_them() -> None:
    euros = saying_of(OrderRefunded(1205, "EUR"))
    yen = saying_of(OrderRefunded(1205, "JPY"))
    dinars = saying_of(OrderRefunded(1205, "KWD"))
    assert saying_of(OrderRefunded(0, "EUR")) is None
    assert euros is not None
    assert yen is not None
    assert dinars is not None
    assert "12,05\u00a0€" in euros.text.fr
    assert "€12.05" in euros.text.en
    assert "1\u202f205\u00a0JPY" in yen.text.fr
    assert "1,205\u00a0KWD" in dinars.text.fr
    assert "KWD\u00a01.205" in dinars.text.en
