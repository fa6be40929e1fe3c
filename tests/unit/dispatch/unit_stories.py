"""A ticket at a unit, who acts on it, and the disputes that are told: for tests of returns."""

from __future__ import annotations

from dataclasses import replace

from gateway.database.timers import TimerRunner
from gateway.database.uow import UnitOfWork
from gateway.dispatch.disputes import UnitDispute
from gateway.dispatch.handling import Target
from gateway.dispatch.requests import Answer as RequestAnswer
from gateway.dispatch.returning import Plea
from gateway.dispatch.returning_answers import Answer
from gateway.kernel.codes import ReturnReason, Urgency
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.tickets.disputes import prefix_of
from gateway.tickets.model import Ticket
from gateway.trust.principal import Principal, Role
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from tests.fixtures.nodes import (
    Federation,
    Node,
    a_call,
    a_federation,
    a_message,
    a_person,
    a_platform,
)
from tests.unit.dispatch.desk import a_reviewer

PB = ticket_pb2.Ticket
TIANJIN = "120000"


def a_handler(authority: str) -> Principal:
    """Return somebody of a unit's own staff."""
    return replace(a_person(authority, Role.HANDLER), id="s3")


class Disputed:
    """One ticket at its unit; `told` are the disputes that arbitration would have got."""

    def __init__(self, federation: Federation, authority: str, number: str) -> None:
        self.federation = federation
        self.authority = authority
        self.node: Node = federation.node_of(authority)
        self.target = Target(number=TicketNumber(number))
        self.told: list[UnitDispute] = []
        self.node.dispatch.disputes.opened = self._opened

    async def _opened(self, uow: UnitOfWork, dispute: UnitDispute, now: Instant) -> str:
        del uow, now
        self.told.append(dispute)
        return f"{dispute.ticket}-{dispute.authority}-0-{len(self.told)}"

    @property
    def platform(self) -> Principal:
        return a_platform(self.authority)

    async def copy(self) -> Ticket:
        async with self.node.database.unit() as uow:
            return await self.node.room.tickets.get(
                uow, AuthorityCode(self.authority), self.target.number
            )

    async def leader(self) -> str:
        lead = (await self.copy()).lead
        assert lead is not None
        return lead.unit

    async def file(self, owner: str, *, who: Principal | None = None) -> PB:
        plea = Plea(reason=ReturnReason.WRONG_FUNCTION, clause="清单（测试）", proposed_owner=owner)
        answer = await self.node.dispatch.units.returning.file(
            a_call(who or self.platform, "ReturnTicket"), self.target, plea=plea
        )
        return PB.FromString(answer)

    async def review(self, number: int, *, is_granted: bool) -> PB:
        answer = await self.node.dispatch.units.returning.review(
            a_call(a_reviewer(self.authority), "ReviewReturn"),
            self.target,
            number=number,
            is_granted=is_granted,
            basis="复核（测试）",
        )
        return PB.FromString(answer)

    async def answer(self, answer: Answer, *, number: int = 1) -> PB:
        answered = await self.node.dispatch.units.answers.answer(
            a_call(a_reviewer(self.authority), "AnswerReturn"),
            self.target,
            number=number,
            answer=answer,
            basis="复核（测试）",
        )
        return PB.FromString(answered)

    async def agree(self, unit: str, *, who: Principal | None = None) -> PB:
        answered = await self.node.dispatch.units.answers.agree(
            a_call(who or self.platform, "RespondToReturn"), self.target, number=1, unit=unit
        )
        return PB.FromString(answered)

    async def claim(self, unit: str, *, who: Principal | None = None) -> PB:
        answered = await self.node.dispatch.units.answers.claim(
            a_call(who or self.platform, "ClaimTicket"),
            self.target,
            unit=unit,
            clause="清单（测试）",
        )
        return PB.FromString(answered)

    async def request(self, unit: str) -> PB:
        answer = await self.node.dispatch.requests.ask_by_person(
            a_call(a_reviewer(self.authority), "RequestUnit"),
            replace(self.target, basis="商请（测试）"),
            unit=unit,
        )
        return PB.FromString(answer)

    async def reply(
        self,
        *,
        is_accepted: bool,
        who: Principal | None = None,
        reason: ReturnReason = ReturnReason.WRONG_FUNCTION,
        number: int = 1,
    ) -> ticket_pb2.UnitRequest:
        answer = RequestAnswer(is_accepted=is_accepted, clause="三定（测试）", reason=reason)
        answered = await self.node.dispatch.requests.answer(
            a_call(who or self.platform, "AnswerUnitRequest"),
            self.target,
            number=number,
            answer=answer,
        )
        return ticket_pb2.UnitRequest.FromString(answered)

    async def ring(self) -> int:
        """Handle the timers that are due."""
        runner = TimerRunner(
            database=self.node.database,
            clock=self.federation.clock,
            handlers=self.node.dispatch.timers,
        )
        return await runner.run_due()

    async def events(self) -> list[tuple[str, dict[str, str]]]:
        found, _ = await self.node.dispatch.reader.events(
            a_person(self.authority), self.target.number, page_size=0, page_token=""
        )
        return [(item.event.kind, dict(item.event.facts)) for item in found]

    def audited(self) -> list[tuple[str, str]]:
        """Return act and outcome of every audit row."""
        rows = self.node.database.tables["audit_entries"].values()  # type: ignore[attr-defined] # memory
        return [(row.act, row.outcome) for row in rows]


async def a_disputed(
    authority: str = TIANJIN,
    region: str = "120101",
    *,
    reported: str = "",
    urgency: Urgency = Urgency.NORMAL,
) -> Disputed:
    """Return a ticket at its district's unit."""
    federation, message = a_federation(), a_message(region=region)
    message.urgency = codes_pb2.Urgency.ValueType(urgency)
    if reported:
        message.content.reported_parties.add(unit=reported)
    created = await federation.create(a_platform(authority), message)
    story = Disputed(federation, authority, created.name.removeprefix("tickets/"))
    lead = (await story.copy()).lead
    assert lead is not None
    assert not lead.is_desk
    assert prefix_of(await story.copy()).startswith(story.target.number)
    return story
