"""given(decider, *events).when(command).then(*events): a rule's example in one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pytest

from services.kernel.domain.decider import Decider
from services.kernel.domain.errors import Rejected


@dataclass(frozen=True, slots=True)
class When[C, S, E]:
    decider: Decider[C, S, E]
    history: Sequence[E]
    command: C

    def then(self, *expected: E) -> None:
        state = self.decider.fold(self.history)
        assert tuple(self.decider.decide(self.command, state)) == expected

    def then_nothing(self) -> None:
        self.then()

    def then_rejected(self, reason: StrEnum) -> None:
        with pytest.raises(Rejected) as refusal:
            self.decider.decide(self.command, self.decider.fold(self.history))
        assert refusal.value.reason is reason


@dataclass(frozen=True, slots=True)
class Given[C, S, E]:
    decider: Decider[C, S, E]
    history: Sequence[E]

    def when(self, command: C) -> When[C, S, E]:
        return When(self.decider, self.history, command)


def given[C, S, E](decider: Decider[C, S, E], *history: E) -> Given[C, S, E]:
    return Given(decider, history)
