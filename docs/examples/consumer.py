"""A consumer for `oms replay`: a function over events, here the value of what was captured.

oms replay order --into docs.examples.consumer:captured
"""

from collections import Counter
from collections.abc import Iterator

from services.kernel.adapters.feed_contracts import PublicEvent


def captured(events: Iterator[PublicEvent]) -> dict[str, int]:
    """Return minor units captured, by currency."""
    sums: Counter[str] = Counter()
    for event in events:
        if event.case == "payment_captured":
            for money in (event.message.amount, event.message.fee):
                if money.currency:
                    sums[money.currency] += money.amount_minor
    return dict(sums)
