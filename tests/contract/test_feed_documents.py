"""The AsyncAPI document and the pages of the feeds say what contracts and code say."""

import json
import re
from typing import Any

import pytest
from typer.testing import CliRunner

from contracts.describe.documents import ROOT, documents
from contracts.describe.headers import headers
from services.kernel.__main__ import app
from services.kernel.main import SERVICES
from services.kernel.main.feed_directory import feeds
from tests.support.built import built

DOCUMENTS = documents()
ASYNCAPI = DOCUMENTS["contracts/asyncapi.yaml"]


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_is_what_contracts_and_code_make_of_it(name: str) -> None:
    assert (ROOT / name).read_text() == DOCUMENTS[name], "run `make contracts`"


def test_no_page_stands_for_a_feed_that_is_gone() -> None:
    pages = {f"docs/feeds/{page.name}" for page in (ROOT / "docs/feeds").glob("*.md")}
    assert pages == {name for name in DOCUMENTS if name.startswith("docs/feeds")}


def test_the_directory_lists_every_feed_event_and_listener() -> None:
    assert [feed.topic for feed in feeds()] == [built(name).topic for name in SERVICES]
    for feed in feeds():
        assert feed.keys.keys() == feed.contract.events.keys()
    listed = {
        (listener.group, feed.topic, feed.contract.events[case].full_name)
        for feed in feeds()
        for listener in feed.listeners
        for case in listener.events
    }
    in_code = {
        (one.group, one.topic, event.full_name)
        for name in SERVICES
        for one in built(name).subscriptions
        for feed in feeds()
        if feed.topic == one.topic
        for event in feed.contract.events.values()
        if event.full_name not in one.passes_over
    }
    assert listed == in_code


def test_every_reference_of_the_document_leads_somewhere() -> None:
    # Channels and messages have dots in their names, never slashes.
    for reference in sorted(set(re.findall(r'"#/([^"]+)"', ASYNCAPI))):
        indent, lines = "", ASYNCAPI.splitlines()
        for name in reference.split("/"):
            head = f"{indent}{name}:"
            assert head in lines, reference
            lines = _below(lines[lines.index(head) + 1 :], indent)
            indent += "  "


def _below(lines: list[str], indent: str) -> list[str]:
    for n, line in enumerate(lines):
        if line and not line.startswith(f"{indent} "):
            return lines[:n]
    return lines


def test_the_document_carries_each_contract_word_for_word() -> None:
    for feed in feeds():
        text = (ROOT / "contracts/proto" / feed.contract.file).read_text()
        shown = "\n".join(f"        {line}".rstrip() for line in text.splitlines())
        assert shown in ASYNCAPI


def test_a_record_cannot_do_without_what_tells_its_place() -> None:
    required = {header.name for header in headers() if header.is_required}
    assert {"ce_id", "ce_type", "ce_tenant", "ce_position", "ce_streamversion"} <= required
    assert "traceparent" not in required


def test_the_command_lists_what_the_pages_show() -> None:
    answer = CliRunner().invoke(app, ["feeds", "--json"])
    assert answer.exit_code == 0
    rows: list[dict[str, Any]] = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [row["feed"] for row in rows] == [feed.topic for feed in feeds()]
    for row, feed in zip(rows, feeds(), strict=True):
        page = DOCUMENTS[f"docs/feeds/{feed.publisher}.md"]
        for event in row["events"]:
            assert f"## {event}\n" in page
        for key in row["keys"]:
            assert f"{{tenant}}/{key}".replace("|", "\\|") in page
        assert row["heard_by"] == [listener.group for listener in feed.listeners]
        assert row["partitions"] > 0


def test_the_list_is_a_table_for_people() -> None:
    answer = CliRunner().invoke(app, ["feeds"], env={"COLUMNS": "200"})
    assert answer.exit_code == 0
    for feed in feeds():
        assert feed.topic in answer.stdout
