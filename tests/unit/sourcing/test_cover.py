"""The cover search against every cover there is."""

from itertools import product
from time import process_time
from unittest.mock import patch

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from services.sourcing.domain import cover_search
from services.sourcing.domain.cover import Cover, NoCover, cheapest_cover
from services.sourcing.domain.demands import Demand, Option

SITES = ("a", "b", "c", "d")

type Instance = tuple[list[Demand], list[Option], dict[tuple[str, str], int]]


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    pairs = draw(
        st.lists(
            st.tuples(st.integers(0, 1), st.sampled_from(["x", "y"])),
            min_size=1,
            max_size=3,
            unique=True,
        )
    )
    demands = [Demand(choice, sku, draw(st.integers(1, 3))) for choice, sku in sorted(pairs)]
    stock = {(site, sku): draw(st.integers(0, 4)) for site in SITES for sku in ("x", "y")}
    options = []
    for choice in sorted({demand.choice for demand in demands}):
        for site in SITES:
            supply = {
                d: min(stock[site, demand.sku], demand.quantity)
                for d, demand in enumerate(demands)
                if demand.choice == choice and stock[site, demand.sku] and draw(st.booleans())
            }
            if supply:
                unit = {d: draw(st.integers(0, 9)) for d in supply}
                fixed, eta = draw(st.integers(0, 20)), draw(st.integers(0, 3))
                options.append(Option(choice, site, fixed, supply, unit, eta, (0, site, site)))
    return demands, options, stock


def every_cover(instance: Instance, max_groups: int) -> dict[frozenset[int], int]:
    """Price every way to cut every demand; the cheapest cost per set of options used."""
    demands, options, stock = instance
    cuts = []
    for d, demand in enumerate(demands):
        able = [o for o, option in enumerate(options) if d in option.supply]
        cuts.append(
            [
                tuple(zip(able, parts, strict=True))
                for parts in product(range(demand.quantity + 1), repeat=len(able))
                if sum(parts) == demand.quantity
            ]
        )
    covers: dict[frozenset[int], int] = {}
    for chosen in product(*cuts):
        used: dict[tuple[str, str], int] = {}
        opened, cost = set(), 0
        for d, parts in enumerate(chosen):
            for o, units in parts:
                if units:
                    key = options[o].site, demands[d].sku
                    used[key] = used.get(key, 0) + units
                    opened.add(o)
                    cost += units * options[o].unit[d]
        per_choice = [sum(options[o].choice == c for o in opened) for c in (0, 1)]
        if any(units > stock[key] for key, units in used.items()) or max(per_choice) > max_groups:
            continue
        cost += sum(options[o].fixed for o in opened)
        names = frozenset(opened)
        covers[names] = min(cost, covers.get(names, cost))
    return covers


def solve(
    instance: Instance, tolerance: int, max_groups: int, max_nodes: int = 100_000
) -> Cover | NoCover:
    demands, options, stock = instance
    return cheapest_cover(
        demands,
        options,
        stock,
        tolerance=tolerance,
        max_groups=max_groups,
        max_nodes=max_nodes,
    )


@settings(max_examples=200, deadline=None)
@for_all(instances(), st.sampled_from([0, 3]), st.sampled_from([1, 2, 6]))
def test_no_cover_is_cheaper_and_none_as_cheap_is_faster(
    instance: Instance, tolerance: int, max_groups: int
) -> None:
    covers = every_cover(instance, max_groups)
    cover = solve(instance, tolerance, max_groups)
    if not covers:
        assert cover == NoCover(is_proved=True)
        return
    assert isinstance(cover, Cover)
    assert cover.is_proved
    least = min(covers.values())
    assert cover.cost <= least + tolerance
    used = frozenset(o for o, _, _ in cover.fill)
    assert covers[used] == cover.cost
    fastest = min(
        max(instance[1][o].eta for o in names)
        for names, cost in covers.items()
        if cost <= least + tolerance
    )
    assert max(instance[1][o].eta for o in used) == fastest


@settings(max_examples=200, deadline=None)
@for_all(instances())
def test_no_site_gives_more_than_it_has(instance: Instance) -> None:
    demands, options, stock = instance
    cover = solve(instance, 0, 6)
    if isinstance(cover, NoCover):
        return
    given: dict[tuple[str, str], int] = {}
    got = [0] * len(demands)
    for o, d, units in cover.fill:
        key = options[o].site, demands[d].sku
        given[key] = given.get(key, 0) + units
        got[d] += units
    assert all(units <= stock[key] for key, units in given.items())
    assert got == [demand.quantity for demand in demands]


def test_a_search_cut_short_still_covers_and_says_that_it_is_not_proved() -> None:
    demands = [Demand(0, "x", 4)]
    options = [
        Option(0, site, 10, {0: 2}, {0: place}, 0, (0, site, site))
        for place, site in enumerate(SITES)
    ]
    stock = {(site, "x"): 2 for site in SITES}
    cover = cheapest_cover(demands, options, stock, tolerance=0, max_groups=6, max_nodes=1)
    assert isinstance(cover, Cover)
    assert not cover.is_proved


@settings(max_examples=200, deadline=None)
@for_all(instances(), st.sampled_from([1, 2, 6]))
def test_a_search_cut_short_claims_nothing_that_it_has_not_seen(
    instance: Instance, max_groups: int
) -> None:
    covers = every_cover(instance, max_groups)
    cover = solve(instance, 0, max_groups, max_nodes=1)
    match cover:
        case Cover():
            assert covers[frozenset(o for o, _, _ in cover.fill)] == cover.cost
            assert not cover.is_proved or cover.cost == min(covers.values())
        case NoCover():
            assert not (cover.is_proved and covers)


def test_a_search_cut_short_tries_few_sites_with_much_before_it_gives_up() -> None:
    """Ten sites that each have a little at no cost, and two that together have everything."""
    skus = [f"sku-{n}" for n in range(10)]
    demands = [Demand(0, sku, 2) for sku in skus]
    little = [Option(0, f"a{n}", 0, {n: 1}, {n: 0}, 0, (0, f"a{n}", "")) for n in range(len(skus))]
    most = Option(
        0, "b", 500, dict.fromkeys(range(8), 2), dict.fromkeys(range(8), 9), 0, (0, "b", "")
    )
    rest = Option(0, "c", 500, {8: 2, 9: 2}, {8: 9, 9: 9}, 0, (0, "c", ""))
    cover = cheapest_cover(
        demands, [*little, most, rest], {}, tolerance=0, max_groups=2, max_nodes=1
    )
    assert isinstance(cover, Cover)
    assert {o for o, _, _ in cover.fill} == {10, 11}


def test_a_search_cut_short_shares_stock_when_it_takes_what_it_sees_first() -> None:
    """The first choice must leave to the second what only one site has."""
    demands = [Demand(0, "x", 1), Demand(1, "x", 1)]
    options = [
        Option(0, "b", 0, {0: 1}, {0: 0}, 0, (0, "b", "")),
        Option(0, "d", 9, {0: 1}, {0: 9}, 0, (0, "d", "")),
        Option(1, "b", 0, {1: 1}, {1: 0}, 0, (0, "b", "")),
    ]
    stock = {("b", "x"): 1, ("d", "x"): 1}
    cover = cheapest_cover(demands, options, stock, tolerance=0, max_groups=1, max_nodes=1)
    assert isinstance(cover, Cover)
    assert [(o, d) for o, d, _ in cover.fill] == [(1, 0), (2, 1)]


@settings(max_examples=100, deadline=None)
@for_all(instances())
def test_a_search_that_may_go_no_deeper_claims_nothing_of_what_lies_there(
    instance: Instance,
) -> None:
    covers = every_cover(instance, 6)
    with patch.object(cover_search, "_DEEPEST", 1):
        cover = solve(instance, 0, 6)
    match cover:
        case Cover():
            assert not cover.is_proved or cover.cost == min(covers.values())
        case NoCover():
            assert not (cover.is_proved and covers)


def test_the_work_of_a_search_is_bounded_whatever_one_step_of_it_costs() -> None:
    """Twelve choices of one product that no site has enough of: each step is a flow."""
    sites = [f"S{n}" for n in range(20)]
    demands = [Demand(c, "x", 5) for c in range(12)]
    options = [
        Option(c, site, 10 + n, {c: 3}, {c: n}, 0, (0, site, site))
        for c in range(12)
        for n, site in enumerate(sites)
    ]
    stock = {(site, "x"): 3 for site in sites}
    limits = {"tolerance": 0, "max_groups": 6, "max_nodes": 100_000}
    began = process_time()
    cover = cheapest_cover(demands, options, stock, **limits, max_looks=2_000_000)
    assert process_time() - began < 10
    assert isinstance(cover, Cover)
    assert not cover.is_proved
    assert sum(units for _, _, units in cover.fill) == 60


def test_stock_that_two_choices_want_is_given_once_and_the_rest_comes_from_elsewhere() -> None:
    demands = [Demand(0, "x", 1), Demand(0, "y", 1), Demand(1, "y", 1)]
    options = [
        Option(0, "b", 0, {0: 1, 1: 1}, {0: 0, 1: 0}, 0, (0, "b", "b")),
        Option(0, "d", 0, {1: 1}, {1: 0}, 0, (0, "d", "d")),
        Option(1, "b", 0, {2: 1}, {2: 0}, 0, (0, "b", "b")),
    ]
    stock = {("b", "x"): 1, ("b", "y"): 1, ("d", "x"): 0, ("d", "y"): 1}
    cover = cheapest_cover(demands, options, stock, tolerance=0, max_groups=6, max_nodes=100)
    assert cover == Cover(0, ((0, 0, 1), (1, 1, 1), (2, 2, 1)), is_proved=True)
