"""The demonstration's federation under attack: processes die, start again, and nothing may be lost.

A `Harness` starts the whole topology with real processes and real PostgreSQL. A gateway may be
given a crash point (`LUBIAO_CRASHPOINT`), so that it kills itself at a chosen instant; or the
harness kills a gateway, its PostgreSQL or both. `revive` starts what died, as a supervisor would,
without the crash point.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.cli.demo.federation import Federation
from gateway.cli.demo.judge import Verdict
from gateway.cli.demo.lists import Programme
from gateway.cli.demo.make import make
from gateway.cli.demo.observer import Observer
from gateway.cli.demo.topology import load_topology
from gateway.kernel.crashpoints import VARIABLE

LOOK_SECONDS = 0.3


@dataclass(slots=True)
class Harness:
    """One federation, its observer, and who died so far."""

    federation: Federation
    observer: Observer
    programme: Programme
    deaths: list[str] = field(default_factory=list)

    def kill(self, node: str, *, gateway: bool = True, database: bool = False) -> None:
        """End a node's gateway, its PostgreSQL, or both, as `kill -9` does."""
        if database:
            self.federation.kill_database(node)
            self.deaths.append(f"{node}/database")
        if gateway:
            self.federation.kill_node(node)
            self.deaths.append(node)

    def revive(self) -> None:
        """Start every process that is dead."""
        for dead in self.federation.processes.dead():
            if dead.name not in self.deaths:
                self.deaths.append(dead.name)
            self.federation.processes.restart(dead.name)

    async def is_settled(self) -> bool:
        """Tell whether all is settled now; no while a node is away."""
        seen = await self.federation.verdict(self.observer, self.programme)
        return seen is not None and seen[1].is_settled

    async def until_settled(self, *, seconds: float) -> Verdict:
        """Return the verdict when all is good, or the last one when the time is over.

        What looks settled may still be at a desk or before a panel.
        """
        verdict: Verdict | None = None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.revive()
            seen = await self.federation.verdict(self.observer, self.programme)
            if seen is not None:
                verdict = seen[1]
                if verdict.is_good:
                    return verdict
            await asyncio.sleep(LOOK_SECONDS)
        assert verdict is not None, f"no node answered; logs: {self.federation.layout.logs}"
        return verdict

    def explain(self, verdict: Verdict) -> str:
        """Return what a failed test needs to say."""
        wrong = [(case.id, dict(case.got)) for case in verdict.cases if not case.is_ok]
        return (
            f"places {dict(verdict.places)} lost {verdict.lost} duplicated {verdict.duplicated} "
            f"unacknowledged {verdict.unacknowledged} disagreeing {verdict.disagreeing} "
            f"wrong cases {wrong} deaths {self.deaths} logs {self.federation.layout.logs}"
        )


@asynccontextmanager
async def running(
    folder: Path,
    *,
    tickets: int = 0,
    crashpoints: Mapping[str, str] | None = None,
    authorities: Sequence[str] = ("120000", "130000"),
) -> AsyncIterator[Harness]:
    """Run the federation of the demonstration below `folder`.

    Args:
        folder: an empty folder.
        tickets: how many variations beside the samples.
        crashpoints: by node, the crash point that its first process is given.
        authorities: the provinces that take part; every further node costs processor time.
    """
    topology = load_topology().only(authorities)
    samples = len(Programme.of(topology, tickets=0).cases)
    programme = Programme.of(topology, tickets=samples + tickets)
    federation = make(topology, folder, programme)
    points = crashpoints or {}
    try:
        for node in topology.nodes:
            point = points.get(node.name)
            federation.start_node(
                node.name, environment={VARIABLE: point} if point is not None else None
            )
        async with federation.observer() as observer:
            harness = Harness(federation, observer, programme)
            if not points:
                await federation.until_up(observer)
            federation.start_parties()
            yield harness
    finally:
        federation.stop()
