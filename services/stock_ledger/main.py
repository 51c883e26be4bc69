"""The stock ledger, put together."""

import itertools
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

from oms.stock_ledger.v1 import hot_stock_service_pb2_grpc as hot_rpc
from oms.stock_ledger.v1 import promise_service_pb2_grpc as promise_rpc
from oms.stock_ledger.v1 import stock_feed_service_pb2_grpc as feed_rpc
from oms.stock_ledger.v1 import stock_ledger_service_pb2_grpc as rpc

from services.kernel.adapters.closed_books import broken_books
from services.kernel.application.work import Sql
from services.kernel.main import Kernel, Service
from services.stock_ledger.adapters.event_codec import event_codec
from services.stock_ledger.adapters.instruments import HOT_INSTRUMENTS
from services.stock_ledger.adapters.publications import publish
from services.stock_ledger.adapters.seals import Sealer, broken_seals
from services.stock_ledger.application.giving_back import EXPIRY_TIMER
from services.stock_ledger.application.handlers import Reservations
from services.stock_ledger.application.hold_expiries import EXPIRIES_TIMER, expire_together
from services.stock_ledger.application.hot_writer import HotLimits, HotWriter
from services.stock_ledger.application.many_holds import ManyHolds
from services.stock_ledger.domain.stock_item import STOCK
from services.stock_ledger.entrypoints.feed_server import SCOPES as FEED_SCOPES
from services.stock_ledger.entrypoints.feed_server import StockFeedGrpc
from services.stock_ledger.entrypoints.grpc_server import SCOPES, StockLedgerGrpc
from services.stock_ledger.entrypoints.hot_stock_server import SCOPES as HOT_SCOPES
from services.stock_ledger.entrypoints.hot_stock_server import HotStockGrpc
from services.stock_ledger.entrypoints.promise_server import SCOPES as PROMISE_SCOPES
from services.stock_ledger.entrypoints.promise_server import PromiseGrpc
from services.stock_ledger.entrypoints.subscribers import subscriptions
from services.stock_ledger.entrypoints.translation import level_in_answer
from services.stock_ledger.read_models.availability import AVAILABILITY, alternatives
from services.stock_ledger.read_models.balance_marks import MARKS
from services.stock_ledger.read_models.begun_reservations import begun
from services.stock_ledger.read_models.discrepancies import DISCREPANCIES, unexplained
from services.stock_ledger.read_models.entries import ENTRIES
from services.stock_ledger.read_models.inbound import INBOUND_EXPECTED
from services.stock_ledger.read_models.known_levels import KnownLevels
from services.stock_ledger.read_models.reservations import RESERVATIONS, kept_for
from services.stock_ledger.read_models.sightings import SIGHTINGS
from services.stock_ledger.read_models.stock_board import DAILY_LEVELS
from services.stock_ledger.read_models.stock_rules import STOCK_RULES
from services.stock_ledger.read_models.verification import violations
from services.stock_ledger.settings import StockLedgerSettings

_MOST_SHOWN = 20


async def first[Found](found: AsyncIterator[Found], most: int) -> AsyncIterator[Found]:
    """Yield the first ``most``."""
    count = 0
    async for one in found:
        if count == most:
            return
        count += 1
        yield one


def build(kernel: Kernel) -> Service:
    """Wire the service."""
    settings = StockLedgerSettings()
    promises = Reservations(
        timedelta(seconds=settings.hold_seconds), alternatives, settings.most_holds_per_customer
    )
    levels = KnownLevels(lambda: kernel.reader.sql, level_in_answer, time.monotonic)
    servicer = StockLedgerGrpc(kernel.runner, kernel.reader, kernel.clock, promises, levels)
    selling = PromiseGrpc(kernel.runner, kernel.reader, kernel.clock)
    feeds = StockFeedGrpc(kernel.runner, kernel.reader, kernel.clock, promises)

    process, rounds = secrets.token_hex(8), itertools.count(1)
    writer = HotWriter(
        kernel.runner,
        ManyHolds(begun, settings.most_holds_per_customer),
        kernel.ownership,
        lambda: f"{process}.{next(rounds)}",
        HotLimits(settings.hot_round_lines, settings.hot_waiting_lines),
        HOT_INSTRUMENTS,
    )
    hot = HotStockGrpc(writer, timedelta(seconds=settings.hold_seconds))

    async def audit(sql: Sql) -> list[str]:
        found = violations(sql, kernel.clock.now())
        return [
            f"{one.invariant} {one.stream} at {one.version}: {one.detail}"
            async for one in first(found, _MOST_SHOWN)
        ]

    async def seals(sql: Sql) -> list[str]:
        return [fault async for fault in first(broken_seals(sql), _MOST_SHOWN)]

    async def books(sql: Sql) -> list[str]:
        kinds = {STOCK.category: STOCK}
        return [
            fault async for fault in first(broken_books(sql, event_codec(), kinds), _MOST_SHOWN)
        ]

    async def negative(sql: Sql) -> list[str]:
        return await unexplained(sql, _MOST_SHOWN)

    return Service(
        name="stock_ledger",
        codec=event_codec(),
        publish=publish,
        read_models=(
            replace(AVAILABILITY, memories=(levels,)),
            *(ENTRIES, RESERVATIONS, MARKS, DISCREPANCIES),
            *(STOCK_RULES, INBOUND_EXPECTED, SIGHTINGS, DAILY_LEVELS),
        ),
        subscriptions=subscriptions(promises),
        timers={EXPIRY_TIMER: promises.expire, EXPIRIES_TIMER: expire_together},
        grpc=(
            lambda server: rpc.add_StockLedgerServiceServicer_to_server(servicer, server),
            lambda server: feed_rpc.add_StockFeedServiceServicer_to_server(feeds, server),
            lambda server: hot_rpc.add_HotStockServiceServicer_to_server(hot, server),
            lambda server: promise_rpc.add_PromiseServiceServicer_to_server(selling, server),
        ),
        scopes=SCOPES | FEED_SCOPES | PROMISE_SCOPES | HOT_SCOPES,
        checks={
            "I2 I3 I4: the books balance, nothing is promised twice, holds end": audit,
            "I2: what is below zero has a discrepancy": negative,
            "what was sealed is unchanged": seals,
            "closed books are what the log comes to": books,
        },
        open_stock=kept_for,
        long_streams=(STOCK,),
        tasks=(Sealer(kernel.runner, kernel.clock).work,),
    )
