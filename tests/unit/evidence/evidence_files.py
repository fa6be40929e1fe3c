"""Evidence files of a stage: exported by the real exporter, and changed by tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.audit.service import AuditLog
from gateway.custody.sealer import LedgerSealer
from gateway.evidence import dossier_codec
from gateway.evidence.dossier import Evidence, Stamp, TicketEvidence, Verdict
from gateway.evidence.dossier_codec import read_evidence
from gateway.evidence.export import Exporter, Wanted
from gateway.evidence.sealed import EVIDENCE_PAYLOAD_TYPE
from gateway.evidence.verify import NamedFile, verify_files
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.trust.key_ring import KeyRing
from gateway.trust.keys import Purpose, generate
from gateway.trust.principal import Principal, PrincipalKind
from gateway.trust.roster_file import sign_roster
from gateway.trust.statements import digest, sign
from tests.simulation.stage import Stage
from tests.simulation.world import World

ROSTER_KEY = generate(Purpose.STATEMENT)


def auditor(authority: str) -> Principal:
    return Principal(AuthorityCode(authority), PrincipalKind.AUDITOR, "audit-1")


def exporter(stage: World, authority: str, **given: object) -> Exporter:
    node = stage.node_of(authority)
    return Exporter(
        database=node.database,
        keys=node.keys,
        signed_roster=lambda: sign_roster(stage.roster, ROSTER_KEY),
        sealer=LedgerSealer(keys=node.keys),
        audit=AuditLog(),
        clock=node.clock,
        **given,  # type: ignore[arg-type] # optional parts, by name
    )


async def export(
    stage: World, authority: str, ticket: TicketNumber | None = None, **wanted: object
) -> bytes:
    asked = Wanted(ticket=ticket, **wanted)  # type: ignore[arg-type] # a period, by name
    parts = exporter(stage, authority).export(auditor(authority), asked)
    return b"".join([part async for part in parts])


async def seal_all(stage: Stage) -> None:
    """Make an entry of every ledger, as the timer does again and again."""
    for node in stage.nodes.values():
        for code in node.hosts:
            async with node.database.unit() as uow:
                await LedgerSealer(keys=node.keys).seal(uow, code, now=node.clock.now())


def check(*files: bytes, **given: object) -> Verdict:
    named = [NamedFile(f"file {number}", raw) for number, raw in enumerate(files, 1)]
    return verify_files(named, **given)  # type: ignore[arg-type] # rosters and keys, by name


def written(evidence: Evidence, keys: KeyRing) -> bytes:
    """Write evidence again, sealed with the key of its authority: what its owner could forge."""
    parts = [
        dossier_codec.header_bytes(
            authority=evidence.authority, exported=evidence.exported, subject=evidence.subject
        ),
        *map(dossier_codec.roster_bytes, evidence.rosters),
        *map(dossier_codec.ticket_bytes, evidence.tickets),
        *map(dossier_codec.entry_bytes, evidence.entries),
        *map(dossier_codec.stamp_bytes, evidence.stamps),
    ]
    head = b"".join(parts)
    key = keys.signing_key(evidence.authority)
    signature = sign(key, digest(head), payload_type=EVIDENCE_PAYLOAD_TYPE)
    seal = dossier_codec.seal_bytes(digest(head), key_id=key.key_id, signature=signature)
    return head + seal


def forged(stage: Stage, raw: bytes, change: Callable[[TicketEvidence], TicketEvidence]) -> bytes:
    """Return a file whose first ticket its own authority changed and sealed again."""
    evidence = read_evidence(raw)
    first, *rest = evidence.tickets
    changed = replace(evidence, tickets=(change(first), *rest))
    return written(changed, stage.node_of(evidence.authority).keys)


def stamped(stage: Stage, raw: bytes, *stamps: Stamp) -> bytes:
    """Return a file with these time stamps."""
    evidence = replace(read_evidence(raw), stamps=stamps)
    return written(evidence, stage.node_of(evidence.authority).keys)
