"""Whatever a released version has stored stays readable: one example of every stored name."""

import json
from pathlib import Path

import pytest

from services.kernel.main import SERVICES
from tests.support.built import built

_GOLDEN = Path(__file__).parent / "golden"
_STORED = [(service, name) for service in SERVICES for name in sorted(built(service).codec.names())]


def _newest(service: str) -> frozenset[str]:
    """Names that this version writes: of each event the highest version."""
    highest: dict[str, int] = {}
    for name in built(service).codec.names():
        stem, _, version = name.rpartition(".v")
        highest[stem] = max(highest.get(stem, 0), int(version))
    return frozenset(f"{stem}.v{version}" for stem, version in highest.items())


@pytest.mark.parametrize(("service", "name"), _STORED)
def test_every_stored_name_has_an_example_that_decodes(service: str, name: str) -> None:
    file = _GOLDEN / service / f"{name}.json"
    assert file.is_file(), f"write one stored example of {name} to {file.relative_to(_GOLDEN)}"
    event = built(service).codec.decode(name, file.read_bytes())
    assert built(service).codec.name_of(event) in _newest(service)


@pytest.mark.parametrize(("service", "name"), [(s, n) for s, n in _STORED if n in _newest(s)])
def test_the_newest_version_is_written_as_its_example_stands(service: str, name: str) -> None:
    stored = (_GOLDEN / service / f"{name}.json").read_bytes()
    codec = built(service).codec
    written_name, written = codec.encode(codec.decode(name, stored))
    assert (written_name, json.loads(written)) == (name, json.loads(stored))


@pytest.mark.parametrize("service", SERVICES)
def test_no_example_stands_for_a_name_that_nobody_reads(service: str) -> None:
    """A name once written is for ever: its example leaves only together with every log."""
    examples = {file.stem for file in (_GOLDEN / service).glob("*.json")}
    assert examples <= built(service).codec.names()


@pytest.mark.parametrize(("service", "name"), _STORED)
def test_stored_events_hold_no_personal_data(service: str, name: str) -> None:
    """Logs are kept for ever, so a person is an opaque id in them and nothing more."""
    fields = _field_names(json.loads((_GOLDEN / service / f"{name}.json").read_bytes()))
    assert not fields & {
        *("first_name", "last_name", "phone", "email", "mail", "street", "address_lines"),
        *("customer_name", "birth_date", "password", "secret"),
    }


def _field_names(value: object) -> set[str]:
    if isinstance(value, dict):
        return {str(k) for k in value} | {n for v in value.values() for n in _field_names(v)}
    if isinstance(value, list):
        return {n for v in value for n in _field_names(v)}
    return set()
