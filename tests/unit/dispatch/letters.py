"""Stories of letters: a ticket of one authority that another one handles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.custody.model import OfferReason
from gateway.custody.service import Offered
from gateway.dispatch.codec import Result
from gateway.dispatch.handling import Target
from gateway.kernel.codes import CitizenActKind, Solved
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.tickets.model import Ticket
from gateway.tickets.service import Texts
from gateway.trust.principal import Principal, Role
from hotline.ticket.v1 import ticket_pb2
from tests.fixtures.nodes import (
    Federation,
    a_call,
    a_federation,
    a_message,
    a_person,
    a_platform,
    a_rating,
)

TIANJIN, HEBEI, SHIJIAZHUANG, LANGFANG = map(
    AuthorityCode, ("120000", "130000", "130100", "131000")
)
JIANGSU, SUZHOU = AuthorityCode("320000"), AuthorityCode("320500")
FAR_HOSTED: Mapping[str, Sequence[str]] = {
    "tianjin": ("120000",),
    "hebei": ("130000", "130100", "131000"),
    "jiangsu": ("320000", "320500"),
}
FAR_SPLIT: Mapping[str, Sequence[str]] = {
    "tianjin": ("120000",),
    "hebei": ("130000",),
    "shijiazhuang": ("130100",),
    "langfang": ("131000",),
    "jiangsu": ("320000",),
    "suzhou": ("320500",),
}
RESULT = Result(Solved.SOLVED, "已办（测试）")


class Story:
    """One ticket and who does what with it."""

    def __init__(self, federation: Federation, origin: AuthorityCode, number: TicketNumber) -> None:
        """Tell of the ticket `number` that `origin` received."""
        self.federation, self.origin, self.number = federation, origin, number

    @property
    def target(self) -> Target:
        return Target(number=self.number)

    async def copy(self, authority: str) -> Ticket:
        node = self.federation.node_of(authority)
        async with node.database.unit() as uow:
            return await node.room.tickets.get(uow, AuthorityCode(authority), self.number)

    async def texts(self, authority: str) -> Texts:
        node = self.federation.node_of(authority)
        async with node.database.unit() as uow:
            return await node.room.tickets.texts(uow, AuthorityCode(authority), self.number)

    async def events(self, authority: str) -> list[str]:
        reader = self.federation.node_of(authority).dispatch.reader
        found, _ = await reader.events(
            a_person(authority, Role.SUPERVISOR), self.number, page_size=500, page_token=""
        )
        return [item.event.kind for item in found]

    async def take(
        self,
        kind: CitizenActKind,
        text: str = "",
        *,
        by: Principal | None = None,
        at: str = "",
        settles: bool = True,
    ) -> ticket_pb2.Ticket:
        authority = at or self.origin
        desk = self.federation.node_of(authority).dispatch.citizens.desk
        call = a_call(by or a_platform(authority), f"{kind.name}Ticket")
        answer = await desk.take(call, self.target, kind=kind, text=text)
        if settles:
            await self.federation.settle()
        return ticket_pb2.Ticket.FromString(answer)

    async def rate(self) -> None:
        desk = self.federation.node_of(self.origin).dispatch.citizens.desk
        call = a_call(a_platform(self.origin), "RateTicket")
        await desk.rate(call, self.target, rating=a_rating())
        await self.federation.settle()

    async def resolve(self, authority: str, *, signs: bool = True) -> None:
        handling, person = self.federation.node_of(authority).dispatch.handling, a_person(authority)
        if signs:
            await handling.sign(a_call(person, "Sign"), self.target)
        await handling.resolve(a_call(person, "Resolve"), self.target, result=RESULT)
        await self.federation.settle()

    async def ask(self, authority: str, question: str, *, settles: bool = True) -> None:
        asking = self.federation.node_of(authority).dispatch.citizens.asking
        call = a_call(a_person(authority), "RequestInformation")
        await asking.ask(call, self.target, question=question)
        if settles:
            await self.federation.settle()

    async def answer(self, number: int, answer: str, *, settles: bool = True) -> None:
        asking = self.federation.node_of(self.origin).dispatch.citizens.asking
        call = a_call(a_platform(self.origin), "AnswerInformation")
        await asking.answer(call, self.target, number=number, answer=answer)
        if settles:
            await self.federation.settle()

    async def offer(
        self,
        source: str,
        target: str,
        *,
        reason: OfferReason = OfferReason.MANUAL,
        settles: bool = True,
    ) -> None:
        """Offer by hand; a place of the target's is accepted by its rule."""
        node, authority = self.federation.node_of(source), AuthorityCode(source)
        now = self.federation.clock.now()
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{self.number}")
            window = await node.dispatch.acting.answer_window(uow, authority, self.number, now)
            outcome = await node.custody.offer(
                uow,
                authority=authority,
                ticket=self.number,
                target=AuthorityCode(target),
                reason=reason,
                rule="",
                trace_digest=b"",
                window_end=window,
                now=now,
            )
        assert isinstance(outcome, Offered)
        if settles:
            await self.federation.settle()

    async def decide(self, authority: str, *, accepts: bool, settles: bool = True) -> None:
        """Accept or decline the open invitation as a person does."""
        node, code = self.federation.node_of(authority), AuthorityCode(authority)
        now = self.federation.clock.now()
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{self.number}")
            if accepts:
                events = await node.custody.accept(uow, authority=code, ticket=self.number, now=now)
            else:
                events = await node.custody.decline(
                    uow,
                    authority=code,
                    ticket=self.number,
                    reason=1,
                    clause="测试条款",
                    proposed_owner="120000",
                    now=now,
                )
            await node.dispatch.reactions.react(uow, events, now=now)
        if settles:
            await self.federation.settle()


async def a_story(
    origin: AuthorityCode, region: str, hosts: Mapping[str, Sequence[str]] = FAR_HOSTED
) -> Story:
    """Return the story of a new message at `origin` about a place in `region`."""
    federation = a_federation(hosts)
    ticket = await federation.create(a_platform(origin), a_message(region=region))
    await federation.settle()
    return Story(federation, origin, TicketNumber(ticket.name.removeprefix("tickets/")))


async def a_far_story(hosts: Mapping[str, Sequence[str]]) -> Story:
    """Return a ticket of the city 石家庄 that the city 苏州 handles: over both provinces."""
    story = await a_story(SHIJIAZHUANG, "320505", hosts)
    if (await story.copy(JIANGSU)).lead is not None:
        await story.offer(JIANGSU, SUZHOU)
    assert not (await story.copy(SUZHOU)).followed
    return story
