"""Obeying rulings: what an authority does when a Ruling, a TAKEN or a StandDown reaches it.

A ruling comes alone from its arbiter, or attached to what others say; then it is applied first, as
if it had come alone (check 8). `rulings.py` says what it does to the chain; here is what follows in
the same transaction: the two levels stay together (docs/custody.md#scopes, rules 1, 4 and 5), and
the new custodian gets what it needs.

*Content.* A target may never have seen the ticket. Whoever was overruled sends it the case with its
StandDown, and so does the authority where the ticket came in (`chains.begun_by`); the first copy
that arrives counts. Who calls follows from each of them as a Release (rule 6). The target tells the
rooms above BecameCustodian at TAKEN if it has a copy, else right after the content has arrived;
until then it holds the ticket at its desk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.custody import (
    bodies,
    chains,
    codec,
    docket,
    evidence,
    machine,
    overtaken,
    proofs,
    rulings,
    store,
)
from gateway.custody.blocks import BlockOpener
from gateway.custody.coupling import Coupling, desk_of
from gateway.custody.enclosing import Content
from gateway.custody.model import (
    BecameCustodian,
    Chain,
    ChainKey,
    ContentArrived,
    CustodyEvent,
    Holding,
)
from gateway.custody.ports import ContentSource
from gateway.custody.proofs import Attached
from gateway.custody.rows import invitation_of, made_of
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import Delivered, SignedBytes
from gateway.kernel.codes import RulingKind
from gateway.kernel.errors import ResourceNotFound, StatementMalformed
from gateway.kernel.ids import GENESIS, NATION, AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.trust.roster import Roster

Events = tuple[CustodyEvent, ...]
Close = Callable[[UnitOfWork, ChainKey, Attached, Instant], Awaitable[None]]
GoHome = Callable[[UnitOfWork, AuthorityCode, TicketNumber, Instant], Awaitable[Events]]


class Ruled:
    """Obeys rulings for the authorities of one node."""

    def __init__(
        self,
        *,
        writer: StepWriter,
        coupling: Coupling,
        opener: BlockOpener,
        content: ContentSource,
        roster: Callable[[], Roster],
    ) -> None:
        """Make it; `assembly.build` sets `go_home`, the arbiter's half, and `close` (rule 5)."""
        self._writer = writer
        self._coupling = coupling
        self._opener = opener
        self._content = content
        self._roster = roster
        self.go_home: GoHome = _nowhere
        self.close: Close = _untold

    # --- rulings ------------------------------------------------------------------------------

    def as_attached(self, delivered: Delivered, body: bodies.Body) -> Attached:
        """Return a delivered statement as one that came attached."""
        return Attached(delivered.signed, delivered.statement, delivered.digest, body)

    async def learn_signed(
        self, uow: UnitOfWork, key: ChainKey, attached: tuple[SignedBytes, ...], now: Instant
    ) -> Events:
        """Verify rulings and TAKENs that an answer carries, and apply them."""
        items = tuple(proofs.open_attached(signed, key, roster=self._roster) for signed in attached)
        await evidence.learn(uow, key, items, now)
        return await self.learn(uow, key, items, now)

    async def learn(
        self, uow: UnitOfWork, key: ChainKey, items: tuple[Attached, ...], now: Instant
    ) -> Events:
        """Apply what rules or closes among verified statements, as if each had come alone."""
        events: list[CustodyEvent] = []
        for item in items:
            if item.statement.kind == "Ruling":
                events += await self.apply(uow, key, item, now)
        for item in items:
            if isinstance(item.body, bodies.RulingAck) and item.body.role is bodies.Role.TAKEN:
                events += await self.taken(uow, key, item, now)
        for item in items:
            if item.statement.kind == "ChainClosed":
                await self.close(uow, key, item, now)
        return tuple(events)

    async def apply(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        item: Attached,
        now: Instant,
        *,
        received: Delivered | None = None,
    ) -> Events:
        """Obey a verified ruling; one that came alone is answered, also when it is known.

        Raises:
            StatementMalformed: its signer is not the arbiter, or its target is not in the scope.
        """
        body = proofs.check_ruling(item, key, self._roster().arbiter_of(key.scope))
        if key.authority == NATION:
            return ()
        held = await chains.load(uow, key.authority, key.ticket)
        known = held.find(key)
        if known is None or known.ruling_statement != item.digest:
            await evidence.check_succession(uow, key, item, body)
        chain = known or await self._first_seen(uow, held, key, body, now)
        ruling = await self._received(uow, chain, item, body)
        if held.is_closed_from(key) or not rulings.is_newer(chain, body.number):
            if received is not None:
                closing = await chains.closing_of(uow, held, key)
                await self._late(uow, chain, ruling, received, now, closing=closing)
            return ()
        if body.target == key.authority:
            chain = replace(chain, contact=chain.contact or held.has_contact)
        step = rulings.receive_ruling(chain, ruling)
        says = tuple(replace(say, post_to=self._writer.joined(say.audience)) for say in step.says)
        is_own = received is not None and received.statement.issuer == key.authority
        step = replace(step, says=says, records=not is_own)
        after = await self._writer.write(uow, step, now=now, received=received)
        return (*step.events, *await self._keep_levels(uow, after, body, now))

    async def _first_seen(
        self,
        uow: UnitOfWork,
        held: chains.TicketChains,
        key: ChainKey,
        body: bodies.Ruling,
        now: Instant,
    ) -> Chain:
        """Return the row of a chain that was not known; the origin writes its Genesis first."""
        is_origin = key.is_outer and chains.may_begin(key.authority, key)
        if is_origin and held.open_inner is not None:
            return await self._coupling.open_outer(uow, held, number=key.number, now=now)
        return replace(
            chains.unknown_chain(key, chains.begun_by(key)).with_party(), custodian=body.target
        )

    async def _received(
        self, uow: UnitOfWork, chain: Chain, item: Attached, body: bodies.Ruling
    ) -> rulings.ReceivedRuling:
        key = chain.key
        made = await uow.rows(store.OFFERS_MADE_OF_TICKET, key.authority, key.ticket)
        row = await uow.get(store.INVITATIONS, key.authority, key.ticket, key.scope, key.number)
        return rulings.ReceivedRuling(
            digest=item.digest,
            signed=item.signed,
            body=body,
            invitation=invitation_of(row) if row else None,
            made=tuple(offer for offer in map(made_of, made) if offer.key == key),
            has_copy=await self._has_copy(uow, key),
            desk=desk_of(key.authority),
            followers=self._writer.joined(chains.followers_of(key)),
        )

    async def _late(
        self,
        uow: UnitOfWork,
        chain: Chain,
        ruling: rulings.ReceivedRuling,
        received: Delivered,
        now: Instant,
        *,
        closing: tuple[SignedBytes, ...],
    ) -> None:
        """Answer a ruling that is known, byte for byte, or say that it is outdated.

        One that was known before may have come attached to what another said.
        """
        answer = await self._own_ack(uow, chain.key, ruling.body.number)
        if answer is not None:
            step = machine.Step(chain=chain, resend=answer.digest, records=False)
        else:
            newest = await self.newest(uow, chain)
            known = (newest[0],) if newest else ()
            step = rulings.outdated(chain, ruling, (*known, *closing))
        await self._writer.write(uow, step, now=now, received=received)

    async def _keep_levels(
        self, uow: UnitOfWork, chain: Chain, body: bodies.Ruling, now: Instant
    ) -> Events:
        """Open the inner chain of a new outer custodian (rule 1), or take it home (rule 4)."""
        key = chain.key
        if not key.is_outer:
            is_home = key.is_home and body.kind is RulingKind.HOME
            return await docket.void(uow, key) if is_home else ()
        if chain.holding is Holding.HELD and body.target == key.authority:
            await self._coupling.open_inner(
                uow,
                authority=key.authority,
                ticket=key.ticket,
                uid=body.ticket_uid,
                outer=chain,
                now=now,
            )
        elif chain.holding is Holding.YIELDING:
            return await self.go_home(uow, key.authority, key.ticket, now)
        return ()

    # --- TAKEN --------------------------------------------------------------------------------

    async def taken(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        item: Attached,
        now: Instant,
    ) -> Events:
        """Learn that the target of a ruling holds: first the ruling, then care ends here.

        Raises:
            StatementMalformed: it is not the target's answer, or the ruling is not the arbiter's.
        """
        body = item.body
        if not isinstance(body, bodies.RulingAck) or len(body.attached) != 1:
            raise StatementMalformed(check=8, got="TAKEN of no ruling", expected="with its ruling")
        ruling = proofs.open_attached(body.attached[0], key, roster=self._roster)
        await evidence.learn(uow, key, (ruling,), now)
        events = await self.apply(uow, key, ruling, now)
        proofs.check_taken(item, ruling)
        chain = await chains.find_chain(uow, key)
        holder = item.statement.issuer
        if key.authority in (NATION, holder) or chain is None:
            return events
        step = rulings.receive_taken(chain, number=body.number, holder=holder)
        after = await self._writer.write(uow, step, now=now)
        is_source = key.authority in (chains.begun_by(key), chain.origin)
        is_newest = body.number == after.ruling
        if step.released_to is not None:
            if key.is_outer:
                events = (*events, *await self._coupling.close_inner(uow, after, now=now))
            acts = await self._acts(uow, after)
            await self._stand_down(uow, after, holder, now, gives=is_newest, acts=acts)
        elif (
            is_source
            and is_newest
            and not (after.is_caring or after.closed or _held_since(after, body.number))
            and not await self._has_told(uow, after, holder)
        ):
            await self._stand_down(uow, after, holder, now, gives=True)
        return (*events, *step.events)

    async def _has_told(self, uow: UnitOfWork, chain: Chain, holder: AuthorityCode) -> bool:
        """Tell whether the new custodian was given the ticket from here already."""
        if chain.release_due == holder:
            return True
        said = await chains.said(
            uow,
            chain.key,
            issuer=chain.key.authority,
            kind="Release",
            epoch=rulings.epoch_of(chain.ruling),
        )
        return bool(said)

    async def report(
        self, uow: UnitOfWork, chain: Chain, holder: AuthorityCode, now: Instant
    ) -> Chain:
        """Report the present term, which ends now, without content; return the chain after it."""
        acts = await self._acts(uow, chain)
        await self._stand_down(uow, chain, holder, now, gives=False, acts=acts)
        return await chains.find_chain(uow, chain.key) or chain

    async def let_go(self, uow: UnitOfWork, key: ChainKey, now: Instant) -> None:
        """Pass on who calls if that is due, and forget it where the ticket has gone for good."""
        await self._coupling.flush_releases(uow, key.authority, key.ticket, now=now)

    async def _acts(self, uow: UnitOfWork, chain: Chain) -> tuple[bodies.Act, ...]:
        """Return what was done in the term that ends: outside, what was done inside it."""
        key = chain.key
        if key.is_outer:
            return await overtaken.done_inside(
                uow, await chains.load(uow, key.authority, key.ticket)
            )
        return await self._coupling.acts_of_term(uow, chain)

    async def _stand_down(
        self,
        uow: UnitOfWork,
        chain: Chain,
        holder: AuthorityCode,
        now: Instant,
        *,
        gives: bool,
        acts: tuple[bodies.Act, ...] = (),
    ) -> None:
        """Report the last term, give the case to the new custodian, and who calls when it can.

        One that a later ruling overtook before its TAKEN came here is given nothing (`gives`).
        """
        key = chain.key
        first, *more = overtaken.parts_of(acts)
        body = report = bodies.StandDown(
            part=1,
            final=not more,
            last_epoch=chain.term_epoch or GENESIS,
            acts=first,
            attached=await self._coupling.records(uow, chain),
        )
        contents: tuple[Content, ...] = ()
        if gives and await self._has_copy(uow, key) and self._writer.can_reach(holder):
            block = await self._content.case_block(uow, key.authority, key.ticket)
            content = self._writer.content("case_block", block)
            contents = (content,)
            body = replace(
                body,
                commitments=(content.commitment(),),
                header=await self._content.header(uow, key.authority, key.ticket),
                citizen_act_applied=await self._content.citizen_act_applied(
                    uow, key.authority, key.ticket
                ),
            )
        audience = (key.scope, chains.begun_by(key))
        say = rulings.stand_down(chain, body, holder=holder, audience=audience)
        say = replace(say, post_to=self._writer.joined(say.audience))
        due = holder if gives else None
        step = machine.Step(chain=replace(chain, release_due=due), says=(say,))
        after = await self._writer.write(uow, step, now=now, contents=contents)
        for part, listed in enumerate(more, start=2):
            further = replace(report, part=part, final=part > len(more), acts=listed)
            say = rulings.stand_down(after, further, holder=holder, audience=audience)
            say = replace(say, post_to=self._writer.joined(say.audience))
            after = await self._writer.write(uow, machine.Step(chain=after, says=(say,)), now=now)
        await self._coupling.flush_releases(uow, key.authority, key.ticket, now=now)

    async def stood_down(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.StandDown,
        now: Instant,
    ) -> Events:
        """Take the report of an overruled custodian; the first content that arrives is ours.

        Raises:
            StatementMalformed: its signer is not proven to have held the ticket.
            ResourceNotFound: it came before the ruling that it follows.
        """
        source, epoch = delivered.statement.issuer, body.last_epoch
        proof = await self._check_stand_down(uow, key, delivered, body, now)
        events = await self.learn(uow, key, proof.attached, now) if proof is not None else ()
        held = await chains.load(uow, key.authority, key.ticket)
        chain = held.find(key)
        if chain is None:
            raise ResourceNotFound(kind="chain", name=f"{key.ticket} {key.scope}-{key.number}")
        if key.is_home or key.authority == chain.ruling_target:  # who reconciles them, keeps them
            await self._coupling.record_acts(uow, held, chain, body.acts, actor=source, now=now)
        # One without the text that it promises is a report alone: its sender was restored.
        has_text = bool(body.commitments) and delivered.block("case_block") is not None
        is_due = chain.content_due and chain.is_caring and has_text
        after = replace(chain, content_due=chain.content_due and not is_due)
        if is_due:
            for other in held.chains:
                self._writer.save(uow, replace(other, content_due=False))
        if key.authority != key.scope or key.is_home:
            after = after.with_party(source)
        records = source != key.authority
        step = machine.Step(chain=after, records=records)
        if not is_due:
            await self._writer.write(uow, step, now=now, received=delivered)
            return events
        block = self._opener.open(
            delivered.block("case_block"),
            key=key,
            epoch=epoch,
            source=source,
            kind="case_block",
            commitments=body.commitments,
        )
        await self._check_uid(uow, chain, body.header)
        await self._writer.write(uow, step, now=now, received=delivered)
        arrived = ContentArrived(
            key, source, body.header, block, citizen_act_applied=body.citizen_act_applied
        )
        if after.holding is not Holding.HELD or after.term_epoch is None:
            return (*events, arrived)
        return (*events, arrived, BecameCustodian(key, after.term_epoch, source))

    async def _check_stand_down(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.StandDown,
        now: Instant,
    ) -> proofs.Proof | None:
        source = delivered.statement.issuer
        proof = None
        if body.attached:
            proof = proofs.prove(body.attached, key, roster=self._roster)
            await evidence.learn(uow, key, proof.attached, now, proof=proof)
        has_held = proof is not None and (source, body.last_epoch) in proof.terms
        is_own_acts = all(act.epoch == body.last_epoch for act in body.acts)
        if not (has_held or source == key.scope) or not is_own_acts:
            raise StatementMalformed(
                check=9, got=f"a StandDown of {source}", expected="one that held the ticket"
            )
        return proof

    async def _check_uid(self, uow: UnitOfWork, chain: Chain, header: bytes) -> None:
        newest = await self.newest(uow, chain)
        uid = newest[1].ticket_uid if newest else ""
        if codec.header_uid(header) != uid:
            raise StatementMalformed(check=9, got="content of another ticket", expected=uid)

    # --- parts --------------------------------------------------------------------------------

    async def newest(
        self, uow: UnitOfWork, chain: Chain
    ) -> tuple[SignedBytes, bodies.Ruling] | None:
        """Return the newest ruling known here, to attach it to what answers older statements."""
        if not chain.ruling:
            return None
        signed = await self._writer.signed(uow, chain.key.authority, chain.ruling_statement)
        body = codec.body_from_bytes("Ruling", statement_from_bytes(signed.statement).body)
        return (signed, body) if isinstance(body, bodies.Ruling) else None

    async def attached(self, uow: UnitOfWork, chain: Chain | None) -> tuple[SignedBytes, ...]:
        """Return the newest ruling as what is attached to an answer; nothing before the first."""
        newest = await self.newest(uow, chain) if chain is not None else None
        return (newest[0],) if newest else ()

    async def forward(self, uow: UnitOfWork, chain: Chain, to: AuthorityCode, now: Instant) -> None:
        """Tell the newest ruling to one who accepted an offer below it."""
        own = await self._own_ack(uow, chain.key, chain.ruling)
        if own is not None and to in statement_from_bytes(own.statement).audience:
            await self._writer.resend(uow, chain.key, own.digest, to=to, now=now)

    async def _own_ack(
        self, uow: UnitOfWork, key: ChainKey, number: int
    ) -> store.StatementRow | None:
        said = await chains.said(
            uow, key, issuer=key.authority, kind="RulingAck", epoch=rulings.epoch_of(number)
        )
        answers = [
            row for row in said if evidence.has_identity(statement_from_bytes(row.statement))
        ]
        return answers[0] if answers else None

    async def _has_copy(self, uow: UnitOfWork, key: ChainKey) -> bool:
        try:
            await self._content.header(uow, key.authority, key.ticket)
        except ResourceNotFound:
            return False
        return True


async def _untold(*_given: object) -> None:
    """Close nothing: an arbiter's node has no inner chains."""


async def _nowhere(*_given: object) -> Events:
    """Have no arbiter's half: nothing inside to take home."""
    return ()


def _held_since(chain: Chain, number: int) -> bool:
    """Tell whether this authority held the ticket after the ruling: then it was given since."""
    return chain.term_epoch is not None and chain.term_epoch > rulings.epoch_of(number)
