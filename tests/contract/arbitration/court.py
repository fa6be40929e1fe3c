"""An authority that rules about its own units on a real node: tickets, rules, trials and all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.arbitration.assembly import ArbitrationRoom, build_arbitration
from gateway.arbitration.learning.backing import Backing
from gateway.arbitration.learning.proposals import Proposals
from gateway.arbitration.ports import RulingSigner
from gateway.arbitration.unit_level import UnitLevel
from gateway.audit.service import AuditLog
from gateway.checking.model import Finding
from gateway.database.timers import TimerRunner
from gateway.database.uow import Database
from gateway.kernel.ids import AuthorityCode
from gateway.publishing.model import Version
from gateway.rehearsal.history import History
from gateway.rehearsal.service import Rehearsal
from gateway.routing.conditions import cel_conditions
from gateway.trust.principal import Principal, PrincipalKind, Role
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2
from hotline.arbitration.v1 import proposal_pb2 as proposal
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import ticket_pb2
from tests.fixtures.dossiers import sources
from tests.fixtures.nodes import (
    HOSTED,
    IDS,
    NOW,
    a_message,
    a_platform,
    reference,
)
from tests.unit.publishing.builders import LANGFANG, Office, offices

CONTEXT: Any = None
DRIVING_SCHOOL = "041200"
JT, SJ = "units/131082-JT-1", "units/131082-SJ-1"  # who has it by rule, and who is said to


def a_judge(name: str = "judge", *more: Role, authority: str = LANGFANG) -> Principal:
    """Return a made-up panel member."""
    roles = frozenset({Role.PANEL_MEMBER, *more})
    return Principal(AuthorityCode(authority), PrincipalKind.STAFF, name, roles)


def a_steward(name: str = "steward", *roles: Role) -> Principal:
    """Return a made-up rule editor."""
    return Principal(
        AuthorityCode(LANGFANG), PrincipalKind.STAFF, name, frozenset(roles or {Role.RULE_EDITOR})
    )


@dataclass(slots=True)
class Court:
    """The rooms of 廊坊 on the node of 河北; `caller` is who calls the servicer."""

    office: Office
    room: ArbitrationRoom
    backing: Backing
    caller: Principal

    @property
    def proposals(self) -> Proposals:
        found = self.room.learning.proposals
        assert found is not None
        return found

    async def submit(self, external_id: str, **facts: Any) -> ticket_pb2.Ticket:
        """Hand in a complaint about a driving school in 三河."""
        region = facts.pop("region", "131082")
        message = a_message(external_id, matter=facts.pop("matter", DRIVING_SCHOOL), region=region)
        for name, value in facts.items():
            setattr(message.content.facts, name, value)
        return await self.office.federation.create(a_platform(LANGFANG), message)

    async def disputed(
        self, ticket: ticket_pb2.Ticket, *, party: str = JT, owner: str = SJ
    ) -> case_pb2.Case:
        """Have the unit that leads ask for a ruling; let what is due at once happen."""
        self.caller = a_platform(LANGFANG)
        request = pb.OpenCaseRequest(
            ticket=ticket.name,
            party=party,
            proposed_owner=owner,
            legal_basis="职责分工（测试）",
            words="预付费纠纷应由市场监管部门办理（测试）。",
            request_id=IDS.uuid7(NOW),
        )
        opened = (await self.room.servicer.OpenCase(request, CONTEXT)).case
        await self.tick()
        return await self.read(opened.name)

    async def read(self, name: str, caller: Principal | None = None) -> case_pb2.Case:
        self.caller = caller or a_judge()
        return (await self.room.servicer.GetCase(pb.GetCaseRequest(name=name), CONTEXT)).case

    async def ruled(
        self, case: case_pb2.Case, *, target: str = SJ, judge: Principal | None = None, **more: Any
    ) -> case_pb2.Case:
        """Rule, and set a precedent."""
        self.caller = judge or a_judge()
        given: dict[str, Any] = {
            "name": case.name,
            "kind": custody_pb2.Ruling.KIND_REASSIGN,
            "target": target,
            "legal_basis": "市场监管部门三定规定（测试）",
            "reasons": "预付费纠纷由市场监管部门办理（测试）。",
            "request_id": IDS.uuid7(NOW),
            "sets_precedent": True,
        }
        request = pb.IssueRulingRequest(**(given | more))
        return (await self.room.servicer.IssueRuling(request, CONTEXT)).case

    async def proposed(self) -> proposal.RuleProposal:
        """Prepare what waits and return the newest proposal, whole."""
        await self.proposals.prepare()
        [newest, *_] = await self.listed()
        return await self.shown(newest.name)

    async def listed(self, **given: Any) -> Sequence[proposal.RuleProposal]:
        self.caller = a_steward()
        request = proposal.ListProposalsRequest(**given)
        return (await self.room.servicer.ListProposals(request, CONTEXT)).proposals

    async def shown(self, name: str, caller: Principal | None = None) -> proposal.RuleProposal:
        self.caller = caller or a_steward()
        request = proposal.GetProposalRequest(name=name)
        return (await self.room.servicer.GetProposal(request, CONTEXT)).proposal

    async def accepted(
        self, name: str, *, by: Principal | None = None, etag: str = "", request_id: str = ""
    ) -> proposal.RuleProposal:
        self.caller = by or a_steward()
        request = proposal.AcceptProposalRequest(
            name=name, etag=etag, request_id=request_id or IDS.uuid7(NOW)
        )
        return (await self.room.servicer.AcceptProposal(request, CONTEXT)).proposal

    async def declined(self, name: str, *, by: Principal | None = None) -> proposal.RuleProposal:
        self.caller = by or a_steward()
        request = proposal.DeclineProposalRequest(
            name=name, reason="职责另行明确（测试）", request_id=IDS.uuid7(NOW)
        )
        return (await self.room.servicer.DeclineProposal(request, CONTEXT)).proposal

    async def in_force(self, draft: str) -> None:
        """Check, approve and publish a draft, as with any other."""
        async with self.office.database.unit() as uow:
            version: Version = await self.office.room.drafts.resolve(uow, draft)
        checked = await self.office.checked(version)
        await self.office.published(await self.office.approved(checked))
        await self.office.room.force.ready()

    async def tick(self) -> None:
        """Let everything that is due happen."""
        runner = TimerRunner(
            database=self.office.database,
            clock=self.office.federation.clock,
            handlers=dict(self.room.timers),
        )
        while await runner.run_due():
            pass


async def nothing_to_say(_source: bytes, _pack: str) -> tuple[Finding, ...]:
    """Find nothing: a check of the whole pack takes seconds, and most tests are not about it."""
    return ()


async def a_court(
    database: Database, *, ruler: RulingSigner | None = None, checks: bool = False
) -> Court:
    """Return the court of 廊坊, with the project's own rules in force.

    `ruler` stands for custody where a test rules between authorities without any custody; with
    `checks` the real checker reads what is proposed.
    """
    office = (await offices(HOSTED, {"hebei": database}))["hebei"]
    node, federation = office.node, office.federation
    history = History(node.database)
    hosted = frozenset(str(code) for code in node.keys.codes())
    joined = frozenset(str(code) for code in federation.roster.authorities)
    rehearsal = Rehearsal(
        history=history,
        packs=office.room.force,
        reference=reference,
        hosted=lambda: hosted,
        joined=lambda: joined,
        conditions=cel_conditions(),
        clock=federation.clock,
        find_source=office.room.source_of,
    )
    backing = Backing(
        tickets=node.room.tickets,
        reference=reference,
        hosted=lambda: hosted,
        joined=lambda: joined,
        rules=office.room.force,
        peers=office.room.summaries.packs,
        drafts=office.room.drafts,
        check=office.room.checker if checks else nothing_to_say,
        rehearsal=rehearsal,
        history=history,
    )
    court: Court
    room = build_arbitration(
        database=node.database,
        ruler=ruler or node.custody.arbiter,
        keys=node.keys,
        ids=IDS,
        roster=lambda: federation.roster,
        calendar=lambda: reference().calendar,
        is_within=reference().regions.is_within,
        audit=AuditLog(),
        business_clock=federation.clock,
        principal_of=lambda _context: court.caller,
        unit_level=UnitLevel(
            tickets=node.room.tickets,
            custody=node.custody,
            dispatch=node.dispatch,
            units=lambda: reference().units,
        ),
        backing=backing,
        sources=sources(federation, node),
    )
    court = Court(office, room, backing, a_judge())
    return court
