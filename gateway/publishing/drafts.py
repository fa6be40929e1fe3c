"""Versions before they are published: written, checked, approved; all versions in pages.

A draft that does not parse is refused whole, with everything that is wrong with it. What parses is
kept under the digest of its bytes, so that the same bytes are the same version, and a mended draft
is another one. Every step is audited with the version that it was about.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.checking.model import Finding
from gateway.database.once import Once
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.model import SignedBytes
from gateway.kernel.codes import RulePackState
from gateway.kernel.errors import ResourceExists, ResourceNotFound
from gateway.kernel.time import Clock, Instant
from gateway.publishing import machine
from gateway.publishing.library import Library, find_source
from gateway.publishing.model import VERSION_CHARS, Version, owner_of
from gateway.publishing.ports import Check
from gateway.publishing.store import (
    ACTIVATIONS_OF,
    SOURCES,
    VERSIONS,
    VERSIONS_BY_PREFIX,
    VERSIONS_NEWEST,
    SourceRow,
    version_of,
    version_row,
)
from gateway.routing.model import Pack
from gateway.trust.call import Call
from gateway.trust.principal import Principal

PAGE_SIZE = 50
Answer = Callable[[Version], bytes]
Findings = tuple[Finding, ...]


class Drafts:
    """The versions of a node, from draft to approval."""

    def __init__(
        self,
        *,
        database: Database,
        library: Library,
        once: Once,
        audit: AuditLog,
        clock: Clock,
        check: Check,
    ) -> None:
        """Keep versions with these; `check` says what there is to say about a source."""
        self._database = database
        self._library = library
        self._once = once
        self._audit = audit
        self._clock = clock
        self._check = check

    async def create(self, call: Call, *, pack: str, source: bytes, answer: Answer) -> bytes:
        """Keep a draft; the same bytes again are the same version.

        Raises:
            PeerNotAllowed: the pack is another authority's.
            RulePackInvalid: it does not parse; all findings are in the hint.
            ResourceExists: this version was withdrawn or retired before.
        """
        parsed = await self.parsed(call.principal, pack=pack, source=source)

        async def step(uow: UnitOfWork, now: Instant) -> bytes:
            return answer(await self.keep(uow, call.principal, parsed, now=now))

        return await self._once.run(call, step, locks=(lock_of(pack),))

    async def parsed(self, principal: Principal, *, pack: str, source: bytes) -> Pack:
        """Return a text as a pack of the caller's authority, which `keep` makes a draft of.

        Raises:
            PeerNotAllowed: the pack is another authority's.
            RulePackInvalid: it does not parse; all findings are in the hint.
        """
        machine.check_owner(owner_of(pack), authority=principal.authority, principal=principal.name)
        return await self._library.parsed(source, pack=pack)

    async def keep(
        self, uow: UnitOfWork, principal: Principal, parsed: Pack, *, now: Instant
    ) -> Version:
        """Keep a draft in the caller's unit, which holds `lock_of` the pack; the same is itself.

        Raises:
            ResourceExists: this version was withdrawn or retired before.
        """
        known = await uow.get(VERSIONS, parsed.pack, parsed.version)
        if known is not None:
            version = version_of(known)
            if machine.is_over(version.state):
                raise ResourceExists(
                    kind="version",
                    name=version.subject,
                    hint="it was retired: roll back to it, or change the text",
                )
            return version
        version = Version(
            pack=parsed.pack,
            version=parsed.version,
            owner=owner_of(parsed.pack),
            title=parsed.title,
            rule_count=len(parsed.rules),
            state=RulePackState.DRAFT,
            revision=1,
            editor=principal.name,
            approver="",
            created=now,
            changed=now,
        )
        if await uow.get(SOURCES, parsed.version) is None:
            uow.insert(SOURCES, SourceRow(parsed.version, parsed.source.encode()))
        uow.insert(VERSIONS, version_row(version))
        record(self._audit, uow, principal, "draft", version, now=now)
        return version

    async def check(
        self, call: Call, *, name: str, answer: Callable[[Version, Findings], bytes]
    ) -> bytes:
        """Check a version and keep the verdict; the findings are made for every call anew.

        Raises:
            PeerNotAllowed: the pack is another authority's.
            ResourceNotFound: there is no such version.
        """
        principal = call.principal
        async with self._database.unit() as uow:
            found = await self.resolve(uow, name)
            machine.check_owner(
                found.owner, authority=principal.authority, principal=principal.name
            )
            source = await find_source(uow, found.version)
        findings = await self._check(source or b"", found.pack)
        errors = sum(finding.is_error for finding in findings)

        async def step(uow: UnitOfWork, now: Instant) -> bytes:
            version = await self._locked(uow, found)
            after = machine.checked(version, errors=errors, findings=len(findings), now=now)
            if after is not version:
                uow.put(VERSIONS, version_row(after))
            record(self._audit, uow, call.principal, "fail" if errors else "check", after, now=now)
            return answer(after, findings)

        return await self._once.run(call, step, locks=(lock_of(found.pack),))

    async def approve(self, call: Call, *, name: str, etag: str, answer: Answer) -> bytes:
        """Approve a checked version as a second person.

        Raises:
            RoleMissing: the caller wrote it.
            TransitionNotAllowed: it was not checked, or a check found errors.
        """
        principal = call.principal
        async with self._database.unit() as uow:
            found = await self.resolve(uow, name)

        async def step(uow: UnitOfWork, now: Instant) -> bytes:
            version = await self._locked(uow, found)
            machine.check_owner(
                version.owner, authority=principal.authority, principal=principal.name
            )
            machine.check_etag(version, etag)
            after = machine.approved(version, approver=principal.name, now=now)
            uow.put(VERSIONS, version_row(after))
            record(self._audit, uow, call.principal, "approve", after, now=now)
            return answer(after)

        return await self._once.run(call, step, locks=(lock_of(found.pack),))

    # --- looking --------------------------------------------------------------------------------

    async def resolve(self, uow: UnitOfWork, name: str) -> Version:
        """Return the version of `rulePacks/{pack}/versions/{version}`, which may be shortened.

        Raises:
            ResourceNotFound: there is none, or more than one.
        """
        pack, _, digest = name.removeprefix("rulePacks/").partition("/versions/")
        if len(digest) == VERSION_CHARS:
            row = await uow.get(VERSIONS, pack, digest)
            rows = [row] if row is not None else []
        else:
            rows = await uow.select(VERSIONS_BY_PREFIX, pack=pack, prefix=digest)
        if len(rows) != 1:
            raise ResourceNotFound(kind="version", name=name)
        return version_of(rows[0])

    async def signed(self, uow: UnitOfWork, version: Version) -> SignedBytes | None:
        """Return what the owner signed about a version last."""
        rows = [
            row
            for row in await uow.rows(ACTIVATIONS_OF, version.pack, version.version)
            if row.issued
        ]
        if not rows:
            return None
        return SignedBytes(rows[-1].statement, rows[-1].key_id, rows[-1].signature)

    async def newest(
        self,
        uow: UnitOfWork,
        *,
        pack: str,
        before: tuple[Instant, str, str] | None = None,
        limit: int,
    ) -> list[Version]:
        """Return versions before a place, the newest first."""
        time, name, digest = before or (None, "", "")
        rows = await uow.select(
            VERSIONS_NEWEST,
            pack=pack,
            before_time=time,
            before_pack=name,
            before_version=digest,
            limit=limit,
        )
        return [version_of(row) for row in rows]

    async def _locked(self, uow: UnitOfWork, found: Version) -> Version:
        row = await uow.get(VERSIONS, found.pack, found.version)
        if row is None:
            raise ResourceNotFound(kind="version", name=found.name)
        return version_of(row)


def lock_of(pack: str) -> str:
    """Return the lock under which the versions of a pack change."""
    return f"rules/{pack}"


def record(
    audit: AuditLog, uow: UnitOfWork, actor: Principal, act: str, version: Version, *, now: Instant
) -> None:
    """Stage the audit entry of a step of a version."""
    entry = AuditEntry(
        time=now,
        principal=actor.name,
        role=actor.acting_role,
        act=f"rulepack.{act}",
        subject=version.subject,
        basis=f"rulePacks/{version.pack}",
    )
    audit.append(uow, entry)
