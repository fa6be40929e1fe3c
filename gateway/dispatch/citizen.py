"""What the citizen does after the message was taken: supplement, urge, withdraw, reopen, rate.

The origin takes the act and gives it its number. If the origin holds the ticket, it is carried out
in the same unit of work; otherwise it goes to the custodian as a letter (docs/dispatch.md#letters).
An act that the ticket's state does not allow is no error of the call: the citizen did it, so it is
kept, refused with the reason.
"""

from __future__ import annotations

from gateway.database.uow import UnitOfWork
from gateway.dispatch.correspondence import Correspondence
from gateway.dispatch.handling import RATING_ROLES, Handling, Target, role_missing
from gateway.dispatch.texts import rating_to_bytes
from gateway.kernel.codes import CitizenActKind
from gateway.kernel.errors import TransitionNotAllowed
from gateway.kernel.values import replace
from gateway.tickets import citizen
from gateway.tickets.model import Act, CitizenAct, Rating, Ticket
from gateway.trust.call import Call
from gateway.trust.principal import PrincipalKind, Role

TAKING_ROLES = (Role.CLERK, Role.DISPATCHER)
DESK_ROLES = (*TAKING_ROLES, Role.SUPERVISOR)
_ROLES = {CitizenActKind.URGE: DESK_ROLES, CitizenActKind.REOPEN: DESK_ROLES}


class CitizenDesk:
    """Takes what citizens do, for the authorities of one node."""

    def __init__(self, *, handling: Handling, correspondence: Correspondence) -> None:
        """Act with these."""
        self._handling = handling
        self._correspondence = correspondence

    async def take(
        self, call: Call, target: Target, *, kind: CitizenActKind, text: str = ""
    ) -> bytes:
        """Take an act of the citizen; return the serialised ticket.

        Raises:
            RoleMissing: the caller is neither the platform that handed the message in, nor a clerk
                or dispatcher.
            TransitionNotAllowed: this authority is not the ticket's origin.
            QuotaExceeded: the numbers of this ticket are used up.
        """

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            _require_taker(call, ticket, _ROLES.get(kind, TAKING_ROLES))
            return await self._record(uow, ticket, act, kind, text=text)

        return await self._handling.run(call, target, step, name=f"ticket.{kind.name.lower()}")

    async def rate(self, call: Call, target: Target, *, rating: Rating) -> bytes:
        """Take a rating: carried out here, or sent to the custodian by the origin."""

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            if not ticket.followed:
                return await self._handling.rate_as(call, uow, ticket, act, rating=rating)
            _require_taker(call, ticket, RATING_ROLES)
            timed = replace(rating, rate_time=act.now)
            return await self._record(
                uow, ticket, act, CitizenActKind.RATE, rating=rating_to_bytes(timed)
            )

        return await self._handling.run(call, target, step, name="ticket.rate")

    async def _record(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        act: Act,
        kind: CitizenActKind,
        *,
        text: str = "",
        rating: bytes = b"",
    ) -> Ticket:
        if ticket.origin != ticket.authority:
            raise TransitionNotAllowed(
                name=ticket.name,
                state=f"a copy of {ticket.authority}",
                event=kind.name.lower(),
                allowed=f"at its origin {ticket.origin}, which numbers what the citizen does",
            )
        item = CitizenAct(number=citizen.next_number(ticket), kind=kind, act_time=act.now)
        kept = await self._correspondence.keep(uow, ticket, act, item, text=text, rating=rating)
        if kept.is_final and kept.followed:
            return self._correspondence.refuse(uow, kept, act, item)
        await self._correspondence.send_act(uow, kept, item.number, act.now)
        return await self._correspondence.settle(uow, kept, act)


def _require_taker(call: Call, ticket: Ticket, roles: tuple[Role, ...]) -> None:
    """Return if the caller speaks for the citizen: who handed the message in, or the staff."""
    principal = call.principal
    if principal.kind is PrincipalKind.PLATFORM:
        allowed = ticket.platform == principal.id
    else:
        allowed = principal.has_role(*roles)
    if not allowed:
        names = ", ".join(role.value for role in roles)
        raise role_missing(call, f"the platform that handed it in, {names}")
