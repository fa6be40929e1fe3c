"""Never say one thing twice in other words: what a restored node said before stands.

A node that was restored has statements again that a step of the restored state would make anew, for
example the Release after an acceptance that arrives a second time. A second statement of one
identity is a fork, so the first one stands: it counts as said, and what needs no content goes out
once more. Asked only on a node that was ever restored: on any other the state knows what was said.
"""

from __future__ import annotations

from gateway.custody import bodies, chains, store
from gateway.custody.model import ChainKey
from gateway.custody.steps import Say, Step
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Delivered
from gateway.kernel.values import replace

ONCE_AN_EPOCH = frozenset({"Genesis", "Offer", "Answer", "Revoke", "Release", "Ruling"})
WITH_CONTENT = frozenset({"Genesis", "Offer", "Release"})
ROWS_MAX = 100_000  # of one chain: more than any has
_PASSING = frozenset({bodies.Role.OUTDATED, bodies.Role.TOLD})


async def without_repeats(
    uow: UnitOfWork, key: ChainKey, step: Step
) -> tuple[Step, dict[Say, bytes]]:
    """Return the step without what was said before, and that with the digests of its bytes."""
    repeats: dict[Say, bytes] = {}
    for say in step.says:
        if not _is_said_once(say):
            continue
        rows = await chains.said(uow, key, issuer=key.authority, kind=say.kind, epoch=say.epoch)
        if rows:
            repeats[say] = rows[0].digest
    if not repeats:
        return step, repeats
    return replace(step, says=tuple(say for say in step.says if say not in repeats)), repeats


async def is_taken(uow: UnitOfWork, delivered: Delivered) -> bool:
    """Tell whether a statement stands in the ledger of its target already.

    What a peer returned was taken without its envelope, so the inbox does not know it. The peer may
    still have that envelope on its way, and it would take effect a second time.
    """
    if await uow.get(store.STATEMENTS, delivered.target, delivered.digest) is None:
        return False
    said = delivered.statement
    rows = await uow.select(
        store.ROWS_OF_TICKET,
        authority=delivered.target,
        ticket=said.ticket,
        scope=said.scope,
        number=said.chain,
        sequence=0,
        limit=ROWS_MAX,
    )
    return any(
        (row.scope, row.number, row.subject_digest) == (said.scope, said.chain, delivered.digest)
        for row in rows
    )


def _is_said_once(say: Say) -> bool:
    if isinstance(say.body, bodies.RulingAck):
        return say.body.role not in _PASSING
    return say.kind in ONCE_AN_EPOCH
