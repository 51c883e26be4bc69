"""Comparing what each service believes with what the others published, order by order.

On a running system: watermarks are read first, then the logs, so that what is in flight is known
as such. A difference is looked at again, on everything read anew, before it is told. Memory holds
one page of orders and a few sentences, whatever the system holds.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.kernel.adapters.event_log import LOG_COLUMNS, decode_rows
from services.kernel.adapters.kafka_records import partition_of
from services.kernel.domain.messages import stream_id
from services.kernel.main import agreement_outcomes, agreement_rules
from services.kernel.main.agreement_facts import OpenStock, OrderFacts, Said
from services.kernel.main.agreement_outcomes import message_of, occasions
from services.kernel.main.host import ServiceHost
from services.kernel.main.service import topic_of

RULES = {**agreement_rules.RULES, **agreement_outcomes.RULES}
PAGE_ORDERS = 200
_PAGE_EVENTS = 2_000
_SHOWN = 10
_LOOKS = 4
_PAUSE_S = 0.5
# Services whose every public event is of an order.
_SPEAK_OF_ORDERS = ("sourcing", "picking", "delivery", "returns", "notification")
NEVER_PLACED = "all services: nobody speaks of an order that was never placed"

type Hosts = Mapping[str, ServiceHost]
type Progress = Callable[[str, int, int], None]
type OrderKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Heard:
    """How far every group has come, and which streams wait for a person.

    Attributes:
        marks: Position by group, feed and partition.
        partitions: Of a feed, as a group knows them.
        parked: Group, feed and stream.
    """

    marks: Mapping[tuple[str, str, int], int]
    partitions: Mapping[tuple[str, str], int]
    parked: frozenset[tuple[str, str, str]]

    def __call__(self, listener: str, said: Said) -> bool:
        """Tell whether a service has dealt with an event; one that does not listen has not."""
        topic = topic_of(said.service)
        count = self.partitions.get((listener, topic))
        if count is None or (listener, topic, said.stream) in self.parked:
            return False
        return self.marks[listener, topic, partition_of(said.stream, count)] >= said.position


async def agreements(
    hosts: Hosts, progress: Progress
) -> AsyncIterator[tuple[str, tuple[str, ...]]]:
    """Compare all orders; yield each rule with some of the sentences that contradict it."""
    found: dict[str, list[str]] = {rule: [] for rule in RULES}
    total = await _count(hosts)
    after, done = "", 0
    while orders := await _page(hosts, after):
        after = stream_id(orders[-1][0], "order", orders[-1][1])
        for rule, sentences in (await _differences(hosts, orders)).items():
            found[rule] += sentences[: _SHOWN - len(found[rule])]
        done += len(orders)
        progress("agreement", min(done, total), total)
    for rule, sentences in found.items():
        yield rule, tuple(sentences)
    yield NEVER_PLACED, tuple(await _never_placed(hosts, progress))


async def _differences(hosts: Hosts, orders: Sequence[OrderKey]) -> dict[str, list[str]]:
    """Return what contradicts the rules however often one looks."""
    lasting: dict[tuple[str, OrderKey], set[str]] = {}
    for look in range(_LOOKS):
        if look:
            await asyncio.sleep(_PAUSE_S)
        seen: dict[tuple[str, OrderKey], set[str]] = {}
        for key, facts in (await gather(hosts, orders)).items():
            for rule, check in RULES.items():
                if sentences := set(check(facts)):
                    seen[rule, key] = sentences
        lasting = (
            {at: kept for at, said in lasting.items() if (kept := said & seen.get(at, set()))}
            if look
            else seen
        )
        orders = sorted({key for _, key in lasting})
        if not orders:
            return {}
    told: dict[str, list[str]] = defaultdict(list)
    for (rule, (tenant, order_id)), sentences in sorted(lasting.items()):
        told[rule] += [f"{tenant}/order-{order_id}: {sentence}" for sentence in sorted(sentences)]
    return told


async def gather(hosts: Hosts, orders: Sequence[OrderKey]) -> dict[OrderKey, OrderFacts]:
    """Read what every service has of these orders, after how far each has come."""
    heard = await _heard(hosts)
    page = {key: OrderFacts(*key, heard) for key in orders}
    await _read(hosts["order"], {key: [f"order-{key[1]}"] for key in page}, page)
    wanted: dict[str, dict[OrderKey, list[str]]] = defaultdict(dict)
    for key, facts in page.items():
        groups = facts.groups()
        refunds = [said.message.return_id for said in facts.all("order", "order_refunded")]
        wanted["sourcing"][key] = [f"decision-{key[1]}"]
        wanted["stock_ledger"][key] = [f"reservation-{key[1]}"]
        wanted["picking"][key] = [f"picktask-{group}" for group in groups]
        wanted["delivery"][key] = [
            f"{category}-{group}" for group in groups for category in ("handover", "shipment")
        ]
        wanted["returns"][key] = [
            f"returnable-{key[1]}",
            *(f"returncase-{return_id}" for return_id in refunds),
        ]
        wanted["notification"][key] = [message_of(said) for said in occasions(facts)]
    for service, streams in wanted.items():
        await _read(hosts[service], streams, page)
    await _read_open_stock(hosts["stock_ledger"], page)
    return page


async def _read(
    host: ServiceHost, wanted: Mapping[OrderKey, Sequence[str]], page: Mapping[OrderKey, OrderFacts]
) -> None:
    """Add to the facts what a service said in these streams."""
    owners = {f"{key[0]}/{stream}": key for key, streams in wanted.items() for stream in streams}
    rows = await host.database.sql.fetch(
        f"SELECT {LOG_COLUMNS} FROM events WHERE originator_id = ANY($1)"
        " ORDER BY originator_id, originator_version",
        list(owners),
    )
    service = host.service
    for recorded in decode_rows(service.codec, rows):
        facts = page[owners[recorded.stream]]
        facts.streams.add(f"{service.name}:{recorded.stream.partition('/')[2]}")
        said = _said(host, recorded)
        if said is not None:
            facts.said[service.name, said.case].append(said)


def _said(host: ServiceHost, recorded: Any) -> Said | None:
    try:
        message: Any = host.service.publish(recorded)
    except Exception:  # noqa: BLE001 - its relay has parked it: told as that, and nobody heard it
        return None
    case = message.WhichOneof("event") if message is not None else None
    if case is None:
        return None
    return Said(
        host.service.name,
        case,
        getattr(message, case),
        recorded.stream,
        recorded.position,
        recorded.event_id,
    )


async def _read_open_stock(host: ServiceHost, page: Mapping[OrderKey, OrderFacts]) -> None:
    """Add what the ledger still keeps, unless its read models are behind its log."""
    sql = host.database.sql
    if host.service.open_stock is None or not await sql.fetchval(
        "SELECT count(*) = cardinality($1::text[]) AND min(position) >="
        " (SELECT coalesce(max(notification_id), 0) FROM events)"
        " FROM checkpoints WHERE name = ANY($1)",
        [model.name for model in host.service.read_models],
    ):
        return
    for facts in page.values():
        facts.open_stock = []
    kept: dict[OrderKey, list[OpenStock]] = defaultdict(list)
    for tenant, order_id, *stock in await host.service.open_stock(sql, list(page)):
        kept[tenant, order_id].append(OpenStock(*stock))
    for key, stocks in kept.items():
        page[key].open_stock = stocks


async def _heard(hosts: Hosts) -> Heard:
    marks: dict[tuple[str, str, int], int] = {}
    partitions: dict[tuple[str, str], int] = {}
    parked: set[tuple[str, str, str]] = set()
    for name, host in hosts.items():
        topics = [subscription.topic for subscription in host.service.subscriptions]
        for topic, partition, position in await host.database.sql.fetch(
            "SELECT topic, partition, position FROM watermarks"
            " WHERE group_name = $1 AND topic = ANY($2)",
            *(name, topics),
        ):
            marks[name, topic, partition] = position
            partitions[name, topic] = max(partition + 1, partitions.get((name, topic), 0))
        parked |= {
            (name, topic, stream)
            for topic, stream in await host.database.sql.fetch(
                "SELECT DISTINCT topic, stream FROM parked WHERE group_name = $1", name
            )
        }
    whole = {
        at: count
        for at, count in partitions.items()
        if all((*at, partition) in marks for partition in range(count))
    }
    return Heard(marks, whole, frozenset(parked))


async def _count(hosts: Hosts) -> int:
    return int(
        await hosts["order"].database.sql.fetchval(
            "SELECT count(*) FROM events WHERE originator_version = 1"
            " AND originator_id LIKE '%/order-%'"
        )
    )


async def _page(hosts: Hosts, after: str) -> list[OrderKey]:
    rows = await hosts["order"].database.sql.fetch(
        "SELECT originator_id FROM events WHERE originator_version = 1 AND originator_id > $1"
        " AND originator_id LIKE '%/order-%' ORDER BY originator_id LIMIT $2",
        *(after, PAGE_ORDERS),
    )
    return [_key(row[0]) for row in rows]


def _key(stream: str) -> OrderKey:
    tenant, _, rest = stream.partition("/")
    return tenant, rest.removeprefix("order-")


async def _never_placed(hosts: Hosts, progress: Progress) -> list[str]:
    """Read every log of who speaks of orders, page by page; name orders that do not exist."""
    found: list[str] = []
    for name in _SPEAK_OF_ORDERS:
        host = hosts[name]
        head = int(
            await host.database.sql.fetchval("SELECT coalesce(max(notification_id), 0) FROM events")
        )
        position = 0
        while position < head and len(found) < _SHOWN:
            rows = await host.database.sql.fetch(
                f"SELECT {LOG_COLUMNS} FROM events WHERE notification_id > $1"
                " AND notification_id <= $2 ORDER BY notification_id LIMIT $3",
                *(position, head, _PAGE_EVENTS),
            )
            if not rows:
                break
            found += await _unknown(hosts, host, decode_rows(host.service.codec, rows))
            position = rows[-1]["notification_id"]
            progress(f"agreement of {name}", position, head)
    return found[:_SHOWN]


async def _unknown(hosts: Hosts, host: ServiceHost, recorded: Iterable[Any]) -> list[str]:
    spoken: dict[str, Said] = {}
    for one in recorded:
        said = _said(host, one)
        if said is not None and said.message.order_id:
            spoken.setdefault(stream_id(one.tenant, "order", said.message.order_id), said)
    rows = await hosts["order"].database.sql.fetch(
        "SELECT originator_id FROM events WHERE originator_version = 1 AND originator_id = ANY($1)",
        list(spoken),
    )
    known = {row[0] for row in rows}
    return [
        f"{said.service} said {said.case} at {said.position} of {order}, which was never placed"
        for order, said in spoken.items()
        if order not in known
    ]
