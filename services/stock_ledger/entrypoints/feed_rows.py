"""Rows of the feeds' contract to what the use cases post; every field is checked on its way in."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from oms.stock_ledger.v1 import stock_feed_service_pb2 as wire
from oms.stock_ledger.v1.stock_ledger_service_pb2 import ImageRow, MovementRow

from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.stock_ledger.application.asked import Action, Asked
from services.stock_ledger.application.feeds import Inbound, Step, Told
from services.stock_ledger.domain.counted import CLOCK_SKEW
from services.stock_ledger.domain.entry import DAMAGED, FREE, QUARANTINE, Cause, Report
from services.stock_ledger.domain.inbound import Announce, Arrive
from services.stock_ledger.domain.postings import Post
from services.stock_ledger.domain.reservation_events import Line
from services.stock_ledger.domain.stock_commands import (
    Deliver,
    HandOver,
    Movement,
    Pick,
    PromiseOnline,
    PutBack,
    Ship,
)
from services.stock_ledger.domain.stock_item import stock_key
from services.stock_ledger.entrypoints.translation import MOST_QUANTITY

MOST_SOURCE_ID = 128
_MOST_OTHER_TIMES = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_MOST_HOLD_SECONDS = 86_400

_REASONS: Mapping[Any, Cause] = {
    wire.SHRINKAGE_REASON_BREAKAGE: Cause.BREAKAGE,
    wire.SHRINKAGE_REASON_EXPIRY: Cause.EXPIRY,
    wire.SHRINKAGE_REASON_THEFT: Cause.THEFT,
    wire.SHRINKAGE_REASON_UNKNOWN: Cause.UNKNOWN_LOSS,
}
_BUCKETS: Mapping[Any, str] = {
    wire.SHRINKAGE_BUCKET_UNSPECIFIED: FREE,
    wire.SHRINKAGE_BUCKET_FREE: FREE,
    wire.SHRINKAGE_BUCKET_QUARANTINE: QUARANTINE,
    wire.SHRINKAGE_BUCKET_DAMAGED: DAMAGED,
}
_DISPOSITIONS: Mapping[Any, Cause] = {
    wire.RETURN_DISPOSITION_RESTOCK: Cause.RETURN_RESTOCK,
    wire.RETURN_DISPOSITION_QUARANTINE: Cause.RETURN_QUARANTINE,
    wire.RETURN_DISPOSITION_DESTROY: Cause.RETURN_WRITE_OFF,
    wire.RETURN_DISPOSITION_QUARANTINE_RELEASED: Cause.QUARANTINE_RELEASED,
    wire.RETURN_DISPOSITION_QUARANTINE_DESTROYED: Cause.QUARANTINE_DESTROYED,
    wire.RETURN_DISPOSITION_QUARANTINE_TO_SUPPLIER: Cause.QUARANTINE_TO_SUPPLIER,
    wire.RETURN_DISPOSITION_QUARANTINE_TO_CLEARANCE: Cause.QUARANTINE_TO_CLEARANCE,
}
_ACTIONS: Mapping[Any, Action] = {
    wire.RESERVATION_ACTION_RESERVE: Action.RESERVE,
    wire.RESERVATION_ACTION_CONFIRM: Action.CONFIRM,
    wire.RESERVATION_ACTION_RELEASE: Action.RELEASE,
}
type Sourced = tuple[str, int, str, datetime]
_STEPS: Mapping[Any, Callable[..., Movement]] = {
    wire.ONLINE_STEP_HELD: lambda *of: PromiseOnline(Cause.HOLD, *of),
    wire.ONLINE_STEP_PLACED: lambda *of: PromiseOnline(Cause.CONFIRM, *of),
    wire.ONLINE_STEP_RELEASED: lambda *of: PromiseOnline(Cause.RELEASE, *of),
    wire.ONLINE_STEP_PICKED: Pick,
    wire.ONLINE_STEP_HANDED_OVER: HandOver,
    wire.ONLINE_STEP_PUT_BACK: PutBack,
}


class Rows:
    """Reads the rows of one call; what is checked once for a pair is not checked again.

    Args:
        now: When the call came; rows without a time happened then.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._latest = now + CLOCK_SKEW
        self._keys: dict[tuple[str, str], str] = {}

    def receipt(self, n: int, row: Any) -> Told:
        key, report = self._key(row), self._report(row)
        return Told(
            *(n, key, Cause.GOODS_RECEIPT, report),
            inbound=_arrival(row, key, report),
            is_timeless=is_timeless(row),
            also=also(row),
        )

    def till_sale(self, n: int, row: Any) -> Told:
        of = (n, self._key(row), Cause.TILL_SALE, self._report(row))
        return Told(*of, is_timeless=is_timeless(row), also=also(row))

    def shrinkage(self, n: int, row: Any) -> Told:
        cause = _known(_REASONS, row.reason, "reason")
        bucket = _known(_BUCKETS, row.bucket, "bucket")
        return Told(
            *(n, self._key(row), cause, self._report(row), bucket), is_timeless=is_timeless(row)
        )

    def returned(self, n: int, row: Any) -> Told:
        cause = _known(_DISPOSITIONS, row.disposition, "disposition")
        return Told(*(n, self._key(row), cause, self._report(row)), is_timeless=is_timeless(row))

    def online(self, n: int, row: Any) -> Step:
        step = _known(_STEPS, row.step, "step")
        reservation_id = identifier(row.reservation_id, "reservation_id")
        report = self._report(row, least=1)
        of = (reservation_id, report.quantity, report.source_id, report.occurred_at)
        return Step(n, self._key(row), (step(*of),), is_timeless=is_timeless(row))

    def transport(self, n: int, row: Any) -> Told | Step:
        report = self._report(row, least=1)
        key, stage = self._key(row), row.stage
        is_without_time, others = is_timeless(row), also(row)
        if not row.reservation_id:
            cause = _known(
                {
                    wire.TRANSPORT_STAGE_SHIPPED: Cause.TRANSFER_SHIPPED,
                    wire.TRANSPORT_STAGE_RECEIVED: Cause.TRANSFER_RECEIVED,
                    wire.TRANSPORT_STAGE_LOST: Cause.CARRIER_LOSS,
                },
                stage,
                "stage" if stage != wire.TRANSPORT_STAGE_DELIVERED else "reservation_id",
            )
            inbound = (
                self._announcement(row, report)
                if cause is Cause.TRANSFER_SHIPPED
                else _arrival(row, key, report)
            )
            return Told(
                *(n, key, cause, report),
                inbound=inbound,
                is_timeless=is_without_time,
                also=others,
            )
        reservation_id = identifier(row.reservation_id, "reservation_id")
        of = (reservation_id, report.quantity, report.source_id, report.occurred_at)
        if stage == wire.TRANSPORT_STAGE_SHIPPED:
            return Step(n, key, (Ship(*of),), is_timeless=is_without_time, also=others)
        if stage == wire.TRANSPORT_STAGE_DELIVERED:
            return Step(n, key, (Deliver(*of),), is_timeless=is_without_time, also=others)
        if stage == wire.TRANSPORT_STAGE_LOST:
            inbound = _arrival(row, key, report)
            of_all = (n, key, Cause.CARRIER_LOSS, report)
            return Told(*of_all, inbound=inbound, is_timeless=is_without_time, also=others)
        _known({wire.TRANSPORT_STAGE_RECEIVED: None}, stage, "stage")
        # It is received, then it is his: both, or the row is refused and still on its way.
        received = Post(Cause.TRANSFER_RECEIVED, (report,))
        his = (reservation_id, report.quantity, f"{report.source_id}~his", report.occurred_at)
        commands = (received, PromiseOnline(Cause.CONFIRM, *his))
        return Step(n, key, commands, _arrival(row, key, report), is_without_time, others)

    def _announcement(self, row: Any, report: Report) -> Inbound | None:
        """Return what a shipment announces where it goes, if it says where and when."""
        if not row.to_site_id:
            return None
        to_site_id = identifier(row.to_site_id, "to_site_id")
        if not row.HasField("due_at"):
            raise Invalid(("due_at", "must say when it is to be there, where to_site_id is given"))
        despatch_id = _despatch_id(row) or report.source_id
        due_at = _time(row.due_at, "due_at")
        announced = Announce(despatch_id, report.source_id, report.quantity, due_at)
        return Inbound(stock_key(to_site_id, row.sku), announced)

    def asked(self, n: int, row: Any) -> Asked:
        action = _known(_ACTIONS, row.action, "action")
        reservation_id = identifier(row.reservation_id, "reservation_id")
        if action is not Action.RESERVE:
            return Asked(n, reservation_id, action, Line("", "", 0))
        if not 0 <= row.hold_seconds <= _MOST_HOLD_SECONDS:
            raise Invalid(("hold_seconds", f"must be 0 to {_MOST_HOLD_SECONDS}"))
        self._key(row)
        line = Line(row.site_id, row.sku, _quantity(row.quantity, 1))
        return Asked(n, reservation_id, action, line, row.hold_seconds)

    def _key(self, row: Any) -> str:
        pair = (row.site_id, row.sku)
        key = self._keys.get(pair)
        if key is None:
            key = stock_key(identifier(pair[0], "site_id"), identifier(pair[1], "sku"))
            self._keys[pair] = key
        return key

    def _report(self, row: Any, least: int = -MOST_QUANTITY) -> Report:
        source_id = row.source_id
        if not (1 <= len(source_id) <= MOST_SOURCE_ID and source_id.isprintable()):
            raise Invalid(("source_id", f"must be 1 to {MOST_SOURCE_ID} printable characters"))
        return Report(source_id, _quantity(row.quantity, least), self._occurred_at(row))

    def _occurred_at(self, row: Any) -> datetime:
        if not row.HasField("occurred_at"):
            return self._now
        at = _time(row.occurred_at, "occurred_at")
        if at > self._latest:
            raise Invalid(("occurred_at", "must not lie in the future"))
        return at


def _time(stamp: Any, field: str) -> datetime:
    seconds = stamp.seconds
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise Invalid((field, "must be a time of the years 1 to 9999"))
    return _EPOCH + timedelta(seconds=seconds, microseconds=max(stamp.nanos, 0) // 1_000)


_DAY_ONLY = (MovementRow, wire.TransportRow)
_ZONELESS = (MovementRow, ImageRow, wire.TransportRow)


def is_timeless(row: Any) -> bool:
    """Say whether a row has no time of its source's, so that a repeat cannot be of another."""
    if isinstance(row, ImageRow):  # without a time it is of the image's
        return row.is_day_only
    return not row.HasField("occurred_at") or (isinstance(row, _DAY_ONLY) and row.is_day_only)


def also(row: Any) -> tuple[datetime, ...]:
    """Return the times that a repeat of the row may have been told of."""
    if not isinstance(row, _ZONELESS) or not row.also_at:
        return ()
    if len(row.also_at) > _MOST_OTHER_TIMES:
        raise Invalid(("also_at", f"must be at most {_MOST_OTHER_TIMES}"))
    return tuple([_time(stamp, "also_at") for stamp in row.also_at])


def _arrival(row: Any, key: str, report: Report) -> Inbound | None:
    """Return what a receipt takes off its despatch; one with the very id does so by itself."""
    despatch_id = _despatch_id(row)
    if not despatch_id or despatch_id == report.source_id:
        return None
    return Inbound(key, Arrive(despatch_id, report.source_id, report.quantity))


def _despatch_id(row: Any) -> str:
    despatch_id: str = row.despatch_id
    if len(despatch_id) > MOST_SOURCE_ID or not despatch_id.isprintable():
        raise Invalid(("despatch_id", f"must be at most {MOST_SOURCE_ID} printable characters"))
    return despatch_id


def _quantity(value: int, least: int) -> int:
    if value == 0 or not least <= value <= MOST_QUANTITY:
        sign = "" if least > 0 else ", or the same below zero"
        raise Invalid(("quantity", f"must be 1 to {MOST_QUANTITY}{sign}"))
    return value


def _known[T](known: Mapping[Any, T], value: int, field: str) -> T:
    if value not in known:
        raise Invalid((field, "is missing or not known; see the contract for its values"))
    return known[value]
