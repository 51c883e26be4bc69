"""A pick task from release to completion, or back to the shelf, on a real database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from oms.catalog.v1.catalog_events_pb2 import CatalogEvent
from oms.order.v1.order_events_pb2 import OrderEvent
from oms.picking.v1 import picking_events_pb2 as events
from oms.picking.v1 import picking_service_pb2 as wire

from services.kernel.adapters.event_log import decode_rows, read_log
from services.kernel.domain.errors import Invalid, NotFound, Rejected
from services.kernel.entrypoints.calls import CALLER, Caller
from services.picking.adapters.event_codec import CODEC
from services.picking.adapters.publications import publish
from services.picking.application.handlers import PickingHandlers
from services.picking.entrypoints.grpc_server import PickingGrpc
from services.picking.read_models import products, task_queue
from tests.support.stack import Stack, running

pytestmark = pytest.mark.stack
CONTEXT: Any = None
LINES = (("1", "ICE", 1), ("2", "APPLES", 1_500), ("3", "MILK", 2), ("4", "NEW", 1))


@pytest.fixture
async def stack(postgres_dsn: str) -> AsyncIterator[Stack]:
    async with running(postgres_dsn, ["picking"]) as started:
        yield started


@pytest.fixture
def picking(stack: Stack) -> PickingGrpc:
    host = stack["picking"]
    handlers = PickingHandlers(host.runner, task_queue.to_claim, products.weight_variable, 10)
    return PickingGrpc(handlers, host.reader)


@pytest.fixture(autouse=True)
def _as_demo() -> Iterator[None]:
    with calling("demo"):
        yield


@contextmanager
def calling(tenant: str) -> Iterator[None]:
    token = CALLER.set(Caller(tenant, "key-1", frozenset(), "corr", ""))
    try:
        yield
    finally:
        CALLER.reset(token)


async def sell(stack: Stack, sku: str, category: str, temperature: str, **fields: Any) -> None:
    product = {
        "sku": sku,
        "name": fields.pop("name", sku.title()),
        "categoryPath": ["food", category],
        "temperature": f"TEMPERATURE_CLASS_{temperature}",
        "unit": "UNIT_PIECE",
        **fields,
    }
    said = ParseDict({"productUpserted": {"product": product}}, CatalogEvent())
    await stack.publish(said, f"product-{sku}")


async def release(
    stack: Stack,
    order_id: str = "O1",
    lines: tuple[tuple[str, str, int], ...] = LINES,
    milestone: str = "PICKED",
) -> str:
    group = {
        "groupId": f"{order_id}.1",
        "sourceSiteId": "S1",
        "handoverSiteId": "S1",
        "lines": [{"lineId": i, "sku": sku, "quantity": str(q)} for i, sku, q in lines],
        "promisedAt": "2026-11-02T17:00:00Z",
    }
    step = {"stepId": "picking", "completesOn": f"MILESTONE_{milestone}"}
    fields = {"groupStepStarted": {"orderId": order_id, "group": group, "step": step}}
    await stack.publish(ParseDict(fields, OrderEvent()), f"order-{order_id}")
    return f"{order_id}.1"


async def cancel(stack: Stack, order_id: str = "O1") -> None:
    said = ParseDict({"orderCancelled": {"orderId": order_id}}, OrderEvent())
    await stack.publish(said, f"order-{order_id}")
    await stack.settle()


async def claim(picking: PickingGrpc, task_id: str, picker_id: str = "paul") -> None:
    await picking.ClaimTask(
        wire.ClaimTaskRequest(
            request_id=f"claim-{task_id}-{picker_id}", task_id=task_id, picker_id=picker_id
        ),
        CONTEXT,
    )


def pick(action_id: str, line_id: str, quantity: int, **fields: Any) -> wire.PickLineRequest:
    chosen = {"request_id": f"r-{action_id}", "task_id": "O1.1", "picker_id": "paul", **fields}
    return wire.PickLineRequest(
        pick=wire.LinePick(action_id=action_id, line_id=line_id, quantity=quantity), **chosen
    )


def back(action_id: str, line_id: str, quantity: int) -> wire.PutBackLineRequest:
    return wire.PutBackLineRequest(
        request_id=f"r-{action_id}",
        task_id="O1.1",
        picker_id="paul",
        action_id=action_id,
        line_id=line_id,
        quantity=quantity,
    )


async def public(stack: Stack) -> list[str]:
    """The public events so far, by the name of their case."""
    log = decode_rows(CODEC, await read_log(stack["picking"].database.sql, 0, 1_000))
    said = [publish(recorded) for recorded in log]
    return [event.WhichOneof("event") or "" for event in said if event is not None]


async def test_a_task_is_picked_in_walking_order_until_it_completes_itself(
    stack: Stack, picking: PickingGrpc
) -> None:
    await sell(stack, "ICE", "desserts", "FROZEN")
    await sell(
        stack,
        "MILK",
        "dairy",
        "CHILLED",
        name="Lait",
        barcode="3000000000017",
        localizedName={"en": "Milk"},
    )
    await sell(stack, "APPLES", "fruit", "AMBIENT", isWeightVariable=True, unit="UNIT_GRAM")
    task_id = await release(stack)
    await release(stack, milestone="READY")
    await stack.settle()
    await claim(picking, task_id)
    for request in (pick("a1", "2", 1_000), pick("a2", "2", 650), pick("a3", "4", 1)):
        answer = await picking.PickLine(request, CONTEXT)
        assert answer.status == wire.TASK_STATUS_CLAIMED
    with pytest.raises(Rejected, match="OVER_PICK"):
        await picking.PickLine(pick("a4", "3", 3), CONTEXT)
    done = await picking.PickLines(
        wire.PickLinesRequest(
            request_id="last",
            task_id=task_id,
            picker_id="paul",
            picks=[
                wire.LinePick(action_id="a1", line_id="2", quantity=1_000),
                wire.LinePick(action_id="a5", line_id="1", quantity=1),
                wire.LinePick(action_id="a6", line_id="3", quantity=1),
            ],
            shorts=[
                wire.LineShort(
                    action_id="a7",
                    line_id="3",
                    quantity=1,
                    reason=events.SHORT_REASON_NOT_FOUND,
                )
            ],
        ),
        CONTEXT,
    )
    assert done.status == wire.TASK_STATUS_COMPLETED
    shown = await picking.GetTask(
        wire.GetTaskRequest(task_id=task_id, min_version=done.version), CONTEXT
    )
    task = shown.task
    assert task.summary.status == wire.TASK_STATUS_COMPLETED
    assert task.summary.status_label.fr == "Préparée"
    assert (task.summary.line_count, task.summary.accounted_line_count) == (4, 4)
    assert task.summary.promised_at.ToJsonString() == "2026-11-02T17:00:00Z"
    # Nothing is known of NEW: it is walked with the ambient ones.
    assert [line.sku for line in task.lines] == ["NEW", "APPLES", "MILK", "ICE"]
    milk = task.lines[2]
    assert (milk.product_label.fr, milk.product_label.en) == ("Lait", "Milk")
    assert (milk.product_name, milk.barcode) == ("Lait", "3000000000017")
    assert (milk.temperature_label.fr, milk.short_reason_label.en) == ("Frais", "Not found")
    assert (milk.ordered_quantity, milk.picked_quantity, milk.short_quantity) == (2, 1, 1)
    assert task.lines[1].picked_quantity == 1_650
    assert await public(stack) == [
        *("task_released", "task_claimed"),
        *("line_picked", "line_picked", "line_picked", "line_picked", "line_picked"),
        *("line_shorted", "pick_completed"),
    ]


async def test_a_terminal_that_repeats_itself_picks_once(
    stack: Stack, picking: PickingGrpc
) -> None:
    task_id = await release(stack)
    await stack.settle()
    await claim(picking, task_id)
    await claim(picking, task_id)
    first = await picking.PickLine(pick("a1", "3", 1), CONTEXT)
    same = await picking.PickLine(pick("a1", "3", 1), CONTEXT)
    later = await picking.PickLine(pick("a1", "3", 1, request_id="other"), CONTEXT)
    assert first.version == same.version == later.version
    with pytest.raises(Rejected, match="IDEMPOTENCY_MISMATCH"):
        await picking.PickLine(pick("a1", "3", 2, request_id="third"), CONTEXT)
    answers = await asyncio.gather(
        *(picking.PickLine(pick("a2", "3", 1, request_id=f"q{n}"), CONTEXT) for n in range(10))
    )
    assert {answer.version for answer in answers} == {first.version + 1}
    assert (await public(stack)).count("line_picked") == 2


@pytest.mark.parametrize("in_one_call", [True, False])
async def test_a_terminal_may_call_missing_what_apples_weigh_less(
    stack: Stack,
    picking: PickingGrpc,
    in_one_call: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    await sell(stack, "APPLES", "fruit", "AMBIENT", isWeightVariable=True)
    task_id = await release(stack, lines=(("2", "APPLES", 1_500),))
    await stack.settle()
    await claim(picking, task_id)
    light = wire.LinePick(action_id="a1", line_id="2", quantity=1_460)
    rest = wire.LineShort(
        action_id="a2", line_id="2", quantity=40, reason=events.SHORT_REASON_NOT_FOUND
    )
    who = {"task_id": task_id, "picker_id": "paul"}
    together = wire.PickLinesRequest(request_id="r1", picks=[light], shorts=[rest], **who)
    answers: list[Any]
    if in_one_call:
        answers = [await picking.PickLines(together, CONTEXT)]
    else:
        answers = [
            await picking.PickLine(
                wire.PickLineRequest(request_id="r1", pick=light, **who), CONTEXT
            ),
            await picking.ShortLine(
                wire.ShortLineRequest(request_id="r2", short=rest, **who), CONTEXT
            ),
        ]
    assert {answer.status for answer in answers} == {wire.TASK_STATUS_COMPLETED}
    assert len({answer.version for answer in answers}) == 1
    assert (await public(stack))[2:] == ["line_picked", "pick_completed"]


async def test_pickers_who_ask_at_once_get_different_tasks(
    stack: Stack, picking: PickingGrpc
) -> None:
    for n in range(20):
        await release(stack, f"O{n}", (("1", "MILK", 1),))
    await stack.settle()

    def asking(n: int) -> wire.ClaimNextRequest:
        return wire.ClaimNextRequest(request_id=f"next-{n}", site_id="S1", picker_id=f"p{n}")

    first = await picking.ClaimNext(asking(0), CONTEXT)
    assert first.task_id == "O0.1"
    others = await asyncio.gather(*(picking.ClaimNext(asking(n), CONTEXT) for n in range(1, 25)))
    taken = [answer.task_id for answer in others if answer.task_id]
    assert len(taken) == len(set(taken)) == 19
    again = await asyncio.gather(*(picking.ClaimNext(asking(n), CONTEXT) for n in range(1, 25)))
    assert [answer.task_id for answer in again] == [answer.task_id for answer in others]
    await stack.settle()
    again = await asyncio.gather(*(picking.ClaimNext(asking(n), CONTEXT) for n in range(1, 25)))
    assert [answer.task_id for answer in again] == [answer.task_id for answer in others]


async def test_a_task_changes_hands_only_explicitly(stack: Stack, picking: PickingGrpc) -> None:
    task_id = await release(stack)
    await stack.settle()
    await claim(picking, task_id)
    with pytest.raises(Rejected, match="STEP_CONFLICT"):
        await claim(picking, task_id, "anna")
    await picking.ReassignTask(
        wire.ReassignTaskRequest(
            request_id="re", task_id=task_id, from_picker_id="paul", to_picker_id="anna"
        ),
        CONTEXT,
    )
    with pytest.raises(Rejected, match="STEP_CONFLICT"):
        await picking.PickLine(pick("a1", "3", 1), CONTEXT)
    left = await picking.UnclaimTask(
        wire.UnclaimTaskRequest(request_id="un", task_id=task_id, picker_id="anna"), CONTEXT
    )
    shown = await picking.GetTask(
        wire.GetTaskRequest(task_id=task_id, min_version=left.version), CONTEXT
    )
    assert shown.task.summary.status == wire.TASK_STATUS_OPEN
    assert not shown.task.summary.picker_id


async def test_what_a_cancelled_order_had_picked_goes_back(
    stack: Stack, picking: PickingGrpc
) -> None:
    await cancel(stack, "never-started")
    task_id = await release(stack)
    await stack.settle()
    await claim(picking, task_id)
    await picking.PickLine(pick("a1", "3", 2), CONTEXT)
    await cancel(stack)
    with pytest.raises(Rejected, match="STEP_CONFLICT"):
        await picking.PickLine(pick("a2", "1", 1), CONTEXT)
    listed = await picking.ListTasks(
        wire.ListTasksRequest(site_id="S1", status=wire.TASK_STATUS_PUTTING_BACK), CONTEXT
    )
    assert [task.task_id for task in listed.tasks] == [task_id]
    some = await picking.PutBackLine(back("b1", "3", 1), CONTEXT)
    assert some.status == wire.TASK_STATUS_PUTTING_BACK
    rest = await picking.PutBackLine(back("b2", "3", 1), CONTEXT)
    assert rest.status == wire.TASK_STATUS_CANCELLED
    with pytest.raises(Rejected, match="OVER_PICK"):
        await picking.PutBackLine(back("b3", "3", 1), CONTEXT)
    await stack.settle()
    assert (await public(stack))[-3:] == ["task_cancelled", "line_put_back", "line_put_back"]


async def test_the_queue_is_listed_oldest_first_page_by_page(
    stack: Stack, picking: PickingGrpc
) -> None:
    for n in range(5):
        await release(stack, f"O{n}")
    await stack.settle()
    await claim(picking, "O2.1")
    await stack.settle()
    seen, token = [], ""
    while True:
        page = await picking.ListTasks(
            wire.ListTasksRequest(
                site_id="S1", status=wire.TASK_STATUS_OPEN, page_size=2, page_token=token
            ),
            CONTEXT,
        )
        seen += [task.task_id for task in page.tasks]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["O0.1", "O1.1", "O3.1", "O4.1"]
    every = await picking.ListTasks(wire.ListTasksRequest(site_id="S1"), CONTEXT)
    assert len(every.tasks) == 5
    for bad in ("!", "AAAA", "é", "_" * 11):
        with pytest.raises(Invalid):
            await picking.ListTasks(wire.ListTasksRequest(site_id="S1", page_token=bad), CONTEXT)


async def test_nobody_sees_another_tenants_tasks(stack: Stack, picking: PickingGrpc) -> None:
    task_id = await release(stack)
    await stack.settle()
    with calling("other"):
        for call in (
            picking.GetTask(wire.GetTaskRequest(task_id=task_id), CONTEXT),
            claim(picking, task_id),
            picking.PickLine(pick("a1", "3", 1), CONTEXT),
            picking.PutBackLine(back("b1", "3", 1), CONTEXT),
        ):
            with pytest.raises(NotFound):
                await call
        assert not (await picking.ListTasks(wire.ListTasksRequest(site_id="S1"), CONTEXT)).tasks
        nothing = await picking.ClaimNext(
            wire.ClaimNextRequest(request_id="n", site_id="S1", picker_id="p"), CONTEXT
        )
        assert not nothing.task_id


async def test_malformed_requests_name_the_field(stack: Stack, picking: PickingGrpc) -> None:
    too_many = [wire.LinePick(action_id=f"a{n}", line_id="1", quantity=1) for n in range(501)]
    for call, field in (
        (picking.PickLine(pick("a1", "3", 0), CONTEXT), "pick.quantity"),
        (picking.PickLine(pick("", "3", 1), CONTEXT), "pick.action_id"),
        (picking.PickLine(pick("a1", "3", 1, picker_id="a b"), CONTEXT), "picker_id"),
        (picking.PickLine(pick("a1", "3", 1, request_id=""), CONTEXT), "request_id"),
        (picking.ShortLine(wire.ShortLineRequest(task_id="O1.1"), CONTEXT), "short.reason"),
        (picking.PickLines(wire.PickLinesRequest(picks=too_many), CONTEXT), "picks"),
        (picking.ListTasks(wire.ListTasksRequest(site_id="S1", page_size=201), CONTEXT), "page"),
    ):
        with pytest.raises(Invalid, match=field):
            await call


async def test_read_models_take_every_event_twice(stack: Stack, picking: PickingGrpc) -> None:
    task_id = await release(stack)
    await stack.settle()
    await claim(picking, task_id)
    await picking.PickLine(pick("a1", "3", 1), CONTEXT)
    await picking.ShortLine(
        wire.ShortLineRequest(
            request_id="s",
            task_id=task_id,
            picker_id="paul",
            short=wire.LineShort(
                action_id="a2", line_id="1", quantity=1, reason=events.SHORT_REASON_DAMAGED
            ),
        ),
        CONTEXT,
    )
    await cancel(stack)
    await picking.PutBackLine(back("b1", "3", 1), CONTEXT)
    await stack.settle()
    host = stack["picking"]

    async def rows() -> list[Any]:
        return [
            [dict(row) for row in await host.reader.sql.fetch(f"SELECT * FROM {table} ORDER BY 3")]
            for model in host.service.read_models
            for table in model.tables
        ]

    before = await rows()
    assert all(before)
    log = decode_rows(CODEC, await read_log(host.database.sql, 0, 100))
    for model in host.service.read_models:
        await model.project(log, host.database.sql)
        for recorded in reversed(log):
            await model.project([recorded], host.database.sql)
        assert await rows() == before
        # And from nothing, in one batch.
        for table in model.tables:
            await host.database.sql.execute(f"DELETE FROM {table}")
        await model.project(log, host.database.sql)
    assert await rows() == before
