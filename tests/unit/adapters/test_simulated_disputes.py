"""What simulated parties say before a panel, and what it does. The cases are made up."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.simulated import sitting
from adapters.simulated.bodies import answer_to
from adapters.simulated.messages import positions_of, rulings_of, sample_messages
from adapters.simulated.panel import ruling_request
from gateway.cli.demo.topology import load_topology
from hotline.arbitration.v1 import case_pb2
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import codes_pb2, ticket_pb2

SCRIPT: dict[str, Any] = {
    "matter": "140102",
    "positions": 2,
    "conference": {"attended": ["120000", "HB"], "minutes": "纪要（演示数据）"},
    "ruling": {"target": "130000", "form": "JOINT", "parts": ["120000"]},
}
FILED, REVIEW = case_pb2.Case.STATE_FILED, case_pb2.Case.STATE_REVIEW
CONFERENCE, RULED = case_pb2.Case.STATE_CONFERENCE, case_pb2.Case.STATE_RULED


def a_case(
    state: case_pb2.Case.State.ValueType = FILED, *spoken: str, has_minutes: bool = False
) -> case_pb2.Case:
    entries = [
        case_pb2.CaseEntry(kind=case_pb2.CaseEntry.KIND_POSITION, party=party) for party in spoken
    ]
    if has_minutes:
        entries.append(case_pb2.CaseEntry(kind=case_pb2.CaseEntry.KIND_MINUTES, party="100000"))
    return case_pb2.Case(
        name="cases/c",
        scope="100000",
        state=state,
        responsible="130000",
        path=["120000", "130000"],
        proposed_targets=["120000"],
        facts=case_pb2.TicketFacts(matter="140102"),
        entries=entries,
    )


def act_on(case: case_pb2.Case, *, waited: float = 0.0, **script: Any) -> sitting.Act | None:
    return sitting.next_act(case, [SCRIPT | script], waited=waited)


def test_panel_hears_the_parties_before_it_rules() -> None:
    both = ("120000", "130000")

    assert act_on(a_case(FILED, "120000")) is None  # one has not spoken
    assert act_on(a_case(FILED, *both)) == sitting.TakeUp()
    assert act_on(a_case(REVIEW, *both)) == sitting.Convene()
    minutes = act_on(a_case(CONFERENCE, *both))
    assert minutes == sitting.Record(("120000", "HB"), "纪要（演示数据）")
    ruling = act_on(a_case(CONFERENCE, *both, has_minutes=True))
    assert isinstance(ruling, sitting.Rule)
    assert ruling.kind == custody_pb2.Ruling.KIND_UPHOLD
    assert act_on(a_case(RULED, *both, has_minutes=True)) is None


def test_panel_waits_for_nobody_for_ever_and_needs_no_conference() -> None:
    assert act_on(a_case(), waited=sitting.PATIENCE_SECONDS) == sitting.TakeUp()
    ruling = act_on(a_case(REVIEW, "120000", "130000"), conference=None)
    assert isinstance(ruling, sitting.Rule)


def test_panel_names_somebody_for_the_time_being_before_anything_else() -> None:
    interim = {"target": "120000"}
    order = act_on(a_case(), interim=interim)

    assert isinstance(order, sitting.Rule)
    assert (order.kind, order.target) == (custody_pb2.Ruling.KIND_INTERIM, "120000")
    named = a_case()
    named.rulings.add(kind=custody_pb2.Ruling.KIND_INTERIM)
    assert act_on(named, interim=interim) is None


def test_ruling_says_who_leads_and_who_has_a_part() -> None:
    act = act_on(a_case(REVIEW, "120000", "130000"), conference=None)
    assert isinstance(act, sitting.Rule)

    request = ruling_request(a_case(), act)

    assert request.form == case_pb2.CaseRuling.FORM_JOINT
    assert [part.party for part in request.parts] == ["120000"]


@pytest.mark.parametrize(
    ("scope", "region", "expected"),
    [
        ("100000", "130281", "130000"),
        ("100000", "120101", "120000"),
        ("100000", "310101", "130000"),  # no party: who cares for it goes on
        ("100000", "", "130000"),
        ("130000", "131082", "131000"),
    ],
)
def test_panel_without_a_script_rules_for_the_party_whose_place_it_is(
    scope: str, region: str, expected: str
) -> None:
    case = case_pb2.Case(
        scope=scope,
        state=FILED,
        responsible="130000",
        path=["120000", "130000"],
        proposed_targets=["120000", "131000"],
        facts=case_pb2.TicketFacts(region=region, type=codes_pb2.TICKET_TYPE_HELP),
    )

    act = sitting.next_act(case, [], waited=0.0)

    assert isinstance(act, sitting.Rule)
    assert act.target == expected


def test_party_states_each_position_once_and_only_of_a_party() -> None:
    said = {"matter": "140102", "owner": "130000", "basis": "b", "words": "w"}
    scripts = [said, said | {"party": "units/310000-TY-1"}]

    due = sitting.positions_due(a_case(), scripts, authority="120000")

    assert [each.party for each in due] == ["120000"]
    assert not sitting.positions_due(a_case(FILED, "120000"), scripts, authority="120000")
    assert not sitting.positions_due(a_case(RULED), scripts, authority="120000")


def test_body_answers_only_what_it_is_asked_itself() -> None:
    script = {"unit": "units/320000-YZ-1", "answer": {"accepted": True, "clause": "c"}}
    ticket = ticket_pb2.Ticket(name="tickets/32000020261231000010001")
    request = ticket_pb2.UnitRequest(
        number=2, asked="units/320000-YZ-1", state=ticket_pb2.UnitRequest.STATE_ASKED
    )

    said = answer_to(ticket, request, script)

    assert said is not None
    assert (said.name, said.unit_request_number, said.accepted) == (ticket.name, 2, True)
    request.asked = "units/320000-desk"
    assert answer_to(ticket, request, script) is None
    request.asked, request.state = "units/320000-YZ-1", ticket_pb2.UnitRequest.STATE_ACCEPTED
    assert answer_to(ticket, request, script) is None


def test_disputes_of_the_samples_are_heard_by_people_who_exist() -> None:
    topology = load_topology()
    platforms = [platform.id for platform in topology.platforms]
    matters = {row["事项编码"] for name in platforms for row in sample_messages(name)}
    positions = [each for code in topology.dispatchers for each in positions_of(code)]
    rulings = [each for code in topology.panels for each in rulings_of(code)]

    assert {each["matter"] for each in (*positions, *rulings)} <= matters
    for each in rulings:
        spoken = [said for said in positions if said["matter"] == each["matter"]]
        assert 0 < len(spoken) <= each["positions"]  # whoever opened it has spoken too
