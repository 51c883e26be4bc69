"""Questions about the past over gRPC: as of when, as known when, why, and what changed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from oms.stock_ledger.v1 import stock_ledger_service_pb2 as wire

from services.kernel.application.work import Sql
from services.kernel.domain.errors import Invalid
from services.kernel.domain.ids import identifier
from services.stock_ledger.entrypoints import translation as to
from services.stock_ledger.read_models import availability, explanation, past
from services.stock_ledger.read_models.availability import Coverage, Level
from services.stock_ledger.read_models.balance_marks import BUCKETS

MOST_PAIRS = 200
MOST_COVERAGE = 5_000
NEWEST = 2**31 - 1
_EVER = datetime.min.replace(tzinfo=UTC)
_PLACES = {bucket: 1 + n for n, bucket in enumerate(BUCKETS)}  # after the number of entries

type Pair = tuple[str, str]


def moment(request: Any, field: str) -> datetime | None:
    """Return a time that a request names, if it does."""
    if not request.HasField(field):
        return None
    stamp: Timestamp = getattr(request, field)
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise Invalid((field, "must be a time of the years 1 to 9999")) from None


def is_past(request: Any) -> bool:
    """Say whether a query asks for another time than now."""
    return bool(request.HasField("as_of") or request.HasField("known_at"))


def pairs_of(asked: Sequence[wire.SiteSku]) -> list[Pair]:
    return [
        (identifier(pair.site_id, f"pairs[{n}].site_id"), identifier(pair.sku, f"pairs[{n}].sku"))
        for n, pair in enumerate(asked)
    ]


async def then(sql: Sql, tenant: str, request: Any, rows: list[Level]) -> list[Level]:
    """Return the levels as they were at the times that the request names, if it names any."""
    if not is_past(request):
        return rows
    return await past.levels(
        *(sql, tenant, [(row.site_id, row.sku) for row in rows]),
        *(moment(request, "as_of"), moment(request, "known_at")),
    )


async def coverage(
    sql: Sql, tenant: str, request: Any, basket: Mapping[str, int], site_ids: Sequence[str]
) -> list[Coverage]:
    """Return how far sites covered a basket; without sites asked for, the best covered first."""
    sites = site_ids or await availability.sites_with(sql, tenant, list(basket))
    if len(basket) * len(sites) > MOST_COVERAGE:
        raise Invalid(
            ("site_ids", f"lines times sites of the past must be at most {MOST_COVERAGE}")
        )
    pairs = [(site_id, sku) for site_id in sites for sku in basket]
    as_of, known_at = moment(request, "as_of"), moment(request, "known_at")
    levels = await past.levels(sql, tenant, pairs, as_of, known_at) if pairs else []
    found = availability.covered(levels, basket)
    return found if site_ids else sorted(found, key=lambda one: (-one.covered_skus, one.site_id))


async def entries_until(
    sql: Sql, tenant: str, request: wire.ListEntriesRequest, as_of: datetime
) -> wire.ListEntriesResponse:
    """Return a page of what had occurred by a time: of an entry of many reports, that part."""
    pair = identifier(request.site_id, "site_id"), identifier(request.sku, "sku")
    [version] = await past.versions(sql, tenant, [pair], moment(request, "known_at"))
    entries, following = await _entries(
        sql, explanation.Span(tenant, *pair, version, _EVER, as_of), request
    )
    return wire.ListEntriesResponse(entries=entries, next_page_token=following)


async def _entries(
    sql: Sql,
    span: explanation.Span,
    request: wire.ListEntriesRequest | wire.ExplainStockRequest,
) -> tuple[list[wire.Entry], str]:
    """Return the page of entries that a request asks for, and the token of the next."""
    before = entry_token(request.page_token) or NEWEST
    rows, following = await explanation.page(
        sql, span, min(before, span.version + 1), to.page_size(request.page_size)
    )
    return [to.entry(row) for row in rows], to.page_token(str(following)) if following > 1 else ""


async def explain(
    sql: Sql, tenant: str, request: wire.ExplainStockRequest
) -> wire.ExplainStockResponse:
    pair = identifier(request.site_id, "site_id"), identifier(request.sku, "sku")
    since, known_at = moment(request, "since"), moment(request, "known_at")
    until = moment(request, "as_of") or past.ALWAYS
    if since is not None and since > until:
        raise Invalid(("since", "must not be later than as_of"))
    known = await past.versions(sql, tenant, [pair], known_at)
    [closing] = await past.levels_at(sql, tenant, [pair], known, until)
    span = explanation.Span(tenant, *pair, closing.version, since or _EVER, until)
    entries, following = await _entries(sql, span, request)
    answer = wire.ExplainStockResponse(
        closing=to.level(closing), entries=entries, next_page_token=following
    )
    if request.page_token:
        return answer  # what they add up to was told with the first page
    [opening] = await past.levels_at(sql, tenant, [pair], known, since or _EVER)
    answer.opening.CopyFrom(to.level(opening))
    answer.causes.extend(
        _cause(cause, part) for cause, part in sorted((await explanation.causes(sql, span)).items())
    )
    return answer


async def compare(
    sql: Sql, tenant: str, request: wire.CompareStockRequest
) -> wire.CompareStockResponse:
    since = moment(request, "since")
    if since is None:
        raise Invalid(("since", "must say from when to compare"))
    if bool(request.pairs) + bool(request.site_id) + bool(request.sku) != 1:
        raise Invalid(("pairs", "give pairs, a site_id or a sku, one of the three"))
    size = to.page_size(request.page_size)
    pairs, following = await _compared(sql, tenant, request, size)
    known = await past.versions(sql, tenant, pairs, moment(request, "known_at"))
    befores = await past.levels_at(sql, tenant, pairs, known, since)
    afters = await past.levels_at(sql, tenant, pairs, known, moment(request, "until"))
    return wire.CompareStockResponse(
        differences=[
            wire.StockDifference(before=to.level(before), after=to.level(after))
            for before, after in zip(befores, afters, strict=True)
        ],
        next_page_token=following,
    )


async def _compared(
    sql: Sql, tenant: str, request: wire.CompareStockRequest, size: int
) -> tuple[list[Pair], str]:
    """Return the pairs of the page, and the token of the next."""
    if request.pairs:
        to.count(len(request.pairs), MOST_PAIRS, "pairs")
        return pairs_of(request.pairs), ""
    [after] = to.page_start(request.page_token)
    if request.site_id:
        site_id = identifier(request.site_id, "site_id")
        rows = await availability.of_site(sql, tenant, site_id, after, size + 1)
    else:
        sku = identifier(request.sku, "sku")
        rows = await availability.of_sku(sql, tenant, sku, after, size + 1)
    pairs = [(row.site_id, row.sku) for row in rows[:size]]
    if len(rows) <= size:
        return pairs, ""
    last_site, last_sku = pairs[-1]
    return pairs, to.page_token(last_sku if request.site_id else last_site)


def entry_token(page_token: str) -> int:
    """Return the version that a page of entries begins below; 0 for the first page."""
    [token] = to.page_start(page_token)
    if token and not (token.isascii() and token.isdigit() and int(token) <= NEWEST):
        raise Invalid(("page_token", "must be the next_page_token of the page before"))
    return int(token or 0)


def _cause(cause: str, part: Sequence[int]) -> wire.CauseTotal:
    gained: Mapping[str, int] = {bucket: part[place] for bucket, place in _PLACES.items()}
    return wire.CauseTotal(
        cause=cause,
        entries=part[0],
        free=gained["free"],
        held=gained["held"],
        allocated=gained["allocated"],
        picked=gained["picked"],
        on_hand=sum(gained.values()),
    )
