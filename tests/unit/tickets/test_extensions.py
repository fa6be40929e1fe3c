"""Only a granted extension moves a due time that was fixed (I9)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.kernel.codes import (
    AssignmentRole,
    ExtensionReason,
    ExtensionState,
    PlatformState,
    Solved,
)
from gateway.kernel.errors import FieldInvalid, ResourceNotFound, TransitionNotAllowed
from gateway.tickets import extensions, machine
from gateway.tickets.extensions import Review, Wish
from gateway.tickets.model import Change, Clocks, Ticket
from gateway.tickets.projection import platform_state
from tests.unit.tickets.builders import (
    ACT,
    CLOCKS,
    DESK,
    NOW,
    OTHER,
    UNIT,
    a_commission,
    a_ticket,
)

DAY = timedelta(days=1)
LATER = CLOCKS.due + 2 * DAY
AT_DUE = replace(ACT, now=CLOCKS.due)


def signed() -> Ticket:
    commissions = (a_commission(UNIT), a_commission(OTHER, AssignmentRole.ASSIST))
    ticket = machine.assign(a_ticket(), ACT, commissions=commissions, clocks=CLOCKS).ticket
    return machine.sign(ticket, ACT, number=1).ticket


def a_wish(**changes: Any) -> Wish:
    wish = Wish(
        assignment=1,
        reason=ExtensionReason.EXAMINATION,
        basis="等待鉴定（测试）",
        new_due=LATER,
        latest=LATER,
    )
    return replace(wish, **changes)


def asked(ticket: Ticket | None = None, **changes: Any) -> Ticket:
    return extensions.ask(ticket or signed(), ACT, a_wish(**changes)).ticket


def reviewed(ticket: Ticket, *, is_granted: bool, **changes: Any) -> Change:
    review = Review(number=1, is_granted=is_granted, is_citizen_told=True, basis="同意（测试）")
    return extensions.review(ticket, ACT, replace(review, **changes))


def test_a_wish_moves_nothing_and_a_granted_one_the_due_time() -> None:
    ticket = asked()
    assert ticket.due_time == CLOCKS.due
    assert platform_state(ticket) is PlatformState.EXTENSION_ASKED
    change = reviewed(ticket, is_granted=True)
    assert change.ticket.due_time == LATER
    assert change.ticket.extensions[0].state is ExtensionState.GRANTED
    assert change.ticket.extensions[0].citizen_told
    [event] = change.events
    facts = dict(event.facts)
    assert (event.kind, facts["before"], facts["due_time"]) == (
        "extension.granted",
        CLOCKS.due.isoformat(),
        LATER.isoformat(),
    )
    assert extensions.granted_until(change.ticket) == LATER
    assert platform_state(change.ticket) is PlatformState.EXTENDED


def test_a_refused_wish_leaves_the_due_time_and_may_be_asked_anew() -> None:
    change = reviewed(asked(), is_granted=False)
    assert change.ticket.due_time == CLOCKS.due
    assert [event.kind for event in change.events] == ["extension.refused"]
    assert asked(change.ticket).open_extension is not None


def test_more_time_is_asked_for_before_the_due_time_only() -> None:
    with pytest.raises(TransitionNotAllowed, match="before the due time"):
        extensions.ask(signed(), AT_DUE, a_wish())


@pytest.mark.parametrize(
    "new_due", [CLOCKS.due, CLOCKS.due - DAY, LATER + timedelta(seconds=1)], ids=str
)
def test_the_new_due_time_is_later_but_not_too_late(new_due: Any) -> None:
    with pytest.raises(FieldInvalid, match="new_due_time"):
        asked(new_due=new_due)


def test_one_wish_is_open_and_one_is_granted() -> None:
    ticket = asked()
    with pytest.raises(TransitionNotAllowed, match="waiting for the review of extension 1"):
        asked(ticket)
    granted = reviewed(ticket, is_granted=True).ticket
    with pytest.raises(TransitionNotAllowed, match="extended once"):
        asked(granted, new_due=LATER + DAY, latest=LATER + DAY)


def test_only_the_open_lead_unit_asks() -> None:
    with pytest.raises(TransitionNotAllowed, match="does not lead"):
        asked(assignment=2)
    with pytest.raises(TransitionNotAllowed, match="at the desk"):
        asked(machine.triage(a_ticket(), ACT, desk=DESK, reason="测试").ticket)
    with pytest.raises(TransitionNotAllowed, match="followed"):
        asked(replace(signed(), followed=True))
    done = machine.resolve(signed(), ACT, number=1, solved=Solved.SOLVED).ticket
    with pytest.raises(TransitionNotAllowed):
        asked(done)


def test_a_wish_is_decided_once_where_the_ticket_is_held_and_while_it_means_something() -> None:
    refused = reviewed(asked(), is_granted=False).ticket
    with pytest.raises(TransitionNotAllowed, match="REFUSED"):
        reviewed(refused, is_granted=True)
    with pytest.raises(ResourceNotFound):
        reviewed(refused, is_granted=True, number=2)
    with pytest.raises(TransitionNotAllowed, match="followed"):
        reviewed(replace(asked(), followed=True), is_granted=True)
    with pytest.raises(TransitionNotAllowed, match="no later"):
        reviewed(replace(asked(), due_time=LATER), is_granted=True)
    with pytest.raises(TransitionNotAllowed, match="later than"):
        reviewed(asked(), is_granted=True, latest=LATER - DAY)
    late = replace(ACT, now=LATER)
    review = Review(number=1, is_granted=True, is_citizen_told=False, basis="迟了（测试）")
    with pytest.raises(TransitionNotAllowed, match="no later than now"):
        extensions.review(asked(), late, review)


def test_a_wish_ends_with_the_work_of_its_unit() -> None:
    endings = {
        "released": machine.release(asked(), ACT, successor="130000", epoch="0.1"),
        "resolved": machine.resolve(asked(), ACT, number=1, solved=Solved.SOLVED),
        "triaged": machine.triage(asked(), ACT, desk=DESK, reason="测试"),
        "withdrawn": machine.withdraw(asked(), ACT),
    }
    for name, change in endings.items():
        assert change.ticket.open_extension is None, name
        assert change.ticket.due_time == CLOCKS.due, name
        assert "extension.refused" in [event.kind for event in change.events], name


def test_a_provisional_due_time_is_counted_again_and_any_other_never() -> None:
    ticket = replace(signed(), due_provisional=True)
    again = Clocks(CLOCKS.dispatch_due, CLOCKS.due + DAY, False)
    change = extensions.recomputed(ticket, ACT, clocks=again)
    assert (change.ticket.due_time, change.ticket.due_provisional) == (CLOCKS.due + DAY, False)
    assert [event.kind for event in change.events] == ["ticket.due_recomputed"]
    same = Clocks(ticket.dispatch_due_time, ticket.due_time, True)
    assert not extensions.recomputed(ticket, ACT, clocks=same).events
    for other in (
        signed(),
        replace(ticket, followed=True),
        machine.resolve(ticket, ACT, number=1, solved=Solved.SOLVED).ticket,
    ):
        assert extensions.recomputed(other, ACT, clocks=again) == Change(other)


def test_a_follower_shows_the_due_time_that_its_custodian_told() -> None:
    followed = machine.release(signed(), ACT, successor="130000", epoch="0.1").ticket
    told = machine.Told(
        state=followed.state,
        custodian="130000",
        assignments=(),
        decision=None,
        outcome=None,
        rating=None,
        emergency=None,
    )
    assert machine.follow(followed, ACT, told=told).ticket.due_time == CLOCKS.due
    told = replace(told, due_time=LATER)
    assert machine.follow(followed, ACT, told=told).ticket.due_time == LATER
    assert NOW < LATER
