"""The desk of an arbiter that holds no tickets: the nation's arbiter node.

It takes filings, answers to rulings and the reports of overruled custodians. It has no ticket, no
block is ever sealed to it, and its row of a chain is only what its own ledger hangs on (I7).
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.custody import bodies, chains, codec, evidence, machine, proofs
from gateway.custody.arbiter import Arbiter
from gateway.custody.incarnation import Recovery
from gateway.custody.model import ChainKey, CustodyEvent
from gateway.custody.restorer import Restorer
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Delivered
from gateway.kernel.errors import StatementMalformed
from gateway.kernel.time import Instant
from gateway.trust.roster import Roster

Events = tuple[CustodyEvent, ...]


class ArbiterDesk:
    """Takes verified statements for an arbiter; `arbiter` is what rules."""

    def __init__(
        self,
        *,
        writer: StepWriter,
        arbiter: Arbiter,
        roster: Callable[[], Roster],
        recovery: Recovery,
    ) -> None:
        """Make it; `assembly.build_arbiter` wires it."""
        self._writer = writer
        self.arbiter = arbiter
        self._roster = roster
        self._recovery = recovery
        self.restorer = Restorer(writer=writer, arbiter=arbiter, roster=roster)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The statement kinds that it takes."""
        return tuple(sorted(evidence.ARBITER_TAKES))

    async def receive(self, uow: UnitOfWork, delivered: Delivered, now: Instant) -> Events:
        """Take one statement; the ticket is locked and the signature verified.

        Raises:
            RemoteProtocolError: a check failed; nothing changed.
            NodeRecovering: not before this node knows again what it ruled.
        """
        self._recovery.refuse_if_recovering(delivered.target)
        if await self._recovery.has_taken(uow, delivered):
            return ()
        statement = delivered.statement
        key = ChainKey(delivered.target, statement.ticket, statement.scope, statement.chain)
        body = codec.body_from_bytes(statement.kind, statement.body)
        evidence.check_members(key, statement)
        await evidence.check_identity(uow, key, statement, delivered.digest)
        match body:
            case bodies.CaseFiling():
                return await self.arbiter.filed(uow, key, delivered, body, now)
            case bodies.RulingAck() if (
                body.role is not bodies.Role.TOLD
            ):  # nobody tells the arbiter
                await self._keep(uow, key, delivered, now)
                return await self.arbiter.acknowledged(uow, key, delivered, body, now)
            case bodies.StandDown():
                proof = proofs.prove(body.attached, key, roster=self._roster)
                if (statement.issuer, body.last_epoch) not in proof.terms:
                    raise StatementMalformed(
                        check=9, got="a StandDown", expected="of one that held the ticket"
                    )
                await self._keep(uow, key, delivered, now)
                return ()
            case _:
                raise StatementMalformed(
                    check=10, got=statement.kind, expected=", ".join(self.kinds)
                )

    async def _keep(
        self, uow: UnitOfWork, key: ChainKey, delivered: Delivered, now: Instant
    ) -> None:
        chain = await chains.find_chain(uow, key)
        known = chain or chains.unknown_chain(key, delivered.statement.issuer)
        await self._writer.write(uow, machine.Step(chain=known), now=now, received=delivered)
