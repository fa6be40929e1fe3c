"""What is kept of a ruling that was carried out: who got which part, so that nobody gets it twice.

A row per part, and one with no party for a ruling without parts. The rows of an earlier ruling go
with the next one about the same chain, or about the units of this authority: what it ordered stays
done, and is waited for no longer. A ruling between units ends nothing that was ruled outside.
"""

from __future__ import annotations

from gateway.database.table import Group, Table
from gateway.database.uow import UnitOfWork
from gateway.kernel.codes import CaseRulingForm
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRow:
    """One part of the newest ruling about a chain that an authority carried out."""

    authority: str
    ticket: str
    ruling: str
    chain: str
    party: str
    form: int
    child: str


SHARES = Table("shares", ShareRow, key=("authority", "ticket", "ruling", "party"))
SHARES_OF = Group(SHARES, ("authority", "ticket"))


async def begin(
    uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber, *, ruling: str, chain: str
) -> frozenset[str]:
    """Forget what earlier rulings ordered; return the parties that this one gave their part."""
    rows = await uow.rows(SHARES_OF, authority, ticket)
    for row in rows:
        if row.ruling != ruling and row.chain == chain:
            uow.delete(SHARES, row.authority, row.ticket, row.ruling, row.party)
    return frozenset(row.party for row in rows if row.ruling == ruling)


async def is_begun(
    uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber, *, ruling: str
) -> bool:
    """Tell whether a ruling was carried out here, as far as it could be."""
    return any(row.ruling == ruling for row in await uow.rows(SHARES_OF, authority, ticket))


async def awaited(
    uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
) -> frozenset[str]:
    """Return the children that must answer before the ticket is resolved."""
    rows = await uow.rows(SHARES_OF, authority, ticket)
    joint = int(CaseRulingForm.JOINT)
    return frozenset(row.child for row in rows if row.form == joint and row.child)


async def is_shared(uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber) -> bool:
    """Tell whether a ruling made children of the ticket."""
    return any(row.child for row in await uow.rows(SHARES_OF, authority, ticket))
