"""Staff, played over the public API: whatever an order waits for is done until it has ended.

What is done follows from the order alone (ids of actions, idempotency keys), so that a journey
that was cut off anywhere is played again from its beginning and changes nothing twice.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.api import Api

ENDED = frozenset({"completed", "cancelled", "refused"})
_FIRST_POLL_S = 0.02
_LONGEST_POLL_S = 0.5
_PASSING = frozenset({429, 500, 502, 503, 504})
_PASSING_REASONS = frozenset({"CONCURRENT_CHANGE", "IDEMPOTENCY_RUNNING"})

type Line = Mapping[str, Any]
# Units of a line that the picker does not find, given the line and its group's id.
type Missing = Callable[[str, Line], int]


class Stuck(AssertionError):
    """An order did not move on."""


def everything_there(_group_id: str, _line: Line) -> int:
    return 0


@dataclass
class Staff:
    """The people of every site, and the carriers.

    Attributes:
        api: Of the tenant.
        missing: What is not found.
        stuck_after_s: How long an order may stay as it is.
        unclear: Calls that got no final answer and were made again, by what they got instead.
    """

    api: Api
    missing: Missing = everything_there
    stuck_after_s: float = 60.0
    unclear: Counter[str] = field(default_factory=Counter[str])
    _tries: dict[str, int] = field(default_factory=dict[str, int])

    async def finish(self, order_id: str, *, stop_before: str = "") -> dict[str, Any]:
        """Carry an order to its end and return it.

        Args:
            order_id: Of an order that was placed; it need not be decided yet.
            stop_before: Id of the step at which to stop, as soon as every group has reached it.

        Raises:
            Stuck: It did not move on for ``stuck_after_s``.
        """
        loop = asyncio.get_running_loop()
        version, moved_at, delay_s, problem = -1, loop.time(), _FIRST_POLL_S, ""
        order: dict[str, Any] = {}
        while loop.time() - moved_at < self.stuck_after_s:
            status, found = await self._get(f"/v1/orders/{order_id}")
            if status == 200:
                order = found
                if order["version"] != version:
                    version, moved_at, delay_s = order["version"], loop.time(), _FIRST_POLL_S
                if order["status"] in ENDED or _stands_before(order, stop_before):
                    return order
                for group in order["groups"]:
                    if not group["is_completed"] and group["current_step_id"] != stop_before:
                        problem = await self._act(group) or problem
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 1.5, _LONGEST_POLL_S)
        raise Stuck(f"{order_id} stays at version {version}: {problem} {order}")

    async def _act(self, view: Mapping[str, Any]) -> str:
        """Do what the group's current step waits for; return what was wrong with it."""
        group_id = view["group"]["group_id"]
        milestone = next(
            step["step"]["completes_on"]
            for step in view["steps"]
            if step["step"]["step_id"] == view["current_step_id"]
        )
        if milestone == "picked":
            return await self._pick(group_id, view["group"])
        if milestone == "handed_over":
            return await self._hand_over(group_id)
        parcel = {"carrier_id": "colis", "tracking_reference": f"T-{group_id}"}
        told: dict[str, tuple[str, dict[str, str]]] = {
            "ready": ("ready", {}),
            "arrived": ("arrive", {}),
            "handed_to_carrier": ("hand-to-carrier", parcel),
            "delivered": ("delivered", {}),
        }
        # What is not in the list, the system does by itself.
        return await self._tell(group_id, *told[milestone]) if milestone in told else ""

    async def _pick(self, group_id: str, group: Mapping[str, Any]) -> str:
        """Claim the task, then account for every line in one call."""
        picker = {"picker_id": f"picker-{group['source_site_id']}"}
        task = f"/v1/tasks/{group_id}"
        if problem := await self._post(f"{task}:claim", picker):
            return problem
        picks, shorts = [], []
        for line in group["lines"]:
            missing = min(self.missing(group_id, line), line["quantity"])
            action = {"line_id": line["line_id"]}
            if line["quantity"] > missing:
                found = {
                    "action_id": f"{line['line_id']}-p",
                    "quantity": line["quantity"] - missing,
                }
                picks.append(action | found)
            if missing:
                lost = {"action_id": f"{line['line_id']}-s", "quantity": missing}
                shorts.append(action | lost | {"reason": "not_found"})
        return await self._post(f"{task}/picks:batch", picker | {"picks": picks, "shorts": shorts})

    async def _hand_over(self, group_id: str) -> str:
        status, shown = await self._get(f"/v1/groups/{group_id}/pickup-code")
        if status != 200:
            return f"no pickup code: {shown}"
        return await self._tell(group_id, "handover", {"pickup_code": shown["pickup_code"]})

    async def _tell(self, group_id: str, action: str, body: Mapping[str, Any]) -> str:
        return await self._post(f"/v1/groups/{group_id}:{action}", body)

    async def _post(self, path: str, body: Mapping[str, Any]) -> str:
        """Post; return what was wrong. After a "not yet" the same is asked under a new key."""
        tried = self._tries.get(path, 0)
        try:
            answer = await self.api.post(path, body, key=f"{path}-{tried}")
        except httpx.TransportError as lost:
            self.unclear[type(lost).__name__] += 1
            return f"{path}: {lost!r}"
        if answer.is_success:
            return ""
        told = answer.json()
        if answer.status_code in _PASSING or told.get("reason") in _PASSING_REASONS:
            self.unclear[f"{answer.status_code} {told.get('reason')}"] += 1
        else:
            self._tries[path] = tried + 1
        return f"{path}: {answer.status_code} {told.get('reason')}: {told.get('detail')}"

    async def _get(self, path: str) -> tuple[int, dict[str, Any]]:
        try:
            answer = await self.api.client.get(path)
        except httpx.TransportError as lost:
            self.unclear[type(lost).__name__] += 1
            return 0, {"detail": repr(lost)}
        if answer.status_code in _PASSING:
            self.unclear[f"{answer.status_code} {answer.json().get('reason')}"] += 1
        return answer.status_code, answer.json()


def _stands_before(order: Mapping[str, Any], step_id: str) -> bool:
    return bool(
        step_id
        and order["groups"]
        and all(group["current_step_id"] == step_id for group in order["groups"])
    )
