"""Any history at all: facts late and repeated, promises, picks, images, counts. The books hold."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.kernel.application.work import Sql
from services.kernel.domain.errors import NotFound, Rejected
from services.stock_ledger.application import feeds
from services.stock_ledger.application.endangered import watch
from services.stock_ledger.application.feeds import Told
from services.stock_ledger.application.handlers import Reservations, Terms
from services.stock_ledger.application.images import Images
from services.stock_ledger.application.moving import give_up, move_plan, move_to
from services.stock_ledger.application.recording import record
from services.stock_ledger.domain.discrepancy import DISCREPANCY
from services.stock_ledger.domain.entry import Buckets, Cause, EntryPosted, Report
from services.stock_ledger.domain.holder import HOLDER
from services.stock_ledger.domain.image import Basis, Seen, measured
from services.stock_ledger.domain.reservation import RESERVATION
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.reservation_lines import summed
from services.stock_ledger.domain.reservation_state import Status
from services.stock_ledger.domain.stock_commands import (
    Adjust,
    AdjustmentReason,
    Command,
    Deliver,
    HandOver,
    Observe,
    Pick,
    PutBack,
    Ship,
    Short,
    TakeBack,
)
from services.stock_ledger.domain.stock_item import STOCK, STOCK_ITEM, site_and_sku, stock_key
from tests.support.at_once import at_once
from tests.unit.stock_ledger.ledger_in_memory import NOON, LedgerInMemory, nowhere
from tests.unit.stock_ledger.test_image import balance_at

KEYS = tuple(
    stock_key(*place) for place in (("paris", "milk"), ("paris", "bread"), ("lyon", "milk"))
)
MOST_HOLDS = 2
_ALWAYS = datetime.max.replace(tzinfo=NOON.tzinfo)

type Unit = Callable[[], Awaitable[object]]

keys = st.sampled_from(KEYS)
few = st.integers(1, 6)
whose = st.sampled_from("ABCD")
ago = st.integers(0, 90).map(lambda minutes: timedelta(minutes=minutes))
told = st.sampled_from(
    [
        *(Cause.GOODS_RECEIPT, Cause.TILL_SALE, Cause.BREAKAGE, Cause.THEFT),
        *(Cause.RETURN_RESTOCK, Cause.RETURN_WRITE_OFF, Cause.TRANSFER_RECEIVED),
    ]
)
moves: Sequence[type[Pick | PutBack | HandOver | Ship | Deliver]] = (
    *(Pick, PutBack, HandOver, Ship, Deliver),
)


class History(RuleBasedStateMachine):
    """Units of work, one after the other, on two products; a refused unit leaves nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.work = LedgerInMemory()
        self.promises = Reservations(timedelta(minutes=15), nowhere, MOST_HOLDS)
        self.images = Images(self._past)
        self.facts: list[Unit] = []
        self.checked = dict.fromkeys(KEYS, 0)
        self.accounts: dict[str, dict[str, int]] = {key: defaultdict(int) for key in KEYS}
        self.open: dict[str, dict[str, Any]] = {key: {} for key in KEYS}
        self.sources = 0
        self.commands = 0
        self.moves: list[tuple[Unit, str]] = []

    async def _past(
        self, sql: Sql, tenant: str, asked: Sequence[tuple[str, int, datetime]]
    ) -> Sequence[Buckets]:
        return [balance_at(self._entries(key)[:version], until) for key, version, until in asked]

    def _entries(self, key: str) -> tuple[EntryPosted, ...]:
        return self.work.streams.get(f"stock-{key}", ())

    def _run(self, unit: Unit, command_id: str = "") -> bool:
        self.commands += 1
        self.work.command_id = command_id or f"c-{self.commands}"
        before = self.work.mark()
        try:
            at_once(unit())
        except (Rejected, NotFound):
            self.work.back_to(before)
            return False
        return True

    def _source(self) -> str:
        self.sources += 1
        return f"s-{self.sources}"

    def _fact(self, unit: Unit) -> None:
        """Post what happened; it may be told again at any time."""
        if self._run(unit):
            self.facts.append(unit)

    def _posting(self, key: str, command: Command) -> Unit:
        async def unit() -> None:
            await watch(self.work, {key: await self.work.handle(STOCK, key, command)})

        return unit

    @initialize(quantities=st.tuples(*[st.integers(0, 30)] * len(KEYS)))
    def the_shops_open(self, quantities: tuple[int, ...]) -> None:
        """Without goods hardly any promise is made, and no rule about promises is tried."""
        rows = [
            Told(n, key, Cause.GOODS_RECEIPT, Report(self._source(), quantity, self.work.at))
            for n, (key, quantity) in enumerate(zip(KEYS, quantities, strict=True))
            if quantity
        ]
        self._fact(lambda: feeds.post(self.work, rows))

    @rule(minutes=st.integers(1, 20))
    def time_passes(self, minutes: int) -> None:
        self.work.at += timedelta(minutes=minutes)
        for timer in [name for name, due in self.work.timers.items() if due <= self.work.at]:
            reservation_id = timer.rpartition("-")[2]
            del self.work.timers[timer]
            self._run(lambda one=reservation_id: self.promises.expire(one, self.work))  # type: ignore[misc]

    @rule(key=keys, cause=told, quantities=st.lists(few, min_size=1, max_size=3), late=ago)
    def a_feed_tells(self, key: str, cause: Cause, quantities: list[int], late: timedelta) -> None:
        at = self.work.at - late
        rows = [
            Told(n, key, cause, Report(self._source(), quantity, at + timedelta(minutes=n)))
            for n, quantity in enumerate(quantities)
        ]
        self._fact(lambda: feeds.post(self.work, rows))

    @rule(key=keys, reason=st.sampled_from(AdjustmentReason), quantity=few, late=ago)
    def somebody_adjusts(
        self, key: str, reason: AdjustmentReason, quantity: int, late: timedelta
    ) -> None:
        adjustment = Adjust(reason, -quantity, self._source(), self.work.at - late)

        async def unit() -> None:
            [outcome] = await record(self.work, [(key, adjustment)])
            if outcome.refusal is not None:
                raise outcome.refusal
            await watch(self.work, {key: outcome.entries})

        self._fact(unit)

    @rule(
        key=keys,
        by=st.sampled_from(Seen),
        basis=st.sampled_from(Basis),
        has_picked=st.booleans(),
        counted=st.integers(0, 20),
        late=ago,
    )
    def somebody_looks(
        self,
        key: str,
        by: Seen,
        basis: Basis,
        has_picked: bool,  # noqa: FBT001 - drawn by name
        counted: int,
        late: timedelta,
    ) -> None:
        at = self.work.at - late
        seen = Observe(by, basis, has_picked, counted, self._source(), at)

        async def unit() -> None:
            [outcome] = await self.images.post_images(self.work, [(key, seen)])
            assert outcome.refusal is None
            await watch(self.work, {key: outcome.entries})

        self._fact(unit)

    @rule(
        key=keys,
        move=st.sampled_from(moves),
        one=whose,
        quantity=few,
        late=ago,
        is_over=st.booleans(),
    )
    def goods_move(
        self,
        key: str,
        move: type[Pick | PutBack | HandOver | Ship | Deliver],
        one: str,
        quantity: int,
        late: timedelta,
        is_over: bool,  # noqa: FBT001 - drawn by name
    ) -> None:
        command = move(one, quantity, self._source(), self.work.at - late)
        if isinstance(command, HandOver | Ship):
            command = replace(command, may_be_over=is_over)
        self._fact(self._posting(key, command))

    @rule(key=keys, one=whose, quantity=few, is_damaged=st.booleans(), late=ago)
    def a_picker_finds_less(
        self,
        key: str,
        one: str,
        quantity: int,
        is_damaged: bool,  # noqa: FBT001 - drawn by name
        late: timedelta,
    ) -> None:
        at = self.work.at - late
        self._fact(self._posting(key, Short(one, quantity, is_damaged, self._source(), at)))

    @rule(key=keys, quantity=few, is_sellable=st.booleans(), late=ago)
    def a_customer_returns(
        self,
        key: str,
        quantity: int,
        is_sellable: bool,  # noqa: FBT001 - drawn by name
        late: timedelta,
    ) -> None:
        at = self.work.at - late
        self._fact(self._posting(key, TakeBack(quantity, is_sellable, self._source(), at)))

    @rule(one=whose, revision=st.integers(1, 3), milk=few, bread=few)
    def a_plan_is_held(self, one: str, revision: int, milk: int, bread: int) -> None:
        lines = [Line("paris", "milk", milk), Line("paris", "bread", bread)]
        self._run(lambda: self.promises.reserve_plan(self.work, one, revision, lines))

    @rule(one=whose, milk=few)
    def a_caller_reserves(self, one: str, milk: int) -> None:
        lines = [Line("paris", "milk", milk)]
        self._run(lambda: self.promises.reserve(self.work, one, lines, None))

    @rule(one=whose, milk=st.integers(1, 30), bread=few, holder=st.sampled_from(["", "x", "y"]))
    def a_caller_takes_what_there_is(self, one: str, milk: int, bread: int, holder: str) -> None:
        lines = [
            *(Line("paris", "milk", milk), Line("paris", "bread", bread)),
            Line("lyon", "milk", milk),
        ]
        terms = Terms(takes_what_there_is=True, holder_id=holder)

        async def unit() -> None:
            held = (await self.promises.reserve(self.work, one, lines, None, terms)).state
            assert summed([*held.lines, *held.lacking]) or not held.is_promised
            assert summed(lines) == held.asked

        self._run(unit)

    @rule(one=whose, sites=st.permutations(["paris", "lyon"]), milk=st.integers(0, 3))
    def what_is_promised_moves(self, one: str, sites: list[str], milk: int) -> None:
        wanted = {"milk": milk} if milk else {}
        pair = (sites[0], sites[1])

        async def unit() -> None:
            before = await self._promised_in_all(one)
            await move_to(self.work, one, pair, wanted, nowhere)
            assert await self._promised_in_all(one) == before

        if self._run(unit):
            self.moves.append((unit, self.work.command_id))

    async def _promised_in_all(self, one: str) -> int:
        items = [(await self.work.state(STOCK, key)).state.open.get(one) for key in KEYS]
        return sum(item.held + item.allocated for item in items if item)

    @rule(one=whose, revision=st.integers(1, 9), milk=few, is_taken_up=st.booleans())
    def a_plan_moves_what_an_order_has(
        self,
        one: str,
        revision: int,
        milk: int,
        is_taken_up: bool,  # noqa: FBT001 - drawn by name
    ) -> None:
        left, came = [Line("paris", "milk", milk)], [Line("lyon", "milk", milk)]
        self._run(lambda: move_plan(self.work, one, revision, left, came))
        before = self.work.mark()
        assert self._run(lambda: move_plan(self.work, one, revision, left, came))
        assert self.work.mark() == before, "a plan is heard twice"
        if not is_taken_up:
            self._run(lambda: give_up(self.work, one, revision, came))
            before = self.work.mark()
            assert self._run(lambda: give_up(self.work, one, revision, came))
            assert self.work.mark() == before

    @rule(data=st.data())
    def a_move_is_asked_for_again(self, data: st.DataObject) -> None:
        if self.moves:
            unit, command_id = data.draw(st.sampled_from(self.moves))
            before = self.work.mark()
            self._run(unit, command_id)
            assert self.work.mark() == before

    @rule(one=whose, refuse=st.booleans())
    def an_order_is_accepted(self, one: str, refuse: bool) -> None:  # noqa: FBT001
        self._run(lambda: self.promises.confirm(self.work, one, refuse=refuse))

    @rule(one=whose)
    def somebody_begins_to_pick(self, one: str) -> None:
        self._run(lambda: self.promises.confirm_begun(self.work, one))

    @rule(one=whose)
    def an_order_is_cancelled(self, one: str) -> None:
        self._run(lambda: self.promises.end(self.work, one, "cancelled"))

    @rule(one=whose)
    def a_hold_is_given_back(self, one: str) -> None:
        self._run(lambda: self.promises.release(self.work, one))

    @rule(data=st.data())
    def a_fact_is_told_again(self, data: st.DataObject) -> None:
        if self.facts:
            before = self.work.mark()
            assert self._run(data.draw(st.sampled_from(self.facts)))
            assert self.work.mark() == before

    @invariant()
    def every_entry_balances_at_every_position(self) -> None:
        for key in KEYS:
            accounts, open_now = self.accounts[key], self.open[key]
            for entry in self._entries(key)[self.checked[key] :]:
                assert sum(posting.quantity for posting in entry.postings) == 0
                for posting in entry.postings:
                    accounts[posting.account] += posting.quantity
                there = entry.after
                for bucket in Buckets.__dataclass_fields__:
                    assert accounts[bucket] == getattr(there, bucket), bucket
                assert min(replace(there, free=0).on_hand, there.held, there.picked) >= 0
                if entry.reserved is not None:
                    open_now[entry.reservation_id] = entry.reserved
                for bucket in ("held", "allocated", "picked"):
                    promised = sum(getattr(one, bucket) for one in open_now.values())
                    assert getattr(there, bucket) == promised, bucket
            self.checked[key] = len(self._entries(key))

    @invariant()
    def nothing_lacks_but_by_a_discrepancy(self) -> None:
        for key in KEYS:
            item = at_once(self.work.state(STOCK, key)).state
            discrepancy = at_once(self.work.state(DISCREPANCY, key)).state
            assert (item.buckets.free < 0) == discrepancy.is_open

    @invariant()
    def a_holder_has_as_many_holds_as_are_counted_and_never_too_many(self) -> None:
        for holder in ("x", "y"):
            counted = at_once(self.work.state(HOLDER, holder)).state.held
            held = {
                one
                for one in "ABCD"
                for state in [at_once(self.work.state(RESERVATION, one)).state]
                if state.status is Status.HELD and state.holder_id == holder
            }
            assert counted == held
            assert len(held) <= MOST_HOLDS

    @invariant()
    def what_is_held_is_what_was_promised_wherever_it_is(self) -> None:
        for one in "ABCD":
            state = at_once(self.work.state(RESERVATION, one)).state
            there = [at_once(self.work.state(STOCK, key)).state.open.get(one) for key in KEYS]
            held = sum(item.held for item in there if item)
            allocated = sum(item.allocated for item in there if item)
            promised = sum(line.quantity for line in state.lines)
            assert held + allocated <= promised
            if state.status is not Status.HELD:
                assert held == 0
            if not state.is_promised and state.status is not Status.CLOSED:
                assert allocated == 0

    @invariant()
    def what_was_seen_is_true_of_its_time(self) -> None:
        for key in KEYS:
            entries = self._entries(key)
            applied = [e for e in entries if e.cause in (Cause.IMAGE, Cause.STOCKTAKE)]
            # Of two that were seen at the same moment, the one that came last is believed.
            newest = {entry.occurred_at: entry for entry in applied}
            for at, entry in newest.items():
                assert entry.image is not None
                then = balance_at(entries, at)
                basis, has_picked = entry.image.basis, entry.image.has_picked
                assert measured(then, basis, has_picked=has_picked) == entry.image.counted

    @invariant()
    def a_replay_comes_to_the_same(self) -> None:
        for key in KEYS:
            live = at_once(self.work.state(STOCK, key)).state
            replayed = STOCK_ITEM.fold(self._entries(key))
            assert replayed == live
            assert live.buckets == balance_at(self._entries(key), _ALWAYS)
            site_id, sku = site_and_sku(key)
            for reservation_id, reserved in live.open.items():
                promise = at_once(self.work.state(RESERVATION, reservation_id)).state
                wanted = {(one.site_id, one.sku): one.quantity for one in promise.lines}
                promised = reserved.held + reserved.allocated
                assert promised <= wanted.get((site_id, sku), 0)


TestAnyHistory = History.TestCase
TestAnyHistory.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
