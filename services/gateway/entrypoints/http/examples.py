"""What the OpenAPI document shows by way of example: a story that was really told and answered.

``examples.json`` is a list of requests in the order in which they can be sent to an empty tenant,
each with the answer it got. ``tests/e2e/test_examples.py`` sends them all again, and writes the
file anew when it is asked to; nothing in it is made up but ids, and a webhook's secret.
"""

import json
from importlib.resources import files
from typing import Any

_JSON, _PROBLEM = "application/json", "application/problem+json"


def told() -> list[dict[str, Any]]:
    """Return the story: ``of`` (verb and path), ``at``, ``body`` where one is sent, the answer."""
    story: list[dict[str, Any]] = json.loads((files(__package__) / "examples.json").read_bytes())
    return story


def enter(document: dict[str, Any]) -> None:
    """Put into the document the first example of every operation, and one of a refusal."""
    refused = None
    entered: set[str] = set()
    for one in told():
        is_success = one["status"] < 400  # noqa: PLR2004 - where HTTP draws the line
        if not is_success:
            refused = refused or one["answer"]
        elif one["of"] not in entered:
            entered.add(one["of"])
            verb, path = one["of"].split(" ")
            _enter(one, document["paths"][path][verb.lower()])
    for operations in document["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                if _PROBLEM in answer.get("content", ()):
                    answer["content"][_PROBLEM]["example"] = refused


def _enter(one: dict[str, Any], operation: dict[str, Any]) -> None:
    if "body" in one:
        operation["requestBody"]["content"][_JSON]["example"] = one["body"]
    status = str(one["status"])
    # Statuses of one operation share what is said of their answers; an example is of one status.
    answer = operation["responses"][status]
    content = answer["content"]
    operation["responses"][status] = {
        **answer,
        "content": {**content, _JSON: {**content[_JSON], "example": one["answer"]}},
    }
