"""A running federation on this machine: its folder, its processes, what its nodes say.

`make` writes the folder (certificates, roster, nodes, adapters); a `Federation` starts and stops
the processes over it and reads the nodes. The demonstration and the tests that kill processes use
the same class.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from gateway.cli.demo.judge import Copy, Submitted, Verdict, judge
from gateway.cli.demo.layout import Layout
from gateway.cli.demo.lists import Programme, read_submitted
from gateway.cli.demo.observer import Observer
from gateway.cli.demo.processes import Processes, postmaster_pid, stop_postmaster
from gateway.cli.demo.topology import Topology

UP_SECONDS_MAX = 90.0  # first start: making a database cluster and migrating it, on a slow machine
POLL_SECONDS = 0.25
STEWARD_DUTIES = ("editor", "approver")
DEATHS_MAX = 5  # of one process; more is a defect, not a mishap
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class StartFailedError(Exception):
    """A process of the demonstration ended or did not come up; the text names its log."""


@dataclass(slots=True)
class Federation:
    """The processes over one folder."""

    topology: Topology
    layout: Layout
    endpoints: Mapping[str, str]  # node name -> host:port
    processes: Processes = field(init=False)
    deaths: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Prepare the log folder."""
        self.layout.logs.mkdir(parents=True, exist_ok=True)
        self.processes = Processes(self.layout.logs)

    # --- processes ---------------------------------------------------------------------------

    def start_node(self, name: str, *, environment: Mapping[str, str] | None = None) -> None:
        """Start the gateway of one node."""
        folder = str(self.layout.node(name))
        self.processes.start(name, "gateway", "serve", folder, environment=environment)

    def start_nodes(self) -> None:
        """Start the gateways of all nodes."""
        for node in self.topology.nodes:
            self.start_node(node.name)

    def start_parties(self) -> None:
        """Start adapters, simulated platforms and people."""
        for platform in self.topology.platforms:
            folder = str(self.layout.adapter(platform.id))
            self.processes.start(
                f"adapter-{platform.id}", "gateway", "adapter", "run", "file_drop", folder
            )
        platforms = [self.layout.adapter(platform.id) for platform in self.topology.platforms]
        if platforms:
            self._start_simulated("platforms", "platform", platforms)
        layout, topology = self.layout, self.topology
        people = [
            *(layout.dispatcher(authority) for authority in topology.dispatchers),
            *(layout.panel(authority) for authority in topology.panels),
            *(layout.units(platform) for platform in topology.speakers),
            *(layout.steward(code, duty) for code in topology.stewards for duty in STEWARD_DUTIES),
        ]
        if people:
            self._start_simulated("people", "people", people)

    def _start_simulated(self, name: str, party: str, folders: Sequence[Path]) -> None:
        self.processes.start(name, "adapters.simulated", party, *map(str, folders))

    def kill_node(self, name: str) -> None:
        """End a gateway as `kill -9` does; its PostgreSQL lives on."""
        self.processes.kill(name)

    def kill_database(self, name: str) -> None:
        """End a node's PostgreSQL as `kill -9` does."""
        pid = postmaster_pid(self.layout.database(name))
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Stop everything: parties first, then nodes, then any PostgreSQL that is left."""
        nodes = [node.name for node in self.topology.nodes if node.name in self.processes.started]
        parties = [name for name in self.processes.started if name not in nodes]
        if parties:
            self.processes.stop(*parties)
        if nodes:
            self.processes.stop(*nodes)
        for node in self.topology.nodes:
            stop_postmaster(self.layout.database(node.name))

    # --- what the nodes say ------------------------------------------------------------------

    def observer(self) -> Observer:
        """Return staff of every authority; use it as a context."""
        return Observer(
            {
                code: (
                    self.topology.node_of(code).name,
                    self.endpoints[self.topology.node_of(code).name],
                    self.layout.staff(code),
                )
                for code in self.topology.authorities
            },
            arbiters={
                code: (
                    self.endpoints[self.topology.arbiter_of(code).name],
                    self.layout.staff(code),
                )
                for code in self.topology.panels
            },
            stewards=self.topology.stewards,
        )

    async def until_up(self, observer: Observer, *, seconds: float = UP_SECONDS_MAX) -> None:
        """Wait until every custodian node answers.

        Raises:
            StartFailedError: one ended, or does not answer in time.
        """
        custodians = [node for node in self.topology.nodes if node.is_custodian]
        waiting = {node.authority: node.name for node in custodians}
        try:
            async with asyncio.timeout(seconds):
                while waiting:
                    self.check_alive()
                    for authority in list(waiting):
                        if await observer.is_up(authority):
                            del waiting[authority]
                    if waiting:
                        await asyncio.sleep(POLL_SECONDS)
        except TimeoutError as error:
            names = ", ".join(waiting.values())
            message = f"no answer from {names} after {seconds:.0f} s; logs: {self.layout.logs}"
            raise StartFailedError(message) from error

    def check_alive(self) -> None:
        """Raise when a process ended by itself.

        Raises:
            StartFailedError: with the last lines of its log.
        """
        dead = self.processes.dead()
        if not dead:
            return
        lines = dead[0].log.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = "\n".join(lines[-15:])
        message = f"{dead[0].name} ended by itself; the end of {dead[0].log}:\n{tail}"
        raise StartFailedError(message)

    def revive(self) -> list[str]:
        """Start again what died, as a supervisor would; return the names.

        Raises:
            StartFailedError: one dies again and again.
        """
        names = []
        for dead in self.processes.dead():
            self.deaths[dead.name] += 1
            if self.deaths[dead.name] > DEATHS_MAX:
                self.check_alive()
            self.processes.restart(dead.name)
            names.append(dead.name)
        return names

    def submitted(self) -> list[Submitted]:
        """Return the submitters' own lists."""
        return [
            read_submitted(
                self.layout.adapter(platform.id),
                platform=platform.id,
                authority=platform.authority,
            )
            for platform in self.topology.platforms
        ]

    async def is_busy(self, observer: Observer, *, least: int) -> bool:
        """Tell whether much is still under way; also while a node is away."""
        try:
            return await observer.is_busy(least=least)
        except grpc.aio.AioRpcError as error:
            if error.code() in _AWAY:
                return True
            raise

    async def verdict(
        self, observer: Observer, programme: Programme
    ) -> tuple[list[Copy], Verdict] | None:
        """Return what the nodes say now and the verdict on it; None while a node is away."""
        submitted = self.submitted()  # first: what is acknowledged now must be there later
        try:
            copies = await observer.copies()
            case_files = await observer.case_files()
            proposed = await observer.proposed_rules()
        except grpc.aio.AioRpcError as error:
            if error.code() in _AWAY:
                return None
            raise
        verdict = judge(
            submitted,
            copies,
            programme.cases,
            varied=programme.varied,
            case_files=case_files,
            proposed=proposed,
        )
        return copies, verdict
