"""What is measured runs here: real nodes with profilers, an echo server, and their costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import psutil

from benchmarks.echo import METHOD
from benchmarks.node import BARE
from gateway.cli.demo.federation import Federation
from gateway.cli.demo.make import make
from gateway.cli.demo.processes import free_ports, postmaster_pid, stop_postmaster
from gateway.cli.demo.topology import load_topology
from gateway.kernel.time import SystemClock
from gateway.server.client import CertificateFolder
from gateway.trust.certificates import CertificateAuthority, IssuedCertificate, node_host
from hotline.ticket.v1 import ticket_service_pb2 as pb

UP_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
POLL_SECONDS = 0.05
MIB = 1024 * 1024
Echo = Callable[[pb.CreateTicketRequest], Awaitable[pb.CreateTicketResponse]]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of a node and its PostgreSQL, and their memory in MiB (PSS)."""

    node: float
    postgres: float
    node_mib: float
    postgres_mib: float

    def since(self, before: Cost) -> Cost:
        """Return what was used since `before`; memory is that of now."""
        return Cost(
            self.node - before.node,
            self.postgres - before.postgres,
            self.node_mib,
            self.postgres_mib,
        )

    def per(self, count: int) -> Cost:
        """Return the share of one of `count`; memory is no share."""
        return Cost(self.node / count, self.postgres / count, self.node_mib, self.postgres_mib)


@dataclass
class Stage:
    """A running federation below one folder."""

    federation: Federation
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where everything lies."""
        return self.federation.layout.folder

    def cost(self, node: str) -> Cost:
        """Return what a node has used until now."""
        gateway = psutil.Process(self.processes[node].pid)
        data = self.federation.layout.node(node)
        postmaster = next(
            (
                pid
                for path in sorted(data.rglob("postmaster.pid"))
                if (pid := postmaster_pid(path.parent)) is not None
            ),
            None,
        )
        group = []
        if postmaster is not None:
            top = psutil.Process(postmaster)
            group = [top, *top.children(recursive=True)]
        return Cost(
            node=_cpu(gateway),
            postgres=sum(_cpu(each) for each in group),
            node_mib=gateway.memory_full_info().pss / MIB,
            postgres_mib=sum(each.memory_full_info().pss for each in group) / MIB,
        )

    def reset_profiles(self) -> None:
        """Forget what the profilers counted until now."""
        for process in self.processes.values():
            process.send_signal(signal.SIGUSR1)

    def samples(self, node: str) -> dict[str, int]:
        """Return the samples of a running node by part, since they were forgotten."""
        path = self.folder / f"{node}.profile"
        path.unlink(missing_ok=True)
        self.processes[node].send_signal(signal.SIGUSR2)
        end = time.monotonic() + STOP_SECONDS_MAX
        while not path.exists():
            if time.monotonic() > end:
                raise RuntimeError(f"{node} shows no samples")
            time.sleep(POLL_SECONDS)
        found: dict[str, int] = json.loads(path.read_text())
        return found

    def stop(self) -> dict[str, dict[str, int]]:
        """Stop the nodes and return the samples of each by part."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        found = {
            name: json.loads(path.read_text())
            for name in self.processes
            if (path := self.folder / f"{name}.profile").exists()
        }
        self.processes.clear()
        return found

    def credentials(self, issued: IssuedCertificate) -> grpc.ChannelCredentials:
        """Return a caller's credentials."""
        root = CertificateAuthority.load(self.federation.layout.root_ca).certificate
        return grpc.ssl_channel_credentials(root.pem, issued.key_pem, issued.certificate_pem)

    def platform_channel(
        self, authority: str, node: str, *, platform: str = "p1"
    ) -> grpc.aio.Channel:
        """Return a platform's channel to a node."""
        ca = CertificateAuthority.load(self.federation.layout.ca(authority))
        issued = ca.issue_platform(f"{authority}-{platform}", now=SystemClock().now())
        return grpc.aio.secure_channel(
            self.federation.endpoints[node],
            self.credentials(issued),
            options=[("grpc.ssl_target_name_override", node_host(node))],
        )

    @asynccontextmanager
    async def echo(self, authority: str, node: str) -> AsyncIterator[Echo]:
        """Run the echo server with a node's certificate; give a platform's call to it."""
        [port] = free_ports(1)
        tls = self.federation.layout.node(node) / "tls"
        bundle = self.folder / "echo-bundle.pem"
        root = CertificateFolder.load(tls).root.pem
        ca = CertificateAuthority.load(self.federation.layout.ca(authority))
        bundle.write_bytes(root + ca.certificate.pem)
        process = _python(
            self.folder / "echo.log", "benchmarks.echo", str(tls), str(bundle), str(port)
        )
        issued = ca.issue_platform(f"{authority}-p1", now=SystemClock().now())
        channel = grpc.aio.secure_channel(
            f"127.0.0.1:{port}",
            self.credentials(issued),
            options=[("grpc.ssl_target_name_override", node_host(node))],
        )
        try:
            await channel.channel_ready()
            yield channel.unary_unary(
                METHOD,
                request_serializer=pb.CreateTicketRequest.SerializeToString,
                response_deserializer=pb.CreateTicketResponse.FromString,
            )
            await channel.close()
        finally:
            process.terminate()
            process.wait(STOP_SECONDS_MAX)


@contextmanager
def running(*, is_bare: bool = False) -> Iterator[Stage]:
    """Run the measured federation in a folder of its own; bare nodes neither validate nor seal."""
    with TemporaryDirectory(prefix="lubiao-bench-") as name:
        folder = Path(name)
        topology = load_topology(Path(__file__).with_name("topology.yaml"))
        stage = Stage(make(topology, folder))
        try:
            for node in topology.nodes:
                directory = stage.federation.layout.node(node.name)
                stage.processes[node.name] = _python(
                    folder / f"{node.name}.log",
                    "benchmarks.node",
                    str(directory),
                    str(folder / f"{node.name}.profile"),
                    *((BARE,) if is_bare else ()),
                )
            _wait_until_up(stage)
            yield stage
        finally:
            stage.stop()
            for node in topology.nodes:
                for path in stage.federation.layout.node(node.name).rglob("postmaster.pid"):
                    stop_postmaster(path.parent)


def _wait_until_up(stage: Stage) -> None:
    end = time.monotonic() + UP_SECONDS_MAX
    for name, process in stage.processes.items():
        serving = stage.federation.layout.node(name) / "serving"
        while not serving.exists():
            if process.poll() is not None or time.monotonic() > end:
                log = (stage.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"{name} is not up: {log[-2000:]}")
            time.sleep(POLL_SECONDS)


def _python(log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        return subprocess.Popen(  # noqa: S603 (our own interpreter, our own arguments)
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=os.environ,
        )


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
