"""A platform may serve several units of a ticket: which assignment it means."""

import pytest

from gateway.dispatch.handling import assignment_of
from gateway.kernel.codes import AssignmentRole
from gateway.kernel.errors import TransitionNotAllowed
from tests.fixtures.nodes import a_call, a_platform
from tests.unit.tickets.builders import a_ticket
from tests.unit.tickets.test_exposure import an_assignment

TICKET = a_ticket(
    authority="120000",
    assignments=(
        an_assignment(1, AssignmentRole.LEAD, "120000-p1"),
        an_assignment(2, AssignmentRole.ASSIST, "120000-p1"),
        an_assignment(3, AssignmentRole.ASSIST, "120000-p2"),
    ),
)
CALL = a_call(a_platform("120000"), "AcknowledgeTicket")


def test_named_assignment_is_meant_and_the_lead_without_a_name() -> None:
    assert assignment_of(CALL, TICKET).number == 1
    assert assignment_of(CALL, TICKET, number=2).number == 2


def test_assignment_of_another_platform_or_none_is_refused() -> None:
    for number in (3, 9):
        with pytest.raises(TransitionNotAllowed):
            assignment_of(CALL, TICKET, number=number)
