"""What `lubiao doctor` looks at: each check says OK, WARN or FAIL and what to do.

Every check is independent: a broken one never hides another. A check returns its findings and
raises only typed errors, which become FAIL.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.cli.output import pick
from gateway.custody import recovery_store
from gateway.custody.heads import FindingKind
from gateway.custody.incarnation import Mode
from gateway.database.embedded import EmbeddedPostgres
from gateway.database.migrations import pending
from gateway.database.postgres import PostgresDatabase
from gateway.delivery import model as delivery_model
from gateway.delivery.store import ALL_CONTROLS, OUTBOX_QUEUES, QueueRow
from gateway.delivery.undelivered import UNDELIVERED_PENDING
from gateway.directory.store import RosterFile
from gateway.kernel.errors import LubiaoError
from gateway.kernel.time import Instant
from gateway.operation.machine import Alarm, alarm_of
from gateway.server.client import CertificateFolder, open_channel, typed_errors
from gateway.settings import Settings
from gateway.trust.certificates import Certificate, node_host
from gateway.trust.key_files import load_public_key
from gateway.trust.key_ring import KeyRing
from gateway.trust.keys import Purpose
from gateway.trust.roster import Freshness, Roster
from gateway.trust.roster_file import verify_roster

WARN_DAYS = 30  # time to get a certificate through an office
DISK_BYTES_WARN = 5 * 1024**3
DISK_BYTES_FAIL = 512 * 1024**2
YEAR_MIN = 2025  # a machine with an empty clock battery wakes up before this program was written
PEER_SECONDS = 5.0
DATABASE_SECONDS = 10.0
PEERS_AT_ONCE = 16
WAITING_MAX = 10_000  # a doctor need not count further


class Level(Enum):
    """How a check ended."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    level: Level
    text: str
    action: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """The node under examination, and the present."""

    settings: Settings
    now: Instant


Check = Callable[[Patient], Awaitable[list[Finding]]]


async def examine(patient: Patient) -> list[Finding]:
    """Run every check and return all findings in order."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings += await check(patient)
        except LubiaoError as error:
            text = pick(error.chinese_text(), error.text())
            findings.append(Finding(name, Level.FAIL, text, error.hint))
        except (OSError, TimeoutError) as error:
            findings.append(Finding(name, Level.FAIL, type(error).__name__))
    return findings


async def check_permissions(patient: Patient) -> list[Finding]:
    """The folder and the keys in it are the owner's alone."""
    folder = patient.settings.directory_path
    found = [folder, patient.settings.keys_path, patient.settings.tls_path]
    open_ones = [
        path for path in found if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o007
    ]
    if not open_ones:
        return [Finding("permissions", Level.OK, pick("仅属主可读", "the owner's alone"))]
    return [
        Finding(
            "permissions",
            Level.FAIL,
            pick(f"{path} 可被他人访问", f"{path} is open to others"),
            f"chmod 700 {path}",
        )
        for path in open_ones
    ]


async def check_keys(patient: Patient) -> list[Finding]:
    """Every hosted authority has its keys."""
    ring = KeyRing.load(patient.settings.keys_path)
    missing = set(patient.settings.hosts) - set(ring.codes())
    if missing:
        codes = ", ".join(sorted(missing))
        return [Finding("keys", Level.FAIL, pick(f"缺少 {codes} 的密钥", f"no keys of {codes}"))]
    codes = ", ".join(ring.codes()) or "—"
    return [Finding("keys", Level.OK, pick(f"密钥齐全：{codes}", f"complete: {codes}"))]


async def check_certificate(patient: Patient) -> list[Finding]:
    """The node's certificate names it, chains to the root and is valid for some weeks."""
    settings = patient.settings
    folder = CertificateFolder.load(settings.tls_path)
    found = [_validity("certificate", folder.certificate, patient.now)]
    name = f"lubiao://{settings.authority}/node/{settings.node_id}"
    if name not in folder.certificate.uris:
        found.append(
            Finding(
                "certificate",
                Level.FAIL,
                pick(f"证书不是 {name} 的", f"it does not name {name}"),
                "lubiao ca issue … node",
            )
        )
    if not folder.certificate.is_issued_by(folder.root):
        found.append(
            Finding(
                "certificate",
                Level.FAIL,
                pick("证书并非由 ca.pem 签发", "it was not issued by ca.pem"),
            )
        )
    trusted = sorted(settings.trust_path.glob("*.pem"))
    return found + [
        _validity(f"trust {path.stem}", Certificate.load(path), patient.now) for path in trusted
    ]


async def check_roster(patient: Patient) -> list[Finding]:
    """The roster verifies, is fresh, and lists this node, its authorities and its keys."""
    if not patient.settings.roster_key_path.exists():
        text = pick("没有名册公钥，节点不能启动", "no public roster key; the node cannot start")
        action = pick("取得 roster-key.pem 放入节点目录", "get roster-key.pem and put it here")
        return [Finding("roster", Level.FAIL, text, action)]
    roster = _roster(patient.settings)
    if roster is None:
        return [
            Finding(
                "roster",
                Level.WARN if patient.settings.directory.endpoint else Level.FAIL,
                pick("还没有名册", "there is no roster yet"),
                pick(
                    "等待目录节点下发，或复制签发的文件", "wait for the directory or copy the file"
                ),
            )
        ]
    freshness = roster.freshness(patient.now)
    level = Level.OK if freshness is Freshness.FRESH else Level.WARN
    text = pick(
        f"第 {roster.version} 版，有效期至 {roster.expires.date()}",
        f"version {roster.version}, valid until {roster.expires.date()}",
    )
    action = "" if level is Level.OK else pick("请向目录索取新名册", "get a newer roster")
    return [Finding("roster", level, text, action), *_listed(patient.settings, roster)]


async def check_database(patient: Patient) -> list[Finding]:
    """The database answers and has every migration."""
    settings = patient.settings
    if settings.database.kind == "embedded":
        server = EmbeddedPostgres(settings.database_path)
        if server.pid() is None:
            text = pick(
                "内置 PostgreSQL 未运行（节点启动时会启动）", "not running; serve starts it"
            )
            return [Finding("database", Level.WARN, text)]
        dsn = server.dsn()
    else:
        dsn = settings.database.dsn
    async with asyncio.timeout(DATABASE_SECONDS):
        names = await pending(dsn)
    if names:
        text = pick(f"{len(names)} 个迁移待执行", f"{len(names)} migrations are due")
        return [Finding("database", Level.WARN, text, pick("启动节点即执行", "serve applies them"))]
    return [Finding("database", Level.OK, pick("可连接，结构为最新", "reachable, up to date"))]


async def check_history(patient: Patient) -> list[Finding]:
    """The ledgers of others only grew, and this node knows what it signed."""
    settings = patient.settings
    dsn = settings.database.dsn
    if settings.database.kind == "embedded":
        server = EmbeddedPostgres(settings.database_path)
        if server.pid() is None:
            return []  # the check of the database says so
        dsn = server.dsn()
    async with asyncio.timeout(DATABASE_SECONDS):
        if await pending(dsn):
            return []  # the tables are not there yet
        database = await PostgresDatabase.connect(dsn, connections_max=2)
        try:
            async with database.unit() as uow:
                state = await uow.get(recovery_store.NODE_STATE, settings.node_id)
                wrong = await uow.select(recovery_store.HEAD_FINDINGS)
                items = await uow.select(recovery_store.RECOVERY_ITEMS)
        finally:
            await database.close()
    found = [
        Finding(
            "history",
            Level.WARN if row.kind == FindingKind.RESTORED.value else Level.FAIL,
            pick(
                f"{row.authority} 的台账未能接续（{row.kind}）：{row.detail}",
                f"the ledger of {row.authority} does not go on ({row.kind}): {row.detail}",
            ),
            "lubiao custody heads DIR",
        )
        for row in wrong
    ]
    if state is not None and state.mode != Mode.SERVING.value:
        text = pick("节点由备份恢复，尚未确认", "restored from a backup, not confirmed yet")
        found.append(Finding("history", Level.FAIL, text, "lubiao recovery show DIR"))
    if items:
        text = pick(f"恢复后有 {len(items)} 项待人工", f"{len(items)} items of a recovery wait")
        found.append(Finding("history", Level.WARN, text, "lubiao recovery show DIR"))
    return found or [Finding("history", Level.OK, pick("各方台账均接续", "every ledger goes on"))]


async def check_delivery(patient: Patient) -> list[Finding]:
    """Nothing waits for longer than the alarm, and nothing waits for a person."""
    settings = patient.settings
    if settings.database.kind == "embedded" and (
        EmbeddedPostgres(settings.database_path).pid() is None
    ):
        return []  # the check of the database says so
    dsn = settings.database.dsn or EmbeddedPostgres(settings.database_path).dsn()
    async with asyncio.timeout(DATABASE_SECONDS):
        if await pending(dsn):
            return []  # as above
        database = await PostgresDatabase.connect(dsn, connections_max=1)
        try:
            async with database.unit() as uow:
                queues = await uow.select(OUTBOX_QUEUES, bound=WAITING_MAX)
                items = await uow.select(UNDELIVERED_PENDING, limit=WAITING_MAX)
                controls = await uow.select(ALL_CONTROLS)
        finally:
            await database.close()
    found = [_queue(patient, queue) for queue in queues]
    found += [
        Finding(
            f"peer {row.node}",
            Level.WARN,
            pick(f"已暂停：{row.reason}", f"{row.mode}: {row.reason}"),
            f"lubiao peer resume {row.node}",
        )
        for row in controls
        if row.mode != delivery_model.Mode.OPEN.value
    ]
    waiting = sum(row.items for row in items)
    if waiting:
        kinds = ", ".join(sorted({row.kind for row in items}))
        text = pick(f"{waiting} 项待人工处理：{kinds}", f"{waiting} wait for a person: {kinds}")
        found.append(Finding("delivery", Level.WARN, text, "lubiao peer undelivered"))
    return found or [Finding("delivery", Level.OK, pick("无积压", "nothing waits"))]


def _queue(patient: Patient, queue: QueueRow) -> Finding:
    age = patient.now - queue.oldest
    alarm = alarm_of(age, patient.settings.delivery.alarms())
    hours = age.total_seconds() / 3600
    text = pick(
        f"{queue.waiting} 件待投递，最早 {hours:.1f} 小时",
        f"{queue.waiting} wait, the oldest for {hours:.1f} h",
    )
    level = Level.OK if alarm is Alarm.NONE else Level.WARN
    action = "" if alarm is Alarm.NONE else f"lubiao peer show {queue.node}"
    return Finding(f"queue {queue.node}", level, text, action)


async def check_disk(patient: Patient) -> list[Finding]:
    """There is room for some weeks of tickets."""
    free = shutil.disk_usage(patient.settings.directory_path).free
    text = pick(f"剩余 {free / 1024**3:.1f} GiB", f"{free / 1024**3:.1f} GiB free")
    if free < DISK_BYTES_FAIL:
        return [Finding("disk", Level.FAIL, text, pick("请立即扩容", "add space at once"))]
    if free < DISK_BYTES_WARN:
        return [Finding("disk", Level.WARN, text, pick("请安排扩容", "plan for more space"))]
    return [Finding("disk", Level.OK, text)]


async def check_clock(patient: Patient) -> list[Finding]:
    """The clock is not absurd; peers judge certificates by it."""
    text = patient.now.isoformat(timespec="seconds")
    roster = RosterFile(patient.settings.roster_path).path
    behind = roster.exists() and patient.now.timestamp() + 300 < roster.stat().st_mtime
    if patient.now.year < YEAR_MIN or behind:
        return [Finding("clock", Level.FAIL, text, pick("请校时（NTP）", "set the clock (NTP)"))]
    return [Finding("clock", Level.OK, text)]


async def check_peers(patient: Patient) -> list[Finding]:
    """Every other node of the roster answers its health over mutual TLS."""
    roster = _roster(patient.settings)
    if roster is None:
        return []
    credentials = CertificateFolder.load(patient.settings.tls_path).channel_credentials()
    gate = asyncio.Semaphore(PEERS_AT_ONCE)

    async def ask(node: str, endpoint: str) -> Finding:
        async with gate:
            return await _ask_health(node, endpoint, credentials)

    others = [node for node in roster.nodes.values() if node.id != patient.settings.node_id]
    return list(await asyncio.gather(*(ask(node.id, node.endpoint) for node in others)))


async def check_port(patient: Patient) -> list[Finding]:
    """The address to listen on is free, or this node listens there."""
    host, _, port = patient.settings.bind.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            if is_serving(patient.settings):
                text = pick("节点正在监听", "the node listens there")
                return [Finding("port", Level.OK, f"{patient.settings.bind} {text}")]
            text = pick(f"{patient.settings.bind} 已被占用", f"{patient.settings.bind} is taken")
            action = pick("停止占用者或更换 bind", "stop who listens there, or change `bind`")
            return [Finding("port", Level.FAIL, f"{text} ({type(error).__name__})", action)]
    return [Finding("port", Level.OK, patient.settings.bind)]


CHECKS: dict[str, Check] = {
    "permissions": check_permissions,
    "keys": check_keys,
    "certificate": check_certificate,
    "roster": check_roster,
    "database": check_database,
    "history": check_history,
    "delivery": check_delivery,
    "disk": check_disk,
    "clock": check_clock,
    "port": check_port,
    "peers": check_peers,
}


def _validity(check: str, certificate: Certificate, now: Instant) -> Finding:
    left = certificate.valid_to - now
    text = pick(f"还有 {left.days} 天到期", f"{left.days} days left")
    if not certificate.is_valid_at(now):
        return Finding(check, Level.FAIL, text, pick("请重新签发", "have it issued again"))
    if left < timedelta(days=WARN_DAYS):
        return Finding(check, Level.WARN, text, pick("请安排换发", "have it issued again soon"))
    return Finding(check, Level.OK, text)


def is_serving(settings: Settings) -> bool:
    """Tell whether the process that last served this folder lives."""
    try:
        pid = int(settings.serving_path.read_text(encoding="ascii").split()[-1])
        os.kill(pid, 0)
    except PermissionError:
        return True  # it lives, as another user
    except (OSError, IndexError, ValueError):
        return False
    return True


def _roster(settings: Settings) -> Roster | None:
    signed = RosterFile(settings.roster_path).read()
    if signed is None:
        return None
    key = load_public_key(settings.roster_key_path, Purpose.STATEMENT)
    return verify_roster(signed, key, minimum_version=0, allow_demo=settings.demo)


def _listed(settings: Settings, roster: Roster) -> Iterator[Finding]:
    node = roster.node(settings.node_id)
    action = pick("请通知目录管理员重新签发", "ask the directory administrator to sign it anew")
    if node is None:
        text = pick(f"名册中没有节点 {settings.node_id}", f"it does not list {settings.node_id}")
        yield Finding("roster", Level.FAIL, text, action)
        return
    if node.endpoint != settings.endpoint:
        text = pick(f"名册中的地址为 {node.endpoint}", f"it lists the endpoint {node.endpoint}")
        yield Finding("roster", Level.WARN, text, action)
    ring = KeyRing.load(settings.keys_path)
    for code in settings.hosts:
        if not roster.is_hosted_by(code, settings.node_id):
            text = pick(f"{code} 未登记在本节点", f"{code} is not listed on this node")
            yield Finding("roster", Level.FAIL, text, action)
            continue
        if code not in ring.codes():
            continue  # the check of the keys says so
        entry = roster.authority(code)
        assert entry is not None
        listed = {key.key_id for key in (*entry.statement_keys, *entry.sealing_keys)}
        ours = {ring.signing_key(code).key_id, ring.sealing_key(code).key_id}
        if not ours <= listed:
            text = pick(f"{code} 登记的公钥与本地不符", f"other keys are listed for {code}")
            yield Finding("roster", Level.FAIL, text, action)


async def _ask_health(node: str, endpoint: str, credentials: grpc.ChannelCredentials) -> Finding:
    check = f"peer {node}"
    try:
        async with open_channel(endpoint, credentials, host=node_host(node)) as channel:
            make: Callable[[grpc.aio.Channel], Any] = health_pb2_grpc.HealthStub
            with typed_errors(peer=endpoint):
                answer = await make(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=PEER_SECONDS
                )
    except LubiaoError as error:
        action = pick("检查网络、地址与证书", "check network, endpoint and certificate")
        return Finding(check, Level.WARN, f"{endpoint}: {error.metadata.get('got', '')}", action)
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return Finding(check, Level.OK, endpoint)
    return Finding(check, Level.WARN, pick(f"{endpoint} 未在服务", f"{endpoint} does not serve"))
