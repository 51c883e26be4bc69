"""The first events of many streams at once: what a unit of work does one by one is dearer."""

from collections.abc import Sequence

from services.kernel.adapters.event_codec import EventCodec
from services.kernel.adapters.event_log import NewEvent, encode_cause
from services.kernel.domain.decider import Kind
from services.kernel.domain.ids import derive
from services.kernel.domain.messages import Cause, stream_id


def first_events[C, S, E](
    codec: EventCodec, kind: Kind[C, S, E], cause: Cause, commands: Sequence[tuple[str, C]]
) -> list[NewEvent]:
    """Return what each command, by key, comes to as the first of its stream.

    Their ids have one digest, that of the cause: the last twelve digits count the events. So the
    cause may stand for nothing else.
    """
    decide, new = kind.decider.decide, kind.decider.initial
    told, prefix = encode_cause(cause), stream_id(cause.tenant, kind.category, "")
    event_id = derive(cause.tenant, cause.command_id)[:24]
    made: list[NewEvent] = []
    for key, command in commands:
        for version, event in enumerate(decide(command, new), 1):
            topic, data = codec.encode(event)
            numbered = f"{event_id}{len(made):012x}"
            made.append(NewEvent(prefix + key, version, topic, data, numbered, told, cause, event))
    return made
