"""Builders of the hub's tests: a hub on either engine, with a warehouse in a folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.aggregates.codec import report_to_bytes
from gateway.aggregates.model import Cell, DayReport
from gateway.audit.service import AuditLog
from gateway.database.memory import MemoryDatabase
from gateway.database.uow import Database
from gateway.delivery import codec
from gateway.delivery.model import Receipt, SealedBlock, SignedBytes
from gateway.hub.intake import ReportIntake
from gateway.hub.model import HubPolicy
from gateway.hub.service import HubMap
from gateway.hub.warehouse import Warehouse
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.kernel.time import ManualClock
from gateway.trust.statements import digest
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.fixtures.nodes import reference
from tests.unit.aggregates.builders import (
    AT_HEBEI,
    AT_HUB,
    HEBEI,
    HOSTS,
    NOW,
    YESTERDAY,
    a_roster,
    a_statement,
    an_inbox,
)

CELLS = (Cell("010000", 25), Cell("020000", None), Cell("030000", 14))


def a_report(
    sequence: int = 1,
    *,
    day: int = YESTERDAY,
    province: AuthorityCode = HEBEI,
    cells: tuple[Cell, ...] = CELLS,
    epsilon_micro: int = 500_000,
) -> DayReport:
    """Return a report."""
    return DayReport(
        province=province,
        day=day,
        sequence=sequence,
        epsilon_micro=epsilon_micro,
        threshold=10,
        cells=cells,
    )


def say(
    report: DayReport, *, after: SignedBytes | None = None, issuer: AuthorityCode | None = None
) -> SignedBytes:
    """Return the signed statement of a report that rests on another."""
    previous = digest(after.statement) if after else b""
    return a_statement(
        report_to_bytes(report), issuer=issuer or report.province, previous_digest=previous
    )


@dataclass
class Hub:
    """The hub's node: inbox, intake, map."""

    folder: Path
    database: Database = field(default_factory=MemoryDatabase)
    policy: HubPolicy = field(default_factory=HubPolicy)

    def __post_init__(self) -> None:
        """Wire it."""
        self.clock = ManualClock(NOW)
        self.map = HubMap(database=self.database, warehouse=Warehouse(self.folder))
        self.intake = ReportIntake(
            reference=reference, policy=self.policy, audit=AuditLog(), taken=self.map.wake
        )
        self.inbox = an_inbox(AT_HUB, self.database, self.clock, a_roster())
        self.inbox.register(self.intake.handlers())

    async def take(
        self,
        signed: SignedBytes,
        *,
        source: AuthorityCode = HEBEI,
        blocks: tuple[SealedBlock, ...] = (),
    ) -> Receipt:
        """Take a statement as it comes over the wire, and return the receipt."""
        raw = codec.envelope_to_bytes(source=source, target=NATION, signed=signed, blocks=blocks)
        envelope = peer_pb.Envelope.FromString(
            codec.numbered_envelope(raw, incarnation=1, sequence=1)
        )
        answer = await self.inbox.take(envelope, peer=HOSTS.get(source, AT_HEBEI))
        return codec.receipt_from_bytes(peer_pb.SignedReceipt.FromString(answer).receipt)[1]
