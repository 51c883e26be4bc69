"""A message is said once per channel, whatever the sender repeats."""

from datetime import UTC, datetime

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.notification.domain.message import (
    MESSAGE,
    Channel,
    Command,
    Event,
    MessageFailed,
    MessageQueued,
    MessageSent,
    Occasion,
    QueueMessage,
    RecordFailed,
    RecordSent,
    Text,
)
from tests.support.given import given

DECIDER = MESSAGE.decider
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TEXT = Text("Prête", "Ready")
QUEUE = QueueMessage("O", "O.1", "arrival", Occasion.STEP, TEXT, NOON)
QUEUED = MessageQueued("O", "O.1", "arrival", Occasion.STEP, TEXT, NOON)
FAILED = MessageFailed("O", Channel.WEBHOOK, "erp", "HTTP 500")


def test_a_message_is_queued_once() -> None:
    given(DECIDER).when(QUEUE).then(QUEUED)
    given(DECIDER, QUEUED).when(QUEUE).then_nothing()


def test_each_channel_takes_it_once() -> None:
    sent = MessageSent("O", Channel.MAILBOX, "")
    given(DECIDER, QUEUED).when(RecordSent(Channel.MAILBOX, "")).then(sent)
    given(DECIDER, QUEUED, sent).when(RecordSent(Channel.MAILBOX, "")).then_nothing()
    given(DECIDER, QUEUED, sent).when(RecordFailed(Channel.MAILBOX, "", "late")).then_nothing()


def test_a_failed_delivery_may_still_succeed_by_redelivery() -> None:
    given(DECIDER, QUEUED).when(RecordFailed(Channel.WEBHOOK, "erp", "HTTP 500")).then(FAILED)
    given(DECIDER, QUEUED, FAILED).when(
        RecordFailed(Channel.WEBHOOK, "erp", "timed out")
    ).then_nothing()
    given(DECIDER, QUEUED, FAILED).when(RecordSent(Channel.WEBHOOK, "erp")).then(
        MessageSent("O", Channel.WEBHOOK, "erp")
    )


def test_what_was_never_queued_has_no_outcome() -> None:
    given(DECIDER).when(RecordSent(Channel.MAILBOX, "")).then_nothing()
    given(DECIDER).when(RecordFailed(Channel.MAILBOX, "", "x")).then_nothing()


channels = st.sampled_from(list(Channel))
endpoints = st.sampled_from(["", "a", "b"])
commands: st.SearchStrategy[Command] = st.one_of(
    st.just(QUEUE),
    st.builds(RecordSent, channels, endpoints),
    st.builds(RecordFailed, channels, endpoints, st.just("HTTP 500")),
)


@settings(max_examples=150)
@for_all(st.lists(commands, max_size=20))
def test_no_history_says_anything_twice(script: list[Command]) -> None:
    history: list[Event] = []
    for command in script:
        history += DECIDER.decide(command, DECIDER.fold(history))
        assert DECIDER.decide(command, DECIDER.fold(history)) == []
    assert len(set(history)) == len(history)
    assert not history or isinstance(history[0], MessageQueued)
