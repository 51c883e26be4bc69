"""One order from its placement to its end: the customer and the staff, played over the API.

The player looks at the order and does what its current step waits for, until nothing is left.
What he does is the same for the same seed and repeats harmlessly, so that a run that was cut off
goes on from whatever the order has come to.
"""

import asyncio
from dataclasses import asdict, dataclass, field
from typing import Any

from services.demo.application.ports import BAD_REQUEST, CONFLICT, NOT_FOUND, Api, Reply
from services.demo.domain.dice import Dice
from services.demo.domain.shopping import WantedOrder

WAIT = "wait=5"
SHORT_ONE_IN = 33
SILENT_CUSTOMER_PERCENT = 30
OVER_WEIGHT_PERCENT = 3
STUCK_AFTER_S = 60.0
PLACE_TRIES = 7
FIRST_PLACE_DELAY_S = 0.2
FIRST_POLL_S = 0.08
LONGEST_POLL_S = 1.5
AGAIN_AFTER_S = 3.0

COMPLETED, CANCELLED, REFUSED, STUCK = "completed", "cancelled", "refused", "stuck"


@dataclass(slots=True)
class Story:
    """What became of one order.

    Attributes:
        status: ``completed``, ``cancelled``, ``refused`` or ``stuck``.
        is_ours: Whether this run placed it.
        reason: Registry reason of a refusal, or what it is stuck on.
        accepted_s: From placement to acceptance; absent when it was placed in another run.
        completed_s: From placement to the end; likewise.
        sources: Site that prepared, by group.
        tiers: Circle that it was served from, by group.
    """

    order_id: str
    mode_id: str
    line_count: int
    status: str = STUCK
    is_ours: bool = True
    reason: str = ""
    accepted_s: float | None = None
    completed_s: float | None = None
    sources: list[str] = field(default_factory=list[str])
    tiers: list[str] = field(default_factory=list[str])
    cost_minor: int = 0
    captured_minor: int = 0
    short_lines: int = 0
    picked_lines: int = 0


class Journey:
    """Plays one order.

    Args:
        api: The public API.
        wanted: The order.
        run_id: New for every run; part of the keys of staff actions, which repeat harmlessly by
            themselves, so that an old "not yet" is not answered again.
    """

    def __init__(self, api: Api, wanted: WantedOrder, run_id: str) -> None:
        self._api = api
        self._wanted = wanted
        self._run_id = run_id
        self._story = Story(wanted.order_id, wanted.mode_id, len(wanted.lines))
        self._acted: dict[tuple[str, str], float] = {}
        self._tries = 0
        self._last_problem = ""

    async def play(self) -> Story:
        """Place the order and carry it to its end."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        reply = await self._place()
        is_ours = self._story.is_ours = not reply.is_replayed
        if not reply.is_ok:
            self._story.status = REFUSED if reply.status in (BAD_REQUEST, CONFLICT) else STUCK
            self._story.reason = reply.reason
            return self._story
        if is_ours and reply.body["status"] != "placed":
            self._story.accepted_s = loop.time() - began
        order = await self._follow(is_ours=is_ours, began=began)
        if self._story.status == COMPLETED and is_ours:
            self._story.completed_s = loop.time() - began
        await self._read_receipt(order)
        return self._story

    async def _place(self) -> Reply:
        """Place; what the shop does not know yet is asked again under another key."""
        body = {
            "order_id": self._wanted.order_id,
            "customer_id": self._wanted.customer_id,
            "lines": [_line(asdict(line)) for line in self._wanted.lines],
        }
        key, delay_s = self._wanted.order_id, FIRST_PLACE_DELAY_S
        for number in range(1, PLACE_TRIES):
            reply = await self._api.post("/v1/orders", body, key, prefer=WAIT)
            if reply.status not in (BAD_REQUEST, NOT_FOUND):
                return reply
            key = f"{self._wanted.order_id}-{number}"
            await asyncio.sleep(delay_s)
            delay_s *= 2
        return await self._api.post("/v1/orders", body, key, prefer=WAIT)

    async def _follow(self, *, is_ours: bool, began: float) -> dict[str, Any]:
        """Do what every group waits for, until the order has ended or nothing moves any more."""
        loop = asyncio.get_running_loop()
        order: dict[str, Any] = {}
        version, moved_at, delay_s = -1, loop.time(), FIRST_POLL_S
        while loop.time() - moved_at < STUCK_AFTER_S:
            reply = await self._api.get(f"/v1/orders/{self._wanted.order_id}")
            if reply.is_ok:
                order = reply.body
                status = order["status"]
                if status != "placed" and is_ours and self._story.accepted_s is None:
                    self._story.accepted_s = loop.time() - began
                if status in (COMPLETED, CANCELLED, REFUSED):
                    self._story.status, self._story.reason = status, order["reason"]
                    return order
                if order["version"] != version:
                    version, moved_at, delay_s = order["version"], loop.time(), FIRST_POLL_S
                if await self._act(order):
                    delay_s = FIRST_POLL_S
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, LONGEST_POLL_S)
        self._story.reason = self._last_problem or "NO_PROGRESS"
        return order

    async def _act(self, order: dict[str, Any]) -> bool:
        """Do the work of every group's current step that is not done yet; tell if any was."""
        now = asyncio.get_running_loop().time()
        has_acted = False
        for view in order["groups"]:
            step_id, group_id = view["current_step_id"], view["group"]["group_id"]
            done_at = self._acted.get((group_id, step_id))
            if not step_id or (done_at is not None and now - done_at < AGAIN_AFTER_S):
                continue
            milestone = next(
                step["step"]["completes_on"]
                for step in view["steps"]
                if step["step"]["step_id"] == step_id
            )
            if await self._do(milestone, group_id):
                self._acted[group_id, step_id] = now
                has_acted = True
        return has_acted

    async def _do(self, milestone: str, group_id: str) -> bool:
        if milestone == "picked":
            return await self._pick(group_id)
        # Some customers come to the counter without a word.
        is_silent = Dice(group_id, "silent").below(100) < SILENT_CUSTOMER_PERCENT
        if milestone == "handed_over" or (milestone == "arrived" and is_silent):
            return await self._hand_over(group_id)
        parcel = {"carrier_id": "navette", "tracking_reference": f"T-{group_id}"}
        said: dict[str, tuple[str, dict[str, Any]]] = {
            "ready": ("ready", {}),
            "arrived": ("arrive", {}),
            "handed_to_carrier": ("hand-to-carrier", parcel),
            "delivered": ("delivered", {}),
        }
        # What is not in the list, the system does itself.
        return milestone in said and await self._tell(group_id, *said[milestone])

    async def _pick(self, task_id: str) -> bool:
        """Claim the task and account for every line, about 3 % of them short."""
        shown = await self._api.get(f"/v1/tasks/{task_id}")
        if not shown.is_ok:
            return self._is_done(shown)
        if shown.body["summary"]["status"] not in ("open", "claimed"):
            return True
        picker = {"picker_id": shown.body["summary"]["picker_id"] or f"P-{task_id[-24:]}"}
        if shown.body["summary"]["status"] == "open":
            claimed = await self._post(f"/v1/tasks/{task_id}:claim", picker)
            if not claimed.is_ok:
                return self._is_done(claimed)
        picks: list[dict[str, Any]] = []
        shorts: list[dict[str, Any]] = []
        for line in shown.body["lines"]:
            if line["picked_quantity"] or line["short_quantity"]:
                continue
            found, missing = _found(task_id, line)
            action = {"line_id": line["line_id"]}
            if found:
                picks.append(action | {"action_id": f"{line['line_id']}-p", "quantity": found})
            if missing:
                short = {"action_id": f"{line['line_id']}-s", "quantity": missing}
                shorts.append(action | short | {"reason": "not_found"})
        told = await self._post(
            f"/v1/tasks/{task_id}/picks:batch", picker | {"picks": picks, "shorts": shorts}
        )
        return self._is_done(told)

    async def _hand_over(self, group_id: str) -> bool:
        """Type in the code that the customer shows."""
        shown = await self._api.get(f"/v1/groups/{group_id}/pickup-code")
        if not shown.is_ok:
            return self._is_done(shown)
        return await self._tell(group_id, "handover", {"pickup_code": shown.body["pickup_code"]})

    async def _tell(self, group_id: str, action: str, body: dict[str, Any]) -> bool:
        return self._is_done(await self._post(f"/v1/groups/{group_id}:{action}", body))

    async def _post(self, path: str, body: dict[str, Any]) -> Reply:
        """Post under a new key: what was too early a moment ago may be in time now."""
        self._tries += 1
        key = f"{self._wanted.order_id}-{self._run_id}-{self._tries}"
        return await self._api.post(path, body, key)

    def _is_done(self, reply: Reply) -> bool:
        """Tell whether it worked; if not, the next look at the order decides what to do."""
        self._last_problem = "" if reply.is_ok else reply.problem
        return reply.is_ok

    async def _read_receipt(self, order: dict[str, Any]) -> None:
        """Note where the order was prepared, at what cost, and what was missing."""
        story = self._story
        story.captured_minor = order.get("captured_minor", 0)
        for line in order.get("lines", ()):
            story.picked_lines += 1
            story.short_lines += bool(line.get("quantities", {}).get("shorted", 0))
        story.sources = [view["group"]["source_site_id"] for view in order.get("groups", ())]
        reply = await self._api.get(f"/v1/orders/{story.order_id}/decisions")
        decided = [d for d in reply.body["decisions"] if d["is_decided"]] if reply.is_ok else []
        if decided:
            newest = max(decided, key=lambda decision: decision["revision"])
            story.tiers = [group["tier"] for group in newest["groups"]]
            story.cost_minor = newest.get("cost", {}).get("total_minor", 0)


def _line(row: dict[str, Any]) -> dict[str, Any]:
    """Return the line as the API takes it: what is absent is left out."""
    row["choice"] = {name: value for name, value in row["choice"].items() if value}
    return row


def _found(task_id: str, line: dict[str, Any]) -> tuple[int, int]:
    """Return how much of a line is on the shelf, and how much is missing."""
    ordered: int = line["ordered_quantity"]
    dice = Dice(task_id, line["line_id"], "shelf")
    if dice.is_one_in(SHORT_ONE_IN):
        found = dice.below(ordered)
        return found, ordered - found
    if line["is_weight_variable"]:
        return ordered + ordered * dice.below(OVER_WEIGHT_PERCENT + 1) // 100, 0
    return ordered, 0
