"""The business saying no, and nothing else by design."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

type Alternative = Mapping[str, str | int]


class Rejected(Exception):
    """A rule forbids the command. Final: the same command on the same state is refused again.

    Attributes:
        reason: Registry name, upper snake case, for example ``OUT_OF_STOCK``.
        detail: One sentence: what is wrong, where, and how to mend it. No personal data.
        alternatives: What would be possible instead, as flat mappings; may be empty.
    """

    def __init__(
        self, reason: StrEnum, detail: str, alternatives: Sequence[Alternative] = ()
    ) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail
        self.alternatives = alternatives


class Invalid(ValueError):
    """A request that cannot be understood: the caller must change it.

    Attributes:
        violations: Pairs of field path (``lines[2].quantity``) and what is wrong with it.
    """

    def __init__(self, *violations: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {problem}" for field, problem in violations))
        self.violations = violations


class NotFound(LookupError):
    """Nothing has this id, or nothing that this caller may see.

    Attributes:
        what: Kind of thing.
        identifier: Its id, as it was asked for.
    """

    def __init__(self, what: str, identifier: str, known: Iterable[str] = ()) -> None:
        there_are = ", ".join(known)
        more = f": there are {there_are}" if there_are else ""
        super().__init__(f"no {what} with id {identifier!r}{more}")
        self.what = what
        self.identifier = identifier
