"""What sourcing hears: orders to plan, stock and its refusals, and the network's changes.

``prepare`` reads and writes for the whole batch; ``hear`` decides message by message, on what was
read for its unit of work. Stock comes in beside orders: planning must not wait for it.
"""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from oms.catalog.v1.catalog_events_pb2 import CatalogEvent
from oms.order.v1.order_events_pb2 import OrderEvent
from oms.stock_ledger.v1.stock_ledger_events_pb2 import (
    ReservationExpired,
    ReservationRefused,
    StockLedgerEvent,
    StockLine,
)

from services.kernel.application.feeds import Envelope, Subscription
from services.kernel.application.work import Work
from services.kernel.entrypoints.listen import listen
from services.sourcing.application.handlers import Decisions
from services.sourcing.domain.decision_commands import View
from services.sourcing.domain.decision_events import Cause, Correction
from services.sourcing.domain.network import Network, NetworkFacts
from services.sourcing.domain.sourcing_decision import DECISION
from services.sourcing.entrypoints import translation
from services.sourcing.entrypoints.catalog_subscriber import known_already, take_in_catalog
from services.sourcing.read_models.network_view import NetworkView
from services.sourcing.read_models.stock_view import StockRow, keep_stock, shelves

_GROUP = "sourcing"
_NOWHERE = Network(NetworkFacts(), "")


class Subscribers:
    """Args: the use cases, and how to read networks."""

    def __init__(self, decisions: Decisions, networks: NetworkView) -> None:
        self._decisions = decisions
        self._networks = networks
        # What the batches under way read, by tenant; it goes when the batch is done.
        self._views: WeakKeyDictionary[Work, dict[str, View]] = WeakKeyDictionary()

    def all(self) -> tuple[Subscription, ...]:
        return (
            listen(
                OrderEvent,
                group=_GROUP,
                is_urgent=True,
                hears=(
                    "order_placed",
                    "order_accepted",
                    "order_cancelled",
                    "order_refused",
                    "groups_replaced",
                    "groups_kept",
                ),
                hear=self.hear_order,
                prepare=self.prepare_orders,
            ),
            listen(
                StockLedgerEvent,
                group=_GROUP,
                hears=(
                    "stock_changed",
                    "reservation_held",
                    "reservation_refused",
                    "reservation_expired",
                    "reservation_endangered",
                    "reservation_move_refused",
                ),
                hear=self.hear_stock,
                prepare=self.prepare_stock,
                takes_turns=False,
            ),
            listen(
                CatalogEvent,
                group=_GROUP,
                hears=(
                    "product_upserted",
                    "site_upserted",
                    "extended_site_upserted",
                    "sales_zone_upserted",
                    "mode_published",
                ),
                hear=known_already,
                prepare=take_in_catalog,
            ),
        )

    async def prepare_orders(
        self, batch: Sequence[tuple[OrderEvent, Envelope]], work: Work
    ) -> None:
        """Read every decision that the batch is about, and the view for orders to plan."""
        skus: dict[str, set[str]] = {}
        concerned: set[str] = set()
        for event, envelope in batch:
            match event.WhichOneof("event"):
                case "order_placed":
                    wanted = skus.setdefault(envelope.tenant, set())
                    wanted.update(line.sku for line in event.order_placed.lines)
                    order_id = event.order_placed.order_id
                    self._decisions.begin(envelope.tenant, [order_id])
                case "order_accepted":
                    order_id = event.order_accepted.order_id
                case "order_cancelled":
                    order_id = event.order_cancelled.order_id
                case "order_refused":
                    order_id = event.order_refused.order_id
                case "groups_replaced":
                    order_id = event.groups_replaced.order_id
                case "groups_kept":
                    order_id = event.groups_kept.order_id
                case _:
                    continue
            if envelope.tenant == work.cause.tenant:
                concerned.add(order_id)
        await work.load(DECISION, concerned)
        await self._look(skus, work)

    async def hear_order(self, event: OrderEvent, envelope: Envelope, work: Work) -> None:
        """Plan what was placed; stop planning what was accepted or is over; follow what it says."""
        match event.WhichOneof("event"):
            case "order_placed":
                placed = event.order_placed
                await self._decisions.place(
                    work,
                    placed.order_id,
                    translation.lines(placed),
                    placed.currency,
                    self._views[work][envelope.tenant],
                )
            case "order_accepted":
                accepted = event.order_accepted
                await self._decisions.accepted(work, accepted.order_id, accepted.plan_revision)
            case "order_cancelled":
                await self._decisions.close(work, event.order_cancelled.order_id, "cancelled")
            case "order_refused":
                await self._decisions.close(work, event.order_refused.order_id, "refused")
            case "groups_replaced":
                taken = event.groups_replaced
                await self._decisions.follow(
                    work, taken.order_id, taken.plan_revision, is_taken_up=True
                )
            case "groups_kept":
                kept = event.groups_kept
                await self._decisions.follow(
                    work, kept.order_id, kept.plan_revision, is_taken_up=False
                )
            case _:
                pass  # the steps of an order are no matter of sourcing

    async def prepare_stock(
        self, batch: Sequence[tuple[StockLedgerEvent, Envelope]], work: Work
    ) -> None:
        """Take in the batch's stock at once, then read the view for orders to plan again."""
        rows: list[StockRow] = []
        again: list[tuple[str, str]] = []
        for event, envelope in batch:
            match event.WhichOneof("event"):
                case "stock_changed":
                    changed = event.stock_changed
                    rows.append(
                        StockRow(
                            envelope.tenant,
                            changed.sku,
                            changed.site_id,
                            changed.free,
                            changed.version,
                            envelope.position,
                        )
                    )
                case "reservation_refused":
                    again.append((envelope.tenant, event.reservation_refused.order_id))
                case "reservation_expired":
                    again.append((envelope.tenant, event.reservation_expired.order_id))
                case "reservation_endangered":
                    again.append((envelope.tenant, event.reservation_endangered.order_id))
                case "reservation_move_refused":
                    again.append((envelope.tenant, event.reservation_move_refused.order_id))
                case _:
                    continue
        await keep_stock(rows, work.sql)
        own = work.cause.tenant
        again = [(tenant, order_id) for tenant, order_id in again if order_id]  # or nobody's order
        await work.load(DECISION, [order_id for tenant, order_id in again if tenant == own])
        skus: dict[str, set[str]] = {}
        for tenant, order_id in again:
            if tenant == own:
                decision = (await work.state(DECISION, order_id)).state
                wanted = skus.setdefault(tenant, set())
                wanted.update(line.sku for line in decision.lines)
        await self._look(skus, work)

    async def hear_stock(self, event: StockLedgerEvent, envelope: Envelope, work: Work) -> None:
        """Plan again what the ledger refused or let go; stock itself was taken in before."""
        match event.WhichOneof("event"):
            case "reservation_held":
                order_id = event.reservation_held.order_id
                self._decisions.spoken_for.forget(envelope.tenant, order_id)
            case "reservation_refused":
                refused = event.reservation_refused
                if refused.reason:
                    return  # whatever is planned is refused, too; the order hears of it and ends
                corrections = _corrections(refused.shortages, envelope)
                await self._again(refused, Cause.REFUSED, corrections, work)
            case "reservation_expired":
                await self._again(event.reservation_expired, Cause.EXPIRED, (), work)
            case "reservation_endangered":
                endangered = event.reservation_endangered
                places = frozenset((line.site_id, line.sku) for line in endangered.lines)
                if (view := await self._view_of(endangered.order_id, work)) is not None:
                    await self._decisions.replan_groups(
                        work, endangered.order_id, places, view=view
                    )
            case "reservation_move_refused":
                stays = event.reservation_move_refused
                if (view := await self._view_of(stays.order_id, work)) is not None:
                    await self._decisions.stand_back(
                        work,
                        stays.order_id,
                        stays.plan_revision,
                        _corrections(stays.shortages, envelope),
                        view=view,
                    )
            case _:
                pass

    async def _again(
        self,
        said: ReservationRefused | ReservationExpired,
        cause: Cause,
        corrections: tuple[Correction, ...],
        work: Work,
    ) -> None:
        if not said.order_id:
            return  # a reservation that is nobody's order
        decision = (await work.state(DECISION, said.order_id)).state
        if decision.is_closed or decision.revision != said.plan_revision:
            return  # accepted, over, or an answer to a plan that no longer stands
        view = await self._view_of(said.order_id, work)
        if view is not None:
            await self._decisions.replan(
                work, said.order_id, said.plan_revision, cause, corrections, view=view
            )

    async def _view_of(self, order_id: str, work: Work) -> View | None:
        """Return the view for an order; nothing for a reservation that is nobody's order."""
        tenant = work.cause.tenant
        decision = (await work.state(DECISION, order_id)).state if order_id else None
        if decision is None or not decision.order_id:
            return None
        skus = {line.sku for line in decision.lines}
        if not skus <= self._views[work].get(tenant, View(_NOWHERE)).stock.keys():
            await self._look({tenant: skus}, work)  # another tenant's message led this batch
        return self._views[work][tenant]

    async def _look(self, skus: dict[str, set[str]], work: Work) -> None:
        """Read what planning needs for these products: two queries per tenant."""
        views = self._views.setdefault(work, {})
        for tenant in sorted(skus):
            network = await self._networks.load(tenant, work.sql, is_recorded=True)
            found = await shelves(tenant, skus[tenant], work.sql)
            views[tenant] = View(network, found.products, found.stock, found.positions)


def _corrections(shortages: Sequence[StockLine], envelope: Envelope) -> tuple[Correction, ...]:
    return tuple(
        Correction(line.site_id, line.sku, line.quantity, envelope.position) for line in shortages
    )
