"""The two levels of custody kept together (docs/custody.md#scopes, rules 1–6).

The transaction that makes a province custodian outside opens an inner chain for it (rule 1). An
outer offer needs the ticket home (rule 2, asked by the service). The transaction that releases a
province outside closes its inner chain (rule 5). Who calls is handed over by the transaction in
which acceptance and contact are both present (rule 6).
"""

from __future__ import annotations

from gateway.custody import bodies, chains, codec, docket, evidence, machine, proofs, store
from gateway.custody.blocks import BlockOpener
from gateway.custody.enclosing import Content
from gateway.custody.guards import ground_of, is_consented, is_homeward
from gateway.custody.model import (
    ACTS_PER_STATEMENT_MAX,
    BY_CONSENT,
    Chain,
    ChainKey,
    ContentArrived,
    CustodyEvent,
    Holding,
    Split,
)
from gateway.custody.overtaken import Reconciling
from gateway.custody.ports import ContentSource
from gateway.custody.rows import invitation_of, made_of
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import SignedBytes
from gateway.kernel.errors import InvariantViolated
from gateway.kernel.ids import GENESIS, NATION, AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.trust.statements import digest


def desk_of(authority: str) -> str:
    """Return the triage desk of an authority: responsible until a unit is."""
    return f"{authority}-desk"


class Coupling:
    """Steps that touch more than one chain of a ticket."""

    def __init__(
        self,
        *,
        writer: StepWriter,
        opener: BlockOpener,
        content: ContentSource,
    ) -> None:
        """Make the coupling of one node."""
        self._writer = writer
        self._opener = opener
        self._content = content
        self.reconciling = Reconciling(writer=writer)

    # --- opening and closing ------------------------------------------------------------------

    async def open_inner(
        self,
        uow: UnitOfWork,
        *,
        authority: AuthorityCode,
        ticket: TicketNumber,
        uid: str,
        outer: Chain | None,
        now: Instant,
        split: Split | None = None,
    ) -> None:
        """Write Genesis of the next inner chain, unless one is open already (rule 1)."""
        held = await chains.load(uow, authority, ticket)
        if held.open_inner is not None:
            return
        before = held.inner
        key = ChainKey(
            authority,
            ticket,
            chains.province_of(authority),
            before.key.number + 1 if before else 1,
        )
        body = bodies.Genesis(
            origin=authority,
            ticket_uid=uid,
            outer_record=outer.record_digest if outer else b"",
            closed_row=before.chain_head if before else b"",
            parent=split.parent if split else "",
            split_epoch=split.epoch if split else None,
            split_index=split.index if split else 0,
        )
        contents: tuple[Content, ...] = ()
        if not key.is_home:
            contents = await self._report(uow, key)
            body = replace(
                body,
                header=await self._content.header(uow, authority, ticket),
                commitments=tuple(content.commitment() for content in contents),
            )
        step = machine.begin(
            key, desk=desk_of(authority), contact=outer.contact if outer else True, body=body
        )
        await self._writer.write(uow, step, now=now, contents=contents)

    async def open_outer(
        self, uow: UnitOfWork, held: chains.TicketChains, *, number: int, now: Instant
    ) -> Chain:
        """Write Genesis of the chain among provinces, with what begins the inner one attached.

        That is its Genesis; in a chain that came back after a restore by a ruling only, which was
        all that anybody else had of it, it is what opens its era: the Ruling and its TAKEN.
        """
        inner = held.open_inner
        if inner is None:
            raise InvariantViolated(invariant="an outer chain begins at home", got=held.ticket)
        first = (inner.genesis_digest.hex(),) if inner.genesis_digest else inner.records[:2]
        attached = tuple(
            [await self._writer.signed(uow, held.authority, bytes.fromhex(item)) for item in first]
        )
        body = bodies.Genesis(
            origin=held.authority,
            ticket_uid=await docket.uid(uow, inner.key),
            attached=attached,
        )
        key = ChainKey(held.authority, held.ticket, NATION, number)
        step = machine.begin(key, desk=desk_of(held.authority), contact=held.has_contact, body=body)
        return await self._writer.write(uow, step, now=now)

    async def records(self, uow: UnitOfWork, chain: Chain) -> tuple[SignedBytes, ...]:
        """Return what proves this authority's term: the records of the era, folded."""
        authority = chain.key.authority
        records = [
            await self._writer.signed(uow, authority, bytes.fromhex(item)) for item in chain.records
        ]
        return proofs.folded(tuple(records))

    async def newest_consent(self, uow: UnitOfWork, chain: Chain) -> Epoch | None:
        """Return at which epoch of its era the ticket last moved by consent, as its records tell.

        All of them: folded, they show the last hand-over only.
        """
        found = None
        for item in chain.records:
            signed = await self._writer.signed(uow, chain.key.authority, bytes.fromhex(item))
            statement = statement_from_bytes(signed.statement)
            if statement.kind != "Offer":
                continue
            body = codec.body_from_bytes(statement.kind, statement.body)
            if isinstance(body, bodies.Offer) and is_consented(body):
                found = statement.epoch
        return found

    async def acts_of_term(self, uow: UnitOfWork, chain: Chain) -> tuple[bodies.Act, ...]:
        """Return the newest exclusive acts of this authority's present term in a chain.

        Each act is told when it happens, and recorded once, so the standard's bound loses nothing.
        """
        if chain.term_epoch is None:
            return ()
        key = chain.key
        rows = await uow.rows(
            store.ACTS_OF_TERM,
            key.authority,
            key.ticket,
            key.scope,
            key.number,
            chain.term_epoch.key(),
        )
        return tuple(
            bodies.Act(
                row=row.sequence,
                epoch=Epoch.from_key(row.epoch),
                kind=row.kind,
                digest=row.digest,
            )
            for row in rows[-ACTS_PER_STATEMENT_MAX:]
        )

    # --- accepting ----------------------------------------------------------------------------

    async def accept(
        self, uow: UnitOfWork, row: store.InvitationRow, *, now: Instant
    ) -> tuple[CustodyEvent, ...]:
        """Accept an invitation; a province that becomes custodian outside opens its inner chain."""
        invitation = invitation_of(row)
        chain = await chains.find_chain(uow, invitation.key)
        kept = await uow.get(store.STATEMENTS, row.authority, invitation.offer_digest)
        if chain is None or kept is None:
            raise InvariantViolated(invariant="an invitation has its offer", got=row.ticket)
        signed = SignedBytes(kept.statement, kept.key_id, kept.signature)
        body = codec.body_from_bytes("Offer", _body_of(signed))
        if not isinstance(body, bodies.Offer):
            raise InvariantViolated(invariant="an invitation has its offer", got=row.ticket)
        held = await chains.load(uow, invitation.key.authority, invitation.key.ticket)
        case_block = self._opener.open_stored(row, body)
        proven = replace(
            chain,
            contact=chain.contact or held.has_contact,
            content_due=False,
            records=tuple(_digests(body)),
        ).with_party(
            *_earlier_custodians(body), *self._writer.joined(chains.followers_of(chain.key))
        )
        if proven.case and await self._is_over(uow, proven):
            proven = replace(proven, case="", filing_due=False)
        step = machine.accept(
            proven,
            invitation,
            body,
            desk=desk_of(row.authority),
            homeward_before=_homeward_before(chain.key, body),
        )
        accepted = await self._writer.write(uow, step, now=now)
        if is_consented(body):
            await self.end_case(uow, accepted, body, now=now)
        arrived = ContentArrived(
            accepted.key,
            invitation.source,
            body.header,
            case_block,
            citizen_act_applied=body.citizen_act_applied,
        )
        if accepted.key.is_outer:
            await self.open_inner(
                uow,
                authority=accepted.key.authority,
                ticket=accepted.key.ticket,
                uid=_uid_of(body),
                outer=accepted,
                now=now,
            )
        elif accepted.key.is_home:
            await self.record_acts(uow, held, chain, body.acts, actor=invitation.source, now=now)
        return (arrived, *step.events)

    async def _is_over(self, uow: UnitOfWork, chain: Chain) -> bool:
        """Tell whether a case that was filed here in an earlier term ended by consent elsewhere.

        Who takes the ticket again later may file what comes then, and must, if its term is forked.
        """
        consent = await self.newest_consent(uow, chain)
        return consent is not None and not chain.case.endswith(f"-{consent.era}.{consent.count}")

    async def end_case(
        self, uow: UnitOfWork, chain: Chain, body: bodies.Offer, *, now: Instant
    ) -> None:
        """Tell the arbiter that the ticket moved by consent: its case has no object any more."""
        filing = bodies.CaseFiling(
            ground=ground_of(chain.key),
            case=body.case,
            last_record=chain.record_digest,
            cause=BY_CONSENT,
            proposed_target="",
            header=body.header,
            path=chain.path,
            attached=await self.records(uow, chain),
        )
        scope = chain.key.scope
        audience = (scope,) if self._writer.has_arbiter(scope) else ()
        say = machine.Say("CaseFiling", chain.term_epoch or GENESIS, audience, filing)
        await self._writer.write(uow, machine.Step(chain=chain, says=(say,)), now=now)

    async def record_acts(
        self,
        uow: UnitOfWork,
        held: chains.TicketChains,
        chain: Chain,
        acts: tuple[bodies.Act, ...],
        *,
        actor: AuthorityCode,
        now: Instant,
    ) -> None:
        """Record exclusive acts of a city at its province, each once (rule 3).

        The key of a row is (chain, actor, epoch, row); what is recorded already keeps its force,
        whatever comes later. `held` and `chain` are as they were before this step.
        """
        if not acts:
            return
        key = chain.key
        recorded = await uow.rows(
            store.ACTS_OF_ACTOR, key.authority, key.ticket, key.scope, key.number, actor
        )
        known = {(row.epoch, row.act_row) for row in recorded}
        fresh: list[bodies.Act] = []
        for act in acts:
            if (act.epoch.key(), act.row) in known:
                continue
            row = store.ActRow(
                authority=chain.key.authority,
                ticket=chain.key.ticket,
                scope=chain.key.scope,
                number=chain.key.number,
                actor=actor,
                act_row=act.row,
                epoch=act.epoch.key(),
                kind=act.kind,
                digest=act.digest,
                has_force=held.has_force(chain, act.epoch),
                recorded=now,
            )
            uow.put(store.ACTS, row)
            known.add((row.epoch, row.act_row))
            fresh.append(act)
        outer = held.outer
        if key.is_home and fresh and outer is not None and outer.holding is Holding.RELEASED:
            records = await self.records(uow, outer)
            await self.reconciling.told_late(uow, held, tuple(fresh), records=records, now=now)

    # --- releasing ----------------------------------------------------------------------------

    async def released(
        self, uow: UnitOfWork, chain: Chain, step: machine.Step, *, now: Instant
    ) -> tuple[CustodyEvent, ...]:
        """Follow up the ACCEPTED of an own offer: close the inner chain, hand over who calls."""
        events: tuple[CustodyEvent, ...] = ()
        if chain.key.is_outer:
            events = await self.close_inner(uow, chain, now=now)
        if step.released_to is not None:
            self._writer.save(uow, replace(chain, release_due=step.released_to))
        await self.flush_releases(uow, chain.key.authority, chain.key.ticket, now=now)
        return events

    async def close_inner(
        self, uow: UnitOfWork, outer: Chain, *, now: Instant
    ) -> tuple[CustodyEvent, ...]:
        """Close the inner chain of a province that was released outside, and its cases (rule 5)."""
        held = await chains.load(uow, outer.key.authority, outer.key.ticket)
        inner = held.open_inner
        if inner is None or not inner.key.is_home:
            return ()
        step = machine.close(inner, outer_record=outer.record_digest)
        await self._writer.write(uow, step, now=now)
        return await docket.void(uow, inner.key)

    async def contact_arrived(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        *,
        identity: bytes | None,
        now: Instant,
    ) -> bool:
        """Note that it is known here who calls (or that nobody says), and pass it on if due.

        Return whether this authority may keep it: one that let go meanwhile only passes it on.
        """
        held = await chains.load(uow, authority, ticket)
        for chain in held.chains:
            if not chain.contact:
                self._writer.save(uow, replace(chain, contact=True))
        return await self.flush_releases(uow, authority, ticket, identity=identity, now=now)

    async def flush_releases(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        *,
        now: Instant,
        identity: bytes | None = None,
    ) -> bool:
        """Write every Release whose acceptance and contact are both present (rule 6).

        Then forget who calls where the ticket has gone for good; return whether it is still kept.
        """
        held = await chains.load(uow, authority, ticket)
        due = [chain for chain in held.chains if chain.release_due is not None]
        if due and held.has_contact:
            known = identity or await self._content.identity_block(uow, authority, ticket)
            for chain in due:
                await self._release(uow, chain, known, now=now)
        if held.may_know_caller or not held.has_contact:
            return True
        await self._forget(uow, authority, ticket)
        return False

    async def _forget(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> None:
        """Delete who calls, and note it: a later Release must wait until it is known here again."""
        await self._content.forget_identity(uow, authority, ticket)
        held = await chains.load(uow, authority, ticket)
        for chain in held.chains:
            self._writer.save(uow, replace(chain, contact=False))

    async def _release(
        self, uow: UnitOfWork, chain: Chain, identity: bytes | None, *, now: Instant
    ) -> None:
        target = chain.release_due
        if target is None:
            return
        contents: tuple[Content, ...] = ()
        if identity:
            contents = (self._writer.content("identity_block", identity),)
        acceptance, epoch = await self._let_go_by(uow, chain, target)
        body = bodies.Release(
            acceptance_digest=acceptance,
            commitments=tuple(content.commitment() for content in contents),
        )
        step = machine.Step(
            chain=replace(chain, release_due=None),
            says=(machine.Say("Release", epoch, (target,), body),),
        )
        await self._writer.write(uow, step, now=now, contents=contents)

    async def _let_go_by(
        self, uow: UnitOfWork, chain: Chain, target: AuthorityCode
    ) -> tuple[bytes, Epoch]:
        """Return digest and epoch of what made the target custodian: its ACCEPTED, or its TAKEN."""
        key = chain.key
        rows = await uow.rows(store.OFFERS_MADE_OF_TICKET, key.authority, key.ticket)
        accepted = [
            made
            for made in map(made_of, rows)
            if made.key == key and made.target == target and made.verdict.value == "ACCEPTED"
        ]
        newest = max(accepted, key=lambda made: made.epoch, default=None)
        if newest is not None and newest.epoch.era >= chain.ruling:
            return newest.answer_digest, newest.epoch
        said = await uow.select(
            store.STATEMENTS_SAID,
            authority=key.authority,
            ticket=key.ticket,
            scope=key.scope,
            number=key.number,
            issuer=target,
            kind="RulingAck",
        )
        taken = [row for row in said if evidence.is_taken(row)]
        if not taken:
            raise InvariantViolated(invariant="a Release follows a hand-over", got=key.ticket)
        return taken[-1].digest, Epoch.from_key(taken[-1].epoch)

    # --- parts --------------------------------------------------------------------------------

    async def _report(self, uow: UnitOfWork, key: ChainKey) -> tuple[Content, ...]:
        """Return what a city tells its province about a ticket of its own."""
        case_block = await self._content.case_block(uow, key.authority, key.ticket)
        contents = [self._writer.content("case_block", case_block)]
        identity = await self._content.identity_block(uow, key.authority, key.ticket)
        if identity:
            contents.append(self._writer.content("identity_block", identity))
        return tuple(contents)


def _body_of(signed: SignedBytes) -> bytes:
    return statement_from_bytes(signed.statement).body


def _digests(body: bodies.Offer) -> list[str]:
    return [digest(signed.statement).hex() for signed in proofs.unfolded(body.attached)]


def _earlier_custodians(body: bodies.Offer) -> list[str]:
    """Return who ever held the ticket in this era; all of them follow it.

    That is more than the path, off which a homeward offer takes its sender.
    """
    said = [statement_from_bytes(signed.statement) for signed in proofs.unfolded(body.attached)]
    return [statement.issuer for statement in said if statement.kind != "Ruling"]


def _uid_of(body: bodies.Offer) -> str:
    return codec.header_uid(body.header)


def _homeward_before(key: ChainKey, body: bodies.Offer) -> int:
    """Return how many of the hand-overs that the offer rests on brought the ticket home."""
    offers = [
        codec.body_from_bytes("Offer", statement.body)
        for signed in proofs.unfolded(body.attached)
        if (statement := statement_from_bytes(signed.statement)).kind == "Offer"
    ]
    return sum(is_homeward(key, offer) for offer in offers if isinstance(offer, bodies.Offer))
