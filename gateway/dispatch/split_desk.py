"""Splitting by a person or the lead unit's platform: the verb around `splitting.py`."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.dispatch.handling import Handling, Target, assignment_of, role_missing
from gateway.dispatch.splitting import Splitting
from gateway.tickets.children import Wanted
from gateway.tickets.model import Act, Ticket
from gateway.tickets.service import Tickets
from gateway.trust.call import Call


class SplitDesk:
    """Splits tickets for those who ask for it, and routes what came of it."""

    def __init__(
        self, *, tickets: Tickets, handling: Handling, acting: Acting, splitting: Splitting
    ) -> None:
        """Act with these."""
        self._tickets = tickets
        self._handling = handling
        self._acting = acting
        self._splitting = splitting

    async def split(self, call: Call, target: Target, *, wanted: Sequence[Wanted]) -> bytes:
        """Split children off and route them; return the serialised parent.

        Raises:
            RoleMissing: the caller is neither the lead unit's platform, handler nor dispatcher.
            FieldInvalid: a region or matter that was never assigned.
            TransitionNotAllowed, QuotaExceeded: not this ticket, or not so many.
            NotCustodian: the ticket is not held here, freely and with force.
        """

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            if not ticket.followed and not assignment_of(call, ticket, is_lead=True).is_lead:
                raise role_missing(call, "the platform of the lead unit, handler, dispatcher")
            _, born = await self._splitting.split(uow, ticket, act, wanted)
            for child in born:
                await self._acting.route(uow, child, source=None, now=act.now)
            return await self._tickets.get(uow, ticket.authority, ticket.number)

        return await self._handling.run(call, target, step, name="ticket.split")
