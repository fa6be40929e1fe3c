"""Two cities of a province refuse a ticket; its panel rules, and the ticket goes there and stays.

Hosted on the province's node, and each city on a node of its own: the same statements, the same
end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.arbitration.assembly import ArbitrationRoom, build_arbitration
from gateway.audit.service import AuditLog
from gateway.custody.transfers import Transfers
from gateway.database.once import Once
from gateway.evidence.servicer import EvidenceServicer
from gateway.kernel.codes import TicketState
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.tickets.model import Ticket
from gateway.tickets.store import EVENTS_OF
from gateway.tickets.tokens import Tokens
from gateway.trust.principal import Role
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2
from hotline.custody.v1 import custody_pb2
from hotline.custody.v1 import custody_service_pb2 as custody_service_pb
from hotline.ticket.v1 import codes_pb2
from tests.fixtures.dossiers import sources
from tests.fixtures.exporting import an_exporter
from tests.fixtures.nodes import (
    IDS,
    NOW,
    Federation,
    a_federation,
    a_message,
    a_person,
    a_platform,
    reference,
)

HEBEI, SHIJIAZHUANG = AuthorityCode("130000"), AuthorityCode("130100")
BAODING, LANGFANG = AuthorityCode("130600"), AuthorityCode("131000")
CITIES = (SHIJIAZHUANG, BAODING, LANGFANG)
HOSTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "hosted": {"hebei": (HEBEI, *CITIES)},
    "split": {"hebei": (HEBEI,), **{f"city{code}": (code,) for code in CITIES}},
}
CONTEXT: Any = None


@dataclass(slots=True)
class Province:
    """A federation whose province has a panel."""

    federation: Federation
    panel: ArbitrationRoom

    def transfers(self, authority: str) -> EvidenceServicer:
        """Return the transfers of an authority, as its dispatcher sees them."""
        node = self.federation.node_of(authority)
        transfers = Transfers(
            database=node.database,
            custody=node.custody,
            audit=AuditLog(),
            clock=self.federation.clock,
            react=node.dispatch.reactions.react,
            window=node.dispatch.acting.answer_window,
        )
        return EvidenceServicer(
            transfers=transfers,
            once=Once(database=node.database, clock=self.federation.clock, key=node.room.token_key),
            tokens=Tokens(node.room.token_key),
            principal_of=lambda _context: a_person(authority),
            exporter=an_exporter(node),
        )

    async def offer(self, name: str, source: str, target: str) -> custody_service_pb.Transfer:
        """Offer a ticket by a person."""
        request = custody_service_pb.CreateTransferRequest(
            parent=name,
            target=target,
            reason=custody_pb2.OFFER_REASON_MANUAL,
            request_id=IDS.uuid7(NOW),
        )
        made = await self.transfers(source).CreateTransfer(request, CONTEXT)
        await self.federation.settle()
        return made.transfer

    async def refused(self, name: str, source: str, target: str, *, proposed: str) -> None:
        """Offer a ticket, and have the other side decline it."""
        transfer = await self.offer(name, source, target)
        request = custody_service_pb.DeclineTransferRequest(
            name=transfer.name,
            reason=codes_pb2.RETURN_REASON_WRONG_FUNCTION,
            clause="职责清单第一条（测试）",
            proposed_owner=proposed,
            request_id=IDS.uuid7(NOW),
        )
        await self.transfers(target).DeclineTransfer(request, CONTEXT)
        await self.federation.settle()

    async def disputed(self, holder: str = SHIJIAZHUANG, *, region: str = "130102") -> str:
        """Return the name of a ticket of `holder` that 保定 and 廊坊 refused."""
        ticket = await self.federation.create(
            a_platform(holder), a_message(region=region, matter="020401")
        )
        await self.federation.settle()
        await self.refused(ticket.name, holder, BAODING, proposed=LANGFANG)
        await self.refused(ticket.name, holder, LANGFANG, proposed=BAODING)
        return ticket.name

    async def case(self) -> case_pb2.Case:
        """Return the one case of the province."""
        listed = await self.panel.servicer.ListCases(pb.ListCasesRequest(), CONTEXT)
        [case] = listed.cases
        return case

    async def rule(
        self, case: case_pb2.Case, *, kind: str, target: str, settle: bool = True
    ) -> None:
        """Let the panel rule; without `settle` nobody on another node hears of it yet."""
        request = pb.IssueRulingRequest(
            name=case.name,
            kind=custody_pb2.Ruling.Kind.Value(f"KIND_{kind}"),
            target=target,
            legal_basis="首接负责制（测试）",
            reasons="事发地在该市（测试）。",
            request_id=IDS.uuid7(NOW),
            etag=case.etag,
        )
        await self.panel.servicer.IssueRuling(request, CONTEXT)
        if settle:
            await self.federation.settle()

    async def copy(self, authority: AuthorityCode, name: str) -> Ticket:
        """Return an authority's copy of a ticket."""
        node = self.federation.node_of(authority)
        async with node.database.unit() as uow:
            return await node.room.tickets.get(uow, authority, _number(name))

    async def kinds(self, authority: AuthorityCode, name: str) -> list[str]:
        """Return what an authority's copy tells, oldest first."""
        node = self.federation.node_of(authority)
        async with node.database.unit() as uow:
            rows = await uow.select(
                EVENTS_OF, authority=authority, ticket=_number(name), position=0, limit=100
            )
        return [row.kind for row in rows]


def a_province(hosts: Mapping[str, Sequence[str]]) -> Province:
    """Return a federation whose province rules in its own scope, wired as a node would."""
    federation = a_federation(hosts)
    node = federation.node_of(HEBEI)
    panel = build_arbitration(
        database=node.database,
        ruler=node.custody.arbiter,
        keys=node.keys,
        ids=IDS,
        roster=lambda: federation.roster,
        calendar=lambda: reference().calendar,
        is_within=reference().regions.is_within,
        audit=AuditLog(),
        business_clock=federation.clock,
        principal_of=lambda context: a_person(HEBEI, Role.PANEL_MEMBER),
        sources=sources(federation, node),
    )
    node.dispatch.reactions.arbitration = panel.arbitration.react
    return Province(federation, panel)


@pytest.fixture(params=["hosted", "split"])
def province(request: pytest.FixtureRequest) -> Province:
    return a_province(HOSTS[request.param])


async def test_the_second_refusal_brings_the_case_before_the_panel(province: Province) -> None:
    name = await province.disputed()
    case = await province.case()
    assert case.ticket == _number(name)
    assert case.cause == "refusals"
    assert case.state == case_pb2.Case.STATE_FILED
    assert list(case.filers) == [SHIJIAZHUANG]
    assert case.responsible == SHIJIAZHUANG
    assert (case.facts.matter, case.facts.region) == ("020401", "130102")
    assert (await province.copy(SHIJIAZHUANG, name)).case


async def test_a_reassigned_ticket_goes_to_the_target_and_the_case_closes(
    province: Province,
) -> None:
    name = await province.disputed()
    await province.rule(await province.case(), kind="REASSIGN", target=BAODING)
    case = await province.case()
    assert case.state == case_pb2.Case.STATE_CLOSED
    assert case.responsible == BAODING
    assert case.rulings[0].HasField("take_time")

    taken, left = await province.copy(BAODING, name), await province.copy(SHIJIAZHUANG, name)
    assert not taken.followed
    assert taken.lead is not None
    assert left.followed
    assert (left.custodian, left.case) == (BAODING, "")
    followed = await province.copy(HEBEI, name)
    assert (followed.custodian, followed.case) == (BAODING, "")
    assert "ticket.taken" in await province.kinds(BAODING, name)
    told = await province.kinds(SHIJIAZHUANG, name)
    assert {"case.ruled", "ticket.overruled", "transfer.released"} <= set(told)


async def test_what_was_ruled_is_not_offered_on(province: Province) -> None:
    name = await province.disputed()
    await province.rule(await province.case(), kind="REASSIGN", target=BAODING)
    # Its place is in 石家庄, where the rules would send it straight back.
    taken = await province.copy(BAODING, name)
    assert taken.lead is not None
    assert taken.lead.is_desk
    assert "transfer.offered" not in await province.kinds(BAODING, name)


async def test_a_person_who_offers_it_on_opens_a_new_case(province: Province) -> None:
    name = await province.disputed()
    await province.rule(await province.case(), kind="REASSIGN", target=BAODING)
    assert not (await province.offer(name, BAODING, LANGFANG)).name
    listed = await province.panel.servicer.ListCases(
        pb.ListCasesRequest(filter="state = FILED"), CONTEXT
    )
    [again] = listed.cases
    assert (again.ticket, again.cause) == (_number(name), "ruled")
    assert list(again.filers) == [BAODING]
    assert not (await province.copy(BAODING, name)).followed


async def test_an_upheld_custodian_goes_on(province: Province) -> None:
    name = await province.disputed()
    await province.rule(await province.case(), kind="UPHOLD", target=SHIJIAZHUANG)
    assert (await province.case()).state == case_pb2.Case.STATE_CLOSED
    held = await province.copy(SHIJIAZHUANG, name)
    assert not held.followed
    assert (held.case, held.state) == ("", TicketState.DISPATCHED)
    assert held.lead is not None
    assert not held.lead.is_desk


async def test_an_interim_order_moves_the_ticket_and_the_case_stays_open(
    province: Province,
) -> None:
    name = await province.disputed()
    await province.rule(await province.case(), kind="INTERIM", target=LANGFANG)
    case = await province.case()
    assert case.state == case_pb2.Case.STATE_FILED
    assert case.responsible == LANGFANG
    await province.rule(case, kind="REASSIGN", target=BAODING)
    case = await province.case()
    assert case.state == case_pb2.Case.STATE_CLOSED
    assert [ruling.number for ruling in case.rulings] == [1, 2]
    assert (await province.copy(LANGFANG, name)).followed
    assert not (await province.copy(BAODING, name)).followed


async def test_a_target_that_hears_of_its_ruling_late_is_overruled_by_the_next() -> None:
    province = a_province(HOSTS["split"])
    name = await province.disputed()
    await province.rule(await province.case(), kind="REASSIGN", target=BAODING, settle=False)
    waiting = await province.case()
    assert (waiting.state, waiting.responsible) == (case_pb2.Case.STATE_RULED, SHIJIAZHUANG)
    await province.rule(waiting, kind="REASSIGN", target=LANGFANG)
    case = await province.case()
    assert (case.state, case.responsible) == (case_pb2.Case.STATE_CLOSED, LANGFANG)
    assert not (await province.copy(LANGFANG, name)).followed
    left = await province.copy(SHIJIAZHUANG, name)
    assert (left.followed, left.custodian) == (True, LANGFANG)


async def test_a_province_rules_about_a_ticket_of_its_own(province: Province) -> None:
    name = await province.disputed(HEBEI, region=HEBEI)
    case = await province.case()
    assert (case.responsible, list(case.filers)) == (HEBEI, [HEBEI])
    await province.rule(case, kind="REASSIGN", target=LANGFANG)
    assert (await province.case()).state == case_pb2.Case.STATE_CLOSED
    assert not (await province.copy(LANGFANG, name)).followed
    left = await province.copy(HEBEI, name)
    assert (left.followed, left.custodian, left.case) == (True, LANGFANG, "")


def _number(name: str) -> TicketNumber:
    return TicketNumber(name.removeprefix("tickets/"))
