"""Guards on a choice that no rule made: a person's, or a ruling's. Nothing overrides them."""

from __future__ import annotations

from gateway.database.uow import UnitOfWork
from gateway.dispatch.codec import facts_of
from gateway.dispatch.router import Router
from gateway.kernel.errors import FieldInvalid, GuardViolated
from gateway.kernel.time import Instant
from gateway.tickets.model import Ticket
from gateway.tickets.service import Tickets


class Guarding:
    """Holds a choice of unit against the guards in force."""

    def __init__(self, *, tickets: Tickets, router: Router) -> None:
        """Judge with these."""
        self._tickets = tickets
        self._router = router

    async def check_unit(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        name: str,
        now: Instant,
        *,
        is_request: bool = False,
    ) -> None:
        """Return if the ticket may be given to a unit of its authority, or the unit asked (商请).

        Raises:
            FieldInvalid: it is no unit of this authority.
            GuardViolated: a guard forbids it.
        """
        unit = self._router.reference.units.find(name.removeprefix("units/"))
        if unit is None or unit.authority != ticket.authority:
            raise FieldInvalid(
                field="unit", got=name, expected=f"a unit of authority {ticket.authority}"
            )
        texts = await self._tickets.texts(uow, ticket.authority, ticket.number)
        facts = facts_of(ticket, texts.content)
        await self._router.rules.ready()
        guard = self._router.find_objection(
            ticket.authority, facts, unit, now=now, is_request=is_request
        )
        self._router.rules.hold(uow)
        if guard is not None:
            raise GuardViolated(
                guard=guard.id, unit=name, ticket=ticket.number, hint=guard.explanation
            )
