"""A stage: a faultless world in which a test says who does what, statement by statement.

The services are the real ones. `settle` sends until nothing waits; `only` sends one batch, and
`hold_back` keeps some envelopes, so that a test chooses what overtakes what. `forge` signs whatever
a test wants with the keys of an authority, and `hand_in` gives it to the inbox of another, as its
node would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from gateway.custody import bodies, codec, store
from gateway.custody.inquiring import Words
from gateway.custody.model import Chain, ChainKey, OfferMade, OfferReason
from gateway.custody.rows import chain_of, invitation_of, made_of
from gateway.custody.service import OfferOutcome
from gateway.delivery.codec import (
    block_to_pb,
    receipt_from_bytes,
    signed_to_pb,
    statement_to_bytes,
)
from gateway.delivery.model import Receipt, SealedBlock, SignedBytes, Statement
from gateway.delivery.store import OUTBOX, OutboxRow
from gateway.kernel.codes import RulingKind
from gateway.kernel.ids import GENESIS, NATION, AuthorityCode, Epoch, NodeId, TicketNumber
from gateway.trust.commitments import commit
from gateway.trust.sealing import SealingContext, seal_block
from gateway.trust.statements import sign
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.simulation.world import COPIES, NODES, Copy, Node, World

ROUNDS_MAX = 50
WINDOW = timedelta(hours=2)
SALT = bytes(32)


class Stage(World):
    """A world without faults and without a dice."""

    has_panels = False  # a test rules by hand, whenever it wants

    def __init__(self, *, nodes: dict[str, tuple[str, ...]] | None = None, seed: int = 7) -> None:
        super().__init__(seed, nodes=nodes or NODES)
        self.network.heal()
        self.at_rest: Callable[[], None] = lambda: None  # called after every round of sending

    # --- what authorities do ----------------------------------------------------------------

    async def create(self, authority: str) -> TicketNumber:
        """Hand in a ticket."""
        return await self.node_of(authority).create(AuthorityCode(authority))

    async def change(self, authority: str, ticket: TicketNumber) -> None:
        """Do an exclusive act and tell the followers."""
        await self.node_of(authority).change(AuthorityCode(authority), ticket)

    async def offer(
        self,
        authority: str,
        ticket: TicketNumber,
        target: str,
        reason: OfferReason = OfferReason.PLACE,
    ) -> OfferOutcome:
        """Offer custody."""
        node = self.node_of(authority)
        now = node.clock.now()
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            return await node.custody.offer(
                uow,
                authority=AuthorityCode(authority),
                ticket=ticket,
                target=AuthorityCode(target),
                reason=reason,
                rule="story",
                trace_digest=b"",
                window_end=now + WINDOW,
                now=now,
            )

    async def accept(self, authority: str, ticket: TicketNumber) -> None:
        """Accept the open invitation, as a person would."""
        node = self.node_of(authority)
        now = node.clock.now()
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            events = await node.custody.accept(
                uow, authority=AuthorityCode(authority), ticket=ticket, now=now
            )
            for event in events:
                await node.react(uow, event, now)
            await node.custody.publish(
                uow, authority=AuthorityCode(authority), ticket=ticket, now=now
            )

    async def decline(self, authority: str, ticket: TicketNumber, owner: str = "310000") -> None:
        """Decline the open invitation."""
        node = self.node_of(authority)
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            await node.custody.decline(
                uow,
                authority=AuthorityCode(authority),
                ticket=ticket,
                reason=1,
                clause="属地管理",
                proposed_owner=AuthorityCode(owner),
                now=node.clock.now(),
            )

    async def stand_by(
        self, authority: str, ticket: TicketNumber, *, windows: float | None = None
    ) -> None:
        """Say that a person is deciding, so many windows from now."""
        node = self.node_of(authority)
        now = node.clock.now()
        [key] = [key for key in self.invitations(authority) if key.ticket == ticket]
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            await node.custody.stand_by(
                uow,
                key,
                decider="dispatcher",
                until=None if windows is None else now + windows * WINDOW,
                now=now,
            )

    async def ask(self, authority: str, ticket: TicketNumber, question: str = "在哪里？") -> None:
        """Ask who offers something about an open invitation."""
        node = self.node_of(authority)
        [key] = [key for key in self.invitations(authority) if key.ticket == ticket]
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            await node.custody.inquiring.ask(uow, key, question=question, now=node.clock.now())

    async def inform(self, authority: str, ticket: TicketNumber, answer: str = "在桥头。") -> None:
        """Answer the question about the own offer."""
        node, made = self.node_of(authority), self.offer_made(authority, ticket)
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            await node.custody.inquiring.answer(
                uow, made.key, made.epoch, number=made.asked, answer=answer, now=node.clock.now()
            )

    async def words(self, authority: str, made: OfferMade) -> Words:
        """Return what an authority can read of the newest question about an offer."""
        node = self.node_of(authority)
        key = replace(made.key, authority=AuthorityCode(authority))
        async with node.database.unit() as uow:
            return await node.custody.inquiring.read(uow, key, made.epoch)

    async def revoke(self, authority: str, ticket: TicketNumber) -> None:
        """Ask the pending offer back."""
        node = self.node_of(authority)
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            await node.custody.revoke(
                uow, authority=AuthorityCode(authority), ticket=ticket, now=node.clock.now()
            )

    async def act(self, authority: str, ticket: TicketNumber, *, is_care: bool) -> None:
        """Do an act without telling anybody."""
        node = self.node_of(authority)
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            verb = node.custody.care_act if is_care else node.custody.exclusive_act
            await verb(
                uow,
                authority=AuthorityCode(authority),
                ticket=ticket,
                kind="ticket.noted",
                digest=self.next_number().to_bytes(32, "big"),
                now=node.clock.now(),
            )

    async def hand_over(
        self,
        source: str,
        ticket: TicketNumber,
        target: str,
        reason: OfferReason = OfferReason.PLACE,
    ) -> None:
        """Offer, accept, and let everything arrive."""
        await self.offer(source, ticket, target, reason)
        await self.settle()
        await self.accept(target, ticket)
        await self.settle()

    async def file(self, authority: str, ticket: TicketNumber, *, target: str = "") -> None:
        """File a case, as a person would."""
        node = self.node_of(authority)
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            await node.custody.file_case(
                uow,
                authority=AuthorityCode(authority),
                ticket=ticket,
                cause="dispute",
                target=target,
                now=node.clock.now(),
            )

    async def assume(self, authority: str, ticket: TicketNumber) -> None:
        """Say "offer it to me, I shall accept"."""
        node = self.node_of(authority)
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            await node.custody.assume(
                uow, authority=AuthorityCode(authority), ticket=ticket, now=node.clock.now()
            )

    async def rule(
        self,
        ticket: TicketNumber,
        target: str,
        *,
        scope: str = NATION,
        number: int = 1,
        kind: RulingKind = RulingKind.REASSIGN,
        offers_allowed: bool = False,
        mandates: tuple[str, ...] = (),
        case: str = "",
    ) -> int:
        """Rule on a chain, as the panel of its arbiter would."""
        node = self.node_of(scope)
        async with node.database.unit() as uow:
            await uow.lock(f"ticket/{ticket}")
            return await node.arbiter.rule(
                uow,
                scope=AuthorityCode(scope),
                ticket=ticket,
                number=number,
                case=case,
                kind=kind,
                target=AuthorityCode(target),
                offers_allowed=offers_allowed,
                mandates=tuple(AuthorityCode(code) for code in mandates),
                legal_basis="synthetic basis",
                reasons="",
                now=node.clock.now(),
            )

    # --- what the network does --------------------------------------------------------------

    async def settle(self) -> None:
        """Send until nothing waits; the clock moves only while something is deferred."""
        for _ in range(ROUNDS_MAX):
            sent = [await self.only(source) for source in self.nodes]
            self.at_rest()
            if not any(sent):
                if not any(self.waiting(source) for source in self.nodes):
                    return
                self.clock.advance(timedelta(seconds=10))
        raise AssertionError("the stage does not come to rest")

    async def only(self, source: str, target: str = "") -> bool:
        """Send one batch from a node to another, or to all others; tell whether one went out."""
        others = [node for node in self.nodes if node != source and target in ("", node)]
        pump = self.node_at(source).pump
        return any([await pump.send_once(node) for node in others])

    async def timers(self) -> None:
        """Let every window end that is over."""
        for node in self.nodes.values():
            await node.timers.run_due()

    async def hold_back(self, source: str, kind: str) -> list[OutboxRow]:
        """Take the envelopes of a kind out of a node's outbox, as if they were on a long way."""
        database = self.node_at(source).database
        found = [row for row in database.rows(OUTBOX) if row.kind == kind]
        async with database.unit() as uow:
            for row in found:
                uow.delete(OUTBOX, row.position)
        assert found, f"no {kind} waits at {source}"
        return found

    async def let_go(self, source: str, held_back: list[OutboxRow]) -> None:
        """Let what was held back arrive at last."""
        async with self.node_at(source).database.unit() as uow:
            for row in held_back:
                uow.insert(OUTBOX, replace(row, position=0))
        await self.settle()

    def waiting(self, source: str) -> list[str]:
        """Return the kinds that wait at a node for a receipt."""
        return [row.kind for row in self.node_at(source).database.rows(OUTBOX)]

    def node_at(self, name: str) -> Node:
        """Return a node by its name."""
        return self.nodes[NodeId(name)]

    # --- what is stored ---------------------------------------------------------------------

    def chain(self, authority: str, ticket: str, scope: str = "", number: int = 1) -> Chain:
        """Return a chain's row; the outer one of a province unless told otherwise."""
        wanted = scope or (NATION if authority.endswith("0000") else authority[:2] + "0000")
        [found] = [
            chain_of(row)
            for row in self.node_of(authority).database.rows(store.CHAINS)
            if (row.authority, row.ticket, row.scope, row.number)
            == (authority, ticket, wanted, number)
        ]
        return found

    def copy(self, authority: str, ticket: str) -> Copy:
        """Return an authority's copy of a ticket."""
        rows = self.node_of(authority).database.rows(COPIES)
        return next(row for row in rows if (row.authority, row.ticket) == (authority, ticket))

    def invitations(self, authority: str) -> list[ChainKey]:
        """Return where an authority is invited."""
        rows = self.node_of(authority).database.rows(store.INVITATIONS)
        return [invitation_of(row).key for row in rows if row.authority == authority]

    def offer_made(self, authority: str, ticket: str) -> OfferMade:
        """Return the newest offer that an authority made of a ticket."""
        rows = self.node_of(authority).database.rows(store.OFFERS_MADE)
        mine = [row for row in rows if (row.authority, row.ticket) == (authority, ticket)]
        return made_of(max(mine, key=lambda row: row.epoch))

    def said(self, issuer: str, kind: str) -> list[store.StatementRow]:
        """Return what an authority said, as it keeps it itself, oldest first."""
        rows = self.node_of(issuer).database.rows(store.STATEMENTS)
        return [
            row for row in rows if (row.authority, row.issuer, row.kind) == (issuer, issuer, kind)
        ]

    # --- what a hostile authority does ------------------------------------------------------

    def forge(
        self,
        issuer: str,
        body: bodies.Body,
        key: ChainKey,
        *,
        epoch: Epoch = GENESIS,
        kind: str = "",
    ) -> SignedBytes:
        """Sign a statement of `issuer` for the authority of `key`, whatever it says."""
        statement = Statement(
            statement_id=self.ids.uuid7(self.clock.now()),
            kind=kind or type(body).__name__,
            issuer=AuthorityCode(issuer),
            audience=(key.authority,),
            ticket=key.ticket,
            scope=key.scope,
            chain=key.number,
            epoch=epoch,
            previous_digest=b"",
            issued=self.clock.now(),
            protocol_version=1,
            body=codec.body_to_bytes(body),
        )
        raw = statement_to_bytes(statement)
        signing = self.node_of(issuer).keys.signing_key(issuer)
        return SignedBytes(raw, signing.key_id, sign(signing, raw))

    def sealed(
        self, source: str, key: ChainKey, *, epoch: Epoch, kind: str, block: bytes
    ) -> tuple[bodies.Commitment, SealedBlock]:
        """Seal content to the authority of `key`."""
        context = SealingContext(
            ticket=key.ticket,
            scope=key.scope,
            chain=key.number,
            epoch=epoch,
            source=source,
            target=key.authority,
            kind=kind,
        )
        recipient = self.roster.current_sealing_key(key.authority, now=self.clock.now())
        sealed = seal_block(block=block, salt=SALT, recipient=recipient, context=context)
        return (
            bodies.Commitment(kind, commit(block, SALT)),
            SealedBlock(kind, sealed.ciphertext, sealed.suite, sealed.key_id),
        )

    async def hand_in(
        self, signed: SignedBytes, *, source: str, target: str, blocks: tuple[SealedBlock, ...] = ()
    ) -> Receipt:
        """Deliver a statement from the node of `source` and return the receipt of `target`."""
        envelope = peer_pb.Envelope(
            source=source,
            incarnation=1,
            target=target,
            sequence=1,
            statement=signed_to_pb(signed),
            blocks=[block_to_pb(block) for block in blocks],
        )
        raw = await self.node_of(target).inbox.take(envelope, peer=self.node_of(source).id)
        return receipt_from_bytes(peer_pb.SignedReceipt.FromString(raw).receipt)[1]

    def snapshot(self) -> str:
        """Return everything that custody stores, to compare before and after a refusal."""
        tables = (
            store.CHAINS,
            store.OFFERS_MADE,
            store.OFFERS_ANSWERED,
            store.INVITATIONS,
            store.CUSTODY_ROWS,
            store.STATEMENTS,
            store.ACTS,
            COPIES,
            OUTBOX,
        )
        return repr([node.database.rows(table) for node in self.nodes.values() for table in tables])
