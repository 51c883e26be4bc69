"""Opening hours across nights, Sundays and changes of the clocks."""

from datetime import UTC, datetime, timedelta

from services.sourcing.domain.opening import Calendar, Hours

WEEKDAYS = tuple(Hours(day, 9 * 60, 18 * 60) for day in range(1, 6))
PARIS = Calendar("Europe/Paris", WEEKDAYS)


def at(day: int, hour: int, minute: int = 0, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def test_work_begun_before_opening_waits_for_it() -> None:
    assert PARIS.after_work(at(2, 5), timedelta(minutes=30)) == at(2, 8, 30)


def test_work_that_does_not_fit_goes_on_the_next_open_day() -> None:
    friday_evening = at(6, 16, 30)
    assert PARIS.after_work(friday_evening, timedelta(hours=1)) == at(9, 8, 30)


def test_a_closed_door_opens_again_on_monday() -> None:
    assert PARIS.next_open(at(7, 12)) == at(9, 8)
    assert PARIS.next_open(at(9, 12)) == at(9, 12)


def test_nine_is_nine_on_both_sides_of_the_clock_change() -> None:
    sundays = Calendar("Europe/Paris", (Hours(7, 9 * 60, 10 * 60),))
    assert sundays.next_open(at(28, 12)) == at(29, 7)  # summer time began that night
    assert sundays.next_open(at(22, 0)) == at(22, 8)


def test_hours_that_the_clocks_skip_are_worked_once_or_not_at_all() -> None:
    night = (Hours(7, 0, 150), Hours(7, 150, 180), Hours(7, 200, 600))  # 2:30 to 3:00 is skipped
    sunday = Calendar("Europe/Paris", night)
    assert sunday.after_work(at(28, 23), timedelta(hours=3)) == at(29, 2)
    assert sunday.after_work(at(28, 23), timedelta(hours=9)) == at(29, 8)
    for minutes in range(0, 9 * 60, 10):
        start = at(28, 23) + timedelta(minutes=minutes)
        assert sunday.next_open(start) == start
        assert sunday.after_work(start, timedelta(0)) == start


def test_work_takes_as_many_open_days_as_it_needs() -> None:
    """Four weeks of work, the most that a site may say it needs, at nine hours on five days."""
    # 672 hours: fourteen weeks of five days, four days more, and six hours of a Friday.
    assert PARIS.after_work(at(2, 8), timedelta(days=28)) == at(12, 13, month=6)
    assert Calendar("UTC", (Hours(1, 0, 1),)).after_work(at(2, 0), timedelta(days=28)) is None


def test_a_site_that_never_opens_for_long_enough_promises_nothing() -> None:
    never = Calendar("Europe/Paris", (Hours(1, 600, 600),))
    assert never.next_open(at(2, 5)) is None
    assert never.after_work(at(2, 5), timedelta(minutes=1)) is None


def test_a_site_without_hours_is_always_open() -> None:
    always = Calendar("UTC", ())
    assert always.next_open(at(8, 3)) == at(8, 3)
    assert always.after_work(at(8, 3), timedelta(hours=1)) == at(8, 4)


def test_what_was_answered_before_changes_no_answer() -> None:
    asked_before = Calendar("Europe/Paris", WEEKDAYS)
    for hours in range(0, 24 * 14, 5):
        start = at(1, 0) + timedelta(hours=hours)
        fresh = Calendar("Europe/Paris", WEEKDAYS)
        assert asked_before.next_open(start) == fresh.next_open(start)
        work = timedelta(minutes=37 * (hours % 7))
        assert asked_before.after_work(start, work) == Calendar(
            "Europe/Paris", WEEKDAYS
        ).after_work(start, work)
