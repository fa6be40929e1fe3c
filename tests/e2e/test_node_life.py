"""The life of a node as its operator sees it: made by the command alone, served, killed, changed.

A site is a folder with a directory node and the node of 天津, made once by `lubiao` subprocesses in
the order of docs/operations.md. A test starts the nodes it needs and leaves the site stopped.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
import yaml

from gateway.cli.demo.processes import Processes, free_ports, postmaster_pid, stop_postmaster
from gateway.cli.output import Exit
from gateway.custody.incarnation import WITNESS_FILE
from gateway.server.client import CertificateFolder
from hotline.ticket.v1 import ticket_service_pb2 as ticket_pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc
from tests.fixtures.federations import Refusal, a_ticket, creating, getting
from tests.postgres import TestServer, run_apart

PROVINCE, DIRECTORY, CODE = "tianjin", "directory", "120000"
UP_SECONDS_MAX = 60.0
SOON_SECONDS = 20.0
POLL_SECONDS = 0.05
BATCH = 300  # some seconds of work, so that a drain meets it
PRIVATE = "roster-key-private.pem"


def until(condition: Callable[[], bool], what: str, *, seconds: float = SOON_SECONDS) -> None:
    """Return when `condition` holds; fail when it does not come to hold."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(POLL_SECONDS)


def lubiao(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def ok(*arguments: object) -> str:
    """Run the command, which must succeed; return its answer."""
    done = lubiao(*arguments)
    assert done.returncode == Exit.DONE, done.stderr
    return done.stdout


@dataclass
class Site:
    """The folder, the addresses, and the processes that run now."""

    folder: Path
    endpoints: dict[str, str]
    version: int = 1
    processes: Processes = field(init=False)

    def __post_init__(self) -> None:
        logs = self.folder / "logs"
        logs.mkdir()
        self.processes = Processes(logs)

    def start(self, *nodes: str, **environment: str) -> None:
        """Start nodes; return when all of them serve."""
        for node in nodes:
            folder = str(self.folder / node)
            self.processes.start(node, "gateway", "serve", folder, environment=environment)
        for node in nodes:
            started = self.processes.started[node]
            until(
                lambda: self.serving(node)[-1:] == [started.pid] or not started.is_alive,  # noqa: B023 # called here
                f"{node} is not up; log: {started.log}",
                seconds=UP_SECONDS_MAX,
            )
            assert started.is_alive, started.log.read_text(encoding="utf-8")[-3000:]

    def serving(self, node: str) -> list[int]:
        """Return port, metrics port and process id of a running node."""
        path = self.folder / node / "serving"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def metric(self, node: str, name: str) -> float:
        """Return the sum of a metric's values, 0 without any."""
        url = f"http://127.0.0.1:{self.serving(node)[1]}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
        return sum(
            float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)
        )

    def ask(self, *arguments: object) -> str:
        """Run a command of the dispatcher at the node of 天津."""
        to = ("--node", self.endpoints[PROVINCE], "--cert", self.folder / "dispatcher")
        return ok(*arguments, *to)

    def channel(self) -> grpc.Channel:
        """Return a channel of a platform of 天津."""
        credentials = CertificateFolder.load(self.folder / "platform").channel_credentials()
        return grpc.secure_channel(self.endpoints[PROVINCE], credentials)

    def sign(self, out: Path, *, demo: bool = False, newcomer: Path | None = None) -> int:
        """Sign the next version of the roster into a file; return the version."""
        self.version += 1
        sign_roster(
            self.folder,
            self.endpoints,
            version=self.version,
            out=out,
            demo=demo,
            newcomer=newcomer,
        )
        return self.version

    def stop(self) -> None:
        """Stop every process, and a PostgreSQL that outlived its gateway."""
        self.processes.stop()
        for node in self.endpoints:
            stop_postmaster(self.folder / node / "database")


def sign_roster(
    folder: Path,
    endpoints: dict[str, str],
    *,
    version: int,
    out: Path,
    demo: bool = False,
    newcomer: Path | None = None,
) -> None:
    """Describe the federation, with a new authority if one is given, and sign it."""
    nodes = [
        {"id": DIRECTORY, "endpoint": endpoints[DIRECTORY], "roles": ["directory"]},
        {"id": PROVINCE, "endpoint": endpoints[PROVINCE], "roles": ["custodian"]},
    ]
    public = str(folder / PROVINCE / "public.yaml")
    authorities = [{"code": CODE, "name": "天津", "node": PROVINCE, "public": public}]
    if newcomer is not None:
        nodes.append({"id": "hebei", "endpoint": "127.0.0.1:9", "roles": ["custodian"]})
        public = str(newcomer / "public.yaml")
        authorities.append({"code": "130000", "name": "河北", "node": "hebei", "public": public})
    description = {"version": version, "demo": demo, "nodes": nodes, "authorities": authorities}
    path = folder / f"roster-{version}.yaml"
    path.write_text(yaml.safe_dump(description, allow_unicode=True), encoding="utf-8")
    new = out.with_suffix(".signed")
    ok("roster", "sign", path, "--key", folder / "roster" / PRIVATE, "--out", new)
    new.replace(out)


def together(*commands: tuple[object, ...]) -> None:
    """Run commands that do not need each other at the same time."""
    with ThreadPoolExecutor() as executor:
        list(executor.map(lambda command: ok(*command), commands))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Give a site that was made from nothing by the command."""
    folder = tmp_path_factory.mktemp("site")
    directory, province = (f"127.0.0.1:{port}" for port in free_ports(2))
    root, ca, key = folder / "root", folder / "ca", folder / "roster" / "roster-key.pem"
    together(
        ("ca", "init", root),
        ("ca", "init", ca, "--name", CODE),
        ("roster", "keygen", folder / "roster"),
    )
    together(
        (
            *("init", folder / DIRECTORY, "--authority", "100000", "--node", DIRECTORY),
            *("--roles", "directory", "--hosts", "", "--endpoint", directory),
            *("--bind", directory, "--ca", root, "--roster-key", key),
        ),
        (
            *("init", folder / PROVINCE, "--authority", CODE, "--node", PROVINCE),
            *("--endpoint", province, "--bind", province, "--ca", root, "--trust", ca),
            *("--roster-key", key, "--directory-node", f"{DIRECTORY}@{directory}"),
        ),
        (
            *("ca", "issue", ca, "staff", "wang", "--role", "dispatcher", "--role", "clerk"),
            *("--out", folder / "dispatcher", "--root", root / "ca.pem"),
        ),
        (
            *("ca", "issue", ca, "platform", "120000-p1"),
            *("--out", folder / "platform", "--root", root / "ca.pem"),
        ),
    )
    endpoints = {DIRECTORY: directory, PROVINCE: province}
    signed = folder / DIRECTORY / "roster.binpb"
    sign_roster(folder, endpoints, version=1, out=signed)
    shutil.copyfile(signed, folder / PROVINCE / "roster.binpb")
    return Site(folder, endpoints)


@pytest.fixture
def site(built: Site) -> Iterator[Site]:
    """Give the site with nothing running, and stop afterwards whatever runs."""
    try:
        yield built
    finally:
        built.stop()


# --- from nothing ---------------------------------------------------------------------------------


def test_doctor_finds_a_new_federation_healthy_while_it_runs(site: Site) -> None:
    site.start(DIRECTORY, PROVINCE)

    for node in (DIRECTORY, PROVINCE):
        findings = json.loads(ok("doctor", site.folder / node, "--json"))
        # Another test, before or after, lists a 河北 that nobody runs.
        others = {"disk", "peer hebei"}
        wrong = [each for each in findings if each["level"] != "OK" and each["check"] not in others]
        assert not wrong
        other = DIRECTORY if node == PROVINCE else PROVINCE
        checks = {each["check"] for each in findings}
        assert {"keys", "certificate", "roster", "database", "port", f"peer {other}"} <= checks


@pytest.mark.timeout(240)  # a dozen commands, each of which starts on a busy machine
def test_ticket_is_handed_in_listed_shown_watched_and_proved_by_the_command(
    site: Site, tmp_path: Path
) -> None:
    site.start(PROVINCE)
    file = tmp_path / "tickets.json"
    content = {"title": "测试标题", "content": "测试内容", "place": {"region": "120101"}}
    ticket = {
        "external_id": f"CLI-{time.monotonic_ns()}",
        "channel": "CHANNEL_PHONE",
        "type": "TICKET_TYPE_COMPLAINT",
        "matter": "140301",
        "urgency": "URGENCY_NORMAL",
        "content": content,
        "anonymous": True,
    }
    file.write_text(json.dumps(ticket, ensure_ascii=False), encoding="utf-8")

    [submitted] = json.loads(site.ask("ticket", "submit", file, "--json"))
    [again] = json.loads(site.ask("ticket", "submit", file, "--json"))
    number = submitted["number"]
    assert (submitted["reason"], again["number"]) == ("", number)

    wanted = f'external_id = "{ticket["external_id"]}"'
    [listed] = json.loads(site.ask("ticket", "list", "--filter", wanted, "--json"))
    shown = json.loads(site.ask("ticket", "show", number, "--events", "--json"))
    watched = json.loads(site.ask("ticket", "watch", "--limit", "1", "--json").splitlines()[0])
    records = json.loads(site.ask("custody", "show", number, "--json"))

    assert listed["name"] == shown["ticket"]["name"] == f"tickets/{number}"
    assert "content" not in listed
    assert shown["ticket"]["content"]["title"] == content["title"]
    assert shown["events"][0]["kind"] == "ticket.received"
    assert watched["event"]["kind"] == "ticket.received"
    assert watched["resume_token"]
    assert records[0]["kind"] == "Genesis"
    assert records[0]["statement"]["statement"]


# --- stopping and dying ---------------------------------------------------------------------------


def first_refusal(stub: ticket_grpc.TicketServiceStub) -> Refusal:
    """Ask until the node does not answer any more, and return what it said."""
    while True:  # the signal takes a moment
        try:
            stub.ListTickets(ticket_pb.ListTicketsRequest(page_size=1), timeout=5)
        except grpc.RpcError as error:
            return Refusal.of_call(error)


def test_sigterm_lets_what_is_in_flight_finish_and_ends_with_zero(site: Site) -> None:
    site.start(PROVINCE)
    process = site.processes.started[PROVINCE].process
    batch = ticket_pb.BatchCreateTicketsRequest(
        requests=[creating(a_ticket(region="120101")) for _ in range(BATCH)]
    )
    answers: list[ticket_pb.BatchCreateTicketsResponse] = []
    with site.channel() as channel:
        stub = ticket_grpc.TicketServiceStub(channel)
        worker = threading.Thread(
            target=lambda: answers.append(stub.BatchCreateTickets(batch, timeout=55))
        )
        worker.start()
        in_flight = 'lubiao_rpc_in_flight{method="/hotline.ticket.v1.TicketService/BatchCreate'
        until(lambda: site.metric(PROVINCE, in_flight) == 1, "the batch did not begin")
        process.send_signal(signal.SIGTERM)
        refused = first_refusal(stub)
        worker.join()

    assert process.wait(timeout=SOON_SECONDS) == 0
    assert (refused.code, refused.reason) == ("UNAVAILABLE", "NODE_DRAINING")
    assert [each.WhichOneof("outcome") for each in answers[0].results] == ["ticket"] * BATCH
    assert postmaster_pid(site.folder / PROVINCE / "database") is None
    assert not site.serving(PROVINCE)


def test_restarted_gateway_adopts_the_database_of_the_killed_one(site: Site) -> None:
    site.start(PROVINCE)
    database = site.folder / PROVINCE / "database"
    before = postmaster_pid(database)
    with site.channel() as channel:
        stub = ticket_grpc.TicketServiceStub(channel)
        created = stub.CreateTicket(creating(a_ticket(region="120101")), timeout=10).ticket

    site.processes.kill(PROVINCE)
    assert postmaster_pid(database) == before is not None
    site.start(PROVINCE)

    assert postmaster_pid(database) == before
    with site.channel() as channel:
        stub = ticket_grpc.TicketServiceStub(channel)
        found = stub.GetTicket(getting(created.name), timeout=10).ticket
    assert found.external_id == created.external_id


# --- configuration --------------------------------------------------------------------------------


def test_node_serves_from_any_postgresql_that_its_dsn_names(
    site: Site, postgres_server: TestServer, tmp_path: Path
) -> None:
    name = f"node_{os.getpid()}"
    run_apart(postgres_server.server.create_database(name, template="template1"))
    folder = tmp_path / "node"
    shutil.copytree(
        site.folder / PROVINCE,
        folder,  # a new node: what the file beside the other's database knows is not its past
        ignore=shutil.ignore_patterns("database", "serving", WITNESS_FILE),
    )
    with (folder / "node.toml").open("a", encoding="utf-8") as file:
        file.write('\n[database]\nkind = "postgres"\n')
    elsewhere = Site(tmp_path, {PROVINCE: site.endpoints[PROVINCE]})
    folder.rename(tmp_path / PROVINCE)
    shutil.copytree(site.folder / "platform", tmp_path / "platform")
    dsn = postgres_server.server.dsn(name)
    try:
        elsewhere.start(PROVINCE, LUBIAO_DATABASE__DSN=dsn)
        with elsewhere.channel() as channel:
            stub = ticket_grpc.TicketServiceStub(channel)
            created = stub.CreateTicket(creating(a_ticket(region="120101")), timeout=10).ticket
            assert stub.GetTicket(getting(created.name), timeout=10).ticket.name == created.name
    finally:
        elsewhere.stop()
    assert not (tmp_path / PROVINCE / "database").exists()
    log = (tmp_path / "logs" / f"{PROVINCE}.log").read_text(encoding="utf-8")
    assert dsn not in log


def test_broken_configuration_names_every_problem_and_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(
        """
node_id = "天津"
authority = "12"
hosts = ["120000"]
roles = ["custodian"]
bind = "nowhere"
misspelt = true
[database]
kind = "postgres"
[limits]
request_bytes_max = 1
""",
        encoding="utf-8",
    )

    done = lubiao("serve", tmp_path)

    assert done.returncode == Exit.USAGE
    wrong = ("node_id", "authority", "bind", "endpoint", "misspelt", "database.dsn")
    for name in (*wrong, "limits.request_bytes_max"):
        assert f"\n  {name}：" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_production_node_refuses_the_roster_of_a_demonstration(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "node"
    shutil.copytree(site.folder / PROVINCE, folder, ignore=shutil.ignore_patterns("database"))
    site.sign(folder / "roster.binpb", demo=True)

    served = lubiao("--lang", "en", "serve", folder)
    examined = json.loads(lubiao("doctor", folder, "--json").stdout)

    assert served.returncode == Exit.USAGE
    assert "demo" in served.stderr
    assert not (folder / "database").exists()  # it stopped before anything else
    assert {each["level"] for each in examined if each["check"] == "roster"} == {"FAIL"}


def test_new_roster_reaches_running_nodes_within_seconds(site: Site, tmp_path: Path) -> None:
    site.start(DIRECTORY, PROVINCE)
    ok("init", tmp_path / "hebei", "--authority", "130000", "--endpoint", "127.0.0.1:9")

    before = site.metric(PROVINCE, "lubiao_roster_version")
    version = site.sign(site.folder / DIRECTORY / "roster.binpb", newcomer=tmp_path / "hebei")
    until(
        lambda: site.metric(PROVINCE, "lubiao_roster_version") == version,
        "the roster did not arrive",
        seconds=5,
    )
    after = json.loads(site.ask("roster", "show", "--json"))

    assert version > before
    assert {each["code"] for each in after["authorities"]} == {CODE, "130000"}
    assert (site.folder / PROVINCE / "roster.binpb").read_bytes() == (
        site.folder / DIRECTORY / "roster.binpb"
    ).read_bytes()
