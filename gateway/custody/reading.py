"""Reading ahead: what the statements of a batch will be held against, in a few queries.

Nothing here decides anything. What it does not foresee is read when it is needed, one by one; what
it reads in vain costs a probe of an index.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from google.protobuf.message import DecodeError

from gateway.custody import bodies, codec, store
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import checked_statement
from gateway.delivery.model import Delivered, SignedBytes, Statement
from gateway.kernel.errors import LubiaoError
from gateway.trust.statements import digest

Place = tuple[str, str]
"""An authority and a ticket."""


async def read_ahead(
    uow: UnitOfWork,
    batch: Sequence[Delivered],
    places: Iterable[Place],
    *,
    hosted: AbstractSet[str],
) -> list[Place]:
    """Read the chains of a batch's tickets with all that is asked of them; return where they are.

    Args:
        uow: the open unit; the tickets are locked.
        batch: what was delivered.
        places: authorities of this node, with tickets that they have or are about to have.
        hosted: the authorities of this node.
    """
    wanted = dict.fromkeys(places)
    await uow.prefetch(store.CHAINS_OF_TICKET, wanted)
    known = [key for item in batch for key in _named(item)]
    for authority, ticket in tuple(wanted):
        for chain in await uow.rows(store.CHAINS_OF_TICKET, authority, ticket):
            known += [(authority, bytes.fromhex(item)) for item in chain.records]
            others = [code for code in (*chain.parties, chain.custodian) if code in hosted]
            wanted.update(dict.fromkeys((code, ticket) for code in others))
    for group in (
        store.CHAINS_OF_TICKET,
        store.OFFERS_MADE_OF_TICKET,
        store.OFFERS_ANSWERED_OF_TICKET,
        store.INVITATIONS_OF_TICKET,
        store.ACTS_OF_TICKET,
        store.OWN_ACTS_OF_TICKET,
    ):
        await uow.prefetch(group, wanted)
    await _read_statements(uow, batch, wanted, known)
    return list(wanted)


async def _read_statements(
    uow: UnitOfWork,
    batch: Sequence[Delivered],
    places: Iterable[Place],
    known: Iterable[tuple[str, bytes]],
) -> None:
    """Read what was said: a new ticket's statements are few, an old one's are asked for by name."""
    new, filed = [], []
    released = {item.statement.ticket for item in batch if item.statement.kind == "Release"}
    for authority, ticket in places:
        found = await uow.rows(store.CHAINS_OF_TICKET, authority, ticket)
        if not found:
            new.append((authority, ticket))
        filed += [
            (authority, ticket, row.scope, row.number, "CaseFiling")
            for row in found
            if row.scope == authority
        ]
        if ticket in released:  # a province that learns who calls passes it on to its city here
            filed += [(authority, ticket, row.scope, row.number, "Release") for row in found]
    await uow.prefetch(store.STATEMENTS_OF_TICKET, new)
    await uow.prefetch(store.STATEMENTS_OF_KIND, filed)
    await uow.prefetch(store.STATEMENTS, known)
    await uow.prefetch(store.STATEMENT_IDENTITY, [key for item in batch for key in _seen(item)])


def _seen(item: Delivered) -> list[tuple[str | int, ...]]:
    """Return the identities of a delivered statement and of those it carries."""
    found = [_identity(item.target, item.statement)]
    for signed in _carried(item):
        try:
            found.append(_identity(item.target, checked_statement(signed.statement)))
        except (LubiaoError, DecodeError):
            continue  # its own step says why
    return found


def _identity(authority: str, said: Statement) -> tuple[str | int, ...]:
    place = (authority, said.ticket, said.scope, said.chain)
    return (*place, said.issuer, said.kind, said.epoch.key())


def _named(item: Delivered) -> list[tuple[str, bytes]]:
    """Return the statements that one delivered statement carries or answers."""
    named = [digest(signed.statement) for signed in _carried(item)]
    match _body_of(item):
        case bodies.UpdateAnswer(update_digest=update):
            named.append(update)
        case bodies.Answer(offer_digest=offer) if offer:
            named.append(offer)
        case bodies.Release(acceptance_digest=acceptance):
            named.append(acceptance)
        case _:
            pass
    return [(item.target, value) for value in named]


def _carried(item: Delivered) -> tuple[SignedBytes, ...]:
    body = _body_of(item)
    if isinstance(body, bodies.Revoke):
        return (body.offer,) if body.offer is not None else ()
    found: tuple[SignedBytes, ...] = getattr(body, "attached", ())
    return found


def _body_of(item: Delivered) -> bodies.Body | None:
    try:
        return codec.body_from_bytes(item.statement.kind, item.statement.body)
    except LubiaoError:
        return None  # its own step says why
