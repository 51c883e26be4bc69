"""The examples of the OpenAPI document, sent one after the other to a system that knows nothing.

With ``OMS_TEST_WRITE_EXAMPLES=1`` the answers are written down as the new examples.
"""

import json
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.gateway.entrypoints.http import examples
from tests.support.embedded import embedded
from tests.support.stack import eventually

pytestmark = pytest.mark.stack
WITHIN_S = 30
_NUMBERS = count(1)
LEARNED = ("pickup_code", "preview_version", "decision_id")
"""What an answer says and a later request repeats, and is another in every run."""
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="  # noqa: S105 - of an example


async def test_every_example_can_be_sent_in_its_turn_and_is_answered_as_written(
    postgres_dsn: str, tmp_path: Path
) -> None:
    story = examples.told()
    variables = {"OMS_POSTGRES_DSN": postgres_dsn, "OMS_DATABASE_PREFIX": "examples_"}
    learned: dict[str, Any] = {}
    async with embedded(tmp_path, **variables) as system, system.api() as api:
        for one in story:
            if one["at"]:  # else it cannot be reached: a delivery that failed for three days
                one["answer"] = await _answered(api.client, one, learned)
                _learn(one["answer"], learned)
    if os.environ.get("OMS_TEST_WRITE_EXAMPLES") == "1":
        lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in story)
        Path(examples.__file__).with_name("examples.json").write_text(f"[\n{lines}\n]\n", "utf-8")


async def _answered(client: httpx.AsyncClient, one: dict[str, Any], learned: dict[str, Any]) -> Any:
    """Send until the answer has the form of the example: feeds take their time to arrive."""
    verb = one["of"].split(" ")[0]
    at = one["at"].format_map(learned)
    if "body" in one:
        one["body"] = {
            name: learned[name] if name in LEARNED else value for name, value in one["body"].items()
        }
    answer: httpx.Response | None = None

    async def is_as_written() -> bool:
        nonlocal answer
        answer = await client.request(
            verb,
            at,
            json=one.get("body"),
            headers={"Idempotency-Key": f"example-{next(_NUMBERS)}", "Prefer": "wait=10"},
        )
        is_expected = answer.status_code == one["status"]
        return is_expected and set(_form(answer.json())) == set(_form(one["answer"]))

    try:
        await eventually(is_as_written, within_s=WITHIN_S)
    except TimeoutError:
        assert answer is not None
        raise AssertionError(f"{one['of']} at {at}: {answer.status_code} {answer.text}") from None
    assert answer is not None
    told = answer.json()
    return {**told, "secret": SECRET} if "secret" in told else told


def _form(value: Any, at: str = "") -> Iterator[str]:
    """Return the path of every leaf; items of a list are alike."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _form(item, f"{at}/{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _form(item, f"{at}/*")
    yield at


def _learn(answer: Any, learned: dict[str, Any]) -> None:
    if isinstance(answer, dict):
        learned |= {name: answer[name] for name in LEARNED if name in answer}
    for item in answer.values() if isinstance(answer, dict) else answer:
        if isinstance(item, dict | list):
            _learn(item, learned)
