"""By when goods are where they change hands: transfer, delivery, opening hours, the wanted date."""

from datetime import datetime, timedelta

from services.sourcing.domain.asked import Survey
from services.sourcing.domain.legs import Leg


def promise_of(survey: Survey, leg: Leg, ready_at: datetime) -> datetime | None:
    policy = survey.policy
    arrives_at: datetime | None = ready_at
    if leg.transfer_m is not None:
        minutes = policy.transfer_base_minutes + leg.transfer_m // policy.transfer_metres_per_minute
        arrives_at = survey.network.calendar(leg.handover_site_id).next_open(
            ready_at + timedelta(minutes=minutes)
        )
    if leg.transport_m is not None and arrives_at is not None:
        minutes = policy.delivery_base_minutes
        minutes += leg.transport_m // policy.delivery_metres_per_minute
        arrives_at += timedelta(minutes=minutes)
    return _as_wanted(survey, leg.handover_site_id, arrives_at)


def misses_date(survey: Survey, promised_at: datetime) -> bool:
    wanted_at = survey.asked.choice.wanted_at
    slack = timedelta(minutes=survey.policy.wanted_slack_minutes)
    return wanted_at is not None and promised_at > max(wanted_at, survey.at) + slack


def _as_wanted(
    survey: Survey, handover_site_id: str, promised_at: datetime | None
) -> datetime | None:
    """Return the promise: not before it is wanted, in opening hours, on a full minute."""
    if promised_at is None:
        return None
    wanted_at = survey.asked.choice.wanted_at
    if wanted_at is not None:
        promised_at = max(promised_at, wanted_at, survey.at)
    if promised_at.second or promised_at.microsecond:
        promised_at = promised_at.replace(second=0, microsecond=0) + timedelta(minutes=1)
    if not survey.asked.is_collected:
        return promised_at
    return survey.network.calendar(handover_site_id).next_open(promised_at)
