"""A mode: the versioned steps by which goods reach the customer.

Stream  ``mode-{mode_id}``
Rule    a published version never changes, versions follow each other, and every version is sound
        (``mode_checks``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from services.catalog.domain.mode_checks import faults
from services.catalog.domain.mode_definition import Mode
from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected

# Events. Fields are storage format: add, never rename.


@dataclass(frozen=True, slots=True)
class ModePublished:
    mode: Mode


type Event = ModePublished


# Commands.


@dataclass(frozen=True, slots=True)
class PublishMode:
    mode: Mode


type Command = PublishMode


class Refusal(StrEnum):
    UNSOUND = "MODE_UNSOUND"
    VERSION_MISMATCH = "VERSION_MISMATCH"


@dataclass(frozen=True, slots=True)
class State:
    versions: Mapping[int, Mode] = field(default_factory=dict[int, Mode])

    @property
    def newest(self) -> Mode | None:
        return self.versions.get(len(self.versions))


def decide(command: Command, state: State) -> Sequence[Event]:
    match command:
        case PublishMode(mode):
            mode = replace(mode, version=mode.version or _number(mode, state))
            if mode == state.versions.get(mode.version):
                return []
            _check(mode)
            if mode.version in state.versions:
                raise Rejected(
                    Refusal.VERSION_MISMATCH,
                    f"version {mode.version} of mode {mode.mode_id} is published with other "
                    "content and never changes: publish the change as version 0, the next one",
                )
            if mode.version != len(state.versions) + 1:
                raise Rejected(
                    Refusal.VERSION_MISMATCH,
                    f"mode {mode.mode_id} has {len(state.versions)} versions, so "
                    f"{mode.version} cannot follow: give {len(state.versions) + 1}, or 0",
                )
            return [ModePublished(mode)]
        case _:
            assert_never(command)


def _number(mode: Mode, state: State) -> int:
    """Return the newest version when it says the same, so that a repeat is silent."""
    newest = state.newest
    if newest is not None and newest == replace(mode, version=newest.version):
        return newest.version
    return len(state.versions) + 1


def _check(mode: Mode) -> None:
    found = list(faults(mode))
    if found:
        raise Rejected(
            Refusal.UNSOUND,
            f"mode {mode.mode_id}: " + "; ".join(map(str, found)),
            [{"field": f.field, "problem": f.problem, "remedy": f.remedy} for f in found],
        )


def evolve(state: State, event: Event) -> State:
    match event:
        case ModePublished(mode):
            return State({**state.versions, mode.version: mode})
        case _:
            assert_never(event)


MODE: Kind[Command, State, Event] = Kind("mode", Decider(State(), decide, evolve))
