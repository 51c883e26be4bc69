"""When a delivery that failed is tried again, and when it is given up.

Rule    5 s after the first failure, then twice as long each time up to 8 h, each wait scattered by
        a fifth to either side so that endpoints are not hit in step; what the endpoint asks for
        with Retry-After is granted up to a day; after 72 h it is dead. The sum of tries is then
        about 20 (Standard Webhooks recommends a schedule over several days).
"""

from datetime import datetime, timedelta

FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(hours=8)
LONGEST_ASKED = timedelta(days=1)
GIVE_UP_AFTER = timedelta(hours=72)
SCATTER = 0.2
_DOUBLINGS = 16  # more would only overflow: the longest wait is reached before


def next_attempt(
    attempts: int,
    first_attempt_at: datetime,
    failed_at: datetime,
    asked_wait: timedelta | None,
    chance: float,
) -> datetime | None:
    """Return when to try again, or nothing when it is time to give up.

    Args:
        attempts: Tries so far, 1 or more.
        first_attempt_at: When the first of them began.
        failed_at: When the last one failed.
        asked_wait: What the endpoint asked for, if it did.
        chance: Drawn evenly from 0 to 1; scatters the wait.
    """
    if failed_at - first_attempt_at >= GIVE_UP_AFTER:
        return None
    doublings = min(attempts - 1, _DOUBLINGS)
    wait = min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)
    wait *= 1 - SCATTER + 2 * SCATTER * chance
    if asked_wait is not None:
        wait = max(wait, min(asked_wait, LONGEST_ASKED))
    return failed_at + wait
