"""Every public event has one example in the contracts that a consumer may build upon."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, Parse, ParseError
from google.protobuf.message import Message

_CONTRACTS = Path(__file__).parents[2] / "contracts"
_EXAMPLES = _CONTRACTS / "examples"


def _feeds() -> dict[str, type[Message]]:
    """The wrapper message of every feed, by the folder of its examples."""
    found: dict[str, type[Message]] = {}
    for proto in sorted((_CONTRACTS / "proto").rglob("*_events.proto")):
        folder = proto.parent.relative_to(_CONTRACTS / "proto")
        module = importlib.import_module(".".join((*folder.parts, f"{proto.stem}_pb2")))
        wrappers = [
            name
            for name, message in module.DESCRIPTOR.message_types_by_name.items()
            if "event" in message.oneofs_by_name
        ]
        assert len(wrappers) == 1, f"{proto.name}: one message with `oneof event`, not {wrappers}"
        found[str(folder)] = getattr(module, wrappers[0])
    return found


FEEDS = _feeds()
_CASES = [
    (folder, case.name)
    for folder, wrapper in FEEDS.items()
    for case in wrapper.DESCRIPTOR.oneofs_by_name["event"].fields
]


def _example(folder: str, case: str) -> Message:
    file = _EXAMPLES / folder / f"{case}.json"
    assert file.is_file(), f"write an example of {case} to contracts/examples/{folder}/{case}.json"
    # Parse refuses fields that the contract does not know.
    return Parse(file.read_text(), FEEDS[folder]())


@pytest.mark.parametrize(("folder", "case"), _CASES)
def test_every_public_event_has_an_example_that_parses(folder: str, case: str) -> None:
    assert _example(folder, case).WhichOneof("event") == case


@pytest.mark.parametrize(("folder", "case"), _CASES)
def test_an_example_shows_what_the_event_carries(folder: str, case: str) -> None:
    """At least half of its fields, so that a reader of the example knows the event."""
    event = getattr(_example(folder, case), case)
    if len(event.DESCRIPTOR.fields) == 1 and event.DESCRIPTOR.fields[0].message_type is not None:
        event = getattr(event, event.DESCRIPTOR.fields[0].name)
    shown = {field.name for field, _ in event.ListFields()}
    known = [field.name for field in event.DESCRIPTOR.fields]
    assert 2 * len(shown) >= len(known), f"{case} shows {shown} of {known}"


@pytest.mark.parametrize(("folder", "case"), _CASES)
def test_an_example_survives_the_wire(folder: str, case: str) -> None:
    example = _example(folder, case)
    travelled = FEEDS[folder].FromString(example.SerializeToString())
    assert MessageToDict(travelled) == MessageToDict(example)


@pytest.mark.parametrize("folder", FEEDS)
def test_no_example_stands_for_an_event_that_is_not_published(folder: str) -> None:
    files = {file.stem for file in (_EXAMPLES / folder).glob("*.json")}
    assert files == {case for of, case in _CASES if of == folder}


@pytest.mark.parametrize("folder", FEEDS)
def test_a_field_the_contract_does_not_know_is_noticed(folder: str) -> None:
    """The parser used here would tell a misspelt field; without this the tests above prove less."""
    case = next(case for of, case in _CASES if of == folder)
    fields: dict[str, Any] = json.loads((_EXAMPLES / folder / f"{case}.json").read_text())
    fields["misspelt"] = 1
    with pytest.raises(ParseError):
        Parse(json.dumps(fields), FEEDS[folder]())
