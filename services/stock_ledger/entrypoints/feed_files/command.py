"""What the command line asks of an import, and what it says afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from oms.catalog.v1.catalog_service_pb2 import ListSitesRequest
from oms.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub

from services.stock_ledger.entrypoints.feed_files.calls import Basis
from services.stock_ledger.entrypoints.feed_files.cells import Fault, WrongFile
from services.stock_ledger.entrypoints.feed_files.columns import KINDS
from services.stock_ledger.entrypoints.feed_files.edifact import is_interchange
from services.stock_ledger.entrypoints.feed_files.importing import Progress, import_file
from services.stock_ledger.entrypoints.feed_files.options import Options
from services.stock_ledger.entrypoints.feed_files.tables import CsvLine

__all__ = ["Asked", "PutAside", "Stopped", "WrongFile", "run"]

_MOST_CODES = 2_000_000
_PAGE_SITES, _MOST_PAGES = 200, 500
_CATALOG_S = 20.0
_NO_CATALOG = frozenset({grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED})


class PutAside(Exception):
    """The import is through, and some rows are in quarantine."""


class Stopped(Exception):
    """The service refused a call, or stayed away; the next run goes on from there."""


@dataclass(frozen=True, slots=True)
class Asked:
    """As given on the command line."""

    file: Path
    kind: str
    quarantine: Path | None
    codes: Path | None
    at: str
    is_available: bool
    is_picked_included: bool
    zone: str = "UTC"
    former: tuple[str, ...] = ()


async def run(asked: Asked, address: str, key: str, progress: Progress) -> str:
    """Import the file over gRPC; return what to say.

    Raises:
        WrongFile: The file, or an option, cannot be understood.
        PutAside: All is done but for the rows in quarantine.
        Stopped: It could not be finished.
    """
    if asked.kind not in KINDS:
        raise WrongFile(f"there is no kind {asked.kind!r}; there are {', '.join(KINDS)}")
    quarantine = asked.quarantine or asked.file.with_suffix(".quarantine.csv")
    options = Options(
        quarantine=quarantine,
        codes=read_codes(asked.codes) if asked.codes else {},
        zone=asked.zone,
        former=asked.former,
        basis=Basis(asked.is_available, asked.is_picked_included, _time(asked.at)),
        metadata=(("authorization", f"Bearer {key}"),),
        target=f"{address}\n{key}",  # of which a digest is kept
    )
    async with grpc.aio.insecure_channel(address) as channel:
        if is_interchange(asked.file):
            options = replace(options, zones=await site_zones(channel, options.metadata))
        try:
            report = await import_file(asked.file, asked.kind, channel, options, progress)
        except grpc.aio.AioRpcError as error:
            raise Stopped(
                f"the stock ledger answered {error.code().name}: {error.details()}; import the file"
                " again, and it goes on where it was"
            ) from None
    told = f"{report.rows} rows: {report.recorded} recorded, {report.duplicates} known already"
    if report.skipped:
        told += f", {report.skipped} sent by the run before"
    if report.quarantined:
        raise PutAside(f"{told}, {report.quarantined} in quarantine ({quarantine})")
    return f"{told}, 0 in quarantine"


async def site_zones(channel: Any, metadata: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the zones of the tenant's sites, by site.

    None where the catalog is not served at the same address, or the key may not read it: then the
    zone that the command line gives is that of all.
    """
    zones: dict[str, str] = {}
    catalog, page = CatalogServiceStub(channel), ""
    for _ in range(_MOST_PAGES):
        request = ListSitesRequest(page_size=_PAGE_SITES, page_token=page)
        try:
            answer = await catalog.ListSites(request, metadata=metadata, timeout=_CATALOG_S)
        except grpc.aio.AioRpcError as error:
            if error.code() in _NO_CATALOG:
                return {}
            raise Stopped(
                f"the catalog answered {error.code().name}: {error.details()}, so the zones of the"
                " sites are not known; import the file again"
            ) from None
        zones |= {site.site_id: site.time_zone for site in answer.sites if site.time_zone}
        page = answer.next_page_token
        if not page:
            break
    return zones


def read_codes(path: Path) -> dict[str, str]:
    """Return codes and the ids they stand for.

    Raises:
        WrongFile: A line has not two cells, or there are too many.
    """
    codes: dict[str, str] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        csv_line = CsvLine()
        for number, line in enumerate(file, start=1):
            if number > _MOST_CODES:
                raise WrongFile(f"{path} has more than {_MOST_CODES} lines")
            row = csv_line.cells(line)
            if isinstance(row, Fault):
                raise WrongFile(
                    f"{path}, line {number}: {row.detail.removeprefix('row: ')}; {row.remedy}"
                )
            if not line.strip():
                continue
            if len(row) != 2 or not row[0].strip() or not row[1].strip():  # noqa: PLR2004 - a pair
                raise WrongFile(f"{path}, line {number}: give code,id")
            codes[row[0].strip()] = row[1].strip()
    return codes


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise WrongFile(f"--at {text}: give a time as 2026-03-02T12:00:00+01:00") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
