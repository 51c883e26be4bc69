"""The hint about plans of the moment: bounded in time and size, and it adds up to nothing."""

from datetime import timedelta

from services.sourcing.application.spoken_for import SpokenFor
from services.sourcing.domain.wishes import Cost, GroupLine, PlannedGroup, Tier
from tests.unit.sourcing.networks import MONDAY


def a_group(units: int, site_id: str = "S1") -> PlannedGroup:
    return PlannedGroup(
        "O1.1",
        "m",
        1,
        site_id,
        site_id,
        (GroupLine("1", "milk", units),),
        MONDAY,
        Tier.EXPLICIT,
        Cost(),
    )


def test_units_add_up_and_a_new_plan_replaces_the_old() -> None:
    spoken_for = SpokenFor(timedelta(seconds=10), 100)
    spoken_for.add("t", "O1", [a_group(3)], MONDAY)
    spoken_for.add("t", "O2", [a_group(2)], MONDAY)
    spoken_for.add("t", "O1", [a_group(1)], MONDAY)
    assert spoken_for.of("t", ["milk", "bread"], MONDAY) == {"milk": {"S1": 3}}
    assert spoken_for.of("other", ["milk"], MONDAY) == {}
    spoken_for.forget("t", "O2")
    spoken_for.forget("t", "O2")
    assert spoken_for.of("t", ["milk"], MONDAY) == {"milk": {"S1": 1}}


def test_old_plans_are_forgotten_and_so_are_too_many() -> None:
    spoken_for = SpokenFor(timedelta(seconds=10), 2)
    for n in range(3):
        spoken_for.add("t", f"O{n}", [a_group(1)], MONDAY + timedelta(seconds=n))
    assert spoken_for.of("t", ["milk"], MONDAY) == {"milk": {"S1": 2}}
    assert spoken_for.of("t", ["milk"], MONDAY + timedelta(seconds=11)) == {"milk": {"S1": 1}}
    assert spoken_for.of("t", ["milk"], MONDAY + timedelta(seconds=13)) == {}
