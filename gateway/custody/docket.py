"""What is known of disputes about a chain: filings, rulings, the newest record, the UUID."""

from __future__ import annotations

from gateway.custody import bodies, chains, codec, store
from gateway.custody.model import BY_CONSENT, CaseVoid, Chain, ChainKey
from gateway.custody.rulings import epoch_of
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.kernel.errors import ResourceNotFound
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.trust.statements import record


async def rulings_of(uow: UnitOfWork, key: ChainKey) -> list[store.RulingRow]:
    """Return the rulings on a chain, in their order."""
    return await uow.select(
        store.RULINGS_OF_CHAIN, scope=key.scope, ticket=key.ticket, chain=key.number
    )


async def filings(uow: UnitOfWork, key: ChainKey) -> list[tuple[bodies.CaseFiling, AuthorityCode]]:
    """Return the filings about a chain, each with its filer."""
    rows = await chains.of_kind(uow, key, "CaseFiling")
    found = []
    for row in rows:
        body = codec.body_from_bytes(row.kind, statement_from_bytes(row.statement).body)
        if isinstance(body, bodies.CaseFiling):
            found.append((body, AuthorityCode(row.issuer)))
    return found


async def is_settled(uow: UnitOfWork, key: ChainKey, case: str) -> bool:
    """Tell whether a case ended by consent after the newest ruling that is known."""
    rows = await chains.of_kind(uow, key, "CaseFiling")
    rulings = await rulings_of(uow, key)
    newest = rulings[-1].number if rulings else 0
    for row in rows:
        body = codec.body_from_bytes(row.kind, statement_from_bytes(row.statement).body)
        if not isinstance(body, bodies.CaseFiling) or (body.cause, body.case) != (BY_CONSENT, case):
            continue
        if Epoch.from_key(row.epoch).era >= newest:
            return True
    return False


async def void(uow: UnitOfWork, key: ChainKey) -> tuple[CaseVoid, ...]:
    """Return that no case about a chain has an object any more."""
    cases = dict.fromkeys(body.case for body, _ in await filings(uow, key))
    return tuple(CaseVoid(key, case) for case in cases)


async def newest_ruling(uow: UnitOfWork, key: ChainKey) -> bodies.Ruling | None:
    """Return the newest ruling known of a chain, in the words that its arbiter signed."""
    chain = await chains.find_chain(uow, key)
    if chain is None or not chain.ruling:
        return None
    for row in await chains.of_kind(uow, key, "Ruling"):
        if row.digest == chain.ruling_statement:
            body = codec.body_from_bytes(row.kind, statement_from_bytes(row.statement).body)
            return body if isinstance(body, bodies.Ruling) else None
    return None


async def last_record(uow: UnitOfWork, chain: Chain, earlier: list[store.RulingRow]) -> bytes:
    """Return the newest record that is known here, or nothing."""
    known: list[tuple[Epoch, bytes]] = []
    if chain.term_epoch is not None:
        known.append((chain.term_epoch, chain.record_digest))
    rows = await chains.of_kind(uow, chain.key, "CaseFiling")
    for row in rows:
        body = codec.body_from_bytes(row.kind, statement_from_bytes(row.statement).body)
        if isinstance(body, bodies.CaseFiling):
            known.append((Epoch.from_key(row.epoch), body.last_record))
    for ruling in earlier:
        if ruling.taken_digest:
            taken = record(
                previous_record=ruling.last_record or None,
                first_digest=ruling.statement_digest,
                second_digest=ruling.taken_digest,
            )
            known.append((epoch_of(ruling.number), taken))
    return max(known, default=(None, b""))[1]


async def uid(uow: UnitOfWork, key: ChainKey) -> str:
    """Return the ticket's UUID out of its Genesis, a filing, or a ruling that came back alone."""
    rows = await chains.of_kind(uow, key, "Genesis")
    for row in rows:
        body = codec.body_from_bytes("Genesis", statement_from_bytes(row.statement).body)
        if isinstance(body, bodies.Genesis):
            return body.ticket_uid
    for filing, _ in await filings(uow, key):
        return codec.header_uid(filing.header)
    for row in await chains.of_kind(uow, key, "Ruling"):
        body = codec.body_from_bytes("Ruling", statement_from_bytes(row.statement).body)
        if isinstance(body, bodies.Ruling):
            return body.ticket_uid
    raise ResourceNotFound(kind="Genesis", name=f"{key.ticket} {key.scope}-{key.number}")


async def said(uow: UnitOfWork, key: ChainKey, number: int) -> bytes:
    """Return the digest of a ruling that was signed here."""
    [row] = await chains.said(uow, key, issuer=key.authority, kind="Ruling", epoch=epoch_of(number))
    return row.digest
