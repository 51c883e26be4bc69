"""The AsyncAPI 3 document of all feeds."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contracts.describe.headers import headers
from services.kernel.application.feeds import MOST_VALUE_BYTES
from services.kernel.main.feed_directory import Feed, topic_settings
from services.kernel.settings import BusSettings

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
_HEADERS_SCHEMA = "CloudEventsHeaders"
_BINDING = "0.5.0"


def asyncapi(feeds: Sequence[Feed], comments: Mapping[str, str], protos: Path, version: str) -> str:
    """Return the document as YAML.

    Args:
        feeds: Every feed.
        comments: Of the contracts, by full name.
        protos: Folder of all contracts.
        version: Of the distribution.
    """
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "So'OMS feeds",
            "version": version,
            "license": {"name": "Apache-2.0"},
            "description": (
                "Every public event of the order management system, one Kafka topic per service."
                " The value of a record is the feed's wrapper message in protobuf, with one event"
                " in its oneof; its attributes are CloudEvents headers (binary mode). Records of"
                " one key keep their order and may be repeated: pass over a record whose"
                " ce_position is not above the last one of its partition. Within v1 contracts only"
                " grow, so pass over events and fields that you do not know."
            ),
            "x-docs": "../docs/feeds/README.md",
        },
        "defaultContentType": "application/protobuf",
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "OMS_KAFKA_BOOTSTRAP_SERVERS",
                "variables": {
                    "bootstrap": {"default": BusSettings.model_construct().kafka_bootstrap_servers}
                },
            }
        },
        "channels": {feed.topic: _channel(feed, comments) for feed in feeds},
        "operations": dict(pair for feed in feeds for pair in _operations(feed)),
        "components": {
            "schemas": {
                _HEADERS_SCHEMA: _headers(),
                **{
                    feed.contract.wrapper.DESCRIPTOR.full_name: _payload(feed, protos)
                    for feed in feeds
                },
            },
            "messages": {
                event.full_name: _message(feed, case, comments)
                for feed in feeds
                for case, event in feed.contract.events.items()
            },
        },
    }
    return (
        "# Written by `make contracts` from the contracts and the code; never edited.\n"
        + "\n".join(line.rstrip() for line in _lines(document))
        + "\n"
    )


def _channel(feed: Feed, comments: Mapping[str, str]) -> dict[str, Any]:
    settings = BusSettings.model_construct()
    declared = topic_settings(settings)
    return {
        "address": feed.topic,
        "description": comments[feed.contract.wrapper.DESCRIPTOR.full_name],
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {
            event.name: {"$ref": f"#/components/messages/{event.full_name}"}
            for event in feed.contract.events.values()
        },
        "x-docs": f"../docs/feeds/{feed.publisher}.md",
        "bindings": {
            "kafka": {
                "partitions": settings.kafka_partitions,
                "replicas": settings.kafka_replication,
                "topicConfiguration": {
                    "cleanup.policy": [declared["cleanup.policy"]],
                    "retention.ms": int(declared["retention.ms"]),
                    "retention.bytes": int(declared["retention.bytes"]),
                    "max.message.bytes": int(declared["max.message.bytes"]),
                },
                "bindingVersion": _BINDING,
            }
        },
    }


def _operations(feed: Feed) -> list[tuple[str, dict[str, Any]]]:
    channel = {"$ref": f"#/channels/{feed.topic}"}

    def messages(cases: Sequence[str]) -> list[dict[str, str]]:
        return [
            {"$ref": f"#/channels/{feed.topic}/messages/{feed.contract.events[case].name}"}
            for case in cases
        ]

    sends = {
        "action": "send",
        "channel": channel,
        "summary": f"{feed.publisher} publishes",
        "messages": messages(list(feed.contract.events)),
    }
    hears = [
        (
            f"{listener.group}.hears.{feed.publisher}",
            {
                "action": "receive",
                "channel": channel,
                "summary": f"{listener.group} hears {feed.publisher}",
                "messages": messages(listener.events),
                "bindings": {
                    "kafka": {
                        "groupId": {"type": "string", "enum": [f"{listener.group}.{feed.topic}"]},
                        "bindingVersion": _BINDING,
                    }
                },
            },
        )
        for listener in feed.listeners
    ]
    return [(f"{feed.publisher}.publishes", sends), *hears]


def _message(feed: Feed, case: str, comments: Mapping[str, str]) -> dict[str, Any]:
    event = feed.contract.events[case]
    folder = feed.contract.package.replace(".", "/")
    return {
        "name": event.full_name,
        "title": event.name,
        "summary": comments[event.full_name],
        "contentType": "application/protobuf",
        "headers": {
            "allOf": [
                {"$ref": f"#/components/schemas/{_HEADERS_SCHEMA}"},
                {"type": "object", "properties": {"ce_type": {"const": event.full_name}}},
            ]
        },
        "payload": {"$ref": f"#/components/schemas/{feed.contract.wrapper.DESCRIPTOR.full_name}"},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "{tenant}/" + feed.keys[case]},
                "bindingVersion": _BINDING,
            }
        },
        "x-protobuf-message": feed.contract.wrapper.DESCRIPTOR.full_name,
        "x-protobuf-case": case,
        "x-most-value-bytes": MOST_VALUE_BYTES,
        "x-example": f"./examples/{folder}/{case}.json",
    }


def _payload(feed: Feed, protos: Path) -> dict[str, Any]:
    return {
        "schemaFormat": "application/vnd.google.protobuf;version=3",
        "schema": (protos / feed.contract.file).read_text(),
        "x-file": f"./proto/{feed.contract.file}",
    }


def _headers() -> dict[str, Any]:
    every = headers()
    return {
        "type": "object",
        "required": [header.name for header in every if header.is_required],
        "properties": {
            header.name: {
                "type": "string",
                "description": header.meaning,
                "examples": [header.example],
            }
            for header in every
        },
    }


def _lines(value: Any) -> list[str]:
    """Return a mapping or a sequence as lines of YAML, in block style."""
    if isinstance(value, dict):
        return [line for key, part in value.items() for line in _entry(f"{_text(key)}:", part)]
    return [
        line
        for part in value
        for line in (
            [f"- {first}" if not n else f"  {first}" for n, first in enumerate(_lines(part))]
            if isinstance(part, dict | list) and part
            else [f"- {_scalar(part)}"]
        )
    ]


def _entry(head: str, part: Any) -> list[str]:
    if isinstance(part, str) and "\n" in part:
        return [f"{head} |", *(f"  {line}".rstrip() for line in part.splitlines())]
    if isinstance(part, dict | list) and part:
        return [head, *(f"  {line}" for line in _lines(part))]
    return [f"{head} {_scalar(part)}"]


def _scalar(value: Any) -> str:
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
