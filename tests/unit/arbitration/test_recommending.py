"""What a panel is told: each source with what it says, and who says otherwise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.arbitration.learning.recommending import (
    RECOMMENDATIONS_MAX,
    Recommendation,
    Source,
    compared,
    rules_unknown,
)

PARTIES = ("", "units/131082-JT-1", "units/131082-SJ-1", "131000")


def a_recommendation(
    number: int, source: Source = Source.RULE, party: str = PARTIES[1]
) -> Recommendation:
    return Recommendation(
        source=source, reference=f"reference-{number}", party=party, owner="131000", says="测试"
    )


ITEMS = st.lists(
    st.builds(
        a_recommendation,
        st.integers(0, 99),
        st.sampled_from(Source),
        st.sampled_from(PARTIES),
    ),
    max_size=12,
    unique_by=lambda item: item.reference,
)


@given(items=ITEMS)
def test_who_contradicts_is_contradicted(items: list[Recommendation]) -> None:
    found = {item.reference: item for item in compared(items)}
    for item in found.values():
        for other in item.against:
            assert item.reference in found[other].against
            assert found[other].party != item.party


@given(items=ITEMS)
def test_nothing_is_ranked_or_left_out(items: list[Recommendation]) -> None:
    assert [item.reference for item in compared(items)] == [item.reference for item in items]


def test_a_near_precedent_and_whoever_names_nobody_contradict_nobody() -> None:
    one = a_recommendation(1)
    near = a_recommendation(2, Source.NEAR, PARTIES[2])
    silent = a_recommendation(3, party="")
    assert [item.against for item in compared((one, near, silent))] == [(), (), ()]


def test_sources_that_disagree_name_each_other() -> None:
    first, second = compared((a_recommendation(1), a_recommendation(2, party=PARTIES[2])))
    assert first.against == ("reference-2",)
    assert second.against == ("reference-1",)


def test_rules_that_nobody_knows_are_said_to_be_unknown() -> None:
    item = rules_unknown("130600")
    assert (item.party, item.owner) == ("", "130600")
    assert item.says


def test_they_are_bounded() -> None:
    many = [a_recommendation(number) for number in range(RECOMMENDATIONS_MAX + 5)]
    assert len(compared(many)) == RECOMMENDATIONS_MAX
