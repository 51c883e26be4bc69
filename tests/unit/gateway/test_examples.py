"""Every operation of the OpenAPI document has an example, which is what its schema says."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from services.gateway.entrypoints.http.examples import told
from services.gateway.entrypoints.http.remote import Remote
from services.gateway.main import build_app
from services.gateway.settings import GatewaySettings
from tests.support.json_schema import faults
from tests.unit.gateway.fakes import Fakes, MemoryKeys, OneKey, gateway


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    edge: FastAPI
    _, edge, _ = build_app(Remote({}), MemoryKeys(), OneKey(), GatewaySettings())
    return edge.openapi()


def media(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return what is sent and answered as JSON: its place, and what is said of it."""
    for path, operations in document["paths"].items():
        for verb, one in operations.items():
            if "requestBody" in one:
                yield f"{verb} {path} body", one["requestBody"]["content"]["application/json"]
            for status, answer in one["responses"].items():
                for kind, said in answer.get("content", {}).items():
                    yield f"{verb} {path} {status} {kind}", said


def test_every_body_and_every_operations_answer_has_an_example(document: dict[str, Any]) -> None:
    exampled = {place for place, said in media(document) if "example" in said}
    places = {place for place, _ in media(document)}
    assert {place for place in places if place.endswith(" body")} <= exampled
    assert {place for place in places if place.endswith("problem+json")} <= exampled
    answered = {
        tuple(place.split(" ")[:2]) for place in exampled if place.endswith(" application/json")
    }
    operations = {
        tuple(place.split(" ")[:2]) for place in places if place.endswith(" application/json")
    }
    assert operations == answered
    assert len(operations) > 100


def test_every_example_is_what_its_schema_allows(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    wrong = {
        place: found
        for place, said in media(document)
        if "example" in said and (found := faults(said["example"], said["schema"], schemas))
    }
    assert not wrong


async def test_the_gateway_reads_every_body_that_is_an_example() -> None:
    fakes = Fakes()
    async with gateway(fakes) as http:
        for number, one in enumerate(told()):
            if "body" in one and one["status"] < 400:
                verb, path = one["of"].split(" ")
                answer = await http.request(
                    verb,
                    one["at"] or path,
                    json=one["body"],
                    headers={"Idempotency-Key": f"k{number}", "Prefer": "wait=0"},
                )
                assert answer.is_success, (one["of"], answer.text)
