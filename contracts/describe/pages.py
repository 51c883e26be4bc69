"""One page per feed, and the page that lists them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from contracts.describe.headers import headers
from services.kernel.main.feed_directory import Feed, topic_settings
from services.kernel.settings import BusSettings

_HEAD = "<!-- Written by `make contracts` from the contracts and the code; never edited. -->\n"
_SCALARS = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_BYTES: "bytes",
}


def overview(feeds: Sequence[Feed]) -> str:
    """Return the page that lists the feeds and what all records have in common."""
    settings = BusSettings.model_construct()
    declared = topic_settings(settings)
    kept = "for ever" if int(declared["retention.ms"]) < 0 else f"{declared['retention.ms']} ms"
    rows = [
        f"| [`{feed.topic}`]({feed.publisher}.md) | {feed.publisher}"
        f" | {len(feed.contract.events)} | {_heard_by(feed)} |"
        for feed in feeds
    ]
    names = [
        f"| `{header.name}` | {'yes' if header.is_required else 'no'} | {header.meaning}"
        f" | `{header.example}` |"
        for header in headers()
    ]
    return f"""{_HEAD}
# Feeds

What the services tell each other, and whoever else listens. `oms feeds` lists the same, and
[for analysts](../analysts.md) there is more to read them with. For tools there is
[an AsyncAPI document](../../contracts/asyncapi.yaml).

| feed | publisher | events | heard by |
|---|---|---|---|
{chr(10).join(rows)}

Each topic has {settings.kafka_partitions} partitions (`OMS_KAFKA_PARTITIONS`, settled for ever by
the first start) and keeps its events {kept} (`OMS_KAFKA_RETENTION_MS`); nothing is compacted.
The key of a record is the stream, `{{tenant}}/…`: records of one key keep their order, records of
two keys have none. A record may come again: pass over one whose `ce_position` is not above the
last one of its partition. Contracts only grow within `v1`: pass over events and fields that you do
not know ([rules of change](../../contracts/README.md#rules-of-change)).

## Headers

CloudEvents attributes, in binary mode. A record that lacks a required one is parked.

| header | required | what | example |
|---|---|---|---|
{chr(10).join(names)}
"""


def page(feed: Feed, comments: Mapping[str, str], examples: Path) -> str:
    """Return the page of one feed.

    Args:
        feed: Which.
        comments: Of the contracts, by full name.
        examples: Folder of all examples.
    """
    contract = feed.contract
    heard = {
        case: ", ".join(one.group for one in feed.listeners if case in one.events) or "nobody here"
        for case in contract.events
    }
    rows = [
        f"| [{event.name}](#{event.name.lower()}) | `{{tenant}}/{_cell(feed.keys[case])}`"
        f" | {heard[case]} |"
        for case, event in contract.events.items()
    ]
    events = [
        _event(event, comments, examples / contract.package.replace(".", "/") / f"{case}.json")
        for case, event in contract.events.items()
    ]
    values = [_value(value, comments) for value in _values(list(contract.events.values()))]
    wrapper = contract.wrapper.DESCRIPTOR
    return f"""{_HEAD}
# {feed.topic}

Published by [{feed.publisher}](../../services/{feed.publisher}/__init__.py). The value is a
`{wrapper.full_name}` with one of these in its `oneof`
([contract](../../contracts/proto/{contract.file})); headers, partitions and retention are
[those of every feed](README.md).

| event | key | heard by |
|---|---|---|
{chr(10).join(rows)}

{chr(10).join(events)}
## Values

{chr(10).join(values) or "None but plain ones."}"""


def _heard_by(feed: Feed) -> str:
    return ", ".join(listener.group for listener in feed.listeners) or "nobody here"


def _event(event: Descriptor, comments: Mapping[str, str], example: Path) -> str:
    shown = json.dumps(json.loads(example.read_text()), indent=2, ensure_ascii=False)
    return f"""## {event.name}

{comments[event.full_name]}

{_fields(event, comments)}
```json
{shown}
```
"""


def _value(value: Descriptor | EnumDescriptor, comments: Mapping[str, str]) -> str:
    said = comments.get(value.full_name, "")
    if isinstance(value, Descriptor):
        return f"### {value.name}\n\n{said}\n\n{_fields(value, comments)}"
    rows = [
        f"| `{one.name}` | {_cell(comments.get(f'{value.full_name}.{one.name}', ''))} |"
        for one in value.values
    ]
    return f"### {value.name}\n\n{said}\n\n| value | |\n|---|---|\n{chr(10).join(rows)}\n"


def _fields(message: Descriptor, comments: Mapping[str, str]) -> str:
    rows = [
        f"| `{field.name}` | {_type(field)} | {_cell(comments.get(field.full_name, ''))} |"
        for field in message.fields
    ]
    return f"| field | type | |\n|---|---|---|\n{chr(10).join(rows)}\n"


def _type(field: FieldDescriptor) -> str:
    kind = field.message_type or field.enum_type
    if kind is None:
        name = _SCALARS[field.type]
    elif kind.full_name.startswith("google."):
        name = kind.full_name
    else:
        name = f"[{kind.name}](#{kind.name.lower()})"
    return f"list of {name}" if field.is_repeated else name


def _values(messages: Sequence[Descriptor]) -> Iterator[Descriptor | EnumDescriptor]:
    """Yield what the messages are made of, each once, as it is met; well-known types apart."""
    known = {message.full_name for message in messages}
    waiting = list(messages)
    while waiting:
        for field in waiting.pop(0).fields:
            kind = field.message_type or field.enum_type
            if kind is None or kind.full_name in known or kind.full_name.startswith("google."):
                continue
            known.add(kind.full_name)
            yield kind
            if isinstance(kind, Descriptor):
                waiting.append(kind)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
