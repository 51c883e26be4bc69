"""Keeping the rules of what may be promised, and what is expected to arrive.

A call that comes again is known by what it changed, or by a note that it changed nothing, whatever
others have said since.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from services.kernel.application.work import Work
from services.stock_ledger.domain.calls import Call, NoteCall, call_of, changes_of
from services.stock_ledger.domain.inbound import INBOUND, Announce, Arrive, Command
from services.stock_ledger.domain.stock_rule import STOCK_RULE, PutRule


async def put_rules(work: Work, rules: Sequence[PutRule]) -> int:
    """Set or withdraw rules; return how many the call changed, now or when it came before."""
    keys = {key for rule in rules for key in (rule.scope.rule_id, rule.scope.letter_id)}
    await work.load(STOCK_RULE, keys)
    call = call_of(work.cause.command_id, rules)
    known = [(await work.state(STOCK_RULE, key)).state.calls for key in keys]
    if (before := _before(call, known)) is not None:
        return before
    changed = 0
    for rule in rules:
        told, scope = replace(rule, call=call), rule.scope
        news = list(await work.handle(STOCK_RULE, scope.rule_id, told))
        if scope.letter_id != scope.rule_id:  # it may stand there since before they were alike
            news += await work.handle(STOCK_RULE, scope.letter_id, replace(told, quantity=None))
        changed += bool(news)
    if not changed:
        await work.handle(STOCK_RULE, min(keys), NoteCall(call))
    return changed


async def announce(work: Work, deliveries: Sequence[tuple[str, Command]]) -> int:
    """Note what a caller says is on its way; return how many were news, now or before."""
    changed = await expect(work, deliveries)
    if not changed:
        call = call_of(work.cause.command_id, deliveries)
        await work.handle(INBOUND, min(key for key, _ in deliveries), NoteCall(call))
    return changed


async def expect(
    work: Work,
    deliveries: Sequence[tuple[str, Command]],
    repeats: AbstractSet[int] = frozenset(),
) -> int:
    """Note what is on its way, each for the stock item of its key.

    Args:
        work: The unit.
        deliveries: With their keys.
        repeats: Which of them, by their places, their sources have told before.

    Returns:
        How many were news, now or when the call came before.
    """
    keys = {key for key, _ in deliveries}
    await work.load(INBOUND, keys)
    call = call_of(work.cause.command_id, deliveries)
    known = [(await work.state(INBOUND, key)).state.calls for key in keys]
    if (before := _before(call, known)) is not None:
        return before
    changed = 0
    for place, (key, delivery) in enumerate(deliveries):
        told = delivery if isinstance(delivery, Arrive) else replace(delivery, call=call)
        if isinstance(told, Announce):
            told = replace(told, is_repeat=place in repeats)
        changed += bool(await work.handle(INBOUND, key, told))
    return changed


def _before(call: Call, known: Iterable[Sequence[Call]]) -> int | None:
    """Return how much the call changed when it came before, if it did."""
    found = [changes for calls in known if (changes := changes_of(call, calls)) is not None]
    return sum(found) if found else None
