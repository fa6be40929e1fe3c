"""The composition root: the only place that knows concrete classes.

`serve` builds a node from its settings, starts it, and returns when it was told to stop and has
drained. What runs beside the server (pump, timers, roster, database watch, gauges) are tasks of one
group: if one of them ends by an error the node stops, and whoever started it starts it again.
A restart needs no special code, because nothing is sent but from the outbox.

Order of a start: settings, keys and certificates, roster, database and its migrations, rooms from
the bottom of the house to its top, server. Order of a stop: refuse new work, finish what is in
flight, stop the tasks, close the pool, stop an embedded database.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import grpc
import structlog
from opentelemetry.sdk.trace.export import SpanExporter

from gateway.audit.service import AuditLog
from gateway.custodian import Custodian
from gateway.database.embedded import EmbeddedPostgres
from gateway.database.idempotency import purge_all
from gateway.database.migrations import Phase, migrate
from gateway.database.postgres import PostgresDatabase
from gateway.directory.follower import RosterFollower, RosterKeeper
from gateway.directory.holder import RosterHolder
from gateway.directory.servicer import FederationServicer
from gateway.directory.store import RosterFile
from gateway.ground import Ground, Part, Task, measure_database
from gateway.kernel import crashpoints
from gateway.kernel.errors import LubiaoError, PeerUnreachable
from gateway.kernel.ids import NodeId
from gateway.kernel.time import BusinessClock, Clock, SystemClock
from gateway.life import Life
from gateway.life import begin as begin_life
from gateway.nation import Nation
from gateway.server.access import AccessCheck, services_of
from gateway.server.client import open_channel
from gateway.server.credentials import CredentialHolder
from gateway.server.interceptors import Gate
from gateway.server.refusals import RefusalLog
from gateway.server.server import Server, Service, build_server
from gateway.server.traffic import Quota, Traffic
from gateway.settings import Settings
from gateway.telemetry import traces
from gateway.telemetry.http import READY, TelemetryServer
from gateway.telemetry.logs import LogFormat, configure_logs
from gateway.telemetry.metrics import Metrics
from gateway.trust.certificates import node_host
from gateway.trust.key_files import load_public_key
from gateway.trust.keys import Purpose
from gateway.trust.principal import Principal
from gateway.trust.roster import NodeRole
from gateway.workers import Alone, Crew, Post, Worker
from hotline.federation.v1 import federation_service_pb2_grpc as federation_grpc

GAUGES_INTERVAL = timedelta(seconds=5)
PURGE_INTERVAL = timedelta(hours=1)
ORPHAN_DRAIN = timedelta(seconds=2)  # the next supervisor waits for the port
EMBEDDED_CONNECTIONS_MIN = 40
CONNECTIONS_SPARE = 10
# A unit makes some hundred thousand values and nearly no cycles; yet what is garbage may hold
# chunks of a file, so the first is not greater.
GC_THRESHOLDS = (5_000, 20, 20)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Clocks:
    """The two injected clocks (docs/glossary.md#clock)."""

    machine: Clock
    business: Clock


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node is made of, whatever its roles."""

    settings: Settings
    clocks: Clocks
    metrics: Metrics
    credentials: CredentialHolder
    holder: RosterHolder


async def serve(settings: Settings) -> None:
    """Run a node as one process until SIGTERM or SIGINT; return when it has drained.

    Raises:
        LubiaoError: the node cannot start; the text says what to do.
    """
    begin_logs(settings)
    crashpoints.arm(os.environ, is_demo=settings.demo)
    stopping = stopping_on_signals()
    async with _running(settings, stopping) as (server, metrics_port):
        write_addresses(settings, server.port, metrics_port)
        try:
            log.info("node.ready", node=settings.node_id, port=server.port)
            await stopping.wait()
            await server.drain(within=timedelta(seconds=settings.limits.drain_seconds))
        finally:
            settings.serving_path.unlink(missing_ok=True)
    log.info("node.stopped", node=settings.node_id)


async def serve_worker(settings: Settings, link: socket.socket) -> None:
    """Run one process of several, whose supervisor holds the other end of `link`.

    The supervisor says the post, the worker that it serves, and the end of either is the end of
    the link: a worker without a supervisor ends, because nobody would end it.

    Raises:
        LubiaoError: the worker cannot start; the text says what to do.
    """
    begin_logs(settings)
    crashpoints.arm(os.environ, is_demo=settings.demo)
    stopping = stopping_on_signals()
    link.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=link)
    said = await reader.readline()
    if not said:
        return
    post = Post(**json.loads(said))
    orphaned = asyncio.create_task(_end_of(reader, stopping), name="supervisor's end")
    bounds = structlog.contextvars.bound_contextvars(worker=post.index)
    with bounds:
        async with _running(settings, stopping, post) as (server, metrics_port):
            ready = {"metrics": metrics_port, "pid": os.getpid()}
            writer.write(json.dumps(ready).encode() + b"\n")
            log.info("worker.ready", node=settings.node_id, port=server.port)
            await stopping.wait()
            within = timedelta(seconds=settings.limits.drain_seconds)
            await server.drain(within=ORPHAN_DRAIN if orphaned.done() else within)
        log.info("worker.stopped", node=settings.node_id)
    orphaned.cancel()
    writer.close()


async def _end_of(reader: asyncio.StreamReader, stopping: asyncio.Event) -> None:
    await reader.read()
    stopping.set()


def begin_logs(settings: Settings) -> None:
    """Write logs as the settings say."""
    configure_logs(
        level=settings.log_level.value,
        form=LogFormat.CONSOLE if settings.development else LogFormat.JSON,
    )


def stopping_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


async def examine(settings: Settings) -> None:
    """Read what a start reads before the database.

    Raises:
        LubiaoError: it would not start; the text says what to do.
    """
    parts = await _parts(settings)
    parts.metrics.close()


@asynccontextmanager
async def _running(
    settings: Settings, stopping: asyncio.Event, post: Post | None = None
) -> AsyncIterator[tuple[Server, int]]:
    """Give a started server with everything that runs beside it, and the port of the metrics."""
    parts = await _parts(settings)
    async with AsyncExitStack() as stack:
        stack.callback(parts.metrics.close)
        _trace(settings)
        stack.callback(traces.stop)
        database, dsn = await stack.enter_async_context(_database(settings, stopping, post))
        life = await begin_life(settings, database, clock=parts.clocks.machine)
        ground = _ground(parts, database, dsn, post, life)
        part = _part(ground)
        if part is not None:
            stack.push_async_callback(part.close)
            await part.prepare()
        server = _server(parts, part, database, post)
        telemetry = _telemetry(parts, database, post, part)
        await server.start()
        metrics_port = await telemetry.start() if telemetry else 0
        if telemetry:
            stack.push_async_callback(telemetry.stop)
        tasks = _tasks(parts, stopping, ground, part)
        supervisor = asyncio.create_task(_supervise(tasks, stopping), name="supervisor")
        gc.collect()
        gc.freeze()  # regions, rules and descriptors live as long as the node: never walk them
        gc.set_threshold(*GC_THRESHOLDS)
        try:
            yield server, metrics_port
        finally:
            stopping.set()
            supervisor.cancel()
            with suppress(asyncio.CancelledError):
                await supervisor


# --- parts, in the order of a start ---------------------------------------------------------


def _ground(
    parts: Parts, database: PostgresDatabase, dsn: str, post: Post | None, life: Life
) -> Ground:
    return Ground(
        settings=parts.settings,
        database=database,
        dsn=dsn,
        holder=parts.holder,
        machine_clock=parts.clocks.machine,
        business_clock=parts.clocks.business,
        credentials=parts.credentials.channel,
        metrics=parts.metrics,
        crew=_crew(parts, database, post),
        life=life,
    )


def _crew(parts: Parts, database: PostgresDatabase, post: Post | None) -> Crew:
    if post is None:
        return Alone()
    own, holder = parts.settings.node_id, parts.holder

    def peers() -> frozenset[NodeId]:
        return frozenset(holder.get().nodes) - {NodeId(own)} if holder.version else frozenset()

    return Worker(post, database=database, peers=peers)


def _part(ground: Ground) -> Part | None:
    """Return the rooms of the node's roles; a mere directory has none."""
    roles = ground.settings.roles
    if NodeRole.CUSTODIAN in roles:
        return Custodian(ground)
    if roles & {NodeRole.HUB, NodeRole.ARBITER}:
        return Nation(ground)
    return None


def _trace(settings: Settings) -> None:
    """Begin to trace if the settings name somebody who takes the spans."""
    tracing = settings.tracing
    exporters: list[SpanExporter] = []
    if tracing.file:
        exporters.append(traces.FileExporter(settings.directory_path / tracing.file))
    if tracing.endpoint:
        exporters.append(traces.otlp_exporter(tracing.endpoint))
    if exporters:
        ratio = 1.0 if settings.demo else tracing.ratio  # a demonstration shows every ticket
        traces.start(node=settings.node_id, ratio=ratio, exporters=exporters)


async def _parts(settings: Settings) -> Parts:
    clocks = _clocks(settings)
    metrics = Metrics(node=settings.node_id)
    credentials = CredentialHolder(
        tls=settings.tls_path, trust=settings.trust_path, clock=clocks.machine, metrics=metrics
    )
    holder = await _roster(settings, clocks, metrics)
    return Parts(settings, clocks, metrics, credentials, holder)


def _clocks(settings: Settings) -> Clocks:
    machine = SystemClock()
    if settings.clock.start is None:
        return Clocks(machine, BusinessClock.real(machine))
    anchor = settings.clock.anchor or machine.now()
    start = settings.clock.start
    return Clocks(machine, BusinessClock(machine, anchor, start, settings.clock.rate))


async def _roster(settings: Settings, clocks: Clocks, metrics: Metrics) -> RosterHolder:
    holder = RosterHolder(
        file=RosterFile(settings.roster_path),
        roster_key=load_public_key(settings.roster_key_path, Purpose.STATEMENT),
        allow_demo=settings.demo,
        clock=clocks.machine,
        metrics=metrics,
    )
    await holder.load()
    return holder


@asynccontextmanager
async def _database(
    settings: Settings, stopping: asyncio.Event, post: Post | None
) -> AsyncIterator[tuple[PostgresDatabase, str]]:
    """Give the pool of the node's database, which a worker finds ready, and its address."""
    connections_max = settings.database.connections_max
    async with AsyncExitStack() as stack:
        if post is None:
            dsn = await stack.enter_async_context(database_server(settings, stopping))
        else:
            dsn = post.dsn
        pool = await PostgresDatabase.connect(dsn, connections_max=connections_max)
        stack.push_async_callback(pool.close)
        yield pool, dsn


@asynccontextmanager
async def database_server(
    settings: Settings, stopping: asyncio.Event, *, processes: int = 1
) -> AsyncIterator[str]:
    """Give the address of a migrated database; an embedded server is watched and stopped."""
    if settings.database.kind != "embedded":
        await _migrate(settings.database.dsn)
        yield settings.database.dsn
        return
    # Beside the pools: bell, listener and rules of each worker, migrations, PostgreSQL's reserve.
    connections = (settings.database.connections_max + 4) * processes + CONNECTIONS_SPARE
    wanted = {"max_connections": str(max(EMBEDDED_CONNECTIONS_MIN, connections))}
    embedded = EmbeddedPostgres(settings.database_path, settings=wanted)
    async with embedded.owned():  # who does not own it must not stop it either
        dsn = await embedded.start()
        await _migrate(dsn)
        watch = asyncio.create_task(embedded.watch(stopping))
        try:
            yield dsn
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            await embedded.stop()


async def _migrate(dsn: str) -> None:
    for phase in Phase:
        await migrate(dsn, phase)


def _server(
    parts: Parts, part: Part | None, database: PostgresDatabase, post: Post | None
) -> Server:
    settings = parts.settings
    refusals = RefusalLog(database=database, audit=AuditLog(), clock=parts.clocks.business)

    async def refused(principal: Principal, method: str, subject: str, error: LubiaoError) -> None:
        await refusals.record(principal, method, subject=subject, error=error)

    hosts = frozenset((*settings.hosts, settings.authority))
    limits = settings.limits
    traffic = Traffic(
        node=settings.node_id,
        quota=Quota(
            calls_max=limits.calls_per_principal_max,
            streams_max=limits.streams_per_principal_max,
        ),
    )
    parts.credentials.looked = traffic.judge_streams
    gate = Gate(
        authenticate=parts.credentials.authenticate,
        access=AccessCheck(hosts=hosts.__contains__, knows_node=parts.holder.knows_node),
        traffic=traffic,
        metrics=parts.metrics,
        refused=refused,
        request_bytes_max=limits.request_bytes_max,
    )
    federation = Service(
        federation_grpc.add_FederationServiceServicer_to_server,
        FederationServicer(holder=parts.holder),
    )
    services = [federation] if services_of(settings.roles) else []
    if part is not None:
        services += part.services()
    return build_server(
        bind=_address(settings, post),
        credentials=parts.credentials.server(),
        services=services,
        configured=services_of(settings.roles),
        gate=gate,
        concurrent_rpcs_max=limits.concurrent_rpcs_max,
        with_reflection=settings.development,
        is_port_shared=post is not None,
    )


def _address(settings: Settings, post: Post | None) -> str:
    """Return where to listen; a supervisor has chosen the port that its workers share."""
    return settings.bind if post is None else f"{settings.bind.rpartition(':')[0]}:{post.port}"


def _telemetry(
    parts: Parts, database: PostgresDatabase, post: Post | None, part: Part | None
) -> TelemetryServer | None:
    bind = parts.settings.metrics.bind
    if not bind:
        return None
    if post is not None:
        bind = "127.0.0.1:0"  # the supervisor shows what its workers show, at the node's address

    async def readiness() -> str:
        try:
            await database.ping()
        except PeerUnreachable:
            return "the database does not answer"
        if part is not None and (trouble := part.trouble()):
            return trouble
        return READY if parts.holder.version else "no roster yet"

    return TelemetryServer(bind=bind, metrics=parts.metrics, readiness=readiness)


def write_addresses(settings: Settings, port: int, metrics_port: int) -> None:
    """Leave the ports in the node's folder, where `doctor` and a demonstration look for them."""
    text = f"{port}\n{metrics_port}\n{os.getpid()}\n"
    settings.serving_path.write_text(text, encoding="ascii")


# --- what runs beside the server ------------------------------------------------------------


def _tasks(
    parts: Parts,
    stopping: asyncio.Event,
    ground: Ground,
    part: Part | None,
) -> dict[str, Task]:
    tasks: dict[str, Task] = {
        "credentials": parts.credentials.run,
        "roster keeper": RosterKeeper(holder=parts.holder).run,
        "purge": ground.crew.once("purge", lambda: _purge(ground.database)),
    }
    if parts.settings.directory.node:
        follower = RosterFollower(
            holder=parts.holder,
            open_channel=lambda: _directory_channel(parts.settings, parts.credentials.channel()),
        )
        # The others find the roster in the file.
        tasks["roster follower"] = ground.crew.once("roster", follower.run)
    if part is not None:
        tasks |= part.tasks(stopping)
        tasks["gauges"] = lambda: _gauges(ground)
    tasks.update(ground.crew.tasks())
    return tasks


async def _supervise(tasks: dict[str, Task], stopping: asyncio.Event) -> None:
    """Run the tasks; the end of one by an error stops the node."""
    try:
        async with asyncio.TaskGroup() as group:
            for name, task in tasks.items():
                group.create_task(_named(name, task), name=name)
    except* Exception as errors:  # the one place that may: it ends the process in good order
        for error in errors.exceptions:
            log.critical("task.failed", exc_info=error)
        stopping.set()


async def _named(name: str, task: Task) -> None:
    with structlog.contextvars.bound_contextvars(task=name):
        await task()


def _directory_channel(
    settings: Settings, credentials: grpc.ChannelCredentials
) -> grpc.aio.Channel:
    return open_channel(
        settings.directory.endpoint,
        credentials,
        host=node_host(settings.directory.node),
    )


async def _purge(database: PostgresDatabase) -> None:
    """Remove old idempotent answers, an hour after another."""
    clock = SystemClock()
    while True:
        with suppress(PeerUnreachable):
            await purge_all(database, now=clock.now())
        await asyncio.sleep(PURGE_INTERVAL.total_seconds())


async def _gauges(ground: Ground) -> None:
    """Show what waits for peers, every few seconds."""
    while True:
        with suppress(LubiaoError):
            await measure_database(ground)
        await asyncio.sleep(GAUGES_INTERVAL.total_seconds())
