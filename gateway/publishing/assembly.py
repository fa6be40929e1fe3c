"""Wiring of the room: one place for the composition root and for tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.audit.service import AuditLog
from gateway.checking.model import Known
from gateway.database.once import Once
from gateway.database.timers import TimerHandler
from gateway.database.uow import Database
from gateway.delivery.outbox import Outbox
from gateway.delivery.ports import StatementHandler
from gateway.kernel.ids import NATION, Ids, NodeId
from gateway.kernel.time import Clock
from gateway.publishing.checker import Checker
from gateway.publishing.drafts import Drafts
from gateway.publishing.failures import FailureReports
from gateway.publishing.force import RulesInForce
from gateway.publishing.founding import Founding
from gateway.publishing.library import Library, find_source
from gateway.publishing.misroutes import DUE_TIMER, Misroutes
from gateway.publishing.ports import Build, Check, build_in_slices
from gateway.publishing.publisher import EFFECT_TIMER, Publisher
from gateway.publishing.signing import Signer
from gateway.publishing.summaries import Summaries
from gateway.publishing.workshop import Workshop, parse_in_thread
from gateway.reference.data import ReferenceData
from gateway.rehearsal.history import History
from gateway.routing.model import Conditions, Pack, Template
from gateway.routing.templates import templates_of
from gateway.tickets.service import Tickets
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import PACK_SUMMARIES, Roster


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishingRoom:
    """The room of one process.

    Found it with the folder's packs, register `handlers`, run `timers`; `tasks` are of this process
    alone, `once` of one process of the node.
    """

    force: RulesInForce
    library: Library
    checker: Checker
    drafts: Drafts
    publisher: Publisher
    founding: Founding
    summaries: Summaries
    misroutes: Misroutes
    failures: FailureReports
    workshop: Workshop | None
    handlers: Mapping[str, StatementHandler]
    timers: Mapping[str, TimerHandler]

    async def found(self, packs: Sequence[Pack], *, owners: Collection[str]) -> None:
        """Let the folder's packs be in force unless they were published over, and load all."""
        await self.founding.found(packs, owners=owners)
        await self.force.load()

    async def source_of(self, pack: str, version: str) -> bytes | None:
        """Return the source of any version that was ever written here: a port of rehearsal."""
        del pack
        async with self.force.database.unit() as uow:
            return await find_source(uow, version)

    def tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return what every process runs, by name."""
        return {"rules": self.force.run, "failures": self.failures.run}

    def once(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return what one process of the node runs, by name."""
        return {"summaries": self.summaries.run}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What the room says, hears and remembers with."""

    node: NodeId
    outbox: Outbox
    roster: Callable[[], Roster]
    keys: KeyRing
    ids: Ids
    audit: AuditLog
    once: Once
    business_clock: Clock
    machine_clock: Clock


def build_publishing(
    ways: Ways,
    *,
    database: Database,
    tickets: Tickets,
    reference: Callable[[], ReferenceData],
    conditions: Conditions,
    build: Build = build_in_slices,
    folder: Path | None = None,
    listens: bool = False,
) -> PublishingRoom:
    """Return the room of one process; nothing is known yet.

    Args:
        ways: see there.
        database: of the node.
        tickets: whose decisions misroutes are about.
        reference: the reference data in force.
        conditions: compiles the conditions of packs.
        build: compiles packs.
        folder: of the reference data; with it large texts are parsed in a worker process.
        listens: whether a listener tells `force` what it hears.
    """
    clock = ways.business_clock
    small = parse_in_thread(reference, conditions)
    workshop = Workshop(folder, small=small) if folder is not None else None
    library = Library(parse=workshop or small, keys=ways.keys, roster=ways.roster)
    force = RulesInForce(
        database=database, library=library, clock=clock, build=build, listens=listens
    )

    async def templates() -> Mapping[str, Template]:
        await force.ready()
        return templates_of(pack for pack in force().packs if pack.owner == NATION)

    signer = Signer(keys=ways.keys, ids=ways.ids)
    summaries = _summaries(ways, database, signer, reference, conditions)
    library.templates = summaries.templates = templates

    def changed(generation: int) -> None:
        force.heard(generation)
        summaries.wake()

    checker = Checker(
        reference=reference,
        conditions=conditions,
        clock=clock,
        force=force,
        summaries=summaries,
        past=History(database),
        known=partial(_known, ways),
        workshop=workshop,
    )
    publisher = _publisher(ways, database, library, signer, check=checker)
    publisher.changed, publisher.in_force = changed, force
    misroutes = _misroutes(ways, tickets, signer, reference)
    return PublishingRoom(
        force=force,
        library=library,
        checker=checker,
        drafts=publisher.drafts,
        publisher=publisher,
        founding=_founding(ways, database, library, changed=changed),
        summaries=summaries,
        misroutes=misroutes,
        failures=_failures(ways, database, misroutes),
        workshop=workshop,
        handlers={**summaries.handlers(), **misroutes.handlers()},
        timers={EFFECT_TIMER: publisher, DUE_TIMER: misroutes},
    )


def _failures(ways: Ways, database: Database, misroutes: Misroutes) -> FailureReports:
    return FailureReports(
        database=database,
        misroutes=misroutes,
        clock=ways.business_clock,
        hosted=frozenset(ways.keys.codes()),
    )


def _founding(
    ways: Ways, database: Database, library: Library, *, changed: Callable[[int], None]
) -> Founding:
    return Founding(
        database=database,
        library=library,
        audit=ways.audit,
        clock=ways.business_clock,
        changed=changed,
    )


def _publisher(
    ways: Ways, database: Database, library: Library, signer: Signer, *, check: Check
) -> Publisher:
    drafts = Drafts(
        database=database,
        library=library,
        once=ways.once,
        audit=ways.audit,
        clock=ways.business_clock,
        check=check,
    )
    return Publisher(
        database=database,
        library=library,
        drafts=drafts,
        signer=signer,
        once=ways.once,
        audit=ways.audit,
        clock=ways.business_clock,
        machine_clock=ways.machine_clock,
        roster=ways.roster,
        hosted=frozenset(ways.keys.codes()),
    )


def _summaries(
    ways: Ways,
    database: Database,
    signer: Signer,
    reference: Callable[[], ReferenceData],
    conditions: Conditions,
) -> Summaries:
    return Summaries(
        node=ways.node,
        database=database,
        signer=signer,
        outbox=ways.outbox,
        roster=ways.roster,
        reference=reference,
        conditions=conditions,
        audit=ways.audit,
        clock=ways.business_clock,
        hosted=frozenset(ways.keys.codes()),
    )


def _misroutes(
    ways: Ways, tickets: Tickets, signer: Signer, reference: Callable[[], ReferenceData]
) -> Misroutes:
    return Misroutes(
        tickets=tickets,
        signer=signer,
        outbox=ways.outbox,
        once=ways.once,
        audit=ways.audit,
        ids=ways.ids,
        clock=ways.business_clock,
        calendar=lambda: reference().calendar,
        takes=partial(_takes, ways.roster),
    )


def _takes(roster: Callable[[], Roster], authority: str) -> bool:
    """Tell whether an authority can be told about its rules."""
    node = roster().node_of(authority)
    return authority != NATION and node is not None and PACK_SUMMARIES in node.capabilities


def _known(ways: Ways) -> Known:
    """Return what this node knows of the federation beside packs."""
    roster = ways.roster()
    joined = (code for code in roster.authorities if roster.is_joined(code))
    return Known(joined=frozenset[str](joined), hosted=frozenset(ways.keys.codes()))
