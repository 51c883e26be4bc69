"""What analysts name on the command line: feeds, events, moments and periods that there are."""

from typing import Any

import typer

from services.kernel.application.clock import SystemClock
from services.kernel.application.reading import Period
from services.kernel.domain.errors import NotFound
from services.kernel.main.console import EXIT_USAGE, complain
from services.kernel.main.feed_directory import feeds, topic_named
from services.kernel.main.reading import moment


def misused(why: object) -> typer.Exit:
    """Say why a command cannot be understood; return how it ends."""
    complain(why)
    return typer.Exit(EXIT_USAGE)


def the_topic(name: str) -> str:
    try:
        return topic_named(name)
    except NotFound as error:
        raise misused(error) from None


def the_moment(text: str) -> Any:
    try:
        return moment(text, SystemClock())
    except ValueError as error:
        raise misused(error) from None


def the_period(since: str, until: str) -> Period:
    period = Period(the_moment(since), the_moment(until) if until else None)
    if period.until is not None and period.since is not None and period.since >= period.until:
        raise misused(f"nothing lies between --from {since} and --to {until}: the first is later")
    return period


def the_names(names: list[str] | None, topics: list[str]) -> tuple[str, ...]:
    known = {
        event.name
        for feed in feeds()
        if feed.topic in topics
        for event in feed.contract.events.values()
    }
    if unknown := sorted(set(names or ()) - known):
        raise misused(f"no event {', '.join(unknown)} there (there are {', '.join(sorted(known))})")
    return tuple(names or ())
