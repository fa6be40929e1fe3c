from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.demo.disputes import CaseFile
from gateway.cli.demo.judge import Copy, Expectation, Place, Submitted, judge
from gateway.cli.demo.lists import read_expectations
from gateway.cli.demo.topology import load_topology
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import NATION

CLOSED = Copy(
    number="12000020261102000000001",
    authority="120000",
    node="tianjin",
    origin="120000",
    platform="120000-p1",
    external_id="E1",
    is_followed=True,
    state="CLOSED",
    custodian="131000",
    path=("120000", "130000", "131000"),
    case="",
    action="OFFER",
    rule="r",
    unit="131082-JT-1",
    units=("131082-JT-1",),
    unit_name="某局",
    region="131082",
    is_rated=True,
    is_overdue=False,
    line="",
    referred_to="",
    has_sheet=False,
    has_answer=False,
)
HELD = replace(CLOSED, authority="131000", node="hebei", is_followed=False, action="ASSIGN")
LISTS = [Submitted("120000-p1", "120000", frozenset({"E1"}), {"E1": CLOSED.number})]
EXPECTED = {"custodians": ["120000", "130000", "131000"], "unit_kind": "JT", "ends": "CLOSED"}
CASES = [Expectation(1, "120000-p1", "E1", EXPECTED)]


def verdict_of(*copies: Copy, lists: list[Submitted] | None = None):  # type: ignore[no-untyped-def] # a test double
    return judge(lists if lists is not None else LISTS, copies, CASES)


def test_ticket_that_ended_as_its_row_says_is_good() -> None:
    verdict = verdict_of(CLOSED, HELD)

    assert verdict.is_good
    assert verdict.places[Place.COMPLETED] == 1


def test_acknowledged_message_that_its_origin_does_not_know_is_lost() -> None:
    assert verdict_of(HELD).lost == ("120000-p1/E1",)


def test_ticket_that_nobody_holds_is_lost_and_unsettled() -> None:
    verdict = verdict_of(CLOSED)

    assert verdict.lost == ("120000-p1/E1",)
    assert not verdict.is_settled


def test_second_custodian_and_second_ticket_of_one_message_are_doubles() -> None:
    assert verdict_of(CLOSED, HELD, replace(HELD, authority="130000")).duplicated
    again = replace(CLOSED, number="12000020261102000000002", is_followed=False)
    assert verdict_of(CLOSED, HELD, again).duplicated == ("120000-p1/E1",)


def test_message_that_was_not_acknowledged_yet_is_not_settled() -> None:
    lists = [Submitted("120000-p1", "120000", frozenset({"E1"}), {})]

    assert not verdict_of(lists=lists).is_settled
    assert verdict_of(lists=lists).lost == ()


def test_copies_that_disagree_are_not_settled() -> None:
    verdict = verdict_of(replace(CLOSED, state="HANDLING"), HELD)

    assert verdict.disagreeing == (CLOSED.number,)
    assert not verdict.cases[0].is_ok


def test_every_place_counts_once() -> None:
    expected = {
        "REFERRED": Place.REFERRED,
        "MERGED": Place.MERGED,
        "WITHDRAWN": Place.WITHDRAWN,
        "HANDLING": Place.UNSETTLED,
    }
    for state, place in expected.items():
        assert verdict_of(CLOSED, replace(HELD, state=state)).places[place] == 1
    for unit in ("", "131000-desk"):
        triage = replace(HELD, state="DISPATCHED", action="TRIAGE", unit=unit)
        assert verdict_of(CLOSED, triage).places[Place.IN_TRIAGE] == 1
    for action, place in (
        ("ASSIGN", Place.IN_TRIAGE),  # of an unknown matter
        ("OFFER", Place.IN_TRIAGE),  # that came back
        ("EXTERNAL", Place.UNSETTLED),  # until its answer is recorded
    ):
        at_desk = replace(HELD, state="DISPATCHED", action=action, unit="131000-desk")
        assert verdict_of(CLOSED, at_desk).places[place] == 1
    in_case = replace(HELD, state="DISPATCHED", case="c1")
    assert verdict_of(CLOSED, in_case).places[Place.IN_CASE] == 1


def test_unit_that_must_never_get_it_is_seen_among_all_assignments() -> None:
    case = [Expectation(17, "120000-p1", "E1", {"never_units": ["130000-GA-1"]})]
    good = judge(LISTS, [CLOSED, HELD], case)
    bad_copy = replace(HELD, units=("130000-GA-1", "130000-JW-1"))
    bad = judge(LISTS, [CLOSED, bad_copy], case)

    assert good.cases[0].is_ok
    assert not bad.cases[0].is_ok


CHILD = replace(
    CLOSED,
    number="32050020261231000000001",
    authority="320500",
    origin="320500",
    platform="",
    external_id="",
    custodian="310000",
    parent=CLOSED.number,
    purpose="ASSIST",
)
HELPED = replace(CHILD, authority="310000", is_followed=False)


def test_children_are_compared_by_who_ended_them_and_counted_apart() -> None:
    case = [Expectation(3, "120000-p1", "E1", {"children": [["310000", "ASSIST", "CLOSED"]]})]
    verdict = judge(LISTS, [CLOSED, HELD, CHILD, HELPED], case)
    handling = [replace(copy, state="HANDLING") for copy in (CHILD, HELPED)]

    assert verdict.cases[0].is_ok
    assert (verdict.tickets, verdict.children) == (1, 1)
    assert not judge(LISTS, [CLOSED, HELD, *handling], case).cases[0].is_ok


def test_copy_at_an_origin_that_no_submitter_knows_is_a_double() -> None:
    stray = replace(HELD, number="x", authority="120000", external_id="E2")
    by_a_person = replace(stray, platform="")

    assert verdict_of(CLOSED, HELD, stray).duplicated == ("x",)
    assert verdict_of(CLOSED, HELD, by_a_person).duplicated == ()


def test_case_is_what_the_arbiter_says_of_the_ticket() -> None:
    ruled = {"state": "CLOSED", "ruling": "UPHOLD", "target": "130000"}
    case = [Expectation(20, "120000-p1", "E1", {"case": ruled})]
    file = CaseFile(CLOSED.number, "CLOSED", "path", "UPHOLD", "130000")

    assert judge(LISTS, [CLOSED, HELD], case, case_files=[file]).cases[0].is_ok
    filed = replace(file, state="FILED", ruling="", target="")
    assert not judge(LISTS, [CLOSED, HELD], case, case_files=[filed]).cases[0].is_ok
    assert not judge(LISTS, [CLOSED, HELD], case).cases[0].is_ok


def variations_of(held: Copy, *, count: int = 1):  # type: ignore[no-untyped-def] # a test double
    """Return how one variation like `held` among `count` counts; the others end as expected."""
    keys = [f"E1-V{number:06d}" for number in range(1, count + 1)]
    numbers = {key: f"n{key}" for key in keys}
    lists = [Submitted("120000-p1", "120000", frozenset(keys), numbers)]
    copies = []
    for position, key in enumerate(keys):
        own = held if position == 0 else HELD
        # Both copies say the same state, as they do in the end.
        copies += [
            replace(CLOSED, number=numbers[key], external_id=key, state=own.state),
            replace(own, number=numbers[key], external_id=""),
        ]
    varied = [Expectation(1, "120000-p1", key, EXPECTED) for key in keys]
    return judge(lists, copies, [], varied=varied)


def test_variations_are_good_when_almost_all_end_so_and_the_others_wait_with_a_reason() -> None:
    triage = replace(
        HELD, state="DISPATCHED", action="TRIAGE", unit="131000-desk", explanation="why"
    )
    few, many = variations_of(triage, count=10), variations_of(triage, count=40)

    assert many.is_good
    assert many.variations.as_expected == 39
    assert many.variations.waiting == {"1: in_triage: why": 1}
    assert not few.is_good


def test_variation_that_ended_against_its_row_is_never_good() -> None:
    verdict = variations_of(replace(HELD, unit="131082-SJ-1"), count=100)

    assert not verdict.is_good
    assert verdict.variations.otherwise == {"1: completed: unit_kind": 1}


def test_every_expected_case_is_among_the_samples_of_its_platform() -> None:
    cases = read_expectations()

    assert [case.id for case in cases] == [
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 11, 12, 13, 14, 14, 15, 16, 17, 18, 20, 21, 23, 24,
        25,
    ]  # fmt: skip
    for case in cases:
        sample = Path(f"adapters/simulated/samples/{case.platform}.jsonl")
        assert f'"{case.external_id}"' in sample.read_text(encoding="utf-8")
        assert "unit" not in case.varied


def test_every_platform_and_person_of_the_topology_has_a_node() -> None:
    topology = load_topology()

    for platform in topology.platforms:
        assert topology.node_of(platform.authority).is_custodian
    assert set(topology.dispatchers) <= set(topology.authorities)
    for code in topology.panels:
        roles = topology.arbiter_of(code).roles
        assert ("arbiter" if code == NATION else "custodian") in roles
    assert {case.platform for case in read_expectations()} <= {p.id for p in topology.platforms}


def test_part_of_the_world_keeps_the_nation_and_refuses_strangers() -> None:
    part = load_topology().only(["120000", "130000"])

    assert set(part.authorities) == {"120000", "130000", "130100", "130600", "131000"}
    assert [node.name for node in part.national] == ["national-directory", "national-arbiter"]
    assert {platform.authority for platform in part.platforms} == set(part.authorities)
    with pytest.raises(FieldInvalid):
        load_topology().only(["131000"])
