"""One visit of a customer who brings goods back.

Stream  ``returncase-{return_id}``
Rule    opened, inspected unit by unit, then a clerk validates what is given back: the preview or,
        within his limit and with a reason, less; never more, and never on an old preview. Until
        the inspection it may be withdrawn instead; nothing follows that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from services.kernel.domain.decider import Decider, Kind
from services.kernel.domain.errors import Rejected
from services.returns.domain.refund import lowest_of


class Disposition(StrEnum):
    RESTOCK = "restock"
    WRITE_OFF = "write_off"


class Status(StrEnum):
    NEW = "new"
    OPENED = "opened"
    INSPECTED = "inspected"
    REFUNDED = "refunded"
    WITHDRAWN = "withdrawn"


# Events. Fields are storage format: add, never rename. Names are in adapters/event_codec.py.


@dataclass(frozen=True, slots=True)
class CaseLine:
    """``refund_minor`` is what the frozen price gives for these units, fixed when they came."""

    line_id: str
    sku: str
    quantity: int
    refund_minor: int


@dataclass(frozen=True, slots=True)
class CaseOpened:
    order_id: str
    site_id: str
    currency: str
    lines: tuple[CaseLine, ...]


@dataclass(frozen=True, slots=True)
class InspectedLine:
    line_id: str
    sku: str
    quantity: int
    disposition: Disposition


@dataclass(frozen=True, slots=True)
class CaseInspected:
    order_id: str
    site_id: str
    lines: tuple[InspectedLine, ...]


@dataclass(frozen=True, slots=True)
class RefundValidated:
    order_id: str
    site_id: str
    amount_minor: int
    preview_minor: int
    currency: str
    clerk_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class CaseWithdrawn:
    order_id: str
    site_id: str
    reason: str


type Event = CaseOpened | CaseInspected | RefundValidated | CaseWithdrawn


# Commands.


@dataclass(frozen=True, slots=True)
class OpenCase:
    order_id: str
    site_id: str
    currency: str
    lines: tuple[CaseLine, ...]


@dataclass(frozen=True, slots=True)
class InspectCase:
    """Attributes: ``lines`` are line id, base units, disposition; a line once per disposition."""

    lines: tuple[tuple[str, int, Disposition], ...]


@dataclass(frozen=True, slots=True)
class ValidateRefund:
    preview_version: int
    amount_minor: int
    clerk_id: str
    reason: str
    limit_percent: int


@dataclass(frozen=True, slots=True)
class WithdrawCase:
    reason: str


type Command = OpenCase | InspectCase | ValidateRefund | WithdrawCase


class Refusal(StrEnum):
    STEP_CONFLICT = "STEP_CONFLICT"
    INSPECTION_INCOMPLETE = "INSPECTION_INCOMPLETE"
    PREVIEW_STALE = "PREVIEW_STALE"
    REFUND_ABOVE_PREVIEW = "REFUND_ABOVE_PREVIEW"
    REFUND_LIMIT_EXCEEDED = "REFUND_LIMIT_EXCEEDED"
    REASON_MISSING = "REASON_MISSING"
    ID_REUSED = "IDEMPOTENCY_MISMATCH"


# State.


@dataclass(frozen=True, slots=True)
class Refund:
    amount_minor: int
    clerk_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReturnCase:
    status: Status = Status.NEW
    order_id: str = ""
    site_id: str = ""
    currency: str = ""
    lines: tuple[CaseLine, ...] = ()
    inspected: tuple[InspectedLine, ...] = ()
    refund: Refund | None = None
    version: int = 0

    @property
    def preview_minor(self) -> int:
        """What the customer gets back by the frozen prices, in minor units."""
        return sum(line.refund_minor for line in self.lines)


def decide(command: Command, case: ReturnCase) -> Sequence[Event]:
    match command:
        case OpenCase():
            return _open(command, case)
        case InspectCase(lines):
            return _inspect(lines, case)
        case ValidateRefund():
            return _validate(command, case)
        case WithdrawCase(reason):
            return _withdraw(reason, case)
        case _:
            assert_never(command)


def _open(command: OpenCase, case: ReturnCase) -> Sequence[Event]:
    if case.status is Status.NEW:
        return [CaseOpened(command.order_id, command.site_id, command.currency, command.lines)]
    if case.status is Status.WITHDRAWN:
        raise Rejected(
            Refusal.STEP_CONFLICT,
            "this return was withdrawn and its units are free; open another, under a new id",
        )
    opened = OpenCase(case.order_id, case.site_id, case.currency, case.lines)
    if opened == command:
        return []
    raise Rejected(
        Refusal.ID_REUSED, "this return id is another return's; choose a new one and open again"
    )


def _inspect(lines: Sequence[tuple[str, int, Disposition]], case: ReturnCase) -> Sequence[Event]:
    skus = {line.line_id: line.sku for line in case.lines}
    totals: dict[str, int] = {}
    for line_id, quantity, _ in lines:
        totals[line_id] = totals.get(line_id, 0) + quantity
    inspected = tuple(
        InspectedLine(line_id, skus.get(line_id, ""), quantity, disposition)
        for line_id, quantity, disposition in sorted(lines)
    )
    if case.inspected and case.inspected == inspected:
        return []
    if case.status is not Status.OPENED:
        raise Rejected(
            Refusal.STEP_CONFLICT,
            f"the return is {case.status.value}; only an opened one is inspected, and once",
        )
    expected = {line.line_id: line.quantity for line in case.lines}
    if totals != expected:
        wrong = sorted(
            line_id
            for line_id in totals.keys() | expected.keys()
            if totals.get(line_id) != expected.get(line_id)
        )
        raise Rejected(
            Refusal.INSPECTION_INCOMPLETE,
            f"lines {', '.join(wrong[:10])}: the inspected units must be those of the return",
        )
    return [CaseInspected(case.order_id, case.site_id, inspected)]


def _validate(command: ValidateRefund, case: ReturnCase) -> Sequence[Event]:
    if case.refund == Refund(command.amount_minor, command.clerk_id, command.reason):
        return []
    if case.status is not Status.INSPECTED:
        raise Rejected(
            Refusal.STEP_CONFLICT,
            f"the return is {case.status.value}; a refund follows the inspection, once",
        )
    if command.preview_version != case.version:
        raise Rejected(
            Refusal.PREVIEW_STALE,
            f"the preview is of version {command.preview_version}, the return is at"
            f" {case.version}; ask for a new preview",
        )
    preview_minor = case.preview_minor
    lowest_minor = lowest_of(preview_minor, command.limit_percent)
    if command.amount_minor > preview_minor:
        raise Rejected(
            Refusal.REFUND_ABOVE_PREVIEW,
            f"{command.amount_minor} is more than the preview, {preview_minor}",
        )
    if command.amount_minor < lowest_minor:
        raise Rejected(
            Refusal.REFUND_LIMIT_EXCEEDED,
            f"{command.amount_minor} is below {lowest_minor}, the least a clerk may give",
        )
    if command.amount_minor < preview_minor and not command.reason:
        raise Rejected(Refusal.REASON_MISSING, "less than the preview needs a reason")
    return [
        RefundValidated(
            order_id=case.order_id,
            site_id=case.site_id,
            amount_minor=command.amount_minor,
            preview_minor=preview_minor,
            currency=case.currency,
            clerk_id=command.clerk_id,
            reason=command.reason,
        )
    ]


def _withdraw(reason: str, case: ReturnCase) -> Sequence[Event]:
    if case.status is Status.WITHDRAWN:
        return []
    if case.status is not Status.OPENED:
        raise Rejected(
            Refusal.STEP_CONFLICT,
            f"the return is {case.status.value}; only one that nobody has inspected is withdrawn",
        )
    return [CaseWithdrawn(case.order_id, case.site_id, reason)]


def evolve(case: ReturnCase, event: Event) -> ReturnCase:
    version = case.version + 1
    match event:
        case CaseOpened(order_id, site_id, currency, lines):
            return ReturnCase(Status.OPENED, order_id, site_id, currency, lines, version=version)
        case CaseInspected(_, _, lines):
            return replace(case, status=Status.INSPECTED, inspected=lines, version=version)
        case RefundValidated(_, _, amount_minor, _, _, clerk_id, reason):
            refund = Refund(amount_minor, clerk_id, reason)
            return replace(case, status=Status.REFUNDED, refund=refund, version=version)
        case CaseWithdrawn():
            return replace(case, status=Status.WITHDRAWN, version=version)
        case _:
            assert_never(event)


RETURN_CASE: Kind[Command, ReturnCase, Event] = Kind(
    "returncase", Decider(ReturnCase(), decide, evolve)
)
