"""Brings the chain in through the public API; a second time, nothing changes."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import batched
from typing import Any

from services.demo.application.ports import Api, Progress, Reply
from services.demo.domain.chain import Chain, opening_stock
from services.demo.domain.modes import modes
from services.demo.domain.network import COLLECT, DRIVE

BATCH_ROWS = 1_000
STOCK_BATCHES_AT_ONCE = 3
MOST_PROBLEMS_KEPT = 100
KNOWN_WITHIN_S = 120.0
POLL_S = 0.25


class LoadFailed(Exception):
    """The API refused a whole batch."""


@dataclass(slots=True)
class LoadReport:
    """What became of the rows."""

    changed: int = 0
    unchanged: int = 0
    problems: list[str] = field(default_factory=list[str])

    def tell(self, problem: str) -> None:
        if len(self.problems) < MOST_PROBLEMS_KEPT:
            self.problems.append(problem)


async def load(api: Api, chain: Chain, run_id: str, progress: Progress) -> LoadReport:
    """Load modes, sites, circles, products and opening stock, in the order they need each other.

    Args:
        api: The public API.
        chain: What to load.
        run_id: New for every run. Reloading is silent because of what the rows say, not because
            of keys: a key would give the old answer to a chain that someone changed since.
        progress: Told after every batch.
    """
    report = LoadReport()
    for mode in modes():
        reply = await api.post("/v1/catalog/modes", mode, f"{run_id}-mode-{mode['mode_id']}")
        _expect(reply, "modes")
    network = chain.network
    for what, path, rows in (
        ("sites", "sites", network.sites),
        ("extended_sites", "extended-sites", network.extended_sites),
        ("sales_zones", "sales-zones", network.sales_zones),
        ("products", "products", chain.products),
    ):
        await _upsert(api, what, path, rows, run_id, report, progress)
    await _receive(api, [asdict(row) for row in opening_stock(chain)], run_id, report, progress)
    if report.changed:
        await _until_promised(api, chain, progress)
    return report


async def _upsert(
    api: Api,
    what: str,
    path: str,
    rows: Sequence[Any],
    run_id: str,
    report: LoadReport,
    progress: Progress,
) -> None:
    progress(what, 0, len(rows))
    done = 0
    for number, batch in enumerate(batched(rows, BATCH_ROWS)):
        body = {what: [asdict(row) for row in batch]}
        reply = await api.post(f"/v1/catalog/{path}:batch", body, f"{run_id}-{path}-{number}")
        outcome = _expect(reply, what)
        report.changed += outcome["changed"]
        report.unchanged += outcome["unchanged"]
        for problem in outcome["problems"]:
            report.tell(f"{what} {problem['key']}: {problem['detail']} ({problem['remedy']})")
        done += len(batch)
        progress(what, done, len(rows))


async def _receive(
    api: Api,
    rows: Sequence[dict[str, Any]],
    run_id: str,
    report: LoadReport,
    progress: Progress,
) -> None:
    """Book the opening stock: the source id of a row makes it count once, for ever."""
    done = 0
    progress("stock", 0, len(rows))

    async def work(batches: Iterator[tuple[int, tuple[dict[str, Any], ...]]]) -> None:
        nonlocal done
        for number, batch in batches:
            body = {"kind": "receive", "rows": list(batch)}
            reply = await api.post("/v1/stock/movements:batch", body, f"{run_id}-stock-{number}")
            for result in _expect(reply, "stock")["results"]:
                status = result["status"]
                report.changed += status == "recorded"
                report.unchanged += status not in ("recorded", "refused")
                if status == "refused":
                    row = batch[result["row"]]
                    report.tell(f"stock {row['site_id']} {row['sku']}: {result['detail']}")
            done += len(batch)
            progress("stock", done, len(rows))

    shared = iter(list(enumerate(batched(rows, BATCH_ROWS))))
    async with asyncio.TaskGroup() as group:
        for _ in range(STOCK_BATCHES_AT_ONCE):
            group.create_task(work(shared))


async def _until_promised(api: Api, chain: Chain, progress: Progress) -> None:
    """Wait until stock that was loaded among the last can be promised, within a limit.

    Feeds carry products to order and stock to sourcing a moment after they were booked; orders
    placed before would be refused for want of them.
    """
    site = [site for site in chain.network.sites if site.type == DRIVE][-1]
    last = [row for row in opening_stock(chain) if row.site_id == site.site_id][-1]
    within = asyncio.get_running_loop().time() + KNOWN_WITHIN_S
    progress("feeds", 0, 1)
    body = {
        "lines": [
            {
                "line_id": "1",
                "sku": last.sku,
                "quantity": 1,
                "choice": {"mode_id": COLLECT, "site_id": site.site_id},
            }
        ]
    }
    while asyncio.get_running_loop().time() < within:
        reply = await api.post("/v1/promises:quote", body, "")
        if reply.is_ok and reply.body.get("promise", {}).get("is_feasible"):
            break
        await asyncio.sleep(POLL_S)
    progress("feeds", 1, 1)


def _expect(reply: Reply, what: str) -> Any:
    if not reply.is_ok:
        raise LoadFailed(f"{what}: {reply.problem}")
    return reply.body
