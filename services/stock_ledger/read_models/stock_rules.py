"""The rules in force: what is kept back of free stock, and for whom.

Answers    ListStockRules; GetPromises, GetBasketPromises and WatchPromises apply them
Fed by     the rules' own events
Staleness  milliseconds
"""

from collections.abc import Sequence
from typing import Any

from services.kernel.application.work import Sql
from services.kernel.domain.messages import Recorded
from services.kernel.read_models.read_model import ReadModel
from services.stock_ledger.domain.stock_rule import RuleKind, Rules, RuleSet, RuleWithdrawn, Scope

MOST_RULES = 50_000
_COLUMNS = "kind, channel, site_id, category_path, sku, quantity"


async def project(batch: Sequence[Recorded[Any]], sql: Sql) -> None:
    """Keep the last word about every rule; they change seldom, so one row at a time."""
    newest = {e.stream: e for e in batch if isinstance(e.event, RuleSet | RuleWithdrawn)}
    for recorded in newest.values():
        event: RuleSet | RuleWithdrawn = recorded.event
        scope, rule_id = event.scope, recorded.key
        if isinstance(event, RuleWithdrawn):
            await sql.execute(
                "DELETE FROM stock_rule WHERE tenant = $1 AND rule_id = $2",
                *(recorded.tenant, rule_id),
            )
            continue
        await sql.execute(
            "INSERT INTO stock_rule (tenant, rule_id, kind, channel, site_id, category_path, sku,"
            " quantity, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
            " ON CONFLICT (tenant, rule_id) DO UPDATE"
            " SET quantity = excluded.quantity, version = excluded.version",
            *(recorded.tenant, rule_id, scope.kind.value, scope.channel, scope.site_id),
            *(list(scope.category_path), scope.sku, event.quantity, recorded.version),
        )


STOCK_RULES = ReadModel("stock_rules", ("stock_rule",), project)


async def concerning(sql: Sql, tenant: str, site_ids: Sequence[str], skus: Sequence[str]) -> Rules:
    """Return the rules that may concern these products at these sites, of every channel."""
    rows = await sql.fetch(
        f"SELECT {_COLUMNS} FROM stock_rule WHERE tenant = $1 AND sku = ANY($2)"
        " AND site_id = ANY($3) LIMIT $4",
        *(tenant, ["", *skus], ["", *site_ids], MOST_RULES),
    )
    return Rules([_rule(row) for row in rows])


async def page(
    sql: Sql, tenant: str, after_rule_id: str, limit: int
) -> list[tuple[str, Scope, int]]:
    """Return a page of the rules with their ids, by these."""
    rows = await sql.fetch(
        f"SELECT rule_id, {_COLUMNS} FROM stock_rule WHERE tenant = $1 AND rule_id > $2"
        " ORDER BY rule_id LIMIT $3",
        *(tenant, after_rule_id, limit),
    )
    return [(row[0], *_rule(tuple(row)[1:])) for row in rows]


def _rule(row: Any) -> tuple[Scope, int]:
    kind, channel, site_id, category_path, sku, quantity = row
    return Scope(RuleKind(kind), channel, site_id, tuple(category_path), sku), quantity
