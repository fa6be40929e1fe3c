"""Evidence: what was seen of a signer, so that it cannot say two things at once (check 7).

A statement's identity is (issuer, kind, epoch) in its chain; two digests of one identity are proof
against the signer, whether they came alone or attached to the statements of others. What was seen
is kept as long as the ticket.
"""

from __future__ import annotations

from gateway.custody import bodies, chains, codec, store
from gateway.custody.bodies import Ruling
from gateway.custody.model import Chain, ChainKey
from gateway.custody.proofs import Attached, Proof
from gateway.custody.writer import keep
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import Statement
from gateway.kernel.errors import ChainForked, InvariantViolated, StatementMalformed
from gateway.kernel.ids import GENESIS, AuthorityCode, Epoch
from gateway.kernel.time import Instant

# One statement per (issuer, kind, epoch) for ever; the others are identified by their own id.
IDENTITY_KINDS = frozenset(
    {"Genesis", "Offer", "Answer", "Revoke", "Release", "Ruling", "RulingAck"}
)
# What only passes a ruling on, or says that it came too late, answers nothing: it may be repeated.
PASSING_ROLES = frozenset({bodies.Role.OUTDATED, bodies.Role.TOLD})

ARBITER_TAKES = frozenset({"CaseFiling", "RulingAck", "StandDown"})


async def check_identity(
    uow: UnitOfWork, key: ChainKey, statement: Statement, digest: bytes
) -> None:
    """Return if no other statement of this identity was seen at this authority.

    Raises:
        ChainForked: one was.
    """
    if not has_identity(statement):
        return
    seen = await chains.said(
        uow, key, issuer=statement.issuer, kind=statement.kind, epoch=statement.epoch
    )
    if any(
        row.digest != digest and has_identity(statement_from_bytes(row.statement)) for row in seen
    ):
        raise ChainForked(signer=statement.issuer, kind=statement.kind, epoch=statement.epoch)


async def check_succession(uow: UnitOfWork, key: ChainKey, item: Attached, body: Ruling) -> None:
    """Return if a ruling names the ruling before it, as far as its neighbours were seen here.

    An arbiter that rules on past a ruling which it denies would have two first rulings: the two
    statements prove it.

    Raises:
        StatementMalformed: check 8, only the first ruling names none.
        ChainForked: it names another one before it, or the one after it names another one.
    """
    if bool(body.previous) != (body.number > 1):
        raise StatementMalformed(
            check=8,
            got=f"ruling {body.number} after {body.previous.hex() or 'none'}",
            expected="the digest of the ruling before",
        )
    arbiter, number = item.statement.issuer, body.number
    for row in await _rulings_at(uow, key, arbiter, number - 1):
        if row.digest != body.previous:
            raise ChainForked(signer=arbiter, kind="Ruling", epoch=Epoch(number - 1, 0))
    for row in await _rulings_at(uow, key, arbiter, number + 1):
        after = codec.body_from_bytes(row.kind, statement_from_bytes(row.statement).body)
        if isinstance(after, Ruling) and after.previous != item.digest:
            raise ChainForked(signer=arbiter, kind="Ruling", epoch=Epoch(number, 0))


async def _rulings_at(
    uow: UnitOfWork, key: ChainKey, arbiter: AuthorityCode, number: int
) -> list[store.StatementRow]:
    return await chains.said(uow, key, issuer=arbiter, kind="Ruling", epoch=Epoch(number, 0))


def has_identity(statement: Statement) -> bool:
    """Tell whether its issuer can make such a statement only once an epoch."""
    if statement.kind != "RulingAck":
        return statement.kind in IDENTITY_KINDS
    body = codec.body_from_bytes(statement.kind, statement.body)
    return isinstance(body, bodies.RulingAck) and body.role not in PASSING_ROLES


def is_taken(row: store.StatementRow) -> bool:
    """Tell whether a kept statement is the answer of a ruling's target that it holds."""
    body = codec.body_from_bytes(row.kind, statement_from_bytes(row.statement).body)
    return isinstance(body, bodies.RulingAck) and body.role is bodies.Role.TAKEN


async def learn(
    uow: UnitOfWork,
    key: ChainKey,
    items: tuple[Attached, ...],
    now: Instant,
    *,
    proof: Proof | None = None,
) -> None:
    """Hold attached statements against what was seen before, and keep what is new of them.

    Raises:
        ChainForked: its Genesis or one of its statements is not the one that was seen.
        InvariantViolated: it holds a statement of this very authority that is not on disk here: we
            forgot what we said, or somebody else has our key. A person must look.
    """
    chain = await chains.find_chain(uow, key)
    if proof is not None and proof.genesis_digest and chain is not None:
        _check_genesis(chain, proof)
    known = frozenset(chain.records) if chain is not None else frozenset()
    for item in items:
        if item.digest.hex() in known:
            continue
        said = item.statement
        seen = await chains.said(uow, key, issuer=said.issuer, kind=said.kind, epoch=said.epoch)
        if any(row.digest == item.digest for row in seen):
            continue
        if item.statement.issuer == key.authority:
            raise InvariantViolated(
                invariant="an authority knows what it signed",
                got=f"{item.statement.kind} at {item.statement.epoch} of {key.ticket}",
            )
        await check_identity(uow, key, item.statement, item.digest)
        keep(uow, key.authority, item.signed, item.statement, now)


def _check_genesis(chain: Chain, proof: Proof) -> None:
    if chain.genesis_digest not in (b"", proof.genesis_digest):
        raise ChainForked(signer=proof.origin, kind="Genesis", epoch=GENESIS)


def check_members(key: ChainKey, statement: Statement) -> None:
    """Return if signer and receiver belong to the scope, or are its arbiter where it has a part.

    Raises:
        StatementMalformed: check 5.
    """
    from_arbiter = statement.kind in ("Ruling", "RulingAck") and statement.issuer == key.scope
    to_arbiter = statement.kind in ARBITER_TAKES and key.authority == key.scope
    members = (
        *(() if from_arbiter else (statement.issuer,)),
        *(() if to_arbiter else (key.authority,)),
    )
    for code in members:
        if not chains.is_in_scope(code, key.scope):
            raise StatementMalformed(
                check=5, got=f"{code} in scope {key.scope}", expected="a member"
            )
