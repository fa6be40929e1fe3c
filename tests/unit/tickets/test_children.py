"""What a child is, and what its parent may not do while it is open."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.codes import TicketPurpose, TicketState
from gateway.kernel.errors import QuotaExceeded, TransitionNotAllowed
from gateway.kernel.ids import TicketNumber, mint_ticket_number
from gateway.tickets import children
from gateway.tickets.children import Birth, Wanted
from gateway.tickets.model import CHILDREN_MAX, FINAL, Child
from tests.unit.tickets.builders import ACT, NOW, TIANJIN, a_ticket

NUMBER = mint_ticket_number(TIANJIN, NOW.date(), 9)
UID = "01890a5d-ac96-774b-bcce-b302099a8058"


def wanted(purpose: TicketPurpose = TicketPurpose.ASSIST) -> Wanted:
    return Wanted(purpose=purpose, region="310101", matter="", title="协办测试", content="测试")


def a_birth() -> Birth:
    return Birth(number=NUMBER, uid=UID, now=NOW + timedelta(hours=1))


def a_child(state: TicketState) -> Child:
    return Child(number=NUMBER, purpose=TicketPurpose.ASSIST, state=state, custodian="310000")


def test_a_child_that_helps_keeps_the_matter_and_not_the_caller() -> None:
    parent = a_ticket(secrecy_required=True)
    child = children.child_of(parent, wanted(), a_birth())
    assert (child.parent, child.purpose) == (parent.number, TicketPurpose.ASSIST)
    assert (child.matter, child.region, child.depth) == (parent.matter, "310101", 1)
    assert child.anonymous
    assert child.secrecy_required
    assert child.due_time <= parent.due_time
    assert (child.platform, child.external_id) == (None, None)


@pytest.mark.parametrize("anonymous", [True, False])
def test_an_issue_of_its_own_is_the_callers(*, anonymous: bool) -> None:
    parent = a_ticket(anonymous=anonymous)
    child = children.child_of(parent, wanted(TicketPurpose.ISSUE), a_birth())
    assert child.anonymous is anonymous


def test_help_is_asked_for_and_never_passed_on() -> None:
    child = children.child_of(a_ticket(), wanted(), a_birth())
    with pytest.raises(TransitionNotAllowed, match="never passed on"):
        children.check_split(child, existing=0, wanted=1)


@pytest.mark.parametrize(
    "changes", [{"followed": True}, *({"state": state} for state in (*FINAL, TicketState.RESOLVED))]
)
def test_nothing_is_split_off_what_is_settled_or_elsewhere(changes: dict[str, Any]) -> None:
    with pytest.raises(TransitionNotAllowed):
        children.check_split(a_ticket(**changes), existing=0, wanted=1)


@given(existing=st.integers(0, 10), more=st.integers(1, 10))
def test_a_ruling_can_follow_all_children(existing: int, more: int) -> None:
    if existing + more <= CHILDREN_MAX:
        children.check_split(a_ticket(), existing=existing, wanted=more)
        return
    with pytest.raises(QuotaExceeded):
        children.check_split(a_ticket(), existing=existing, wanted=more)


@pytest.mark.parametrize("state", list(TicketState))
def test_a_parent_ends_only_after_its_children(state: TicketState) -> None:
    ended = a_child(TicketState.CLOSED)
    if state in FINAL:
        children.require_done(a_ticket(), (ended, a_child(state)), "close")
        return
    with pytest.raises(TransitionNotAllowed, match=NUMBER):
        children.require_done(a_ticket(), (ended, a_child(state)), "close")


def test_the_same_child_has_the_same_uuid_and_no_other_has() -> None:
    first = {
        "parent": str(a_ticket().number),
        "scope": "120000",
        "chain": 1,
        "epoch": "0.0",
        "index": 1,
    }
    made = children.uid_of(**first)  # type: ignore[arg-type] # the arguments by name
    assert made == children.uid_of(**first)  # type: ignore[arg-type] # the arguments by name
    assert str(uuid.UUID(made)) == made
    others = {
        children.uid_of(**{**first, name: value})  # type: ignore[arg-type] # one changed
        for name, value in (
            ("parent", TicketNumber(NUMBER)),
            ("scope", "310000"),
            ("chain", 2),
            ("epoch", "0.1"),
            ("index", 2),
        )
    }
    assert len(others) == 5
    assert made not in others


def test_the_parent_records_what_was_split_off_and_what_became_of_it() -> None:
    parent = a_ticket()
    child = children.child_of(parent, wanted(), a_birth())
    split = children.note_split(parent, ACT, (child,))
    assert [event.kind for event in split.events] == ["ticket.split"]
    assert dict(split.events[0].facts)["child"] == child.name
    closed = children.note_closed(split.ticket, ACT, child)
    assert [event.kind for event in closed.events] == ["child.closed"]
    assert closed.ticket.revision > split.ticket.revision > parent.revision
