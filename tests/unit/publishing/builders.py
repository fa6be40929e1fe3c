"""Builders: an office with rule staff over a small federation, packs and people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from gateway.audit.service import AuditLog
from gateway.database.once import Once
from gateway.database.timers import TimerRunner
from gateway.database.uow import Database
from gateway.delivery.outbox import Outbox
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.kernel.time import Instant
from gateway.publishing.assembly import PublishingRoom, Ways, build_publishing
from gateway.publishing.model import Misroute, Version
from gateway.routing.conditions import cel_conditions
from gateway.routing.model import Pack
from gateway.trust.principal import Principal, PrincipalKind, Role
from tests.fixtures.nodes import (
    IDS,
    NOW,
    Federation,
    Node,
    a_call,
    a_federation,
    a_message,
    a_platform,
    packs,
    reference,
)

Value = TypeVar("Value")
LANGFANG, HEBEI, TIANJIN = "131000", "130000", "120000"
PACK = "131000.langfang"
DAY = timedelta(days=1)
RULE = """  - id: {id}
    owner: 测试规则组
    legal_basis: 测试依据
    effective_from: 2026-01-01
    effective_to: null
    when: {{matters: ["{matter}"]}}
    then: {{assign: {{kind: {kind}}}}}
    explanation: 测试说明
"""


def a_source(
    *rules: tuple[str, str], pack: str = PACK, matter: str = "041200", title: str = "测试"
) -> bytes:
    """Return the text of a pack of rules (id, kind of unit)."""
    clauses = "".join(RULE.format(id=name, kind=kind, matter=matter) for name, kind in rules)
    owner = pack.partition(".")[0]
    return f'pack: {pack}\nowner: "{owner}"\ntitle: {title}\nrules:\n{clauses}'.encode()


FIRST = a_source(("lf.test", "JT"))
SECOND = a_source(("lf.test", "SJ"))


def a_rule_person(name: str, *roles: Role, authority: str = LANGFANG) -> Principal:
    """Return a made-up member of the rule staff."""
    return Principal(AuthorityCode(authority), PrincipalKind.STAFF, name, frozenset(roles))


EDITOR = a_rule_person("editor", Role.RULE_EDITOR)
APPROVER = a_rule_person("approver", Role.RULE_APPROVER)


class Keep(Generic[Value]):
    """Keeps the value that a request is answered with."""

    def __init__(self) -> None:
        self._values: list[Value] = []

    @property
    def value(self) -> Value:
        return self._values[-1]

    def __call__(self, value: Value, *_more: Any) -> bytes:
        self._values.append(value)
        return b"answered"


@dataclass(slots=True)
class Office:
    """The publishing room of one node, with its rules in force wired into dispatch."""

    federation: Federation
    node: Node
    room: PublishingRoom

    @property
    def database(self) -> Database:
        return self.node.database

    async def found(self, folder: Sequence[Pack] | None = None) -> None:
        """Begin with the project's own packs, or with others."""
        hosted = {NATION, *self.node.keys.codes()}
        chosen = packs().packs if folder is None else folder
        await self.room.found([pack for pack in chosen if pack.owner in hosted], owners=hosted)

    async def draft(
        self, source: bytes, *, editor: Principal = EDITOR, pack: str = PACK
    ) -> Version:
        keep = Keep[Version]()
        call = a_call(editor, "CreateRulePack")
        await self.room.drafts.create(call, pack=pack, source=source, answer=keep)
        return keep.value

    async def checked(self, version: Version, *, editor: Principal = EDITOR) -> Version:
        keep = Keep[Version]()
        call = a_call(editor, "CheckRulePack")
        await self.room.drafts.check(call, name=version.name, answer=keep)
        return keep.value

    async def approved(
        self, version: Version, *, approver: Principal = APPROVER, etag: str = ""
    ) -> Version:
        keep = Keep[Version]()
        call = a_call(approver, "ApproveRulePack")
        await self.room.drafts.approve(call, name=version.name, etag=etag, answer=keep)
        return keep.value

    async def published(
        self,
        version: Version,
        *,
        effective: Instant | None = None,
        publisher: Principal = APPROVER,
        etag: str = "",
    ) -> Version:
        keep = Keep[Version]()
        await self.room.publisher.publish(
            a_call(publisher, "PublishRulePack"),
            name=version.name,
            effective=effective,
            reason="测试发布",
            etag=etag,
            answer=keep,
        )
        return keep.value

    async def ready(self, source: bytes) -> Version:
        """Return a version that only has to be published."""
        return await self.approved(await self.checked(await self.draft(source)))

    async def rolled_back(self, *, version: str = "", pack: str = PACK) -> Version:
        keep = Keep[Version]()
        await self.room.publisher.rollback(
            a_call(EDITOR, "RollbackRulePack"),
            pack=pack,
            version=version,
            reason="测试回滚",
            answer=keep,
        )
        return keep.value

    async def retired(self, name: str) -> Version:
        keep = Keep[Version]()
        call = a_call(EDITOR, "RetireRulePack")
        await self.room.publisher.retire(call, name=name, reason="测试退役", answer=keep)
        return keep.value

    async def submit(self, external_id: str) -> Any:
        """Hand in a message about a driving school in 廊坊; return the ticket."""
        return await self.federation.create(a_platform(LANGFANG), a_message(external_id))

    async def acts(self) -> list[tuple[str, str]]:
        """Return act and outcome of every audit entry."""
        async with self.database.unit() as uow:
            entries = await AuditLog().list_after(uow, limit=1000)
        return [(placed.entry.act, placed.entry.outcome) for placed in entries]

    async def run_timers(self) -> int:
        """Handle what is due."""
        runner = TimerRunner(
            database=self.database, clock=self.federation.clock, handlers=self.room.timers
        )
        return await runner.run_due()

    async def misroutes(self, authority: str, *, overdue: bool = False) -> list[Misroute]:
        async with self.database.unit() as uow:
            return await self.room.misroutes.oldest(
                uow, authority=authority, answered=True, overdue=overdue, limit=100
            )


def an_office(federation: Federation, node: str, *, listens: bool = False) -> Office:
    """Return the publishing room of a node of a federation; `found` it before use."""
    place = federation.nodes[node]
    outbox = Outbox(
        node=place.name,
        roster=lambda: federation.roster,
        inbox=place.inbox,
        machine_clock=federation.clock,
    )
    once = Once(database=place.database, clock=federation.clock, key=b"k" * 32)
    ways = Ways(
        node=place.name,
        outbox=outbox,
        roster=lambda: federation.roster,
        keys=place.keys,
        ids=IDS,
        audit=AuditLog(),
        once=once,
        business_clock=federation.clock,
        machine_clock=federation.clock,
    )
    room = build_publishing(
        ways,
        database=place.database,
        tickets=place.room.tickets,
        reference=reference,
        conditions=cel_conditions(),
        listens=listens,
    )
    place.inbox.register(room.handlers)
    place.dispatch.acting._router.rules = room.force
    return Office(federation, place, room)


async def offices(
    hosts: Mapping[str, Sequence[str]], databases: Mapping[str, Database] | None = None
) -> dict[str, Office]:
    """Return the founded offices of a federation."""
    federation = a_federation(hosts, now=NOW, databases=databases)
    found = {node: an_office(federation, node) for node in hosts}
    for office in found.values():
        await office.found()
    return found
