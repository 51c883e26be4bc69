"""How far what is picked may differ from what was ordered, for products whose weight varies.

Within the tolerance more may be picked, and less is enough: a difference of weight is no shortage.
"""

from services.kernel.domain.errors import Rejected
from services.picking.domain.pick_task_commands import Pick, Refusal, Short
from services.picking.domain.pick_task_events import ShortReason
from services.picking.domain.pick_task_state import LineProgress


def is_light_enough(line: LineProgress, tolerance_percent: int) -> bool:
    """Return whether what is open of a line is a difference of weight, and not a shortage.

    The line takes more for as long as the task is open: the next piece may be in the hand already.
    """
    return 0 < line.open <= _tolerated(line, tolerance_percent)


def is_lightness(action: Pick | Short, line: LineProgress, tolerance_percent: int) -> bool:
    """Return whether a terminal calls missing what the goods only weigh less than was ordered.

    It does not know that the line is done, and must be told neither that it is wrong nor, when it
    says so again after another piece, that it is too late: what is open then is not asked.
    """
    return (
        isinstance(action, Short)
        and action.reason is ShortReason.NOT_FOUND
        and line.is_enough
        and action.quantity <= _tolerated(line, tolerance_percent)
    )


def refuse_over_pick(pick: Pick, line: LineProgress, tolerance_percent: int) -> None:
    # A finished line takes no more: the tolerance is for the last piece on the scale.
    allowed = line.open + line.ordered * tolerance_percent // 100 if line.open else 0
    if pick.quantity > allowed:
        raise Rejected(
            Refusal.OVER_PICK,
            f"line {pick.line_id}: {pick.quantity} picked where at most {allowed} may be; "
            "put the difference back and send the lower quantity under the same action id",
        )


def _tolerated(line: LineProgress, tolerance_percent: int) -> int:
    return (line.ordered - line.short) * tolerance_percent // 100
