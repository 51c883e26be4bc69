"""Keeping the rules of what may be promised, and what is expected to arrive."""

from collections.abc import Sequence

from services.kernel.application.work import Work
from services.stock_ledger.domain.inbound import INBOUND, Command
from services.stock_ledger.domain.stock_rule import STOCK_RULE, PutRule


async def put_rules(work: Work, rules: Sequence[PutRule]) -> int:
    """Set or withdraw rules; return how many are different now."""
    await work.load(STOCK_RULE, {rule.scope.rule_id for rule in rules})
    changed = 0
    for rule in rules:
        changed += bool(await work.handle(STOCK_RULE, rule.scope.rule_id, rule))
    return changed


async def expect(work: Work, deliveries: Sequence[tuple[str, Command]]) -> int:
    """Note what is on its way, each for the stock item of its key; return how many are news."""
    await work.load(INBOUND, {key for key, _ in deliveries})
    changed = 0
    for key, delivery in deliveries:
        changed += bool(await work.handle(INBOUND, key, delivery))
    return changed
