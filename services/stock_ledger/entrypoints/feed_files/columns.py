"""The columns of every kind of feed, and the rows they make. docs/feed-files.md shows them.

How a cell is read is in ``cells``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from oms.stock_ledger.v1 import stock_feed_service_pb2 as wire

from services.stock_ledger.entrypoints.feed_files.cells import (
    MOST_QUANTITY,
    BadCell,
    Parse,
    WrongFile,
    as_at_us,
    as_identifier,
    as_quantity,
    as_source_id,
    as_unit,
    choice,
    optional,
)

_MOST_HOLD_SECONDS = 86_400
_BY_THE_DAY = frozenset({"receipt", "till_sale", "transport", "image", "count"})
_MOST_REMEMBERED = 200_000


@dataclass(slots=True)
class Row:
    """A row that can be sent.

    Never changed once made; not frozen, because a frozen one costs four times as much to make,
    and one is made per line.

    Attributes:
        line: Where it stands in its file.
        site_id: Where.
        sku: What.
        quantity: Base units.
        source_id: As given; empty: it is made from the content.
        at_us: When it happened, in microseconds since 1970, UTC; nothing if it is not said.
        extras: Values of the kind's own columns, in their order.
        is_day_only: Its source names a day, so the time is a guess, and that of a repeat another.
        also_us: When else it may have been told to have happened, its source naming no zone.
    """

    line: int
    site_id: str
    sku: str
    quantity: int
    source_id: str
    at_us: int | None
    extras: tuple[Any, ...] = ()
    is_day_only: bool = False
    also_us: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of feed.

    Attributes:
        name: As given on the command line.
        least: Smallest quantity.
        needed: Columns of its own that must be there, with how they are read.
        optional: Those that may be.
        late: How many of the last of these are no part of what tells a row without an id from
            another, unless they are given: they came later, and an id made is for ever.
    """

    name: str
    least: int = -MOST_QUANTITY
    needed: Mapping[str, Parse] | None = None
    optional: Mapping[str, Parse] | None = None
    late: int = 0

    @property
    def extras(self) -> dict[str, Parse]:
        return {**(self.needed or {}), **(self.optional or {})}


def _hold_seconds(field: str, cell: Any) -> int:
    seconds = as_quantity(field, cell, 1, 1)
    if seconds > _MOST_HOLD_SECONDS:
        raise BadCell(field, f"is {seconds}", f"give 1 to {_MOST_HOLD_SECONDS}, or nothing")
    return seconds


def _due_at(field: str, cell: Any) -> int:
    due_us = as_at_us(cell)
    if due_us is None:
        raise BadCell(field, "is missing", "give when it is due, as 2026-03-02T12:00:00+01:00")
    return due_us


def _despatch_id(field: str, cell: Any) -> str:
    return as_source_id(cell, field)


_DESPATCH = optional(_despatch_id, "")
_REASON = choice(wire.ShrinkageReason, "SHRINKAGE_REASON")
_BUCKET = optional(choice(wire.ShrinkageBucket, "SHRINKAGE_BUCKET"), 1)
_STEP = choice(wire.OnlineStep, "ONLINE_STEP")
_DISPOSITION = choice(wire.ReturnDisposition, "RETURN_DISPOSITION")
_STAGE = choice(wire.TransportStage, "TRANSPORT_STAGE")
_ACTION = choice(wire.ReservationAction, "RESERVATION_ACTION")

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("receipt", optional={"despatch_id": _DESPATCH}, late=1),
        Kind("till_sale"),
        Kind("shrinkage", needed={"reason": _REASON}, optional={"bucket": _BUCKET}),
        Kind("online", 1, {"step": _STEP, "reservation_id": as_identifier}),
        Kind("return", needed={"disposition": _DISPOSITION}),
        Kind(
            "transport",
            1,
            {"stage": _STAGE},
            {
                "reservation_id": optional(as_identifier, ""),
                "to_site_id": optional(as_identifier, ""),
                "due_at": optional(_due_at, None),
                "despatch_id": _DESPATCH,
            },
            late=3,
        ),
        Kind(
            "reservation",
            0,
            {"reservation_id": as_identifier, "action": _ACTION},
            {"hold_seconds": optional(_hold_seconds, 0)},
        ),
        Kind("in_transit", 0, {"due_at": _due_at}, {"despatch_id": _DESPATCH}, late=1),
        Kind("image", 0),
        Kind("count", 0),
    )
}


class Reader:
    """Turns the cells of a file's rows into rows that can be sent.

    Args:
        kind: Of feed.
        columns: The file's, in their order.
        at: When rows happened that do not say.

    Raises:
        WrongFile: A column lacks, or stands there twice.
    """

    def __init__(self, kind: Kind, columns: Sequence[str], at: datetime | None = None) -> None:
        names = [name.strip().lower() for name in columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise WrongFile(f"columns stand there twice: {', '.join(twice)}")
        needed = ["site_id", "sku", "quantity", *(kind.needed or {})]
        lacking = [name for name in needed if name not in names]
        if lacking:
            known = [*needed, "source_id", "occurred_at", "unit", *(kind.optional or {})]
            raise WrongFile(
                f"the column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)} lack;"
                f" a {kind.name} file has {', '.join(known)}"
            )
        place = {name: n for n, name in enumerate(names)}
        self._width = len(names)
        self._kind = kind
        self._site, self._sku, self._quantity = (place[name] for name in needed[:3])
        self._source, self._at = place.get("source_id"), place.get("occurred_at")
        self._unit = place.get("unit")
        # EDIFACT tells; what stands for columns of these names in another file means nothing.
        self._is_day_only = place.get("is_day_only") if kind.name in _BY_THE_DAY else None
        self._also = place.get("also_at") if kind.name in _BY_THE_DAY else None
        self._extras = [(place.get(name), name, parse) for name, parse in kind.extras.items()]
        self._default_at_us = None if at is None else as_at_us(at)
        self._ids: dict[tuple[str, str], str] = {}

    def read(self, line: int, cells: Sequence[Any]) -> Row:
        """Return the row.

        Raises:
            BadCell: A cell cannot be read, or there are too few or too many.
        """
        if len(cells) != self._width:
            raise BadCell("row", f"has {len(cells)} cells", f"give {self._width}, as the header")
        is_without_goods = self._kind.name == "reservation" and self._is_only_named(cells)
        extras = tuple(
            [parse(name, None if n is None else cells[n]) for n, name, parse in self._extras]
        )
        if is_without_goods:
            return Row(line, "", "", 0, "", None, extras)
        unit = 1 if self._unit is None else as_unit(cells[self._unit])
        quantity = as_quantity("quantity", cells[self._quantity], self._kind.least, unit)
        source_id = "" if self._source is None else as_source_id(cells[self._source])
        at_us = None if self._at is None else as_at_us(cells[self._at])
        if at_us is None:
            at_us = self._default_at_us
        if not source_id and self._kind.name == "in_transit":
            raise BadCell("source_id", "is missing", "give the id that its receipt will carry")
        if not source_id and at_us is None and self._kind.name != "reservation":
            raise BadCell(
                "source_id",
                "is missing, and so is occurred_at",
                "give one of them, or the row could not be told from its repeat",
            )
        return Row(
            line,
            self._id("site_id", cells[self._site]),
            self._id("sku", cells[self._sku]),
            quantity,
            source_id,
            at_us,
            extras,
            self._is_day_only is not None and cells[self._is_day_only] is True,
            () if self._also is None else _times_us(cells[self._also]),
        )

    def _is_only_named(self, cells: Sequence[Any]) -> bool:
        """Say whether a row of a reservation stands for all of it: no product, no quantity."""
        return not any(cells[n] for n in (self._site, self._sku, self._quantity))

    def _id(self, field: str, cell: Any) -> str:
        if not isinstance(cell, str):
            return as_identifier(field, cell)
        known = self._ids.get((field, cell))
        if known is None:
            known = as_identifier(field, cell)
            if len(self._ids) < _MOST_REMEMBERED:
                self._ids[field, cell] = known
        return known


def _times_us(cell: Any) -> tuple[int, ...]:
    if not isinstance(cell, tuple):
        return ()
    times = [as_at_us(at) for at in cell]
    return tuple([at_us for at_us in times if at_us is not None])
