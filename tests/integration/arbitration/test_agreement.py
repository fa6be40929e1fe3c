"""Two provinces that agree end their case themselves: an offer with an Assumption, no ruling."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.custody import docket
from gateway.custody.model import ChainKey
from gateway.kernel.errors import CasePending, TransitionNotAllowed
from gateway.kernel.ids import NATION, AuthorityCode
from hotline.arbitration.v1 import case_pb2
from hotline.custody.v1 import custody_pb2
from hotline.custody.v1 import custody_service_pb2 as custody_service_pb
from tests.fixtures.nodes import IDS, NOW, Federation, a_federation
from tests.integration.arbitration import test_the_nation_rules as nation_story
from tests.integration.arbitration.test_forms import number_of

CONTEXT: Any = None
TIANJIN, SHANGHAI = AuthorityCode("120000"), AuthorityCode("310000")


async def assume(federation: Federation, authority: str, name: str) -> str:
    """Have an authority ask for a ticket; return the case that this would end."""
    request = custody_service_pb.AssumeTicketRequest(name=name, request_id=IDS.uuid7(NOW))
    asked = await nation_story.transfers(federation, authority).AssumeTicket(request, CONTEXT)
    await federation.settle()
    return asked.case


async def offer(federation: Federation, name: str, target: str) -> None:
    request = custody_service_pb.CreateTransferRequest(
        parent=name,
        target=target,
        reason=custody_pb2.OFFER_REASON_MANUAL,
        request_id=IDS.uuid7(NOW),
    )
    await nation_story.transfers(federation, TIANJIN).CreateTransfer(request, CONTEXT)
    await federation.settle()


async def test_an_agreement_of_two_provinces_ends_their_case_without_a_ruling() -> None:
    federation = a_federation(nation_story.HOSTS, with_arbiter=True)
    panel = nation_story.a_panel(federation)
    name = await nation_story.disputed(federation)
    assert (await nation_story.the_case(panel)).state == case_pb2.Case.STATE_FILED
    await assume(federation, SHANGHAI, name)
    await offer(federation, name, SHANGHAI)
    taken = await nation_story.copy_of(federation, SHANGHAI, name)
    left = await nation_story.copy_of(federation, TIANJIN, name)
    assert (taken.followed, left.followed, left.case) == (False, True, "")
    case = await nation_story.the_case(panel)
    assert case.state == case_pb2.Case.STATE_WITHDRAWN
    assert not case.rulings
    assert not case.HasField("ruling_due_time")  # nothing is late any more
    node = federation.node_of(SHANGHAI)
    async with node.database.unit() as uow:
        key = ChainKey(SHANGHAI, number_of(name), NATION, 1)
        assert await docket.newest_ruling(uow, key) is None


async def test_who_did_not_ask_for_it_is_offered_nothing_during_a_case() -> None:
    federation = a_federation(nation_story.HOSTS, with_arbiter=True)
    panel = nation_story.a_panel(federation)
    name = await nation_story.disputed(federation)
    with pytest.raises((CasePending, TransitionNotAllowed)):
        await offer(federation, name, SHANGHAI)
    assert (await nation_story.the_case(panel)).state == case_pb2.Case.STATE_FILED
