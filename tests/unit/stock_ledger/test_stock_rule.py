"""Rules of what is kept back: the nearest wins; and deliveries on their way."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from services.stock_ledger.domain import inbound, stock_rule
from services.stock_ledger.domain.inbound import Expect, InboundExpected
from services.stock_ledger.domain.stock_rule import (
    PutRule,
    RuleKind,
    Rules,
    RuleSet,
    RuleWithdrawn,
    Scope,
)
from tests.support.given import given

TEA = ("Épicerie", "Boissons", "Thé")
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVERYWHERE = Scope(RuleKind.SAFETY)


def test_a_rule_is_set_changed_and_withdrawn() -> None:
    given(stock_rule.RULE).when(PutRule(EVERYWHERE, 2)).then(RuleSet(EVERYWHERE, 2))
    known = given(stock_rule.RULE, RuleSet(EVERYWHERE, 2))
    known.when(PutRule(EVERYWHERE, 3)).then(RuleSet(EVERYWHERE, 3))
    known.when(PutRule(EVERYWHERE, None)).then(RuleWithdrawn(EVERYWHERE))
    known.when(PutRule(EVERYWHERE, 2)).then_nothing()


def test_withdrawing_what_is_not_there_is_nothing() -> None:
    given(stock_rule.RULE).when(PutRule(EVERYWHERE, None)).then_nothing()


@pytest.mark.parametrize(
    "typed",
    [
        *("Fruits & légumes", "Fruits\u00a0& légumes", "Fruits\u202f&\u2009légumes"),
        *(" Fruits  &  légumes ", "Fruits & le\u0301gumes"),
    ],
)
def test_a_category_is_the_same_however_its_spaces_and_accents_are_typed(typed: str) -> None:
    plain = Scope(RuleKind.SAFETY, category_path=("Frais", "Fruits & légumes"))
    path = ("Frais", typed)
    assert Scope(RuleKind.SAFETY, category_path=path).rule_id == plain.rule_id
    assert Rules([(plain, 3)]).kept_back("", "paris", "kiwi", (*path, "Kiwis")) == (3, 0, 0)
    other = Rules([(Scope(RuleKind.SAFETY, category_path=path), 3)])
    assert other.kept_back("", "paris", "kiwi", plain.category_path) == (3, 0, 0)


@pytest.mark.parametrize("other", ["fruits & légumes", "Fruits & legumes", "Fruits &légumes"])
def test_capitals_accents_and_whether_there_is_a_space_tell_categories_apart(other: str) -> None:
    rule = Scope(RuleKind.SAFETY, category_path=("Fruits & légumes",))
    assert Rules([(rule, 3)]).kept_back("", "paris", "kiwi", (other,)) == (0, 0, 0)


def test_a_zero_is_a_rule_too() -> None:
    given(stock_rule.RULE).when(PutRule(EVERYWHERE, 0)).then(RuleSet(EVERYWHERE, 0))


def test_the_nearest_rule_wins() -> None:
    scopes = [
        Scope(RuleKind.SAFETY),
        Scope(RuleKind.SAFETY, site_id="paris"),
        Scope(RuleKind.SAFETY, category_path=TEA[:1]),
        Scope(RuleKind.SAFETY, category_path=TEA[:1], site_id="paris"),
        Scope(RuleKind.SAFETY, category_path=TEA),
        Scope(RuleKind.SAFETY, category_path=TEA, site_id="paris"),
        Scope(RuleKind.SAFETY, sku="tea"),
        Scope(RuleKind.SAFETY, sku="tea", site_id="paris"),
    ]
    for n in range(1, len(scopes) + 1):
        rules = Rules([(scope, quantity) for quantity, scope in enumerate(scopes[:n])])
        assert rules.kept_back("", "paris", "tea", TEA) == (n - 1, 0, 0)
    rules = Rules([(scope, quantity) for quantity, scope in enumerate(scopes)])
    assert rules.kept_back("", "lyon", "tea", TEA)[0] == 6
    assert rules.kept_back("", "paris", "milk", ("Frais",))[0] == 1
    assert rules.kept_back("", "lyon", "coffee", TEA[:2])[0] == 2


def test_buffers_are_the_channels_own_and_ring_fences_everybody_elses() -> None:
    rules = Rules(
        [
            (Scope(RuleKind.BUFFER, "web"), 3),
            (Scope(RuleKind.RING_FENCE, "web"), 10),
            (Scope(RuleKind.RING_FENCE, "drive"), 4),
            (Scope(RuleKind.RING_FENCE, "drive", sku="tea"), 5),
        ]
    )

    assert rules.kept_back("web", "paris", "tea", ()) == (0, 3, 5)
    assert rules.kept_back("drive", "paris", "tea", ()) == (0, 0, 10)
    assert rules.kept_back("store", "paris", "milk", ()) == (0, 0, 14)


def test_the_last_word_about_a_delivery_counts() -> None:
    first = Expect("po-1", 10, AT)
    given(inbound.RULE).when(first).then(InboundExpected("po-1", 10, AT))
    known = given(inbound.RULE, InboundExpected("po-1", 10, AT))
    known.when(first).then_nothing()
    later = AT + timedelta(days=1)
    known.when(Expect("po-1", 10, later)).then(InboundExpected("po-1", 10, later))
    known.when(Expect("po-1", 0, AT)).then(InboundExpected("po-1", 0, AT))
    given(inbound.RULE).when(Expect("po-2", 0, AT)).then_nothing()


scopes = st.builds(
    Scope,
    st.just(RuleKind.SAFETY),
    st.just(""),
    st.sampled_from(["", "paris", "lyon"]),
    st.integers(0, 3).map(lambda levels: TEA[:levels]),
    st.sampled_from(["", "tea", "milk"]),
).filter(lambda scope: not (scope.sku and scope.category_path))


@settings(max_examples=200)
@examples(st.dictionaries(scopes, st.integers(0, 9), max_size=8), st.data())
def test_no_rule_that_applies_is_nearer_than_the_one_that_is_applied(
    rules: dict[Scope, int], data: st.DataObject
) -> None:
    place = (data.draw(st.sampled_from(["paris", "lyon"])), "tea", TEA)
    kept, _, _ = Rules(data.draw(st.permutations(list(rules.items())))).kept_back("", *place)

    applying = [scope for scope in rules if scope.is_about(*place)]
    nearest = max((scope.nearness for scope in applying), default=None)
    assert kept in {rules[one] for one in applying if one.nearness == nearest} or (
        nearest is None and kept == 0
    )
    assert len({one.rule_id for one in rules}) == len(rules)
