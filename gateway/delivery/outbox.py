"""Posting: a signed statement leaves only through the outbox, or at once if its target lives here.

A statement to an authority on another node becomes an outbox row of the same transaction; the pump
sends it after the commit. A statement to an authority that this node hosts is handled inside the
same transaction, just before it commits, by the same verification and the same handler: hosted and
split differ in nothing but the network (docs/delivery.md#local).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.database.uow import UnitOfWork
from gateway.delivery import codec
from gateway.delivery.inbox import Inbox
from gateway.delivery.model import STATEMENT_BYTES_MAX, SealedBlock, SignedBytes
from gateway.delivery.store import OUTBOX, OutboxRow
from gateway.kernel.errors import DestinationNotJoined, InvariantViolated
from gateway.kernel.ids import AuthorityCode, NodeId, TicketNumber
from gateway.kernel.time import Clock, Instant
from gateway.telemetry.traces import traceparent
from gateway.trust.roster import Roster
from gateway.trust.statements import digest


class Outbox:
    """Takes statements of hosted authorities for others."""

    def __init__(
        self,
        *,
        node: NodeId,
        roster: Callable[[], Roster],
        inbox: Inbox,
        machine_clock: Clock,
        wake: Callable[[NodeId], None] = lambda _node: None,
    ) -> None:
        """Make the outbox of one node; `wake` is called after a commit that left something."""
        self._node = node
        self._roster = roster
        self._inbox = inbox
        self._machine = machine_clock
        self.wake = wake

    def is_here(self, target: AuthorityCode, kind: str) -> bool:
        """Tell whether a statement to this target is handled in the sender's own step."""
        entry = self._roster().node_for(target, kind)
        return entry is not None and entry.id == self._node

    def post(
        self,
        uow: UnitOfWork,
        *,
        source: AuthorityCode,
        target: AuthorityCode,
        ticket: TicketNumber,
        kind: str,
        signed: SignedBytes,
        blocks: Iterable[SealedBlock],
        now: Instant,
    ) -> None:
        """Stage one statement for one target.

        Raises:
            DestinationNotJoined: the target is not in the roster.
            InvariantViolated: the statement is larger than any peer would take.
        """
        if len(signed.statement) > STATEMENT_BYTES_MAX:
            raise InvariantViolated(
                invariant=f"a statement has at most {STATEMENT_BYTES_MAX} bytes",
                got=f"{len(signed.statement)} of {kind}",
            )
        entry = self._roster().node_for(target, kind)
        if entry is None:
            raise DestinationNotJoined(authority=target)
        sealed, cause = tuple(blocks), traceparent()
        if entry.id == self._node:
            uow.before_commit(
                lambda: self._inbox.take_local(
                    uow,
                    source=source,
                    target=target,
                    signed=signed,
                    blocks=sealed,
                    now=now,
                    cause=cause,
                )
            )
            return
        envelope = codec.envelope_to_bytes(
            source=source,
            target=target,
            signed=signed,
            blocks=sealed,
            traceparent=cause,
        )
        posted = self._machine.now()
        row = OutboxRow(
            position=0,
            node=entry.id,
            source=source,
            target=target,
            ticket=ticket,
            kind=kind,
            statement_digest=digest(signed.statement),
            envelope=envelope,
            sequence=0,
            created=posted,
            not_before=posted,
        )
        uow.insert(OUTBOX, row)
        uow.after_commit(lambda: self.wake(entry.id))
