"""A queue of any length for the pump: real rows, real envelopes, and a peer that signs receipts.

The statements are synthetic and signed by nobody: the peer of this benchmark looks only at their
digests. Everything between the database and the peer is the node's own: outbox table, pump,
numbers, batches, verification of receipts.
"""

from __future__ import annotations

import os
from datetime import timedelta

import asyncpg

from gateway.delivery import codec
from gateway.delivery.model import ENVELOPES_PER_BATCH_MAX, SealedBlock, SignedBytes
from gateway.delivery.store import OUTBOX, OutboxRow
from gateway.kernel.ids import AuthorityCode, NodeId, TicketNumber
from gateway.kernel.time import SystemClock
from gateway.trust.key_ring import KeyRing
from gateway.trust.keys import PublicKey
from gateway.trust.roster import AuthorityEntry, KeyEntry, NodeEntry, NodeRole, Roster
from gateway.trust.statements import RECEIPT_PAYLOAD_TYPE, digest, sign
from hotline.peer.v1 import peer_service_pb2 as peer_pb

SOURCE, TARGET = AuthorityCode("120000"), AuthorityCode("130000")
PEER = NodeId("hebei")
BATCH = ENVELOPES_PER_BATCH_MAX
STATEMENT_BYTES, BLOCK_BYTES = 300, 700  # an offer of an ordinary ticket, sealed
CHUNK = 5_000  # rows written with one COPY
DAY = timedelta(days=1)


class ReceiptingPeer:
    """A peer that has everything on disk at once: it answers `received`, signed."""

    def __init__(self, keys: KeyRing) -> None:
        """Sign with the target's key of `keys`."""
        self._key = keys.signing_key(TARGET)

    async def deliver(self, node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        """Return a receipt for each envelope; see `PeerTransport`."""
        del node
        return [self._receipt(envelope) for envelope in envelopes]

    def _receipt(self, raw: bytes) -> bytes:
        envelope = peer_pb.Envelope.FromString(raw)
        receipt = peer_pb.Receipt(
            issuer=TARGET,
            statement_digest=codec.digest_to_pb(digest(envelope.statement.statement)),
            receipt_time=codec.instant_to_pb(SystemClock().now()),
            received=peer_pb.Received(),
        ).SerializeToString()
        return codec.signed_receipt_to_bytes(
            receipt,
            key_id=self._key.key_id,
            signature=sign(self._key, receipt, payload_type=RECEIPT_PAYLOAD_TYPE),
        )


def a_row() -> OutboxRow:
    """Return a new row for the peer."""
    statement = os.urandom(STATEMENT_BYTES)
    block = SealedBlock("case_block", os.urandom(BLOCK_BYTES), "synthetic", "synthetic")
    envelope = codec.envelope_to_bytes(
        source=SOURCE,
        target=TARGET,
        signed=SignedBytes(statement, "synthetic", bytes(64)),
        blocks=(block,),
    )
    now = SystemClock().now()
    return OutboxRow(
        position=0,
        node=PEER,
        source=SOURCE,
        target=TARGET,
        ticket=TicketNumber("12000020261121000000000"),
        kind="Offer",
        statement_digest=digest(statement),
        envelope=envelope,
        sequence=0,
        created=now,
        not_before=now,
    )


async def fill(connection: asyncpg.Connection, count: int) -> None:
    """Put `count` rows into the outbox, past the services: only their number matters."""
    columns = [name for name in OUTBOX.columns() if name != OUTBOX.generated]
    while count > 0:
        rows = [a_row() for _ in range(min(count, CHUNK))]
        await connection.copy_records_to_table(
            OUTBOX.name,
            records=[tuple(getattr(row, name) for name in columns) for row in rows],
            columns=columns,
        )
        count -= len(rows)
    await connection.execute(f"ANALYZE {OUTBOX.name}")


def a_roster(keys: KeyRing) -> Roster:
    """Return a roster in which the peer hosts the target."""
    now = SystemClock().now()

    def listed(public: PublicKey) -> KeyEntry:
        return KeyEntry.of(
            public, valid_from=now - DAY, valid_to=now + DAY, statement_kinds=frozenset()
        )

    entry = AuthorityEntry(
        code=TARGET,
        name="虚构热线",
        hosted_on=PEER,
        statement_keys=(listed(keys.signing_key(TARGET).public),),
        sealing_keys=(listed(keys.sealing_key(TARGET).public),),
        mandate_from=None,
    )
    node = NodeEntry(id=PEER, endpoint="127.0.0.1:1", roles=frozenset({NodeRole.CUSTODIAN}))
    return Roster.of((entry,), (node,), version=1, issued=now - DAY, demo=True)
