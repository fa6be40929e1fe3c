"""Figures of disputes are counted as they are defined, weighed, withheld and never ranked."""

from __future__ import annotations

import math
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.arbitration.model import Case, Entry
from gateway.arbitration.sight import figures
from gateway.arbitration.sight.figures import PartyFigures, Returned
from gateway.kernel.codes import CaseEntryKind, CaseLevel, ReturnState, RulingKind
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from gateway.reference.calendar import Calendar
from tests.unit.arbitration.builders import (
    BAODING,
    LANGFANG,
    NOW,
    SHIJIAZHUANG,
    a_case,
    a_ruling,
    an_order,
)

RULED = NOW + timedelta(hours=3)


def hours(start: Instant, end: Instant) -> float:
    return (end - start) / timedelta(hours=1)


def a_position(party: str, proposed: str, *, said: Instant = NOW) -> Entry:
    return Entry(
        number=1,
        kind=CaseEntryKind.POSITION,
        party=party,
        author=f"lubiao://{party}/staff/s1",
        said=said,
        proposed=AuthorityCode(proposed),
        legal_basis="职责清单（测试）",
    )


def ruled(*entries: Entry, to: str = SHIJIAZHUANG) -> Case:
    """Return a case that 石家庄 filed, 保定 was meant to take, ruled after three hours."""
    ruling = a_ruling(1, an_order(target=to), issued=RULED)
    return a_case(entries=entries, rulings=(ruling,))


def of(*cases: Case, party: str, threshold: int = 1, **given: object) -> PartyFigures:
    found = figures.parties(
        cases,
        given.get("returns", ()),  # type: ignore[arg-type] # by name
        shown=lambda _case, _party: True,
        hours=hours,
        threshold=threshold,
    )
    [item] = [item for item in found if item.party == party]
    return item


def test_who_denies_and_does_not_get_it_is_upheld() -> None:
    case = ruled(to=LANGFANG)  # filed by 石家庄, refused by 保定; 廊坊 gets it
    for party in (SHIJIAZHUANG, BAODING):
        upheld = of(case, party=party).upheld
        assert upheld is not None
        assert (upheld.weight, upheld.value) == (1, 1.0)


def test_who_claims_and_does_not_get_it_is_not_upheld() -> None:
    case = ruled(a_position(BAODING, BAODING), to=LANGFANG)
    upheld = of(case, party=BAODING).upheld
    assert upheld is not None
    assert upheld.value == 0.0
    assert of(case, party=BAODING, threshold=0).returns == 0  # it would have had it


def test_who_said_nothing_and_must_take_it_lost_by_silence() -> None:
    lost = of(ruled(to=BAODING), party=BAODING)
    assert lost.silent is not None
    assert lost.lost_by_silence is not None
    assert (lost.silent.value, lost.lost_by_silence.value) == (1.0, 1.0)
    late = ruled(a_position(BAODING, LANGFANG, said=RULED + timedelta(minutes=1)), to=BAODING)
    assert of(late, party=BAODING).lost_by_silence == lost.lost_by_silence
    spoke = of(ruled(a_position(BAODING, LANGFANG), to=BAODING), party=BAODING)
    assert spoke.lost_by_silence is not None
    assert spoke.lost_by_silence.value == 0.0


def test_time_in_dispute_ends_with_the_first_ruling_proper() -> None:
    interim = a_ruling(1, an_order(RulingKind.INTERIM), issued=NOW + timedelta(hours=1))
    first = a_ruling(2, issued=RULED)
    again = a_ruling(3, issued=NOW + timedelta(hours=9))
    spent = of(a_case(rulings=(interim, first, again)), party=BAODING).in_dispute
    assert spent is not None
    assert (spent.weight, spent.p50, spent.p90) == (1, 3.0, 3.0)


def test_a_case_without_a_ruling_counts_and_weighs_nothing() -> None:
    item = of(a_case(), party=BAODING)
    assert (item.cases, item.upheld, item.in_dispute, item.silent) == (1, None, None, None)


def test_returns_of_units_count_once_decided() -> None:
    states = (ReturnState.GRANTED, ReturnState.ASSUMED, ReturnState.REFUSED, ReturnState.FILED)
    given_back = [Returned("units/a", state) for state in states]
    item = of(party="units/a", returns=given_back)
    assert item.returns == 4
    assert item.upheld is not None
    assert (item.upheld.weight, item.upheld.value) == (3, 0.667)


def test_in_a_case_of_units_the_return_is_not_counted_twice() -> None:
    case = a_case(level=CaseLevel.UNITS, filers=("units/a",), path=("units/a",))
    assert of(case, party="units/a", threshold=0).returns == 0


def test_what_is_below_the_threshold_is_withheld_and_said() -> None:
    item = of(*[ruled()] * 9, party=BAODING, threshold=10)
    assert (item.cases, item.upheld, item.in_dispute, item.silent) == (None, None, None, None)
    assert item.withheld
    whole = of(*[ruled()] * 10, party=BAODING, threshold=10)
    assert whole.cases == 10
    assert whole.returns == 10
    assert not whole.withheld


def test_none_is_not_told_from_few() -> None:
    few, none = of(ruled(), party=BAODING, threshold=10), of(a_case(), party=BAODING, threshold=10)
    assert few == none


def test_rows_are_in_the_order_of_codes_whatever_the_figures() -> None:
    found = figures.parties(
        [ruled(to=LANGFANG), ruled(to=BAODING)],
        [Returned("units/z", ReturnState.GRANTED)],
        shown=lambda _case, _party: True,
        hours=hours,
        threshold=1,
    )
    names = [item.party for item in found]
    assert names == sorted(names)


def test_only_who_may_be_shown_is_counted() -> None:
    found = figures.parties(
        [ruled()],
        [],
        shown=lambda _case, party: party == BAODING,
        hours=hours,
        threshold=1,
    )
    assert [item.party for item in found] == [BAODING]


def test_rulings_by_default_are_a_share_of_the_ruled() -> None:
    default = a_case(rulings=(a_ruling(1, an_order(RulingKind.DEFAULT)),))
    share = figures.by_default([default, ruled(), a_case()], threshold=1)
    assert share is not None
    assert (share.weight, share.value) == (2, 0.5)
    assert figures.by_default([default], threshold=2) is None


def test_the_interval_is_wilson_s() -> None:
    assert figures.wilson(8, 10) == (0.49, 0.943)  # as in Newcombe 1998, method 3
    assert figures.wilson(0, 10) == (0.0, 0.278)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_share_and_narrows_with_the_weight(given_: tuple[int, int]) -> None:
    count, weight = given_
    low, high = figures.wilson(count, weight)
    assert 0 <= low <= round(count / weight, 3) <= high <= 1
    wider = figures.wilson(count * 4, weight * 4)
    assert wider[1] - wider[0] <= high - low + 0.002


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=50))
def test_quantiles_are_values_that_occurred(values: list[float]) -> None:
    spread = figures.spread_of(values, threshold=1)
    assert spread is not None
    rounded = sorted(round(value, 1) for value in values)
    assert spread.p50 in rounded
    assert spread.p90 in rounded
    assert spread.p50 <= spread.p90
    assert spread.p90 == rounded[math.ceil(0.9 * len(values)) - 1]


def test_working_time_between_two_instants_leaves_out_nights_and_weekends() -> None:
    calendar = Calendar()
    monday = NOW  # 10:00 in Shanghai
    assert calendar.open_between(monday, monday + timedelta(hours=1)) == timedelta(hours=1)
    assert calendar.open_between(monday, monday + timedelta(days=1)) == timedelta(hours=7)
    assert calendar.open_between(monday, monday + timedelta(days=7)) == timedelta(hours=35)
    assert calendar.open_between(monday, monday) == timedelta(0)
    assert calendar.open_between(monday, monday - timedelta(days=2)) == timedelta(0)
