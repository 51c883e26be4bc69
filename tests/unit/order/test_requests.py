"""Requests in: times that planning could not reckon with are told at the door."""

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from oms.order.v1 import order_service_pb2 as wire

from services.kernel.domain.errors import Invalid
from services.order.entrypoints import requests


def _choice(seconds: int) -> wire.RequestedChoice:
    return wire.RequestedChoice(mode_id="m", wanted_at=Timestamp(seconds=seconds))


@pytest.mark.parametrize("year", [1, 1999, 2200, 9999])
def test_a_time_beyond_any_plan_is_told(year: int) -> None:
    seconds = int(datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
    with pytest.raises(Invalid, match="years 2000 to 2199"):
        requests.choice_of(_choice(seconds), "lines[0].choice")


@pytest.mark.parametrize("seconds", [2**62, -(2**62)])
def test_a_time_beyond_the_calendar_is_told(seconds: int) -> None:
    with pytest.raises(Invalid):
        requests.choice_of(_choice(seconds), "choice")


def test_a_time_to_come_is_taken() -> None:
    at = datetime(2030, 6, 1, 12, tzinfo=UTC)
    assert requests.choice_of(_choice(int(at.timestamp())), "choice").wanted_at == at
