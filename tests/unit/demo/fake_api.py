"""An order management system of a hundred lines, slow to hear of things as the real one is."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from services.demo.application.ports import ApiAway, Reply
from services.demo.domain.modes import modes

STEPS = {mode["mode_id"]: mode["steps"] for mode in modes()}
OUTCOME = {"changed": 0, "unchanged": 0, "problems": []}


class FakeApi:
    """Implements ``Api``.

    Args:
        lag: How often a record answers 404 before it is there.
        refused: Products that make an order refused.
        away_after: Calls after which the API does not answer any more.
    """

    def __init__(
        self, lag: int = 1, refused: tuple[str, ...] = (), away_after: int = 10**9
    ) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.asked: Counter[str] = Counter()
        self.said: list[str] = []
        self.keys: set[str] = set()
        self.lag, self.refused, self.away_after = lag, refused, away_after

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Reply:
        self._count()
        match path.strip("/").split("/"):
            case ["v1", "orders", order_id]:
                return Reply(200, self.orders[order_id])
            case ["v1", "orders", order_id, "decisions"]:
                group = {"tier": "extended_site"}
                decided = {"is_decided": True, "revision": 1, "groups": [group]}
                return Reply(200, {"decisions": [decided | {"cost": {"total_minor": 500}}]})
            case ["v1", "tasks", group_id]:
                return self._late(path) or Reply(200, self._task(group_id))
            case ["v1", "groups", _, "pickup-code"]:
                return self._late(path) or Reply(200, {"pickup_code": "123456"})
            case _:
                raise AssertionError(path)

    async def post(self, path: str, body: Any, key: str, prefer: str = "") -> Reply:
        self._count()
        if key:
            assert key not in self.keys or path == "/v1/orders"
            self.keys.add(key)
        if path == "/v1/orders":
            return self._place(body)
        action = path.rpartition(":")[2]
        group_id = path.split("/")[3].partition(":")[0]
        if action == "claim":
            return Reply(200, {})
        if late := self._late(f"{group_id} {action}"):
            return late
        self.said.append(f"{group_id} {action}")
        milestone = {
            "batch": "picked",
            "ready": "ready",
            "arrive": "arrived",
            "handover": "handed_over",
            "hand-to-carrier": "handed_to_carrier",
            "delivered": "delivered",
        }[action]
        if action == "batch":
            self._check_picks(group_id, body)
        if action == "handover":
            assert body == {"pickup_code": "123456"}
        self._reach(group_id, milestone)
        return Reply(200, {})

    def _count(self) -> None:
        self.asked["calls"] += 1
        if self.asked["calls"] > self.away_after:
            raise ApiAway("cut off")

    def _late(self, what: str) -> Reply | None:
        self.asked[what] += 1
        return Reply(404, {"reason": "NOT_FOUND"}) if self.asked[what] <= self.lag else None

    def _place(self, body: dict[str, Any]) -> Reply:
        order_id = body["order_id"]
        if order_id in self.orders:
            return Reply(201, self.orders[order_id], is_replayed=True)
        if any(line["sku"] in self.refused for line in body["lines"]):
            return Reply(409, {"reason": "OUT_OF_STOCK"})
        by_mode: dict[str, list[Any]] = {}
        for line in body["lines"]:
            by_mode.setdefault(line["choice"]["mode_id"], []).append(line)
        groups = [
            {
                "group": {
                    "group_id": f"{order_id}.{n}",
                    "source_site_id": "LYON-W1",
                    "lines": lines,
                },
                "steps": [{"step": step} for step in STEPS[mode_id]],
                "current_step_id": "picking",
            }
            for n, (mode_id, lines) in enumerate(by_mode.items(), start=1)
        ]
        self.orders[order_id] = {
            "order_id": order_id,
            "status": "accepted",
            "reason": "",
            "version": 2,
            "captured_minor": 1000,
            "lines": [{"quantities": {"shorted": 0}} for _ in body["lines"]],
            "groups": groups,
        }
        return Reply(201, self.orders[order_id])

    def _group(self, group_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        order = self.orders[group_id.rpartition(".")[0]]
        return order, next(g for g in order["groups"] if g["group"]["group_id"] == group_id)

    def _task(self, group_id: str) -> dict[str, Any]:
        _, view = self._group(group_id)
        lines = [
            {
                "line_id": line["line_id"],
                "ordered_quantity": line["quantity"],
                "picked_quantity": 0,
                "short_quantity": 0,
                "is_weight_variable": False,
            }
            for line in view["group"]["lines"]
        ]
        return {"summary": {"status": "open", "picker_id": ""}, "lines": lines}

    def _check_picks(self, group_id: str, body: dict[str, Any]) -> None:
        told: Counter[str] = Counter()
        for action in (*body["picks"], *body["shorts"]):
            told[action["line_id"]] += action["quantity"]
        assert told == {
            line["line_id"]: line["ordered_quantity"] for line in self._task(group_id)["lines"]
        }

    def _reach(self, group_id: str, milestone: str) -> None:
        order, view = self._group(group_id)
        ids = [step["step"]["step_id"] for step in view["steps"]]
        reached = [step["step"]["completes_on"] for step in view["steps"]].index(milestone)
        order["version"] += 1
        view["current_step_id"] = ids[reached + 1] if reached + 1 < len(ids) else ""
        if not any(group["current_step_id"] for group in order["groups"]):
            order["status"] = "completed"
