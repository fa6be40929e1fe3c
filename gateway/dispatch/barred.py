"""What a ruling forbids to do with a ticket: to offer it on (docs/custody.md#rulings).

After a final ruling a ticket stays where it was put, or goes where the ruling names. New facts need
a new case, which is a person's decision: custody files one when somebody offers such a ticket on.
A rule knows no new facts, so what it would offer on, or send home again, goes to the desk. So does
a ticket of which others have their part by a ruling: its target leads until they are done.
"""

from __future__ import annotations

from gateway.custody import chains
from gateway.database.uow import UnitOfWork
from gateway.dispatch import shares
from gateway.kernel.ids import AuthorityCode
from gateway.tickets.model import Ticket

RULED_REASON = "裁定后不得再移交"
SHARED_REASON = "裁定由本机构主办，分工未结前不得移交"


async def offer_bar(uow: UnitOfWork, ticket: Ticket, target: str) -> str:
    """Return why a ruling forbids to offer a ticket to `authorities/{code}`, or an empty text."""
    held = await chains.load(uow, ticket.authority, ticket.number)
    code = AuthorityCode(target.removeprefix("authorities/"))
    is_abroad = chains.province_of(code) != chains.province_of(ticket.authority)
    chain = held.outer if is_abroad else held.open_inner
    is_ruled = any(each is not None and each.ruling for each in (held.outer, held.open_inner))
    if is_ruled and await shares.is_shared(uow, ticket.authority, ticket.number):
        return SHARED_REASON
    if chain is None or not chain.ruling or chain.offers_allowed or code in chain.mandates:
        return ""
    return RULED_REASON
