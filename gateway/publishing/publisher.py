"""Publishing, rolling back, retiring, importing: what changes which rules are in force.

Every change is one transaction: under the lock of the pack it takes the generation alone, so that
no decision is between reading it and its commit; only then it reads the clock, so the instant of
the change is after every decision made with the old rules. It signs the owner's statement, adds a
line to the timeline, moves the versions that it touches, keeps the register of rule ids, and writes
the audit. The commit notifies every process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from gateway.audit.service import AuditLog
from gateway.database.once import Once
from gateway.database.timers import schedule
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.model import SignedBytes
from gateway.kernel.codes import PublicationKind, RulePackState
from gateway.kernel.errors import FieldInvalid, ResourceNotFound, SignatureInvalid
from gateway.kernel.ids import NATION
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import replace
from gateway.publishing import machine
from gateway.publishing.codec import (
    PUBLICATION,
    publication_from_bytes,
    publication_to_bytes,
    statement_of,
)
from gateway.publishing.drafts import Answer, Drafts, lock_of, record
from gateway.publishing.ledger import (
    active_version,
    check_ids,
    existing,
    register_ids,
    supersede,
    take,
    version_in_force,
    withdraw_line,
)
from gateway.publishing.library import Library, digest_of, find_source
from gateway.publishing.model import (
    NO_VERSION,
    PUBLICATION_VALIDITY,
    Publication,
    Version,
    owner_of,
)
from gateway.publishing.signing import Signer
from gateway.publishing.states import Step
from gateway.publishing.store import (
    ACTIVATION_NUMBERS,
    ACTIVATIONS,
    ACTIVATIONS_PAST,
    GENERATION,
    SOURCES,
    VERSIONS,
    VERSIONS_IN_STATE,
    ActivationRow,
    GenerationRow,
    SourceRow,
    version_of,
    version_row,
)
from gateway.routing.model import Pack
from gateway.routing.packs import PackSet
from gateway.routing.templates import templates_of
from gateway.trust.call import Call
from gateway.trust.principal import Principal
from gateway.trust.roster import Roster
from gateway.trust.statements import verify

EFFECT_TIMER = "rules.effect"
LINES_BACK_MAX = 200  # changes that a rollback without a version looks back over
Kind = PublicationKind


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """A change of what is in force, before it is signed."""

    version: Version | None  # None: the pack is retired
    kind: PublicationKind
    effective: Instant
    reason: str
    signed: SignedBytes | None = None  # what a peer signed
    issued: int = 0


class Publisher:
    """Changes which rules are in force at this node."""

    def __init__(
        self,
        *,
        database: Database,
        library: Library,
        drafts: Drafts,
        signer: Signer,
        once: Once,
        audit: AuditLog,
        clock: Clock,
        machine_clock: Clock,
        roster: Callable[[], Roster],
        hosted: Collection[str],
    ) -> None:
        """Publish with these; `changed` and `in_force` are set by who wires the room."""
        self._database = database
        self._library = library
        self.drafts = drafts
        self._signer = signer
        self._once = once
        self._audit = audit
        self._clock = clock
        self._machine = machine_clock
        self._roster = roster
        self._hosted = hosted
        # Told the generation after each commit.
        self.changed: Callable[[int], None] = lambda _generation: None
        self.in_force: Callable[[], PackSet] = lambda: PackSet(())

    async def publish(
        self,
        call: Call,
        *,
        name: str,
        effective: Instant | None,
        reason: str,
        etag: str,
        answer: Answer,
    ) -> bytes:
        """Sign an approved version and bring it into force, now or from an instant on.

        Raises:
            TransitionNotAllowed: it was not approved.
            PeerNotAllowed: the pack is another authority's.
            ResourceExists: it uses an id of another rule.
            RulePackInvalid: it does not load any more, because units or regions changed.
        """
        found, pack = await self._loaded(name)

        async def step(uow: UnitOfWork, _begun: Instant) -> bytes:
            generation, now = await self._begin(uow, found.pack)
            version = await self._own(uow, call.principal, found)
            machine.check_etag(version, etag)
            start = max(effective or now, now)
            after, steps = machine.published(version, effective=start, reason=reason, now=now)
            change = _Change(version=after, kind=Kind.PUBLISH, effective=start, reason=reason)
            await check_ids(uow, pack)
            await self._activate(uow, call, change, pack.pack, generation, now=now)
            await register_ids(uow, pack)
            for each in steps:
                record(self._audit, uow, call.principal, each.name.lower(), after, now=now)
            return answer(after)

        return await self._once.run(call, step, locks=(lock_of(found.pack),))

    async def rollback(
        self, call: Call, *, pack: str, version: str, reason: str, answer: Answer
    ) -> bytes:
        """Bring an earlier version into force again, at once; no second person is needed.

        Raises:
            FieldInvalid: there is no such version that was in force before.
            PeerNotAllowed: the pack is another authority's.
        """
        principal = call.principal
        machine.check_owner(owner_of(pack), authority=principal.authority, principal=principal.name)
        await self._warm(pack, version)

        async def step(uow: UnitOfWork, _begun: Instant) -> bytes:
            generation, now = await self._begin(uow, pack)
            wanted = await self._target(uow, pack, version, now=now)
            before = version_of(await existing(uow, pack, wanted))
            moved = machine.moved(before, Step.RESTORE, now=now)
            after = replace(moved, effective=now, reason=reason)
            change = _Change(version=after, kind=Kind.ROLLBACK, effective=now, reason=reason)
            await self._activate(uow, call, change, pack, generation, now=now)
            source = await find_source(uow, wanted)
            await register_ids(uow, await self._library.parsed(source or b"", pack=pack))
            record(self._audit, uow, call.principal, "rollback", after, now=now)
            return answer(after)

        return await self._once.run(call, step, locks=(lock_of(pack),))

    async def retire(self, call: Call, *, name: str, reason: str, answer: Answer) -> bytes:
        """Take a pack out of force, or withdraw a version that was never in force.

        Raises:
            TransitionNotAllowed: the version is in force, or was.
            ResourceNotFound: no version of the pack is in force.
        """
        pack, slash, _ = name.removeprefix("rulePacks/").partition("/")
        principal = call.principal
        machine.check_owner(owner_of(pack), authority=principal.authority, principal=principal.name)

        async def withdraw(uow: UnitOfWork, _begun: Instant) -> bytes:
            generation, now = await self._begin(uow, pack)
            version = await self.drafts.resolve(uow, name)
            after = replace(machine.moved(version, Step.WITHDRAW, now=now), reason=reason)
            if version.state is RulePackState.SCHEDULED:
                await withdraw_line(uow, version)
                self._raise(uow, generation)
                after = replace(after, effective=None)
            uow.put(VERSIONS, version_row(after))
            record(self._audit, uow, call.principal, "withdraw", after, now=now)
            return answer(after)

        async def retired(uow: UnitOfWork, _begun: Instant) -> bytes:
            generation, now = await self._begin(uow, pack)
            active = await active_version(uow, pack, now)
            if active is None:
                raise ResourceNotFound(kind="version in force", name=f"rulePacks/{pack}")
            change = _Change(version=None, kind=Kind.RETIRE, effective=now, reason=reason)
            await self._activate(uow, call, change, pack, generation, now=now)
            after = replace(version_of(await existing(uow, pack, active.version)), reason=reason)
            uow.put(VERSIONS, version_row(after))
            record(self._audit, uow, call.principal, "retire", after, now=now)
            return answer(after)

        step = withdraw if slash else retired
        return await self._once.run(call, step, locks=(lock_of(pack),))

    async def take_in(
        self, call: Call, *, source: bytes, signed: SignedBytes, answer: Answer
    ) -> bytes:
        """Bring a version into force that its owner published elsewhere: a pack of the nation.

        Raises:
            SignatureInvalid, KeyUnknown, KeyRevoked: the owner did not sign this.
            PeerNotAllowed: its owner lives here, or has no say here.
            FieldInvalid: it is of other bytes, expired, or was taken before.
            RulePackInvalid: it does not load here.
        """
        publication = self._verified(signed)
        pack = publication.pack
        version = digest_of(source) if source else NO_VERSION
        parsed = await self._library.parsed(source, pack=pack) if source else None
        await self._check_users(parsed)

        async def step(uow: UnitOfWork, _begun: Instant) -> bytes:
            generation, now = await self._begin(uow, pack)
            [numbers] = await uow.select(ACTIVATION_NUMBERS, pack=pack)
            machine.check_import(
                publication, version=version, newest=numbers.issued, now=now, hosted=self._hosted
            )
            start = max(publication.effective, now)
            if parsed is not None:
                await check_ids(uow, parsed, is_restored=publication.kind is Kind.ROLLBACK)
            after = await self._taken(uow, parsed, source, publication, start=start, now=now)
            change = _Change(
                version=after if parsed is not None else None,
                kind=publication.kind,
                effective=start,
                reason="",
                signed=signed,
                issued=publication.sequence,
            )
            await self._activate(uow, call, change, pack, generation, now=now)
            if parsed is not None:
                await register_ids(uow, parsed)
            record(self._audit, uow, call.principal, "import", after, now=now)
            return answer(after)

        return await self._once.run(call, step, locks=(lock_of(pack),))

    # --- a scheduled version comes into force ----------------------------------------------------

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock of the pack whose instant came: a `TimerHandler` for `EFFECT_TIMER`."""
        return (lock_of(key.partition("/")[0]),)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Write down that a scheduled version is in force; it has been since its instant."""
        pack, _, digest = key.partition("/")
        if digest == NO_VERSION:  # the nation retires a pack from an instant on
            if await version_in_force(uow, pack, now) == NO_VERSION:
                await supersede(uow, pack, keep=NO_VERSION, now=now, is_retired=True)
            return
        row = await uow.get(VERSIONS, pack, digest)
        if row is None or row.state != RulePackState.SCHEDULED or (row.effective or now) > now:
            return  # withdrawn meanwhile
        after = machine.moved(version_of(row), Step.ACTIVATE, now=now)
        if await version_in_force(uow, pack, now) == digest:
            await supersede(uow, pack, keep=digest, now=now)
        else:  # another came into force after it, and was written down first
            after = machine.moved(after, Step.SUPERSEDE, now=now)
        uow.put(VERSIONS, version_row(after))
        actor = Principal.system(after.owner, "rules")
        record(self._audit, uow, actor, "activate", after, now=now)

    # --- parts ----------------------------------------------------------------------------------

    async def _begin(self, uow: UnitOfWork, pack: str) -> tuple[int, Instant]:
        """Take the generation alone; return it with the instant of the change.

        What came into force by the clock alone is written down first: its timer may be late.
        """
        generation = await take(uow)
        now = self._clock.now()
        state = int(RulePackState.SCHEDULED)
        for row in await uow.select(VERSIONS_IN_STATE, pack=pack, state=state):
            await self.handle(uow, key=f"{pack}/{row.version}", now=now)
        return generation, now

    async def _activate(
        self,
        uow: UnitOfWork,
        call: Call,
        change: _Change,
        pack: str,
        generation: int,
        *,
        now: Instant,
    ) -> None:
        """Add a line to the timeline, sign it unless a peer did, and move the versions."""
        [numbers] = await uow.select(ACTIVATION_NUMBERS, pack=pack)
        after = change.version
        digest = after.version if after is not None else NO_VERSION
        issued = change.issued or 1 + numbers.issued
        signed = change.signed
        if signed is None:
            before = await version_in_force(uow, pack, change.effective)
            signed = self._sign(call, change, pack, issued=issued, before=before, now=now)
        row = ActivationRow(
            pack=pack,
            sequence=1 + numbers.sequence,
            version=digest,
            kind=int(change.kind),
            effective=change.effective,
            generation=generation + 1,
            issued=issued,
            withdrawn=False,
            actor=call.principal.name,
            reason=change.reason,
            recorded=now,
            statement=signed.statement,
            key_id=signed.key_id,
            signature=signed.signature,
        )
        uow.insert(ACTIVATIONS, row)
        if change.effective <= now:
            await supersede(uow, pack, keep=digest, now=now, is_retired=after is None)
        else:
            schedule(uow, kind=EFFECT_TIMER, key=f"{pack}/{digest}", due=change.effective)
        if after is not None:
            uow.put(VERSIONS, version_row(after))
        self._raise(uow, generation)

    def _raise(self, uow: UnitOfWork, generation: int) -> None:
        uow.put(GENERATION, GenerationRow(1, generation + 1))
        uow.after_commit(lambda: self.changed(generation + 1))

    def _sign(
        self,
        call: Call,
        change: _Change,
        pack: str,
        *,
        issued: int,
        before: str,
        now: Instant,
    ) -> SignedBytes:
        version = change.version
        publication = Publication(
            pack=pack,
            version=version.version if version is not None else NO_VERSION,
            owner=owner_of(pack),
            kind=change.kind,
            sequence=issued,
            editor=version.editor if version is not None else "",
            approver=version.approver if version is not None else "",
            publisher=call.principal.name,
            effective=change.effective,
            previous=before,
            expires=now + PUBLICATION_VALIDITY,
        )
        body = publication_to_bytes(publication)
        return self._signer.sign(PUBLICATION, body, issuer=publication.owner, now=now)

    async def _loaded(self, name: str) -> tuple[Version, Pack]:
        """Return a version with its pack, parsed before any lock is taken."""
        async with self._database.unit() as uow:
            version = await self.drafts.resolve(uow, name)
            source = await find_source(uow, version.version)
        return version, await self._library.parsed(source or b"", pack=version.pack)

    async def _warm(self, pack: str, wanted: str) -> None:
        """Parse what a rollback will bring back before anybody waits for it."""
        async with self._database.unit() as uow:
            version = await self._target(uow, pack, wanted, now=self._clock.now())
            source = await find_source(uow, version)
        await self._library.parsed(source or b"", pack=pack)

    async def _target(self, uow: UnitOfWork, pack: str, wanted: str, *, now: Instant) -> str:
        lines = await uow.select(
            ACTIVATIONS_PAST, pack=pack, prefix=wanted, now=now, limit=LINES_BACK_MAX
        )
        current = await version_in_force(uow, pack, now)
        earlier = [line.version for line in lines if line.version != current]
        return machine.rollback_target(earlier, pack=pack, wanted=wanted)

    async def _own(self, uow: UnitOfWork, principal: Principal, found: Version) -> Version:
        version = version_of(await existing(uow, found.pack, found.version))
        machine.check_owner(version.owner, authority=principal.authority, principal=principal.name)
        return version

    async def _taken(
        self,
        uow: UnitOfWork,
        parsed: Pack | None,
        source: bytes,
        publication: Publication,
        *,
        start: Instant,
        now: Instant,
    ) -> Version:
        """Return the version of an import as it stands after it; for RETIRE the one that ends."""
        if parsed is None:
            active = await active_version(uow, publication.pack, now)
            if active is None:
                raise FieldInvalid(
                    field="publication", got="RETIRE", expected="a pack that is in force here"
                )
            return active
        if await uow.get(SOURCES, parsed.version) is None:
            uow.insert(SOURCES, SourceRow(parsed.version, source))
        known = await uow.get(VERSIONS, parsed.pack, parsed.version)
        state = RulePackState.ACTIVE if start <= now else RulePackState.SCHEDULED
        return Version(
            pack=parsed.pack,
            version=parsed.version,
            owner=publication.owner,
            title=parsed.title,
            rule_count=len(parsed.rules),
            state=state,
            revision=known.revision + 1 if known is not None else 1,
            editor=publication.editor,
            approver=publication.approver,
            created=known.created if known is not None else now,
            changed=now,
            effective=start,
        )

    def _verified(self, signed: SignedBytes) -> Publication:
        """Return what the nation says in a publication: whoever else has packs lives here.

        The order: (1) the signature over the exact bytes by a valid key of the nation, (2) the key
        may sign this kind, (3) the statement parses and is the nation's about a pack of its own.
        """
        key = self._roster().verification_key(NATION, signed.key_id, now=self._machine.now())
        verify(key, signed.statement, signed.signature, signer=NATION)  # (1)
        self._roster().check_may_sign(NATION, signed.key_id, PUBLICATION)  # (2)
        statement = statement_of(signed)
        publication = publication_from_bytes(statement.body)  # (3)
        said = (statement.kind, statement.issuer, publication.owner, owner_of(publication.pack))
        if said != (PUBLICATION, NATION, NATION, NATION):
            raise SignatureInvalid(
                signer=NATION,
                got=f"a {statement.kind} of {statement.issuer} about a pack of {said[3]}",
            )
        return publication

    async def _check_users(self, nation: Pack | None) -> None:
        """Refuse a pack of the nation without a template that packs in force here use.

        Raises:
            RulePackInvalid: what a pack of this node uses is not in it.
        """
        templates = templates_of((nation,) if nation is not None else ())
        for pack in self.in_force().packs:
            if pack.owner != NATION and any(rule.template for rule in pack.rules):
                source = pack.source.encode()
                await self._library.parsed(source, pack=pack.pack, templates=templates)
