"""Founding versions: the packs of the node's folder, until they are published over.

The folder that `node.toml` names holds the packs with which a node begins. They are written into
the timeline at the start, in force from the beginning of time, so that everything that decides or
replays has one source. A start with a changed folder changes what is in force from then on, as it
always did; a pack that was ever published belongs to its publications, and the folder's text of it
counts no more (docs/adr/0024-a-decision-is-fenced.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

import structlog

from gateway.audit.service import AuditLog
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.codes import PublicationKind, RulePackState
from gateway.kernel.ids import NATION
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import replace
from gateway.publishing.drafts import lock_of, record
from gateway.publishing.ledger import register_ids, supersede, take
from gateway.publishing.library import Library
from gateway.publishing.model import NO_VERSION, Version, in_force, owner_of
from gateway.publishing.store import (
    ACTIVATION_NUMBERS,
    ACTIVATIONS,
    ACTIVATIONS_SINCE,
    GENERATION,
    SOURCES,
    VERSIONS,
    ActivationRow,
    GenerationRow,
    SourceRow,
    activation_of,
    version_of,
    version_row,
)
from gateway.routing.model import Pack
from gateway.routing.templates import templates_of
from gateway.trust.principal import Principal

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)  # before any ticket
_log = structlog.get_logger()


class Founding:
    """Writes the folder's packs into the timeline."""

    def __init__(
        self,
        *,
        database: Database,
        library: Library,
        audit: AuditLog,
        clock: Clock,
        changed: Callable[[int], None] = lambda _generation: None,
    ) -> None:
        """Write with these; `changed` is told the generation after the commit."""
        self._database = database
        self._library = library
        self._audit = audit
        self._clock = clock
        self._changed = changed

    async def found(self, packs: Sequence[Pack], *, owners: Collection[str]) -> None:
        """Let the folder's packs be in force, except those that were published.

        Args:
            packs: of the folder.
            owners: whose packs the folder holds; one of theirs that it lacks is in force no more.
        """
        templates = templates_of(pack for pack in packs if pack.owner == NATION)
        for pack in packs:
            self._library.note(pack, templates)
        wanted = {pack.pack: pack for pack in packs}
        async with self._database.unit() as uow:
            changes = await self._differing(uow, wanted, owners=owners)
        if not changes:
            return
        async with self._database.unit() as uow:
            await uow.lock(*(lock_of(name) for name in changes))
            generation = await take(uow)
            changes = await self._differing(uow, wanted, owners=owners)
            for name in changes:
                await self._activate(uow, name, wanted.get(name), generation + 1)
            if changes:
                uow.put(GENERATION, GenerationRow(1, generation + 1))
                uow.after_commit(lambda: self._changed(generation + 1))
        if changes:
            _log.info("rules.founded", packs=sorted(changes))

    async def _differing(
        self, uow: UnitOfWork, wanted: dict[str, Pack], *, owners: Collection[str]
    ) -> list[str]:
        """Return the packs that were never published and differ from the folder."""
        now = self._clock.now()
        lines = [activation_of(line) for line in await uow.select(ACTIVATIONS_SINCE, since=now)]
        present = in_force(lines, now)
        known = {line.pack for line in lines if owner_of(line.pack) in owners}
        found: list[str] = []
        for name in sorted(wanted.keys() | known):
            pack = wanted.get(name)
            wish = pack.version if pack is not None else NO_VERSION
            [numbers] = await uow.select(ACTIVATION_NUMBERS, pack=name)
            if present.get(name, NO_VERSION) != wish and not numbers.issued:
                found.append(name)
        return found

    async def _activate(
        self, uow: UnitOfWork, name: str, pack: Pack | None, generation: int
    ) -> None:
        now = self._clock.now()
        [numbers] = await uow.select(ACTIVATION_NUMBERS, pack=name)
        effective = now if numbers.sequence else BEGINNING
        version = pack.version if pack is not None else NO_VERSION
        actor = Principal.system(owner_of(name), "rules")
        line = ActivationRow(
            pack=name,
            sequence=1 + numbers.sequence,
            version=version,
            kind=int(PublicationKind.UNSPECIFIED),
            effective=effective,
            generation=generation,
            issued=0,
            withdrawn=False,
            actor=actor.name,
            reason="",
            recorded=now,
        )
        uow.insert(ACTIVATIONS, line)
        await supersede(uow, name, keep=version, now=now, is_retired=pack is None)
        if pack is not None:
            await self._keep(uow, pack, effective, actor, now)

    async def _keep(
        self, uow: UnitOfWork, pack: Pack, effective: Instant, actor: Principal, now: Instant
    ) -> None:
        if await uow.get(SOURCES, pack.version) is None:
            uow.insert(SOURCES, SourceRow(pack.version, pack.source.encode()))
        known = await uow.get(VERSIONS, pack.pack, pack.version)
        before = version_of(known) if known is not None else _founding(pack, actor, now)
        version = replace(
            before,
            state=RulePackState.ACTIVE,
            effective=effective,
            changed=now,
            revision=before.revision + (known is not None),
        )
        uow.put(VERSIONS, version_row(version))
        await register_ids(uow, pack)
        record(self._audit, uow, actor, "found", version, now=now)


def _founding(pack: Pack, actor: Principal, now: Instant) -> Version:
    return Version(
        pack=pack.pack,
        version=pack.version,
        owner=pack.owner,
        title=pack.title,
        rule_count=len(pack.rules),
        state=RulePackState.ACTIVE,
        revision=1,
        editor=actor.name,
        approver="",
        created=now,
        changed=now,
        founding=True,
    )
