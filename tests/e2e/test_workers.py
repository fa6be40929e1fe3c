"""One node as several processes: shared port, one pump a peer, a worker that dies, renewal.

Two nodes: 天津 with two workers, 河北 as one process. Tickets about 河北 are handed in at 天津,
so every one of them crosses.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import yaml

from gateway.cli.demo.processes import Processes, free_ports, postmaster_pid, stop_postmaster
from gateway.cli.main import main
from gateway.server.client import CertificateFolder
from gateway.trust.certificates import CertificateAuthority
from gateway.trust.key_files import write_private
from hotline.ticket.v1 import ticket_service_pb2 as ticket_pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc
from tests.fixtures.federations import Refusal, a_ticket, creating

TIANJIN, HEBEI = "tianjin", "hebei"
CODES = {TIANJIN: "120000", HEBEI: "130000"}
WORKERS = 2
CONNECTIONS = 12  # that all of them meet one worker happens once in two thousand runs
TICKETS = 14
UP_SECONDS_MAX = 60.0
SOON_SECONDS = 15.0
POLL_SECONDS = 0.05
TAKEOVER = timedelta(seconds=5)
MARGIN = timedelta(seconds=1.5)  # a busy machine; the lease itself is judged by a manual clock
ALONE = (("grpc.use_local_subchannel_pool", 1),)  # a connection of its own


def until(condition: Callable[[], bool], what: str, *, seconds: float = SOON_SECONDS) -> None:
    """Return when `condition` holds; fail when it does not come to hold."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(POLL_SECONDS)


def ok(*arguments: object) -> None:
    """Run the command in this process; it must succeed."""
    assert main([str(each) for each in arguments]) == 0, arguments


def lives(pid: int) -> bool:
    """Tell whether a process runs; an ended one that nobody has reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@dataclass
class Site:
    """Two nodes and their callers."""

    folder: Path
    endpoints: dict[str, str]
    processes: Processes = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "logs").mkdir()
        self.processes = Processes(self.folder / "logs")

    def ensure_running(self) -> None:
        """Start what does not run; return when both serve."""
        dead = [node for node in CODES if not self.is_up(node)]
        for node in dead:
            count = str(WORKERS if node == TIANJIN else 1)
            folder = str(self.folder / node)
            self.processes.start(node, "gateway", "serve", folder, "--workers", count)
        for node in dead:
            until(lambda: self.is_up(node), f"{node} is not up", seconds=UP_SECONDS_MAX)  # noqa: B023 # called here

    def is_up(self, node: str) -> bool:
        started, path = self.processes.started.get(node), self.folder / node / "serving"
        return (
            started is not None
            and started.is_alive
            and path.exists()
            and path.read_text().split()[-1:] == [str(started.pid)]
        )

    def workers(self) -> dict[int, int]:
        """Return the process ids of the workers of 天津 by number."""
        lines = (self.folder / TIANJIN / "workers").read_text().splitlines()
        return {int(index): int(pid) for index, pid, _ in map(str.split, lines)}

    def holder(self) -> tuple[int, datetime] | None:
        """Return which worker took the pump to 河北 last, and when."""
        log = (self.folder / "logs" / f"{TIANJIN}.log").read_text(encoding="utf-8")
        for line in reversed(log.splitlines()):
            if '"lease.taken"' in line and f'"pump/{HEBEI}"' in line:
                said = json.loads(line)
                return said["worker"], datetime.fromisoformat(said["time"])
        return None

    def metric(self, node: str, *parts: str) -> dict[str, float]:
        """Return the samples whose line holds all parts."""
        port = (self.folder / node / "serving").read_text().split()[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        found = [line.rpartition(" ") for line in lines if all(part in line for part in parts)]
        return {name: float(value) for name, _, value in found if not name.startswith("#")}

    def channel(self, node: str, kind: str) -> grpc.Channel:
        """Return a channel with a connection of its own."""
        credentials = CertificateFolder.load(self.folder / f"{kind}-{CODES[node]}")
        return grpc.secure_channel(
            self.endpoints[node], credentials.channel_credentials(), options=ALONE
        )

    def names_at_hebei(self) -> list[str]:
        """Return the number of every ticket that a dispatcher of 河北 sees."""
        with self.channel(HEBEI, "staff") as channel:
            stub = ticket_grpc.TicketServiceStub(channel)
            found = stub.ListTickets(ticket_pb.ListTicketsRequest(page_size=100), timeout=10)
        return sorted(ticket.name for ticket in found.tickets)

    def answers(self) -> list[str]:
        """Return how fresh connections to 天津 are answered: OK, or the reason or code."""
        found = []
        for _ in range(4):
            with self.channel(TIANJIN, "platform") as channel:
                stub = ticket_grpc.TicketServiceStub(channel)
                try:
                    stub.ListTickets(ticket_pb.ListTicketsRequest(page_size=1), timeout=5)
                    found.append("OK")
                except grpc.RpcError as error:
                    refusal = Refusal.of_call(error)
                    found.append(refusal.reason or refusal.code)
        return found

    def stop(self) -> None:
        self.processes.stop()
        for node in CODES:
            stop_postmaster(self.folder / node / "database")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give the two nodes, made from nothing."""
    folder = tmp_path_factory.mktemp("workers")
    ports = free_ports(2)
    ends = {node: f"127.0.0.1:{port}" for node, port in zip(CODES, ports, strict=True)}
    root, key = folder / "root", folder / "roster" / "roster-key.pem"
    ok("ca", "init", root)
    ok("roster", "keygen", folder / "roster")
    for node, code in CODES.items():
        ca, end = folder / f"ca-{code}", ends[node]
        ok("ca", "init", ca, "--name", code)
        made = ("init", folder / node, "--authority", code, "--node", node, "--endpoint", end)
        ok(*made, "--bind", end, "--ca", root, "--trust", ca, "--roster-key", key)
        for kind, *role in (("platform",), ("staff", "--role", "dispatcher")):
            out = folder / f"{kind}-{code}"
            ok(
                "ca",
                "issue",
                ca,
                kind,
                f"{code}-p1",
                *role,
                "--out",
                out,
                "--root",
                root / "ca.pem",
            )
    description = {
        "version": 1,
        "nodes": [{"id": node, "endpoint": ends[node], "roles": ["custodian"]} for node in CODES],
        "authorities": [
            {"code": code, "name": node, "node": node, "public": str(folder / node / "public.yaml")}
            for node, code in CODES.items()
        ],
    }
    (folder / "roster.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")
    private = folder / "roster" / "roster-key-private.pem"
    ok("roster", "sign", folder / "roster.yaml", "--key", private, "--out", folder / "signed")
    for node in CODES:
        shutil.copyfile(folder / "signed", folder / node / "roster.binpb")
    site = Site(folder, ends)
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture
def site(built: Site) -> Site:
    """Give the site with both nodes up."""
    built.ensure_running()
    return built


def submit(site: Site, count: int) -> dict[str, float]:
    """Hand tickets in over many connections, each until it is acknowledged; when, by name."""
    acknowledged: dict[str, float] = {}

    def one(_number: int) -> None:
        request = creating(a_ticket())
        end = time.monotonic() + SOON_SECONDS
        while True:
            with site.channel(TIANJIN, "platform") as channel:
                stub = ticket_grpc.TicketServiceStub(channel)
                try:
                    name = stub.CreateTicket(request, timeout=10).ticket.name
                except grpc.RpcError as error:
                    lost = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
                    if error.code() not in lost or time.monotonic() > end:
                        raise
                    continue
            acknowledged[name] = time.monotonic()
            return

    with ThreadPoolExecutor(CONNECTIONS) as executor:
        list(executor.map(one, range(count)))
    return acknowledged


def watch(site: Site, stack: ExitStack, seen: dict[str, float]) -> None:
    """Note from now on when one watcher learns of each ticket."""
    channel = stack.enter_context(closing(site.channel(TIANJIN, "platform")))
    stream = ticket_grpc.TicketServiceStub(channel).WatchTickets(ticket_pb.WatchTicketsRequest())
    stack.callback(stream.cancel)

    def read() -> None:
        try:
            for change in stream:
                seen.setdefault(change.ticket.name, time.monotonic())
        except grpc.RpcError:
            pass  # it was cancelled

    threading.Thread(target=read, daemon=True).start()


@pytest.mark.timeout(120)
def test_a_worker_that_is_killed_loses_nothing_and_its_pump_is_taken_over(site: Site) -> None:
    before = set(site.names_at_hebei())
    first = submit(site, TICKETS)
    served = site.metric(TIANJIN, "lubiao_rpc_calls_total", "CreateTicket", '"OK"')
    assert len(served) == WORKERS, "every worker takes connections"
    until(lambda: site.holder() is not None, "nobody pumps")
    holder = site.holder()
    assert holder is not None
    workers = site.workers()
    parent = site.processes.started[TIANJIN].pid

    killed = datetime.now(UTC)
    os.kill(workers[holder[0]], signal.SIGKILL)
    second = submit(site, TICKETS)
    until(lambda: (site.holder() or holder)[1] > killed, "nobody took the pump over")
    heir = site.holder()
    assert heir is not None
    assert heir[1] - killed <= TAKEOVER + MARGIN
    until(lambda: len(site.workers()) == WORKERS, "the killed worker was not started again")
    assert site.processes.started[TIANJIN].pid == parent
    assert len(set(site.workers().values()) & set(workers.values())) == WORKERS - 1

    seen: dict[str, float] = {}
    with ExitStack() as stack:
        watch(site, stack, seen)
        until(lambda: seen.keys() >= first.keys() | second.keys(), "the watcher lacks tickets")
        third = submit(site, TICKETS)
        until(lambda: seen.keys() >= third.keys(), "the watcher lacks new tickets")
    assert max(seen[name] - at for name, at in third.items()) < 1 + MARGIN.total_seconds()

    names = sorted(before | first.keys() | second.keys() | third.keys())
    assert len(names) == len(before) + 3 * TICKETS
    until(lambda: site.names_at_hebei() == names, "not everything arrived, or something twice")
    waiting = (TIANJIN, "lubiao_outbox_envelopes", HEBEI)
    until(lambda: sum(site.metric(*waiting).values()) == 0, "the outbox is not empty")


@pytest.mark.timeout(120)
def test_an_expired_certificate_heals_in_the_running_workers_when_it_is_renewed(site: Site) -> None:
    tls = site.folder / TIANJIN / "tls"
    root = CertificateAuthority.load(site.folder / "root")
    workers = site.workers()
    assert site.answers() == ["OK"] * 4

    def renew(validity: timedelta) -> None:
        issued = root.issue_node(
            "120000", TIANJIN, now=datetime.now(UTC), hosts=("127.0.0.1",), validity=validity
        )
        (tls / "key.pem").unlink()
        write_private(tls / "key.pem", issued.key_pem)
        (tls / "cert.pem").write_bytes(issued.certificate_pem)

    renew(timedelta(seconds=2))
    until(lambda: site.answers() == ["UNAVAILABLE"] * 4, "it did not expire")
    left = (TIANJIN, "lubiao_certificate_left_seconds", '"node"')
    until(lambda: max(site.metric(*left).values()) <= 0, "it is not shown")

    renew(timedelta(days=90))
    until(lambda: site.answers() == ["OK"] * 4, "the renewed certificate is not in use")
    assert site.workers() == workers
    arrived = submit(site, 2)  # outwards too
    until(lambda: set(site.names_at_hebei()) >= arrived.keys(), "nothing leaves any more")


@pytest.mark.timeout(120)
def test_workers_drain_on_sigterm_and_end_with_a_parent_that_is_killed(site: Site) -> None:
    parent, workers = site.processes.started[TIANJIN], site.workers()
    database = site.folder / TIANJIN / "database"

    parent.process.kill()
    until(lambda: not any(map(lives, workers.values())), "workers outlive their parent")
    server = postmaster_pid(database)
    assert server is not None
    site.ensure_running()
    assert postmaster_pid(database) == server
    assert site.answers() == ["OK"] * 4

    parent, workers = site.processes.started[TIANJIN], site.workers()
    parent.process.send_signal(signal.SIGTERM)
    assert parent.process.wait(timeout=SOON_SECONDS) == 0
    assert not any(map(lives, workers.values()))
    assert postmaster_pid(database) is None
    assert not (site.folder / TIANJIN / "serving").exists()
    assert not (site.folder / TIANJIN / "workers").exists()
