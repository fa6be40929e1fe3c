"""The life of a node and its signed history; part of the composition root.

`begin` runs before any room is wired: it compares the database with the file beside it and says
whether this is a life that must recover (`gateway/custody/incarnation.py`). `History` wires what
watches the ledgers of others, what shows our own, and what carries a recovery through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

from gateway.custody.books import Books
from gateway.custody.heads import HeadKeeper, HeadTransport
from gateway.custody.incarnation import FileWitness, Recovery, begin_life, load
from gateway.custody.openings import Openings
from gateway.custody.ports import React, ReturnTransport
from gateway.custody.recovery import RecoveryRun
from gateway.custody.restorer import Restorer
from gateway.custody.sealer import LedgerSealer
from gateway.database.uow import Database
from gateway.delivery.ports import StatementHandler
from gateway.kernel.errors import LubiaoError
from gateway.kernel.ids import AuthorityCode, NodeId
from gateway.kernel.time import Clock
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import Roster
from gateway.workers import Crew, Task

WATCH_INTERVAL = timedelta(seconds=5)  # another process may have begun a new life
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Life:
    """What a process knows of its node's life."""

    recovery: Recovery
    witness: FileWitness


async def begin(settings: Settings, database: Database, *, clock: Clock) -> Life:
    """Begin, or go on with, the life of a node; called before anything is served."""
    node, witness = NodeId(settings.node_id), FileWitness(settings.directory_path)
    recovery = Recovery(node)
    async with database.unit() as uow:
        await begin_life(
            uow,
            node=node,
            authorities=tuple(AuthorityCode(code) for code in settings.hosts),
            witness=witness,
            now=clock.now(),
        )
    async with database.unit() as uow:
        await load(uow, recovery)
    if recovery.is_recovering:
        log.critical("node.recovering", node=node, incarnation=recovery.incarnation)
    return Life(recovery, witness)


class PeerTransport(HeadTransport, ReturnTransport, Protocol):
    """What asks other nodes for both."""


class History:
    """Heads, books and recovery of one node."""

    def __init__(
        self,
        *,
        life: Life,
        database: Database,
        transport: PeerTransport,
        roster: Callable[[], Roster],
        keys: KeyRing,
        machine_clock: Clock,
        business_clock: Clock,
        metrics: Metrics,
        crew: Crew,
    ) -> None:
        """Wire what needs no custody; `restores` adds the rest."""
        self._life = life
        self._database = database
        self._metrics = metrics
        self._crew = crew
        self._machine = machine_clock
        self.books = Books(
            database=database,
            roster=roster,
            keys=keys,
            recovery=life.recovery,
            clock=machine_clock,
        )
        self.ledger = LedgerSealer(keys=keys, recovery=life.recovery)
        self.ledger.sealed, self.ledger.used = life.witness.sealed, life.witness.used
        self._keeper = HeadKeeper(
            node=life.recovery.node,
            database=database,
            transport=transport,
            roster=roster,
            clock=machine_clock,
        )
        self._keeper.counted = metrics.ledger_findings
        self._make_run = partial(
            RecoveryRun,
            recovery=life.recovery,
            database=database,
            transport=transport,
            roster=roster,
            keys=keys,
            machine_clock=machine_clock,
            business_clock=business_clock,
        )
        self._run: RecoveryRun | None = None

    def restores(
        self,
        restorer: Restorer | None,
        handlers: Mapping[str, StatementHandler],
        *,
        react: React | None = None,
        openings: Openings | None = None,
    ) -> None:
        """Let this node recover: it has custody; with `openings` it returns content to others."""
        self.books.openings = openings
        if restorer is not None:
            self._run = self._make_run(restorer=restorer, handlers=handlers)
            self._run.react = react or self._run.react

    def tasks(self, stopping: asyncio.Event) -> dict[str, Task]:
        """Return what runs beside the server, by name."""
        self.books.forgotten = partial(self._forgotten, stopping)
        tasks: dict[str, Task] = {
            "heads": self._crew.once("heads", self._keeper.run),
            "life": partial(self._watch, stopping),
        }
        if self._run is not None:
            tasks["recovery"] = self._crew.once("recovery", self._run.run)
        return tasks

    def _forgotten(self, stopping: asyncio.Event, authority: AuthorityCode) -> None:
        """Begin a new life at the next start, which is now: a peer proved that we forgot."""
        log.critical("node.was_restored", authority=authority)
        self._life.witness.ask_for_recovery()
        stopping.set()

    async def _watch(self, stopping: asyncio.Event) -> None:
        """Stop when another process of this node began a new life; show whether we recover."""
        own, known = self._life.recovery, Recovery(self._life.recovery.node)
        while True:
            try:
                async with self._database.unit() as uow:
                    await load(uow, known)
            except LubiaoError as error:
                log.warning("life.unknown", reason=error.reason)
            if known.incarnation > own.incarnation:
                log.critical("node.another_life", incarnation=known.incarnation)
                stopping.set()
            own.mode = known.mode if known.incarnation == own.incarnation else own.mode
            self._metrics.recovering(is_recovering=own.is_recovering)
            await asyncio.sleep(WATCH_INTERVAL.total_seconds())
