"""Summaries of packs: what our packs do, told to peers; what theirs do, for the check across.

A summary holds the clauses of a pack without its texts for people, in parts that fit a statement,
signed by the owner. A node tells each other node each publication once: a task compares what is in
force with what was told (`packs_told`), so a node that joins later is told too, and a restart
repeats nothing. A receiver takes only what the owner says about its own packs, and only what is
newer than what it has; it reads the clauses with the parser of packs, which refuses regions outside
the owner's area and everything else that a pack must not say.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog

from gateway.audit.service import AuditLog
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.codec import instant_to_pb, statement_from_bytes
from gateway.delivery.model import Delivered
from gateway.delivery.outbox import Outbox
from gateway.delivery.ports import StatementHandler
from gateway.kernel.errors import StatementMalformed
from gateway.kernel.ids import AuthorityCode, NodeId
from gateway.kernel.time import Clock, Instant
from gateway.kernel.waking import Waking
from gateway.publishing import codec
from gateway.publishing.library import find_source, no_templates
from gateway.publishing.model import Activation, owner_of
from gateway.publishing.signing import NO_TICKET, Signer
from gateway.publishing.store import (
    ACTIVATIONS_SINCE,
    SUMMARIES,
    SUMMARIES_ALL,
    SUMMARY_OF,
    TOLD,
    SummaryRow,
    ToldRow,
    activation_of,
)
from gateway.reference.data import ReferenceData
from gateway.routing.codec import NAME_PREFIX
from gateway.routing.document import Document, load_document, write_document
from gateway.routing.model import Conditions, Pack, Template
from gateway.routing.parse import parse_pack
from gateway.trust.roster import PACK_SUMMARIES, NodeRole, Roster
from hotline.routing.v1 import publication_pb2 as pb

PART_BYTES_MAX = 200_000  # of clauses; a statement's body has 256 KiB
PART_RULES_MAX = 2_000
PARTS_MAX = 256
FRAME_CHECK = 7
LOOK = timedelta(seconds=30)  # how soon a node that joined is told; a publication wakes at once
SECTIONS = ("guards", "rules", "use")
_TEXTS = ("explanation", "legal_basis", "owner")
_FRAME = ("id", "effective_from", "effective_to", *_TEXTS)
_FILLED = {"owner": "摘要", "legal_basis": "摘要", "explanation": "摘要"}
# What clauses of a peer that are none of our grammar's may meet when they are written out.
_NO_DOCUMENT = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
log = structlog.get_logger()


class Summaries:
    """What is told and heard about packs."""

    def __init__(
        self,
        *,
        node: NodeId,
        database: Database,
        signer: Signer,
        outbox: Outbox,
        roster: Callable[[], Roster],
        reference: Callable[[], ReferenceData],
        conditions: Conditions,
        audit: AuditLog,
        clock: Clock,
        hosted: Collection[str],
    ) -> None:
        """Tell and hear with these."""
        self._node = node
        self._database = database
        self._signer = signer
        self._outbox = outbox
        self._roster = roster
        self._reference = reference
        self._conditions = conditions
        self._audit = audit
        self._clock = clock
        self._hosted = hosted
        self._waking = Waking(look=LOOK)
        self._read: dict[tuple[str, str], Pack | None] = {}
        # The templates of the nation's packs in force.
        self.templates: Callable[[], Awaitable[Mapping[str, Template]]] = no_templates

    def handlers(self) -> dict[str, StatementHandler]:
        """Return the handler by kind, for `Inbox.register`."""
        return {codec.SUMMARY: self.handle}

    # --- telling --------------------------------------------------------------------------------

    def wake(self) -> None:
        """Tell soon: something was published."""
        self._waking.wake()

    async def run(self) -> None:
        """Tell what nobody was told, until cancelled; one process of the node does."""
        await self._waking.run(
            self.tell, failed=lambda error: log.warning("summaries.failed", reason=error.reason)
        )

    async def tell(self) -> int:
        """Post the summaries that peers were not told yet; return how many packs that were."""
        peers = self._peers()
        now = self._clock.now()
        async with self._database.unit() as uow:
            lines = await uow.select(ACTIVATIONS_SINCE, since=now)
        newest: dict[str, Activation] = {}
        for line in map(activation_of, lines):  # in the order of their instants
            if owner_of(line.pack) in self._hosted and line.effective <= now:
                newest[line.pack] = line
        told = 0
        for line in newest.values():
            told += await self._tell_all(line, peers, now)
        return told

    async def _tell_all(self, line: Activation, peers: Mapping[NodeId, str], now: Instant) -> bool:
        async with self._database.unit() as uow:
            await uow.lock(f"summary/{line.pack}")
            waiting = []
            for node in peers:
                row = await uow.get(TOLD, line.pack, node)
                if row is None or row.sequence < line.sequence:
                    waiting.append(node)
            if not waiting:
                return False
            source = await find_source(uow, line.version)
            bodies = summary_bodies(line, source or b"")
            for node in waiting:
                for body in bodies:
                    self._post(uow, line.pack, body, target=peers[node], now=now)
                uow.put(TOLD, ToldRow(line.pack, node, line.sequence))
        log.info("summary.told", pack=line.pack, nodes=len(waiting), parts=len(bodies))
        return True

    def _post(self, uow: UnitOfWork, pack: str, body: bytes, *, target: str, now: Instant) -> None:
        owner = owner_of(pack)
        signed = self._signer.sign(codec.SUMMARY, body, issuer=owner, audience=(target,), now=now)
        self._outbox.post(
            uow,
            source=AuthorityCode(owner),
            target=AuthorityCode(target),
            ticket=NO_TICKET,
            kind=codec.SUMMARY,
            signed=signed,
            blocks=(),
            now=now,
        )

    def _peers(self) -> Mapping[NodeId, str]:
        """Return the other nodes that take summaries, each with the authority that is told.

        A release before this one would put them off for ever, so the roster says who can.
        """
        return {
            node.id: node.hosts[0]
            for node in self._roster().nodes.values()
            if node.id != self._node
            and node.hosts
            and NodeRole.CUSTODIAN in node.roles
            and PACK_SUMMARIES in node.capabilities
        }

    # --- hearing --------------------------------------------------------------------------------

    async def handle(self, uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        """Take a part of a summary (7): of its issuer's own pack, and not of an older one."""
        statement = delivered.statement
        message = codec.parsed(statement.body, pb.PackSummary())
        pack = message.pack.removeprefix(NAME_PREFIX)
        if statement.ticket or owner_of(pack) != statement.issuer or message.part >= message.parts:
            raise StatementMalformed(
                check=FRAME_CHECK,
                got=f"a summary of {pack} by {statement.issuer}",
                expected="a summary of a pack of its issuer, in a statement about no ticket",
            )
        rows = await uow.rows(SUMMARY_OF, pack)
        newest = max((row.sequence for row in rows), default=0)
        if message.sequence < newest or any(
            hmac.compare_digest(row.statement, delivered.signed.statement) for row in rows
        ):
            return  # older news, or the same again
        for row in rows:
            if row.sequence < message.sequence:
                uow.delete(SUMMARIES, row.pack, row.part)
        row = SummaryRow(
            pack=pack,
            part=message.part,
            owner=statement.issuer,
            version=message.version,
            sequence=message.sequence,
            parts=message.parts,
            statement=delivered.signed.statement,
            key_id=delivered.signed.key_id,
            signature=delivered.signed.signature,
            received=now,
        )
        uow.put(SUMMARIES, row)
        self._audit.statement_taken(
            uow,
            issuer=statement.issuer,
            kind=codec.SUMMARY,
            subject=f"rulePacks/{pack}",
            statement_id=statement.statement_id,
            now=now,
        )

    async def packs(self) -> tuple[Pack, ...]:
        """Return the packs of peers as far as their summaries are whole and can be read here."""
        async with self._database.unit() as uow:
            rows = await uow.select(SUMMARIES_ALL)
        parts: dict[str, list[SummaryRow]] = {}
        for row in rows:
            parts.setdefault(row.pack, []).append(row)
        found = [await self._rebuilt(name, each) for name, each in sorted(parts.items())]
        return tuple(pack for pack in found if pack is not None)

    async def _rebuilt(self, name: str, rows: Sequence[SummaryRow]) -> Pack | None:
        """Return the pack of a summary; None when a part is missing or it does not parse here."""
        first = rows[0]
        if len(rows) != first.parts or not first.version or owner_of(name) in self._hosted:
            return None
        key = (name, first.version)
        if key not in self._read:
            bodies = [statement_from_bytes(row.statement).body for row in rows]
            self._read[key] = await self._parsed(name, bodies)
        return self._read[key]

    async def _parsed(self, name: str, bodies: Sequence[bytes]) -> Pack | None:
        try:
            source = source_of(name, bodies)
        except _NO_DOCUMENT:
            log.warning("summary.unread", pack=name, reason="no document")
            return None
        result = await asyncio.to_thread(
            parse_pack,
            source,
            name=name,
            reference=self._reference(),
            conditions=self._conditions,
            templates=await self.templates(),
        )
        if result.pack is None or result.errors:
            log.warning("summary.unread", pack=name, findings=len(result.errors))
            return None
        return result.pack


# --- the form of a summary ------------------------------------------------------------------------


def summary_bodies(line: Activation, source: bytes) -> list[bytes]:
    """Return the bodies of the statements that tell a version of a pack, at least one."""
    clauses = list(_clauses(load_document(source).content)) if source else []
    parts = list(_in_parts(clauses))[:PARTS_MAX] or [[]]
    return [
        pb.PackSummary(
            pack=NAME_PREFIX + line.pack,
            version=line.version,
            sequence=line.sequence,
            effective_time=instant_to_pb(line.effective),
            part=number,
            parts=len(parts),
            rules=part,
        ).SerializeToString(deterministic=True)
        for number, part in enumerate(parts)
    ]


def source_of(name: str, bodies: Iterable[bytes]) -> bytes:
    """Return a pack's text made of the parts of its summary, with placeholders for its texts."""
    content: dict[str, Any] = {
        "pack": name,
        "owner": owner_of(name),
        "title": "摘要",
        "guards": [],
        "rules": [],
        "use": [],
    }
    for body in bodies:
        for rule in pb.PackSummary.FromString(body).rules:
            content.setdefault(rule.section, []).append(_clause_of(rule))
    kept = {key: value for key, value in content.items() if value != [] or key == "rules"}
    return write_document(Document(kept))


def _clauses(content: Mapping[str, Any]) -> Iterator[pb.RuleSummary]:
    for section in SECTIONS:
        for clause in content.get(section, ()):
            said = {key: value for key, value in clause.items() if key not in _FRAME}
            yield pb.RuleSummary(
                id=clause["id"],
                effective_from=clause["effective_from"],
                effective_to=clause.get("effective_to") or "",
                clause=json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":")),
                section=section,
            )


def _clause_of(rule: pb.RuleSummary) -> dict[str, Any]:
    try:
        said = json.loads(rule.clause)
    except (ValueError, RecursionError):  # a peer wrote it
        said = {}
    frame = {
        "id": rule.id,
        "effective_from": rule.effective_from,
        "effective_to": rule.effective_to or None,
    }
    return {**frame, **_FILLED, **(said if isinstance(said, dict) else {})}


def _in_parts(clauses: Sequence[pb.RuleSummary]) -> Iterator[list[pb.RuleSummary]]:
    part: list[pb.RuleSummary] = []
    size = 0
    for clause in clauses:
        length = clause.ByteSize() + 4
        if part and (size + length > PART_BYTES_MAX or len(part) == PART_RULES_MAX):
            yield part
            part, size = [], 0
        part.append(clause)
        size += length
    if part:
        yield part
