from dataclasses import replace
from pathlib import Path

import yaml

from gateway.cli.demo.judge import Copy, Expectation, Place, Submitted, judge
from gateway.cli.demo.topology import load_topology

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
MESSAGES = {"120000-p1": frozenset({"E1"})}
EXPECTED = {"custodians": ["120000", "130000", "131000"], "unit_kind": "JT", "ends": "CLOSED"}
CASES = [Expectation(1, "120000-p1", "E1", EXPECTED)]


def verdict_of(*copies: Copy, lists: list[Submitted] | None = None):  # type: ignore[no-untyped-def] # a test double
    return judge(lists if lists is not None else LISTS, copies, CASES, messages=MESSAGES)


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
    good = judge(LISTS, [CLOSED, HELD], case, messages=MESSAGES)
    bad_copy = replace(HELD, units=("130000-GA-1", "130000-JW-1"))
    bad = judge(LISTS, [CLOSED, bad_copy], case, messages=MESSAGES)

    assert good.cases[0].is_ok
    assert not bad.cases[0].is_ok


def test_every_expected_case_is_among_the_samples_of_its_platform() -> None:
    folder = Path("gateway/cli/demo")
    cases = yaml.safe_load((folder / "expectations.yaml").read_text(encoding="utf-8"))["cases"]

    assert [case["id"] for case in cases] == [1, 10, 17, 21, 25]
    for case in cases:
        sample = Path(f"adapters/simulated/samples/{case['platform']}.jsonl")
        assert f'"{case["external_id"]}"' in sample.read_text(encoding="utf-8")


def test_every_platform_and_dispatcher_of_the_topology_has_a_node() -> None:
    topology = load_topology()

    for platform in topology.platforms:
        assert topology.node_of(platform.authority).is_custodian
    assert set(topology.dispatchers) <= set(topology.authorities)
