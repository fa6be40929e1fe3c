"""Parties on other nodes watch their copies and see their own figures; the nation sees no rows."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest

from gateway.kernel.ids import NATION
from gateway.trust.principal import Role
from hotline.arbitration.v1 import case_pb2
from hotline.arbitration.v1 import insight_pb2 as pb
from tests.fixtures.nodes import a_person
from tests.integration.arbitration.test_parties_elsewhere import Dispute, dispute
from tests.integration.arbitration.test_the_nation_rules import HEBEI, SHANGHAI, TIANJIN

__all__ = ["dispute"]  # the fixture of the neighbour
CONTEXT: Any = None
DAYS = {"first_day": "2026-03-01", "last_day": "2026-03-31"}


async def first_changes(dispute: Dispute, authority: str, count: int) -> list[case_pb2.Case]:
    dispute.caller = a_person(authority, Role.SUPERVISOR)
    stream: Any = dispute.rooms[authority].servicer.WatchCases(pb.WatchCasesRequest(), CONTEXT)
    found: list[case_pb2.Case] = []
    async with aclosing(stream) as watched:
        async for item in watched:
            found += [item.case] if item.HasField("case") else []
            if len(found) == count:
                return found
    return found


async def test_a_party_elsewhere_is_told_each_revision_of_its_copy(dispute: Dispute) -> None:
    await dispute.say(HEBEI, proposed_owner=SHANGHAI)
    await dispute.rule(SHANGHAI)
    for authority in (NATION, TIANJIN, HEBEI, SHANGHAI):
        [*_, newest] = await first_changes(dispute, authority, 3)
        assert newest.state == case_pb2.Case.STATE_CLOSED
        assert [entry.party for entry in newest.entries] == [HEBEI]
        assert not newest.entries[0].words


@pytest.mark.parametrize(
    ("authority", "seen"), [(NATION, []), (HEBEI, [HEBEI]), (SHANGHAI, [SHANGHAI])]
)
async def test_a_province_sees_itself_and_the_nation_nobody(
    dispute: Dispute, authority: str, seen: list[str]
) -> None:
    await dispute.rule(SHANGHAI)
    dispute.caller = a_person(authority, Role.SUPERVISOR)
    request = pb.GetDisputeFiguresRequest(**DAYS)
    found = await dispute.rooms[authority].servicer.GetDisputeFigures(request, CONTEXT)
    assert [item.party for item in found.parties] == seen
    assert found.HasField("by_default") is (authority == NATION)
