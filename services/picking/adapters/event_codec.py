"""Stored names of the events of picking."""

from services.kernel.adapters.event_codec import EventCodec
from services.picking.domain.pick_task_events import (
    LinePicked,
    LinePutBack,
    LineShorted,
    PickCompleted,
    TaskCancelled,
    TaskClaimed,
    TaskReleased,
    TaskUnclaimed,
)

CODEC = EventCodec(
    {
        "picktask.released.v1": TaskReleased,
        "picktask.claimed.v1": TaskClaimed,
        "picktask.unclaimed.v1": TaskUnclaimed,
        "picktask.line_picked.v1": LinePicked,
        "picktask.line_shorted.v1": LineShorted,
        "picktask.completed.v1": PickCompleted,
        "picktask.cancelled.v1": TaskCancelled,
        "picktask.line_put_back.v1": LinePutBack,
    }
)
