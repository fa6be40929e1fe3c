"""Reports: a city on a node of its own tells its province of a ticket that came in there.

The Genesis of its first inner chain is that report, with the ticket and who calls beside it, so the
province follows the chain from its first epoch on (docs/custody.md#scopes). A report moves nothing.
"""

from __future__ import annotations

from gateway.custody import bodies, chains, codec, machine
from gateway.custody.blocks import IDENTITY, BlockOpener
from gateway.custody.coupling import Coupling
from gateway.custody.model import (
    BecameCustodian,
    ChainKey,
    ContentArrived,
    CustodyEvent,
    Holding,
    IdentityArrived,
)
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Delivered
from gateway.kernel.errors import ChainForked, StatementMalformed
from gateway.kernel.ids import GENESIS
from gateway.kernel.time import Instant
from gateway.kernel.values import replace

Events = tuple[CustodyEvent, ...]


class Reports:
    """Takes the reports of cities for the provinces of one node."""

    def __init__(self, *, writer: StepWriter, coupling: Coupling, opener: BlockOpener) -> None:
        """Make it."""
        self._writer = writer
        self._coupling = coupling
        self._opener = opener

    async def taken(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.Genesis,
        now: Instant,
    ) -> Events:
        """Take a city's report of a ticket of its own, also when its offer came first."""
        statement = delivered.statement
        source = statement.issuer
        is_report = (
            key.is_home
            and body.origin == source
            and statement.epoch == GENESIS
            and bool(body.header)
            and chains.may_begin(source, key)
            and codec.header_uid(body.header) == body.ticket_uid
        )
        if not is_report:
            raise StatementMalformed(
                check=10, got="a Genesis that is no report", expected="a city's report at home"
            )
        case_block, identity = (
            self._opener.open(
                delivered.block(kind),
                key=key,
                epoch=statement.epoch,
                source=source,
                kind=kind,
                commitments=body.commitments,
            )
            if delivered.block(kind) is not None
            else b""
            for kind in ("case_block", IDENTITY)
        )
        # Without what it promises it is a report alone: its sender was restored, or this node.
        has_text = bool(case_block)
        has_identity = bool(identity) or all(c.kind != IDENTITY for c in body.commitments)
        chain = await chains.find_chain(uow, key) or chains.unknown_chain(key, source)
        if chain.genesis_digest not in (b"", delivered.digest):
            raise ChainForked(signer=source, kind="Genesis", epoch=GENESIS)
        known = replace(chain, origin=source, genesis_digest=delivered.digest).with_party(source)
        # A ruling took it home before this report.
        is_due = chain.content_due and chain.is_caring and has_text
        known = replace(known, content_due=chain.content_due and not is_due)
        await self._writer.write(uow, machine.Step(chain=known), now=now, received=delivered)
        keeps = has_identity and await self._coupling.contact_arrived(
            uow, key.authority, key.ticket, identity=identity or None, now=now
        )
        events: list[CustodyEvent] = []
        if has_text:
            arrived = ContentArrived(key, source, body.header, case_block, followed=not is_due)
            events.append(arrived)
        if is_due and chain.holding is Holding.HELD and chain.term_epoch is not None:
            events.append(BecameCustodian(key, chain.term_epoch, source))
        if identity and keeps:
            events.append(IdentityArrived(key, identity))
        return tuple(events)
