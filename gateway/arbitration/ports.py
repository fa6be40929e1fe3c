"""What this room needs of the rooms below: somebody who finds the holder and carries rulings out.

One machine, three levels: what differs is only who holds and how a ruling takes effect. Between
authorities and between provinces it is custody (`custodians.py`); between the units of one
authority it is the assignment of the ticket.
"""

from __future__ import annotations

from typing import Protocol

from gateway.arbitration.model import Case, Order, Part, Party
from gateway.database.uow import UnitOfWork
from gateway.kernel.codes import CaseRulingForm, RulingKind
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant


class Ruler(Protocol):
    """Rulings of one level: to whom the ticket may be given, and how it gets there."""

    async def holder(self, uow: UnitOfWork, case: Case) -> Party:
        """Return who holds the ticket in the case's scope, as the arbiter knows."""
        ...

    async def check(self, uow: UnitOfWork, case: Case, order: Order, *, now: Instant) -> None:
        """Return if everybody whom an order names may be given what it gives them.

        Raises:
            FieldInvalid: one is none of this level and scope.
            DestinationNotJoined: one cannot take a ticket.
            GuardViolated: a guard of the rules forbids one.
        """
        ...

    async def carry_out(self, uow: UnitOfWork, case: Case, order: Order, *, now: Instant) -> int:
        """Let an order take effect in this very unit; return the number of the ruling."""
        ...

    async def is_taken(self, uow: UnitOfWork, case: Case, order: Order) -> bool:
        """Tell whether its target has the ticket already, once an order is carried out."""
        ...


class RulingSigner(Protocol):
    """The arbiter's half of custody (docs/custody.md#rulings)."""

    async def rule(
        self,
        uow: UnitOfWork,
        *,
        scope: AuthorityCode,
        ticket: TicketNumber,
        number: int,
        case: str,
        kind: RulingKind,
        target: AuthorityCode,
        offers_allowed: bool,
        mandates: tuple[AuthorityCode, ...],
        legal_basis: str,
        reasons: str,
        now: Instant,
        form: CaseRulingForm,
        parts: tuple[Part, ...],
        merge_into: str,
    ) -> int:
        """Sign the next ruling of chain `number` and send it to everybody; return its number."""
        ...
