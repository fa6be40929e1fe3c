"""提级 of a dispute of units is one step of the desk: its filing ends the case of units."""

from __future__ import annotations

from gateway.audit.service import AuditLog
from gateway.custody.transfers import Transfers
from gateway.database.uow import Database
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.tickets.disputes import is_between_units
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2
from tests.contract.arbitration.court import CONTEXT, a_court, a_judge
from tests.fixtures.nodes import a_person
from tests.unit.arbitration.builders import HEBEI, LANGFANG, SHIJIAZHUANG


async def test_a_filing_of_the_desk_ends_the_case_of_units_in_the_same_step(
    database: Database,
) -> None:
    court = await a_court(database)
    node, federation = court.office.node, court.office.federation
    node.dispatch.reactions.arbitration = court.room.arbitration.react
    ticket = await court.submit("T-1")
    units = await court.disputed(ticket)
    assert units.state == case_pb2.Case.STATE_FILED
    transfers = Transfers(
        database=node.database,
        custody=node.custody,
        audit=AuditLog(),
        clock=federation.clock,
        react=node.dispatch.reactions.react,
        window=node.dispatch.acting.answer_window,
    )
    number = TicketNumber(ticket.name.removeprefix("tickets/"))
    async with node.database.unit() as uow:
        wider = await transfers.file(uow, a_person(LANGFANG), ticket=number, owner=SHIJIAZHUANG)
    # Nothing else has happened yet: the filing is not even with the province.
    assert (await court.read(units.name)).state == case_pb2.Case.STATE_WITHDRAWN
    async with node.database.unit() as uow:
        copy = await node.room.tickets.get(uow, AuthorityCode(LANGFANG), number)
    assert copy.case == wider
    assert not is_between_units(copy)
    assert copy.lead is not None
    assert copy.lead.unit == f"units/{LANGFANG}-desk"  # responsible until the province has ruled

    await federation.settle()
    court.caller = a_judge(authority=HEBEI)
    request = pb.ListCasesRequest(filter="state = FILED")
    [case] = (await court.room.servicer.ListCases(request, CONTEXT)).cases
    assert (case.name, list(case.filers)) == (f"cases/{wider}", [LANGFANG])
    assert list(case.proposed_targets) == [SHIJIAZHUANG]
