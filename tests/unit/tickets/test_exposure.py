"""Who gets to know who calls, by the part that a unit has in a ticket."""

from __future__ import annotations

import pytest

from gateway.kernel.codes import AssignmentRole, AssignmentState, DispatchMode
from gateway.kernel.values import replace
from gateway.tickets.model import Assignment
from gateway.tickets.reader import exposure_of
from tests.unit.tickets.builders import NOW, a_ticket

LEAD, HELPER, TOLD = "120000-p1", "120000-p2", "120000-p3"


def an_assignment(number: int, role: AssignmentRole, platform: str) -> Assignment:
    return Assignment(
        number=number,
        unit=f"units/120000-ZJ-{number}",
        unit_name="测试单位",
        platform=platform,
        role=role,
        state=AssignmentState.ASSIGNED,
        mode=DispatchMode.RULE,
        assign_time=NOW,
    )


@pytest.mark.parametrize(
    ("is_secret", "knowing"), [(False, {LEAD, HELPER}), (True, {LEAD})], ids=["plain", "secret"]
)
def test_who_reads_along_never_learns_it_and_a_helper_not_a_secret(
    is_secret: bool, knowing: set[str]
) -> None:
    ticket = replace(
        a_ticket(),
        secrecy_required=is_secret,
        assignments=(
            an_assignment(1, AssignmentRole.LEAD, LEAD),
            an_assignment(2, AssignmentRole.ASSIST, HELPER),
            an_assignment(3, AssignmentRole.READ, TOLD),
        ),
    )
    assert exposure_of(ticket).handled_by == knowing
