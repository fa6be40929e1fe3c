"""Questions to the citizen: the custodian asks, the origin answers; nothing else changes.

Custody, windows and clocks stay as they are while a question is open (I9). Asking is an act of care
and so is allowed while an offer is out.
"""

from __future__ import annotations

from gateway.custody.service import CustodyService
from gateway.database.uow import UnitOfWork
from gateway.dispatch.citizen import TAKING_ROLES
from gateway.dispatch.correspondence import Correspondence
from gateway.dispatch.handling import Handling, Target, assignment_of, role_missing
from gateway.kernel.errors import TransitionNotAllowed
from gateway.tickets import citizen
from gateway.tickets.model import Act, Ticket, letter_key
from gateway.tickets.service import Tickets
from gateway.trust.call import Call
from gateway.trust.principal import PrincipalKind


class Asking:
    """Asks and answers, for the authorities of one node."""

    def __init__(
        self,
        *,
        tickets: Tickets,
        custody: CustodyService,
        handling: Handling,
        correspondence: Correspondence,
    ) -> None:
        """Act with these."""
        self._tickets = tickets
        self._custody = custody
        self._handling = handling
        self._correspondence = correspondence

    async def ask(self, call: Call, target: Target, *, question: str) -> bytes:
        """Ask the citizen through the origin; return the serialised ticket.

        Raises:
            RoleMissing: the caller is neither the platform of an assigned unit, nor a handler or
                dispatcher.
            TransitionNotAllowed: the custodian is another authority, or the ticket is final.
        """

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            if not ticket.followed:
                assignment_of(call, ticket)
            change, asked = citizen.ask(ticket, act, asker=ticket.authority)
            await self._custody.care_act(
                uow,
                authority=ticket.authority,
                ticket=ticket.number,
                kind="information.requested",
                digest=await self._tickets.fingerprint(uow, ticket, question.encode()),
                now=act.now,
            )
            saved = self._tickets.save(uow, change)
            name = letter_key("question", asked.number, asked.asker)
            await self._tickets.write_letter(uow, saved, name, question)
            await self._correspondence.send_question(uow, saved, asked, question)
            return saved

        return await self._handling.run(call, target, step, name="ticket.ask")

    async def answer(self, call: Call, target: Target, *, number: int, answer: str) -> bytes:
        """Answer a question at the origin; return the serialised ticket.

        Raises:
            RoleMissing: the caller is neither the platform that handed the message in, nor a clerk
                or dispatcher.
            ResourceNotFound: nobody asked that.
            TransitionNotAllowed: it is answered, or this authority is not the origin.
        """

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            principal = call.principal
            is_platform = principal.kind is PrincipalKind.PLATFORM
            handed_in = is_platform and ticket.platform == principal.id
            if not handed_in and not principal.has_role(*TAKING_ROLES):
                raise role_missing(call, "the platform that handed it in, clerk, dispatcher")
            if ticket.origin != ticket.authority:
                raise TransitionNotAllowed(
                    name=ticket.name,
                    state=f"a copy of {ticket.authority}",
                    event="answer",
                    allowed=f"at its origin {ticket.origin}, which knows the citizen",
                )
            question = citizen.open_question(ticket, number)
            saved = self._tickets.save(uow, citizen.answer(ticket, act, question, at=act.now))
            name = letter_key("answer", question.number, question.asker)
            await self._tickets.write_letter(uow, saved, name, answer)
            await self._correspondence.send_answer(uow, saved, question, act.now)
            return saved

        return await self._handling.run(call, target, step, name="ticket.answer")
