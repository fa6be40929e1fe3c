"""The timeline and the register of ids, as whoever changes what is in force writes them.

An id of a rule belongs to one pack for ever. A version that leaves an id out gives it up, and only
a rollback to a version that had it brings it back.
"""

from __future__ import annotations

from gateway.database.uow import UnitOfWork
from gateway.kernel.codes import RulePackState
from gateway.kernel.errors import ResourceNotFound
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.publishing import machine
from gateway.publishing.model import NO_VERSION, Version
from gateway.publishing.model import version_of as version_at
from gateway.publishing.states import Step
from gateway.publishing.store import (
    ACTIVATIONS,
    ACTIVATIONS_OF,
    ACTIVATIONS_SINCE,
    IDS_OF_PACK,
    RULE_IDS,
    TAKE_RULES,
    VERSIONS,
    VERSIONS_IN_STATE,
    RuleIdRow,
    VersionRow,
    activation_of,
    version_of,
    version_row,
)
from gateway.routing.model import Pack


async def check_ids(uow: UnitOfWork, pack: Pack, *, is_restored: bool = False) -> None:
    """Refuse a version that uses an id of another rule; a rollback may take its own back."""
    ids = [clause for clause, _ in pack.clause_lines()]
    await uow.prefetch(RULE_IDS, [(clause,) for clause in ids])
    registered = {}
    for clause in ids:
        row = await uow.get(RULE_IDS, clause)
        if row is not None:
            registered[clause] = (row.pack, NO_VERSION if is_restored else row.dropped)
    machine.check_ids(ids, registered, pack=pack.pack)


async def take(uow: UnitOfWork) -> int:
    """Return the generation, and let nobody decide with it until the end of the unit."""
    [found] = await uow.select(TAKE_RULES)
    return found.generation


async def register_ids(uow: UnitOfWork, pack: Pack) -> None:
    """Write down that the ids of a version that comes into force are this pack's, and no others."""
    ids = {clause for clause, _ in pack.clause_lines()}
    for row in await uow.rows(IDS_OF_PACK, pack.pack):
        dropped = NO_VERSION if row.id in ids else (row.dropped or pack.version)
        if row.dropped != dropped:
            uow.put(RULE_IDS, replace(row, dropped=dropped))
        ids.discard(row.id)
    for clause in sorted(ids):
        if await uow.get(RULE_IDS, clause) is None:
            uow.insert(RULE_IDS, RuleIdRow(clause, pack.pack, pack.owner, NO_VERSION))


async def existing(uow: UnitOfWork, pack: str, version: str) -> VersionRow:
    """Return the row of a version that must exist."""
    row = await uow.get(VERSIONS, pack, version)
    if row is None:
        raise ResourceNotFound(kind="version", name=f"rulePacks/{pack}/versions/{version}")
    return row


async def active_version(uow: UnitOfWork, pack: str, now: Instant) -> Version | None:
    """Return the version of a pack that is in force."""
    version = await version_in_force(uow, pack, now)
    return version_of(await existing(uow, pack, version)) if version else None


async def version_in_force(uow: UnitOfWork, pack: str, at: Instant) -> str:
    """Return which version of a pack is in force at an instant, or nothing."""
    lines = await uow.select(ACTIVATIONS_SINCE, since=at)
    return version_at((activation_of(line) for line in lines), pack=pack, at=at)


async def supersede(
    uow: UnitOfWork, pack: str, *, keep: str, now: Instant, is_retired: bool = False
) -> None:
    """Move whatever version of a pack was in force to its end."""
    step = Step.RETIRE if is_retired else Step.SUPERSEDE
    for row in await uow.select(VERSIONS_IN_STATE, pack=pack, state=int(RulePackState.ACTIVE)):
        if row.version != keep:
            uow.put(VERSIONS, version_row(machine.moved(version_of(row), step, now=now)))


async def withdraw_line(uow: UnitOfWork, version: Version) -> None:
    """Take a scheduled version out of the timeline; the ids that it left out were not given up."""
    for row in await uow.rows(ACTIVATIONS_OF, version.pack, version.version):
        if row.effective == version.effective:
            uow.put(ACTIVATIONS, replace(row, withdrawn=True))
    for known in await uow.rows(IDS_OF_PACK, version.pack):
        if known.dropped == version.version:
            uow.put(RULE_IDS, replace(known, dropped=NO_VERSION))
