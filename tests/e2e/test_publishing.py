"""Rules through the command on a real node of two workers: draft, check, approve, publish, back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import grpc
import pytest
import yaml

from gateway.cli.demo.processes import Processes, free_ports, postmaster_pid, stop_postmaster
from gateway.cli.main import main
from gateway.cli.output import Exit
from gateway.database.embedded import EmbeddedPostgres
from gateway.kernel.data import data_path
from gateway.server.client import CertificateFolder
from hotline.routing.v1 import routing_service_pb2 as routing_pb
from hotline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from hotline.ticket.v1 import codes_pb2 as codes_pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc
from tests.fixtures.federations import Refusal, a_ticket, creating
from tests.postgres import run_apart

NATION, NATIONAL = "nation", "100000.national"
NODE, CODE, PACK = "tianjin", "120000", "120000.tianjin"
WORKERS = 2
CONNECTIONS = 12  # that all of them meet one worker happens once in two thousand runs
UP_SECONDS_MAX = 60.0
SOON_SECONDS = 15.0
POLL_SECONDS = 0.02
ALONE = (("grpc.use_local_subchannel_pool", 1),)  # a connection of its own
PEOPLE = {
    "editor": ("rule-editor",),
    "approver": ("rule-approver",),
    "both": ("rule-editor", "rule-approver"),
    "dispatcher": ("dispatcher",),
}
FACTS = routing_pb.RoutingFacts(
    region="120101",
    matter="041200",
    type=codes_pb.TICKET_TYPE_COMPLAINT,
    urgency=codes_pb.URGENCY_NORMAL,
)


def until(condition: Callable[[], bool], what: str, *, seconds: float = SOON_SECONDS) -> None:
    """Return when `condition` holds; fail when it does not come to hold."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(POLL_SECONDS)


def ok(*arguments: object) -> None:
    """Run the command in this process; it must succeed."""
    assert main([str(each) for each in arguments]) == Exit.DONE, arguments


@dataclass
class Site:
    """One node and its people."""

    folder: Path
    endpoint: str
    processes: Processes = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "logs").mkdir()
        self.processes = Processes(self.folder / "logs")

    def start(self) -> None:
        """Start the node; return when it serves."""
        folder = self.folder / NODE
        arguments = ("gateway", "serve", str(folder), "--workers", str(WORKERS))
        self.processes.start(NODE, *arguments)
        path = folder / "serving"
        until(path.exists, "the node is not up", seconds=UP_SECONDS_MAX)
        until(lambda: len(self.workers()) == WORKERS, "not all workers are up")

    def workers(self) -> list[int]:
        path = self.folder / NODE / "workers"
        if not path.exists():
            return []
        return [int(line.split()[1]) for line in path.read_text().splitlines()]

    def rules(self, who: str, *arguments: object) -> int:
        """Run `lubiao rules …` as somebody; return the exit code."""
        to = ("--node", self.endpoint, "--cert", self.folder / who)
        return main([str(each) for each in ("rules", *arguments, *to)])

    def channel(self, who: str) -> grpc.Channel:
        """Return a channel with a connection of its own."""
        credentials = CertificateFolder.load(self.folder / who)
        return grpc.secure_channel(self.endpoint, credentials.channel_credentials(), options=ALONE)

    def decided_by(self) -> set[str]:
        """Return by which version the workers decide, asked over many connections at once."""

        def ask(_number: int) -> str:
            with self.channel("editor") as channel:
                stub = routing_grpc.RoutingServiceStub(channel)
                request = routing_pb.ExplainRouteRequest(authority=CODE, facts=FACTS)
                answer = stub.ExplainRoute(request, timeout=10)
            assert answer.decision.rule == "tj.driving-school", answer
            return answer.decision.pack

        with ThreadPoolExecutor(CONNECTIONS) as executor:
            return set(executor.map(ask, range(CONNECTIONS)))

    def readiness(self) -> str:
        port = (self.folder / NODE / "serving").read_text().split()[1]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                return str(answer.read(), "utf-8")
        except urllib.error.HTTPError as error:
            return str(error.read(), "utf-8")

    def stop(self) -> None:
        self.processes.stop()
        stop_postmaster(self.folder / NODE / "database")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a running node of 天津, made from nothing."""
    folder = tmp_path_factory.mktemp("publishing")
    endpoint = f"127.0.0.1:{free_ports(1)[0]}"
    root, ca, key = folder / "root", folder / "ca", folder / "roster" / "roster-key.pem"
    ok("ca", "init", root)
    ok("ca", "init", ca, "--name", CODE)
    ok("roster", "keygen", folder / "roster")
    made = ("init", folder / NODE, "--authority", CODE, "--node", NODE, "--endpoint", endpoint)
    ok(*made, "--bind", endpoint, "--ca", root, "--trust", ca, "--roster-key", key)
    for who, roles in PEOPLE.items():
        wanted = [part for role in roles for part in ("--role", role)]
        ok(
            "ca",
            "issue",
            ca,
            "staff",
            who,
            *wanted,
            "--out",
            folder / who,
            "--root",
            root / "ca.pem",
        )
    platform = ("platform", f"{CODE}-p1", "--out", folder / "platform")
    ok("ca", "issue", ca, *platform, "--root", root / "ca.pem")
    nobody = "127.0.0.1:9"  # the nation's node does not run
    national = ("init", folder / NATION, "--authority", "100000", "--node", NATION)
    ends = ("--endpoint", nobody, "--bind", nobody)
    ok(*national, *ends, "--roles", "directory,hub", "--ca", root, "--roster-key", key)
    public = str(folder / NODE / "public.yaml")
    nation = str(folder / NATION / "public.yaml")
    description = {
        "version": 1,
        "nodes": [
            {"id": NODE, "endpoint": endpoint, "roles": ["custodian"]},
            {"id": NATION, "endpoint": nobody, "roles": ["directory", "hub"]},
        ],
        "authorities": [
            {"code": CODE, "name": "天津", "node": NODE, "public": public},
            {"code": "100000", "name": "国家", "node": NATION, "public": nation},
        ],
    }
    (folder / "roster.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")
    private = folder / "roster" / "roster-key-private.pem"
    ok("roster", "sign", folder / "roster.yaml", "--key", private, "--out", folder / "signed")
    shutil.copyfile(folder / "signed", folder / NODE / "roster.binpb")
    found = Site(folder, endpoint)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def a_pack(folder: Path, explanation: str) -> Path:
    """Write the node's own pack with another explanation."""
    shipped = data_path("routing_rules/packs") / f"{PACK}.yaml"
    text = shipped.read_text(encoding="utf-8").replace("机动车驾驶员培训管理规定", explanation)
    file = folder / f"{PACK}.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def history(site: Site, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert site.rules("editor", "history", PACK, "--json") == Exit.DONE
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def label_of(version: dict[str, object]) -> str:
    pack, _, digest = str(version["name"]).removeprefix("rulePacks/").partition("/versions/")
    return f"{pack}@{digest[:12]}"


@pytest.mark.timeout(180)
def test_a_pack_is_drafted_approved_published_and_taken_back(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [present] = site.decided_by()  # the founding line, or what another test published
    file = a_pack(tmp_path, "测试依据甲")

    assert site.rules("dispatcher", "draft", file) == Exit.NO  # who judges does not write rules
    assert site.rules("both", "draft", file) == Exit.DONE
    versions = history(site, capsys)
    assert versions[0]["state"] == "RULE_PACK_STATE_CHECKED"
    assert present in [label_of(version) for version in versions]
    assert [version for version in versions if version.get("founding")]
    label = label_of(versions[0])
    assert site.rules("editor", "publish", label) == Exit.NO  # nobody approved it
    assert site.rules("both", "approve", label) == Exit.NO  # who wrote it
    assert site.rules("approver", "approve", label) == Exit.DONE
    assert site.decided_by() == {present}

    assert site.rules("approver", "publish", label, "--reason", "测试") == Exit.DONE
    until(lambda: site.decided_by() == {label}, "the workers do not decide by the new version")
    assert site.rules("editor", "rollback", PACK, "--reason", "测试") == Exit.DONE
    until(lambda: site.decided_by() == {present}, "the workers do not decide by the old version")

    states = {label_of(version): version["state"] for version in history(site, capsys)}
    assert states[label] == "RULE_PACK_STATE_RETIRED"
    assert states[present] == "RULE_PACK_STATE_ACTIVE"


@pytest.mark.timeout(120)
def test_a_version_can_wait_for_its_day_and_be_withdrawn(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [present] = site.decided_by()
    assert site.rules("editor", "draft", a_pack(tmp_path, "测试依据乙")) == Exit.DONE
    label = label_of(history(site, capsys)[0])
    assert site.rules("approver", "approve", label) == Exit.DONE
    assert site.rules("approver", "publish", label, "--from", "2100-01-01") == Exit.DONE
    assert history(site, capsys)[0]["state"] == "RULE_PACK_STATE_SCHEDULED"
    assert site.decided_by() == {present}
    assert site.rules("editor", "retire", label, "--reason", "测试") == Exit.DONE
    assert history(site, capsys)[0]["state"] == "RULE_PACK_STATE_RETIRED"


def test_a_pack_with_errors_is_refused_and_says_all_of_them(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = a_pack(tmp_path, "测试依据丙")
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("kind: XF", "kind: XX").replace("kind: ZJ", "kind: YY"))
    capsys.readouterr()
    assert site.rules("editor", "draft", file) == Exit.USAGE
    said = capsys.readouterr()
    for kind in ("XX", "YY"):
        assert kind in said.err
        assert f"没有单位类别 '{kind}'。用 org_kinds.csv 中的类别代码。" in said.out


@pytest.mark.timeout(120)
def test_a_pack_of_the_nation_is_signed_carried_and_taken_once(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = data_path("routing_rules/packs") / f"{NATIONAL}.yaml"
    file, signed = tmp_path / f"{NATIONAL}.yaml", tmp_path / "signed.json"
    file.write_text(shipped.read_text(encoding="utf-8") + "# 测试\n", encoding="utf-8")
    two = ("--editor", "a", "--approver", "b", "--sequence", "1")
    ok("rules", "sign", file, site.folder / NATION, "--out", signed, *two)

    assert site.rules("editor", "import", signed) == Exit.NO  # a rule approver takes it
    spoiled = tmp_path / "spoiled.json"
    row = json.loads(signed.read_text(encoding="utf-8"))
    spoiled.write_text(json.dumps(row | {"source": row["source"] + " "}), encoding="utf-8")
    assert site.rules("approver", "import", spoiled) == Exit.USAGE
    assert site.rules("approver", "import", signed) == Exit.DONE
    assert site.rules("approver", "import", signed) == Exit.USAGE  # a replay
    capsys.readouterr()
    assert site.rules("editor", "show", NATIONAL) == Exit.DONE
    assert capsys.readouterr().out.endswith("# 测试\n")


def test_a_misrouted_ticket_is_reported_listed_and_answered(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    with site.channel("platform") as channel:
        stub = ticket_grpc.TicketServiceStub(channel)
        made = stub.CreateTicket(creating(a_ticket(region="120101")), timeout=10).ticket
    number = made.name.removeprefix("tickets/")
    reported = ("misroutes", "report", number, "--reason", "stale-unit")
    assert site.rules("dispatcher", *reported, "--rule", "tj.driving-school") == Exit.USAGE
    pack = ("--rule", "tj.driving-school", "--pack", f"{PACK}@{'a' * 12}")
    assert site.rules("dispatcher", *reported, *pack) == Exit.DONE
    capsys.readouterr()
    assert site.rules("editor", "misroutes", "list", "--json") == Exit.DONE
    shown = json.loads(capsys.readouterr().out)
    [misroute], [count] = shown["misroutes"], shown["counts"]
    assert (misroute["rule"], misroute["reason"]) == (
        "tj.driving-school",
        "MISROUTE_REASON_STALE_UNIT",
    )
    assert (count["reported"], count["open"]) == ("1", "1")
    name = misroute["name"].removeprefix("misroutes/")
    answer = ("misroutes", "answer", name, "--resolution", "rule-changed")
    assert site.rules("dispatcher", *answer) == Exit.NO  # rule staff answer
    assert site.rules("editor", *answer) == Exit.DONE
    capsys.readouterr()
    assert site.rules("editor", "misroutes", "list") == Exit.DONE
    assert name not in capsys.readouterr().out


async def _cut_listeners(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE query LIKE '%rule_generation%' AND application_name <> 'lubiao' "
            "AND pid <> pg_backend_pid()"
        )
        return len(rows)
    finally:
        await connection.close()


@pytest.mark.timeout(120)
def test_a_process_that_lost_its_listener_decides_again_when_it_has_caught_up(
    site: Site,
) -> None:
    embedded = EmbeddedPostgres(site.folder / NODE / "database")
    assert run_apart(_cut_listeners(embedded.dsn())) >= WORKERS
    refused: list[str] = []

    def taken() -> bool:
        with site.channel("platform") as channel:
            try:
                ticket_grpc.TicketServiceStub(channel).CreateTicket(
                    creating(a_ticket(region="120101")), timeout=10
                )
            except grpc.RpcError as error:
                refused.append(Refusal.of_call(error).reason)
                return False
        return True

    until(taken, "no ticket is taken again")
    assert set(refused) <= {"RULES_UNKNOWN"}
    until(lambda: "rules" not in site.readiness(), "the node is not ready again")


@pytest.mark.timeout(120)
def test_what_was_published_survives_the_death_of_all_processes(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.rules("editor", "draft", a_pack(tmp_path, "测试依据丁")) == Exit.DONE
    label = label_of(history(site, capsys)[0])
    assert site.rules("approver", "approve", label) == Exit.DONE
    assert site.rules("approver", "publish", label) == Exit.DONE
    workers = site.workers()
    site.processes.kill(NODE)
    for pid in workers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    (site.folder / NODE / "serving").unlink(missing_ok=True)
    (site.folder / NODE / "workers").unlink(missing_ok=True)
    assert postmaster_pid(site.folder / NODE / "database") is not None
    site.start()
    until(lambda: site.decided_by() == {label}, "the version is not in force")
