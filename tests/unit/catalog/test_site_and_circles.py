"""Sites, extended sites and sales zones: sound, or refused with the field."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.catalog.domain import extended_site, sales_zone, site
from services.catalog.domain.extended_site import (
    EXTENDED_SITE,
    ExtendedSiteId,
    ExtendedSiteUpserted,
    UpsertExtendedSite,
)
from services.catalog.domain.sales_zone import SALES_ZONE, SalesZoneUpserted, UpsertSalesZone
from services.catalog.domain.site import SITE, OpeningHours, Site, SiteId, SiteUpserted, UpsertSite
from services.catalog.domain.values import Position
from tests.support.given import given
from tests.unit.catalog.samples import EAST, LYON, LYON_CIRCLE

CAPABILITY = LYON.capabilities[0]


@pytest.mark.parametrize(
    ("kind", "command", "event"),
    [
        (SITE, UpsertSite(LYON), SiteUpserted(LYON)),
        (EXTENDED_SITE, UpsertExtendedSite(LYON_CIRCLE), ExtendedSiteUpserted(LYON_CIRCLE)),
        (SALES_ZONE, UpsertSalesZone(EAST), SalesZoneUpserted(EAST)),
    ],
)
def test_it_is_defined_once_and_a_repeat_is_silent(kind: Any, command: Any, event: Any) -> None:
    given(kind.decider).when(command).then(event)
    given(kind.decider, event).when(command).then_nothing()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (replace(LYON, name=""), "name"),
        (replace(LYON, position=Position(91_000_000, 0)), "position.latitude_e6"),
        (replace(LYON, position=Position(0, -181_000_000)), "position.longitude_e6"),
        (replace(LYON, postcode=""), "postcode"),
        (replace(LYON, country="fr"), "country"),
        (replace(LYON, country="FRA"), "country"),
        (replace(LYON, priority=-1), "priority"),
        (replace(LYON, opening_hours=(OpeningHours(8, 0, 1),)), "opening_hours[0].weekday"),
        (replace(LYON, opening_hours=(OpeningHours(1, 60, 60),)), "opening_hours[0].closes_minute"),
        (
            replace(LYON, opening_hours=(OpeningHours(2, 60, 120), OpeningHours(2, 0, 61))),
            "opening_hours",
        ),
        (replace(LYON, opening_hours=(OpeningHours(1, 0, 1),) * 29), "opening_hours"),
        (replace(LYON, capabilities=(CAPABILITY, CAPABILITY)), "capabilities[1].mode_id"),
        (
            replace(LYON, capabilities=(replace(CAPABILITY, temperatures=()),)),
            "capabilities[0].temperatures",
        ),
        (
            replace(
                LYON, capabilities=(replace(CAPABILITY, can_prepare=False, can_hand_over=False),)
            ),
            "capabilities[0].can_prepare",
        ),
        (
            replace(LYON, capabilities=(replace(CAPABILITY, lead_time_minutes=-1),)),
            "capabilities[0].lead_time_minutes",
        ),
    ],
)
def test_an_unsound_site_is_refused_with_its_field(wrong: Site, field: str) -> None:
    assert [fault.field for fault in site.faults(wrong)] == [field]
    given(SITE.decider).when(UpsertSite(wrong)).then_rejected(site.Refusal.UNSOUND)


def test_the_anchor_is_a_member() -> None:
    given(EXTENDED_SITE.decider).when(
        UpsertExtendedSite(replace(LYON_CIRCLE, member_site_ids=(SiteId("S-2"),)))
    ).then_rejected(extended_site.Refusal.UNSOUND)


def test_members_are_named_once() -> None:
    given(EXTENDED_SITE.decider).when(
        UpsertExtendedSite(replace(LYON_CIRCLE, member_site_ids=(LYON.site_id,) * 2))
    ).then_rejected(extended_site.Refusal.UNSOUND)


def test_members_exist() -> None:
    given(EXTENDED_SITE.decider).when(
        UpsertExtendedSite(LYON_CIRCLE, unknown_site_ids=(LYON.site_id,))
    ).then_rejected(extended_site.Refusal.UNKNOWN_SITE)


def test_a_zone_names_extended_sites_that_exist_once() -> None:
    decider = SALES_ZONE.decider
    ids = EAST.extended_site_ids
    given(decider).when(UpsertSalesZone(EAST, ids)).then_rejected(
        sales_zone.Refusal.UNKNOWN_EXTENDED_SITE
    )
    given(decider).when(UpsertSalesZone(replace(EAST, extended_site_ids=ids * 2))).then_rejected(
        sales_zone.Refusal.UNSOUND
    )
    given(decider).when(UpsertSalesZone(replace(EAST, extended_site_ids=()))).then_rejected(
        sales_zone.Refusal.UNSOUND
    )


spans = st.builds(OpeningHours, st.integers(0, 8), st.integers(-1, 1441), st.integers(-1, 1441))


def _is_free(hours: tuple[OpeningHours, ...]) -> bool:
    minutes = [(h.weekday, m) for h in hours for m in range(h.opens_minute, h.closes_minute)]
    return len(set(minutes)) == len(minutes)


@settings(max_examples=150)
@for_all(st.lists(spans, max_size=5).map(tuple))
def test_sound_hours_never_overlap(hours: tuple[OpeningHours, ...]) -> None:
    found = list(site.faults(replace(LYON, opening_hours=hours)))
    assert found or (_is_free(hours) and all(1 <= h.weekday <= 7 for h in hours))


@settings(max_examples=100)
@for_all(st.lists(st.sampled_from(["S-LYON", "S-2", "", "a b"]), max_size=4))
def test_a_sound_circle_holds_its_anchor(members: list[str]) -> None:
    circle = replace(LYON_CIRCLE, member_site_ids=tuple(map(SiteId, members)))
    found = list(extended_site.faults(circle))
    is_sound = "S-LYON" in members and len(set(members)) == len(members)
    assert (not found) == (is_sound and set(members) <= {"S-LYON", "S-2"})


@settings(max_examples=100)
@for_all(st.lists(st.sampled_from(["X-1", "X-2", "é"]), max_size=4))
def test_a_sound_zone_names_each_once(ids: list[str]) -> None:
    zone = replace(EAST, extended_site_ids=tuple(map(ExtendedSiteId, ids)))
    is_sound = bool(ids) and len(set(ids)) == len(ids) and "é" not in ids
    assert (not list(sales_zone.faults(zone))) == is_sound
