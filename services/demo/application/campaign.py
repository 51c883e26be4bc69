"""Many orders at once, and what became of them."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.demo.application.journey import COMPLETED, REFUSED, STUCK, Journey, Story
from services.demo.application.ports import Api, ApiAway, Progress
from services.demo.domain import shopping
from services.demo.domain.shopping import Shop

ORDERS_AT_ONCE = 24


@dataclass(slots=True)
class Summary:
    """What became of the orders of a run; times in seconds, amounts in cents.

    Attributes:
        orders: All of them, those of earlier runs included.
        placed: Orders that this run placed.
        by_status: Orders by how they ended.
        by_mode: Orders by the mode of their first line.
        by_source_type: Groups by the type of site that prepared them.
        by_tier: Groups by the circle that served them.
        refused_by_reason: Refused orders by registry reason.
        stuck: Orders that did not end, with what they wait for; at most 20 are kept.
        cost_minor: What carrying them out costs the retailer, by the decisions.
        captured_minor: What customers paid.
        accepted_s: From placement to acceptance, ascending.
        completed_s: From placement to the end, ascending.
    """

    orders: int = 0
    placed: int = 0
    groups: int = 0
    lines: int = 0
    short_lines: int = 0
    by_status: Counter[str] = field(default_factory=Counter[str])
    by_mode: Counter[str] = field(default_factory=Counter[str])
    by_source_type: Counter[str] = field(default_factory=Counter[str])
    by_tier: Counter[str] = field(default_factory=Counter[str])
    refused_by_reason: Counter[str] = field(default_factory=Counter[str])
    stuck: list[str] = field(default_factory=list[str])
    cost_minor: int = 0
    captured_minor: int = 0
    accepted_s: list[float] = field(default_factory=list[float])
    completed_s: list[float] = field(default_factory=list[float])
    took_s: float = 0.0

    @property
    def is_clean(self) -> bool:
        """True when every order came to an end."""
        return not self.by_status[STUCK]


MOST_STUCK_KEPT = 20


async def run(
    api: Api,
    shop: Shop,
    count: int,
    run_id: str,
    progress: Progress,
    at_once: int = ORDERS_AT_ONCE,
) -> Summary:
    """Play orders 0 to ``count`` - 1 of the shop's seed, ``at_once`` of them at a time."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    stories: list[Story] = []
    progress("orders", 0, count)

    async def work(numbers: Iterator[int]) -> None:
        for number in numbers:
            wanted = shopping.order(shop, number)
            try:
                story = await Journey(api, wanted, run_id).play()
            except ApiAway as away:
                reason = f"API_AWAY: {away}"
                story = Story(
                    wanted.order_id, wanted.mode_id, len(wanted.lines), STUCK, reason=reason
                )
            stories.append(story)
            progress("orders", len(stories), count)

    numbers = iter(range(count))
    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, count)):
            group.create_task(work(numbers))
    return summary(shop, stories, loop.time() - began)


def summary(shop: Shop, stories: list[Story], took_s: float) -> Summary:
    """Add the stories up."""
    types = {site.site_id: site.type for site in shop.chain.network.sites}
    told = Summary(orders=len(stories), took_s=took_s)
    for story in stories:
        told.placed += story.is_ours
        told.by_status[story.status] += 1
        told.by_mode[story.mode_id] += 1
        if story.status == REFUSED:
            told.refused_by_reason[story.reason] += 1
        elif story.status == STUCK and len(told.stuck) < MOST_STUCK_KEPT:
            told.stuck.append(f"{story.order_id}: {story.reason}")
        if story.status != COMPLETED:
            continue
        told.groups += len(story.sources)
        told.lines += story.picked_lines
        told.short_lines += story.short_lines
        told.by_source_type.update(types.get(site_id, "other") for site_id in story.sources)
        told.by_tier.update(story.tiers)
        told.cost_minor += story.cost_minor
        told.captured_minor += story.captured_minor
    told.accepted_s = sorted(s.accepted_s for s in stories if s.accepted_s is not None)
    told.completed_s = sorted(s.completed_s for s in stories if s.completed_s is not None)
    return told
