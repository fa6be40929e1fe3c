"""Progress of a held ticket, told to its followers (docs/custody.md#progress).

A TicketUpdate carries the whole public state, so a lost one is harmless and a late one is ignored:
it is applied iff its (epoch, sequence) is above the newest one shown, and its signer is proven to
hold that epoch. A city's update goes to its province and the other parties inside; the province
records the city's exclusive acts (rule 3) and relays the state outside under its own term. A
province that follows outside relays to its own earlier parties inside.
"""

from __future__ import annotations

from functools import partial

from gateway.custody import bodies, chains, machine, proofs, store
from gateway.custody.blocks import BlockOpener
from gateway.custody.coupling import Coupling
from gateway.custody.model import (
    Chain,
    ChainKey,
    CustodyEvent,
    Holding,
    ProgressArrived,
)
from gateway.custody.ports import ContentSource
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Delivered
from gateway.kernel.errors import ResourceNotFound, StatementMalformed
from gateway.kernel.ids import GENESIS, AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import replace


class Progress:
    """Publishes and takes updates for the authorities of one node."""

    def __init__(
        self,
        *,
        writer: StepWriter,
        coupling: Coupling,
        opener: BlockOpener,
        content: ContentSource,
    ) -> None:
        """Make it."""
        self._writer = writer
        self._coupling = coupling
        self._opener = opener
        self._content = content

    async def publish(
        self,
        uow: UnitOfWork,
        *,
        authority: AuthorityCode,
        ticket: TicketNumber,
        now: Instant,
    ) -> None:
        """Tell all followers the state of this authority's copy; nothing if nobody follows.

        Call it after every change of a held ticket, and after progress that arrived was applied.
        An update tells the whole state, so it is made once, when the step is over.
        """
        held = await chains.load(uow, authority, ticket)
        if any(chain.parties for chain in held.chains):
            tell = partial(self._tell, uow, authority, ticket, now)
            uow.before_commit(tell, once=("publish", authority, ticket))

    async def _tell(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber, now: Instant
    ) -> None:
        held = await chains.load(uow, authority, ticket)
        for chain in held.chains:
            if chain.parties and _may_speak(chain):
                await self._send(uow, held, chain, now=now)

    async def _send(
        self, uow: UnitOfWork, held: chains.TicketChains, chain: Chain, *, now: Instant
    ) -> None:
        key = chain.key
        state, block = await self._content.state_block(uow, key.authority, key.ticket)
        content = self._writer.content("state_block", block)
        inner = held.open_inner
        # Inside a closed chain a province tells what it learned outside.
        custodian = (inner or held.outer or chain).custodian
        is_acting = chain.holding is Holding.HELD and not key.is_outer and not key.is_home
        body = bodies.TicketUpdate(
            sequence=chain.update_sequence + 1,
            state=state,
            custodian=custodian or key.authority,
            acts=await self._coupling.acts_of_term(uow, chain) if is_acting else (),
            commitments=(content.commitment(),),
            attached=await self._coupling.records(uow, chain),
            citizen_act_applied=await self._content.citizen_act_applied(
                uow, key.authority, key.ticket
            ),
        )
        told = replace(chain, update_sequence=body.sequence)
        # A follower that left the federation must not keep the custodian from acting.
        parties = map(AuthorityCode, chain.parties)
        audience = tuple(code for code in parties if self._writer.can_reach(code))
        say = machine.Say("TicketUpdate", chain.term_epoch or GENESIS, audience, body)
        await self._writer.write(
            uow, machine.Step(chain=told, says=(say,)), now=now, contents=(content,)
        )

    async def update(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.TicketUpdate,
        *,
        proof: proofs.Proof,
        now: Instant,
    ) -> tuple[CustodyEvent, ...]:
        """Take an update, answer it, and tell the rooms above if it is shown.

        Raises:
            StatementMalformed: its signer is not proven to hold the epoch that it speaks for.
            ResourceNotFound: it came before what makes the chain known here; it will come again.
        """
        statement = delivered.statement
        if proof.holder != statement.issuer or proof.epoch != statement.epoch:
            raise StatementMalformed(
                check=9,
                got=f"an update of {statement.issuer} at {statement.epoch}",
                expected=f"the proven term {proof.holder} at {proof.epoch}",
            )
        if any(act.epoch != proof.epoch for act in body.acts):
            raise StatementMalformed(
                check=9, got="acts of another term", expected=f"acts at {proof.epoch}"
            )
        held = await chains.load(uow, key.authority, key.ticket)
        chain = held.find(key)
        if chain is None:
            raise ResourceNotFound(kind="chain", name=f"{key.ticket} {key.scope}-{key.number}")
        if key.is_home:
            await self._coupling.record_acts(
                uow, held, chain, body.acts, actor=statement.issuer, now=now
            )
        is_old = held.cares_after(key)
        verdict = _verdict(chain, statement.epoch, body.sequence, is_old=is_old)
        applied = verdict is bodies.UpdateVerdict.APPLIED
        if applied:
            chain = replace(
                chain,
                shown_epoch=statement.epoch,
                shown_sequence=body.sequence,
                custodian=body.custodian,
            )
        is_stale = verdict is bodies.UpdateVerdict.STALE and chain.ruling_statement
        newest = (
            (await self._writer.signed(uow, key.authority, chain.ruling_statement),)
            if is_stale
            else ()
        )
        answer = bodies.UpdateAnswer(body.sequence, verdict, delivered.digest, newest)
        say = machine.Say("UpdateAnswer", statement.epoch, (statement.issuer,), answer)
        step = machine.Step(chain=chain, says=(say,), records=False)
        await self._writer.write(uow, step, now=now, received=delivered)
        if not applied:
            return ()
        block = self._opener.open(
            delivered.block("state_block"),
            key=key,
            epoch=statement.epoch,
            source=statement.issuer,
            kind="state_block",
            commitments=body.commitments,
        )
        progress = ProgressArrived(
            key, statement.epoch, body.state, body.custodian, block, body.citizen_act_applied
        )
        return (progress,)

    async def answered(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.UpdateAnswer,
        now: Instant,
    ) -> tuple[CustodyEvent, ...]:
        """Keep the answer to an own update; it is evidence and changes nothing."""
        chain = await chains.find_chain(uow, key)
        sent = await uow.get(store.STATEMENTS, key.authority, body.update_digest)
        is_own = (
            sent is not None
            and sent.issuer == key.authority
            and (sent.kind, sent.ticket) == ("TicketUpdate", key.ticket)
            and (sent.scope, sent.number) == (key.scope, key.number)
        )
        if chain is None or not is_own:
            raise StatementMalformed(
                check=10, got=f"an answer to update {body.sequence}", expected="one that was sent"
            )
        self._writer.note(uow, key, delivered, now)
        return ()


def _verdict(chain: Chain, epoch: Epoch, sequence: int, *, is_old: bool) -> bodies.UpdateVerdict:
    if epoch.era < chain.ruling:
        return bodies.UpdateVerdict.STALE
    if is_old:
        # A province tells the parties of a closed chain what it learns; one of them may be the
        # custodian that it learned it from, and must not tell it again: that would never end.
        return bodies.UpdateVerdict.RECORDED_ONLY
    if chain.term_epoch is not None and epoch <= chain.term_epoch:
        return bodies.UpdateVerdict.RECORDED_ONLY  # the ticket came here since
    shown = (chain.shown_epoch or Epoch(0, -1), chain.shown_sequence)
    if (epoch, sequence) <= shown:
        return bodies.UpdateVerdict.RECORDED_ONLY
    return bodies.UpdateVerdict.APPLIED


def _may_speak(chain: Chain) -> bool:
    """Tell whether this authority tells the parties of a chain about the ticket.

    Its custodian does. So does a province in a closed inner chain for what it learned outside or in
    a later chain: there its own term is the last word.
    """
    if chain.holding is Holding.HELD:
        return True
    has_proof = chain.term_epoch is not None and bool(chain.records)
    return chain.key.is_home and chain.closed and has_proof
