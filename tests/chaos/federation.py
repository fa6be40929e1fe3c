"""A federation under attack: real processes and databases, a proxy on every way, load, a reckoning.

Each node has a roster of its own, signed by the same key, in which the others are reached through
links of the fault-injecting proxy (`proxy.py`). Citizens' platforms reach the nodes directly and
behave as adapters do: they repeat a message with the same ids until it is acknowledged. What was
acknowledged is written down here, and `reconcile.py` reads the databases when all has healed.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import grpc

from gateway.cli import roster
from gateway.cli.demo.federation import Federation
from gateway.cli.demo.layout import Layout
from gateway.cli.demo.make import describe, make, write_yaml
from gateway.cli.demo.topology import load_topology
from gateway.database.embedded import EmbeddedPostgres
from gateway.kernel.time import SystemClock
from gateway.trust.certificates import CertificateAuthority, node_host
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc
from tests.chaos import reconcile
from tests.chaos.proxy import Links, linked

UP_SECONDS_MAX = 90.0
CALL_SECONDS = 5.0
CHECK_SECONDS_MAX = 10.0
POLL_SECONDS = 0.2
NATION_NODES = ("national-hub", "national-arbiter")
PROVINCE_NODES = ("tianjin", "hebei", "jiangsu")
TOPOLOGY = Path(__file__).with_name("topology.yaml")
AWAY = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNKNOWN,
    }
)
PLACES_FILE = "places.json"  # where everybody listens: a run that goes on needs the same ports
PLACES = {"131000": "131082", "120000": "120101", "320000": "320102"}  # a district of each


@dataclass
class Chaos:
    """A running federation, its links, and what it acknowledged."""

    federation: Federation
    links: Links
    acknowledged: dict[str, str] = field(default_factory=dict)  # number -> external id
    waits: list[float] = field(default_factory=list)  # seconds until each acknowledgement
    running: set[str] = field(default_factory=set)
    # Told the number and the external id of each ticket when it is acknowledged.
    heard: Callable[[str, str], None] = lambda _number, _external: None
    _channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)

    # --- processes --------------------------------------------------------------------------

    def kill(self, node: str, *, gateway: bool = True, database: bool = False) -> None:
        """End a gateway, its PostgreSQL, or both, as `kill -9` does."""
        if database:
            self.federation.kill_database(node)
        if gateway:
            self.federation.kill_node(node)

    def revive(self) -> None:
        """Start every process that is dead."""
        for dead in self.federation.processes.dead():
            self.federation.processes.restart(dead.name)

    def start(self, node: str) -> None:
        """Start a node that does not run."""
        self.federation.start_node(node)
        self.running.add(node)

    def stop(self, node: str) -> None:
        """End a node in good order."""
        self.federation.processes.stop(node)
        self.running.discard(node)

    async def until_up(self, *nodes: str) -> None:
        """Wait until the gateways of the nodes (of all that run, if none is named) serve."""
        end = time.monotonic() + UP_SECONDS_MAX
        for node in nodes or tuple(self.running):
            serving = self.federation.layout.node(node) / "serving"
            while not serving.exists():
                self.federation.check_alive()
                assert time.monotonic() < end, f"{node} is not up"
                await asyncio.sleep(POLL_SECONDS)

    def dsn(self, node: str) -> str:
        """Return the address of a node's database."""
        return EmbeddedPostgres(self.federation.layout.database(node)).dsn()

    async def until_oldest_leaves(self, node: str, target: str, *, within: float) -> float:
        """Return after how many seconds the statement that waits longest was receipted."""
        text = "SELECT min(position) FROM outbox WHERE node = $1"
        connection = await asyncpg.connect(self.dsn(node))
        try:
            began, oldest = time.monotonic(), await connection.fetchval(text, target)
            while await connection.fetchval(text, target) == oldest:
                assert time.monotonic() - began < within, f"{target} gets nothing"
                await asyncio.sleep(POLL_SECONDS / 4)
            return time.monotonic() - began
        finally:
            await connection.close()

    async def until_nothing_waits(self, node: str, target: str, *, within: float) -> float:
        """Return after how many seconds no statement waited at a node for another."""
        began = time.monotonic()
        while await self.waiting(node, target):
            assert time.monotonic() - began < within, f"{target} does not get what waits for it"
            await asyncio.sleep(POLL_SECONDS / 4)
        return time.monotonic() - began

    # --- load -------------------------------------------------------------------------------

    async def submit(self, authority: str, place: str, *, count: int, callers: int = 8) -> None:
        """Hand in `count` messages and repeat each until it is acknowledged."""
        waiting = iter(range(count))

        async def caller() -> None:
            for _ in waiting:
                await self._submit_one(authority, place)

        await asyncio.gather(*(caller() for _ in range(callers)))

    async def submit_once(self, authority: str, place: str) -> None:
        """Hand in one message, without repeating it.

        Raises:
            grpc.aio.AioRpcError: it was not acknowledged.
        """
        request = _request(PLACES[place])
        stub = ticket_grpc.TicketServiceStub(self._channel(authority))
        answer = await stub.CreateTicket(request, timeout=CALL_SECONDS * 4)
        number = answer.ticket.name.removeprefix("tickets/")
        self.acknowledged[number] = request.ticket.external_id

    async def _submit_one(self, authority: str, place: str) -> None:
        request = _request(PLACES[place])
        began = time.monotonic()
        while True:
            stub = ticket_grpc.TicketServiceStub(self._channel(authority))
            try:
                answer = await stub.CreateTicket(request, timeout=CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() not in AWAY:
                    raise
                await asyncio.sleep(POLL_SECONDS)
                continue
            number = answer.ticket.name.removeprefix("tickets/")
            self.acknowledged[number] = request.ticket.external_id
            self.heard(number, request.ticket.external_id)
            self.waits.append(time.monotonic() - began)
            return

    def _channel(self, authority: str) -> grpc.aio.Channel:
        if authority not in self._channels:
            layout, node = self.federation.layout, self.federation.topology.node_of(authority).name
            ca = CertificateAuthority.load(layout.ca(authority))
            issued = ca.issue_platform(f"{authority}-p1", now=SystemClock().now())
            root = CertificateAuthority.load(layout.root_ca).certificate
            self._channels[authority] = grpc.aio.secure_channel(
                self.federation.endpoints[node],
                grpc.ssl_channel_credentials(root.pem, issued.key_pem, issued.certificate_pem),
                options=[
                    ("grpc.ssl_target_name_override", node_host(node)),
                    ("grpc.max_reconnect_backoff_ms", 500),
                ],
            )
        return self._channels[authority]

    # --- reckoning --------------------------------------------------------------------------

    async def state(self) -> reconcile.State:
        """Read the databases of all nodes that run."""
        return await reconcile.read({node: self.dsn(node) for node in self.running})

    async def waiting(self, node: str, target: str) -> int:
        """Return how many statements wait at a node for another."""
        connection = await asyncpg.connect(self.dsn(node))
        try:
            text = "SELECT count(*) FROM outbox WHERE node = $1"
            return int(await connection.fetchval(text, target))
        finally:
            await connection.close()

    async def settled_within(self, seconds: float) -> float:
        """Return after how many seconds nothing was under way any more.

        Raises:
            AssertionError: something still is when the time is over; it names some of it.
        """
        began = time.monotonic()
        while True:
            try:
                work = reconcile.open_work(await self.state(), self.acknowledged)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                work = [f"a database does not answer: {type(error).__name__}"]
            taken = time.monotonic() - began
            if not work:
                return taken
            assert taken < seconds, f"after {seconds:.0f} s: {work[:6]}"
            await asyncio.sleep(POLL_SECONDS)

    async def settled(self, numbers: Sequence[str], *, stalled_seconds_max: float) -> float:
        """Return after how many seconds nothing was under way any more, as long as it gets less.

        Only the named tickets are looked at: it costs what they cost, however many there are.

        Raises:
            AssertionError: nothing got less for that long; it names some of what is under way.
        """
        databases = {node: self.dsn(node) for node in self.running}
        part = reconcile.Part(list(numbers), list(self.federation.topology.authorities))
        began = last = time.monotonic()
        least: int | None = None
        while True:
            try:
                left, work = await _under_way(databases, part)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                left, work = None, [f"a database does not answer: {type(error).__name__}"]
            now = time.monotonic()
            if not work:
                return now - began
            if left is not None and (least is None or left < least):
                least, last = left, now
            assert now - last < stalled_seconds_max, f"{now - last:.0f} s: {work[:6]}"
            await asyncio.sleep(POLL_SECONDS)

    async def check_but_waiting_for(self, target: str, *, within: float) -> None:
        """Fail unless everything holds although statements wait for one node that is down."""
        began = time.monotonic()
        while True:
            state = await self.state()
            for node in self.running:
                state.waiting[node] -= await self.waiting(node, target)
            found = reconcile.faults(state, self.acknowledged)
            if not found:
                return
            assert time.monotonic() - began < within, found[:10]
            await asyncio.sleep(POLL_SECONDS)

    async def check(self) -> None:
        """Fail unless everything holds (`reconcile.faults`), soon: databases are read in turn.

        What crosses between two reads looks like a fault until the next one; a real one stays.
        """
        end = time.monotonic() + CHECK_SECONDS_MAX
        while found := reconcile.faults(await self.state(), self.acknowledged):
            assert time.monotonic() < end, found[:10]
            await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        """Close the callers' channels."""
        for channel in self._channels.values():
            await channel.close()


async def _under_way(databases: Mapping[str, str], part: reconcile.Part) -> tuple[int, list[str]]:
    """Return how much is still under way, and what: first what waits, then what is not held."""
    waiting = await reconcile.waiting(databases)
    if total := sum(waiting.values()):
        return total + len(part.tickets), [
            f"{count} wait at {node}" for node, count in waiting.items()
        ]
    work = reconcile.open_work(await reconcile.read(databases, part), part.tickets)
    return len(work), work


@asynccontextmanager
async def running(
    folder: Path,
    *,
    nodes: Sequence[str] = PROVINCE_NODES,
    settings: Mapping[str, Sequence[str]] | None = None,
    prepare: Callable[[Federation], None] = lambda _federation: None,
) -> AsyncIterator[Chaos]:
    """Run the federation below `folder`; one that ran there before goes on.

    Args:
        folder: an empty folder, or that of an earlier run.
        nodes: those that are started; the others are in the roster and do not run.
        settings: lines that are added to the settings of a node.
        prepare: called when the folders are written, before anything runs.
    """
    topology, known = load_topology(TOPOLOGY), folder / PLACES_FILE
    places = json.loads(known.read_text(encoding="ascii")) if known.exists() else None
    if places is None:
        federation = make(topology, folder)
    else:
        federation = Federation(topology, Layout(folder), places["endpoints"])
    async with AsyncExitStack() as stack:
        ports = places["links"] if places is not None else None
        links = await stack.enter_async_context(linked(dict(federation.endpoints), ports=ports))
        stack.callback(federation.stop)
        if places is None:
            _write_rosters(federation, links)
            _add_settings(federation, settings or {})
            prepare(federation)
            ports = {link.name: link.port for link in links.all()}
            known.write_text(
                json.dumps({"endpoints": dict(federation.endpoints), "links": ports}),
                encoding="ascii",
            )
        chaos = Chaos(federation, links)
        stack.push_async_callback(chaos.close)
        for node in nodes:
            chaos.start(node)
        await chaos.until_up()
        yield chaos


def _add_settings(federation: Federation, settings: Mapping[str, Sequence[str]]) -> None:
    for node, lines in settings.items():
        path = federation.layout.node(node) / "node.toml"
        with path.open("a", encoding="utf-8") as stream:
            stream.write("\n".join(("", *lines, "")))


def _write_rosters(federation: Federation, links: Links) -> None:
    """Give each node a roster in which it reaches the others through its links."""
    layout = federation.layout
    for node in federation.endpoints:
        seen = {
            other: endpoint if other == node else f"127.0.0.1:{links[node, other].port}"
            for other, endpoint in federation.endpoints.items()
        }
        description = layout.roster / f"{node}.yaml"
        write_yaml(description, describe(federation.topology, layout, seen))
        signed = layout.roster / f"{node}.binpb"
        roster.sign(description, key=layout.roster / roster.PRIVATE, out=signed)
        shutil.copyfile(signed, layout.node(node) / "roster.binpb")


def _request(region: str) -> pb.CreateTicketRequest:
    return pb.CreateTicketRequest(
        request_id=str(uuid.uuid4()),
        ticket=ticket_pb2.Ticket(
            external_id=f"CHAOS-{uuid.uuid4()}",
            channel=codes_pb2.CHANNEL_PHONE,
            type=codes_pb2.TICKET_TYPE_COMPLAINT,
            matter="041200",
            urgency=codes_pb2.URGENCY_NORMAL,
            content=ticket_pb2.TicketContent(
                title="虚构诉求",
                content="虚构诉求：培训机构拒绝退还课程费用，希望核实并协调退款。",
                place=ticket_pb2.Place(region=region, address="虚构街道一号"),
            ),
            citizen=ticket_pb2.Citizen(display_name="测试人员甲", phones=["13900000001"]),
        ),
    )
