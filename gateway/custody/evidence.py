"""Evidence: what was seen of a signer, so that it cannot say two things at once (check 7).

A statement's identity is (issuer, kind, epoch) in its chain; two digests of one identity are proof
against the signer, whether they came alone or attached to the statements of others. What was seen
is kept as long as the ticket.
"""

from __future__ import annotations

from gateway.custody import chains, store
from gateway.custody.model import ChainKey
from gateway.custody.proofs import Proof
from gateway.custody.writer import keep
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Statement
from gateway.kernel.errors import ChainForked, InvariantViolated
from gateway.kernel.ids import GENESIS
from gateway.kernel.time import Instant

# One statement per (issuer, kind, epoch) for ever; the others are identified by their own id.
IDENTITY_KINDS = frozenset({"Genesis", "Offer", "Answer", "Revoke", "Release"})


async def check_identity(
    uow: UnitOfWork, key: ChainKey, statement: Statement, digest: bytes
) -> None:
    """Return if no other statement of this identity was seen at this authority.

    Raises:
        ChainForked: one was.
    """
    if statement.kind not in IDENTITY_KINDS:
        return
    seen = await uow.select(
        store.STATEMENT_IDENTITY,
        authority=key.authority,
        ticket=key.ticket,
        scope=key.scope,
        number=key.number,
        issuer=statement.issuer,
        kind=statement.kind,
        epoch=statement.epoch.key(),
    )
    if any(row.digest != digest for row in seen):
        raise ChainForked(signer=statement.issuer, kind=statement.kind, epoch=statement.epoch)


async def learn(uow: UnitOfWork, key: ChainKey, proof: Proof, now: Instant) -> None:
    """Hold a proof against what was seen before, and keep what is new of it.

    Raises:
        ChainForked: its Genesis or one of its statements is not the one that was seen.
        InvariantViolated: it holds a statement of this very authority that is not on disk here: we
            forgot what we said, or somebody else has our key. A person must look.
    """
    chain = await chains.find_chain(uow, key)
    if chain is not None and chain.genesis_digest not in (b"", proof.genesis_digest):
        raise ChainForked(signer=proof.origin, kind="Genesis", epoch=GENESIS)
    known = frozenset(chain.records) if chain is not None else frozenset()
    for item in proof.attached:
        if item.digest.hex() in known:
            continue
        if await uow.get(store.STATEMENTS, key.authority, item.digest) is not None:
            continue
        if item.statement.issuer == key.authority:
            raise InvariantViolated(
                invariant="an authority knows what it signed",
                got=f"{item.statement.kind} at {item.statement.epoch} of {key.ticket}",
            )
        await check_identity(uow, key, item.statement, item.digest)
        keep(uow, key.authority, item.signed, item.statement, now)
