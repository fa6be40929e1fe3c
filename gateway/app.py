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
import os
import signal
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
from gateway.ground import Ground, Part, Task, measure_queues
from gateway.kernel import crashpoints
from gateway.kernel.errors import LubiaoError, PeerUnreachable
from gateway.kernel.time import BusinessClock, Clock, SystemClock
from gateway.nation import Nation
from gateway.server.access import AccessCheck, services_of
from gateway.server.client import CertificateFolder, open_channel
from gateway.server.interceptors import Gate
from gateway.server.refusals import RefusalLog
from gateway.server.server import Server, Service, build_server, server_credentials
from gateway.server.traffic import Quota, Traffic
from gateway.settings import Settings
from gateway.telemetry import traces
from gateway.telemetry.http import READY, TelemetryServer
from gateway.telemetry.logs import LogFormat, configure_logs
from gateway.telemetry.metrics import Metrics
from gateway.trust.authentication import Authenticator
from gateway.trust.certificates import Certificate, node_host
from gateway.trust.key_files import load_public_key
from gateway.trust.keys import Purpose
from gateway.trust.principal import Principal
from gateway.trust.revocation import RevocationList, Revocations
from gateway.trust.roster import NodeRole
from hotline.federation.v1 import federation_service_pb2_grpc as federation_grpc

GAUGES_INTERVAL = timedelta(seconds=5)
PURGE_INTERVAL = timedelta(hours=1)
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
    folder: CertificateFolder
    holder: RosterHolder


async def serve(settings: Settings) -> None:
    """Run a node until SIGTERM or SIGINT; return when it has drained.

    Raises:
        LubiaoError: the node cannot start; the text says what to do.
    """
    configure_logs(
        level=settings.log_level.value,
        form=LogFormat.CONSOLE if settings.development else LogFormat.JSON,
    )
    crashpoints.arm(os.environ, is_demo=settings.demo)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with _running(settings, stopping) as server:
        log.info("node.ready", node=settings.node_id, port=server.port)
        await stopping.wait()
        await server.drain(within=timedelta(seconds=settings.limits.drain_seconds))
    log.info("node.stopped", node=settings.node_id)


@asynccontextmanager
async def _running(settings: Settings, stopping: asyncio.Event) -> AsyncIterator[Server]:
    """Give a started server with everything that runs beside it."""
    parts = await _parts(settings)
    async with AsyncExitStack() as stack:
        stack.callback(parts.metrics.close)
        _trace(settings)
        stack.callback(traces.stop)
        database = await stack.enter_async_context(_database(settings, stopping))
        ground = _ground(parts, database)
        part = _part(ground)
        if part is not None:
            stack.push_async_callback(part.close)
            await part.prepare()
        server = _server(parts, part, database)
        telemetry = _telemetry(parts, database)
        await server.start()
        metrics_port = await telemetry.start() if telemetry else 0
        if telemetry:
            stack.push_async_callback(telemetry.stop)
        _write_addresses(settings, server.port, metrics_port)
        stack.callback(settings.serving_path.unlink, missing_ok=True)
        tasks = _tasks(parts, stopping, ground, part)
        supervisor = asyncio.create_task(_supervise(tasks, stopping), name="supervisor")
        try:
            yield server
        finally:
            stopping.set()
            supervisor.cancel()
            with suppress(asyncio.CancelledError):
                await supervisor


# --- parts, in the order of a start ---------------------------------------------------------


def _ground(parts: Parts, database: PostgresDatabase) -> Ground:
    return Ground(
        settings=parts.settings,
        database=database,
        holder=parts.holder,
        machine_clock=parts.clocks.machine,
        business_clock=parts.clocks.business,
        credentials=parts.folder.channel_credentials(),
        metrics=parts.metrics,
    )


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
    folder = CertificateFolder.load(settings.tls_path)
    holder = await _roster(settings, clocks, metrics)
    return Parts(settings, clocks, metrics, folder, holder)


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
async def _database(settings: Settings, stopping: asyncio.Event) -> AsyncIterator[PostgresDatabase]:
    """Give the pool of a migrated database; an embedded server is started, watched and stopped."""
    embedded = None
    dsn = settings.database.dsn
    if settings.database.kind == "embedded":
        embedded = EmbeddedPostgres(settings.database_path)
        dsn = await embedded.start()
    await migrate(dsn, Phase.PRE)
    pool = await PostgresDatabase.connect(dsn, connections_max=settings.database.connections_max)
    await migrate(dsn, Phase.POST)
    watch = asyncio.create_task(embedded.watch(stopping)) if embedded else None
    try:
        yield pool
    finally:
        await pool.close()
        if watch is not None:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
        if embedded is not None:
            await embedded.stop()


def _authenticator(settings: Settings, folder: CertificateFolder) -> Authenticator:
    cas = {path.stem: Certificate.load(path) for path in sorted(settings.trust_path.glob("*.pem"))}
    lists = [
        RevocationList.load(path) for path in sorted(settings.trust_path.glob("*.revoked.json"))
    ]
    return Authenticator(
        federation_root=folder.root, authority_cas=cas, revoked=Revocations.of(lists)
    )


def _server(parts: Parts, part: Part | None, database: PostgresDatabase) -> Server:
    settings, folder = parts.settings, parts.folder
    authenticator = _authenticator(settings, folder)

    def authenticate(leaf_pem: bytes) -> Principal:
        return authenticator.authenticate(leaf_pem, now=parts.clocks.machine.now())

    refusals = RefusalLog(database=database, audit=AuditLog(), clock=parts.clocks.business)

    async def refused(principal: Principal, method: str, subject: str, error: LubiaoError) -> None:
        await refusals.record(principal, method, subject=subject, error=error)

    hosts = frozenset((*settings.hosts, settings.authority))
    limits = settings.limits
    gate = Gate(
        authenticate=authenticate,
        access=AccessCheck(hosts=hosts.__contains__, knows_node=parts.holder.knows_node),
        traffic=Traffic(
            node=settings.node_id,
            quota=Quota(
                calls_max=limits.calls_per_principal_max,
                streams_max=limits.streams_per_principal_max,
            ),
        ),
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
        bind=settings.bind,
        credentials=server_credentials(
            certificate_pem=folder.certificate.pem,
            key_pem=folder.key_pem,
            trust_bundle=authenticator.trust_bundle(),
        ),
        services=services,
        configured=services_of(settings.roles),
        gate=gate,
        concurrent_rpcs_max=limits.concurrent_rpcs_max,
        with_reflection=settings.development,
    )


def _telemetry(parts: Parts, database: PostgresDatabase) -> TelemetryServer | None:
    bind = parts.settings.metrics.bind
    if not bind:
        return None

    async def readiness() -> str:
        try:
            await database.ping()
        except PeerUnreachable:
            return "the database does not answer"
        return READY if parts.holder.version else "no roster yet"

    return TelemetryServer(bind=bind, metrics=parts.metrics, readiness=readiness)


def _write_addresses(settings: Settings, port: int, metrics_port: int) -> None:
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
        "roster keeper": RosterKeeper(holder=parts.holder).run,
        "purge": lambda: _purge(ground.database),
    }
    if parts.settings.directory.node:
        follower = RosterFollower(
            holder=parts.holder,
            open_channel=lambda: _directory_channel(parts.settings, parts.folder),
        )
        tasks["roster follower"] = follower.run
    if part is not None:
        tasks |= part.tasks(stopping)
        tasks["gauges"] = lambda: _gauges(ground)
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


def _directory_channel(settings: Settings, folder: CertificateFolder) -> grpc.aio.Channel:
    return open_channel(
        settings.directory.endpoint,
        folder.channel_credentials(),
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
            await measure_queues(ground)
        await asyncio.sleep(GAUGES_INTERVAL.total_seconds())
