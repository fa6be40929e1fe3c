"""Builders of this room's tests: two nodes, envelopes of all sorts, a peer that answers at will."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.database.memory import MemoryDatabase
from gateway.database.table import Table
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery import codec
from gateway.delivery.inbox import Inbox
from gateway.delivery.model import Delivered, Receipt, SealedBlock, SignedBytes, Statement
from gateway.delivery.outbox import Outbox
from gateway.kernel.errors import LubiaoError, PeerUnreachable
from gateway.kernel.ids import GENESIS, AuthorityCode, NodeId, TicketNumber
from gateway.kernel.time import Instant, ManualClock
from gateway.trust.key_ring import KeyRing
from gateway.trust.keys import PublicKey
from gateway.trust.roster import AuthorityEntry, KeyEntry, NodeEntry, NodeRole, Roster
from gateway.trust.statements import RECEIPT_PAYLOAD_TYPE, digest, sign, verify
from hotline.peer.v1 import peer_service_pb2 as peer_pb

NOW = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
DAY = timedelta(days=1)
TIANJIN, HEBEI, LANGFANG = (AuthorityCode(code) for code in ("120000", "130000", "131000"))
AT_TIANJIN, AT_HEBEI = NodeId("tianjin"), NodeId("hebei")
HOSTS = {TIANJIN: AT_TIANJIN, HEBEI: AT_HEBEI, LANGFANG: AT_HEBEI}
TICKET = TicketNumber("12000020260302000000017")
KIND = "TicketUpdate"


@dataclass(frozen=True, slots=True)
class Taken:
    """What a test's handler wrote about a statement."""

    target: str
    digest: bytes


TAKEN = Table("taken", Taken, key=("target", "digest"))


class Peers:
    """Keys and roster of 天津 on its node, and of 河北, which hosts 廊坊, on another."""

    def __init__(self) -> None:
        """Make the keys; a test may replace `roster`."""
        self.keys = KeyRing.in_memory(HOSTS)
        self.roster = self.listed()

    def listed(
        self,
        change: Callable[[AuthorityCode, KeyEntry], KeyEntry] = lambda _code, entry: entry,
        hosts: dict[AuthorityCode, NodeId] | None = None,
    ) -> Roster:
        """Return the roster with each statement key changed, or authorities moved."""

        def entry(public: PublicKey) -> KeyEntry:
            return KeyEntry.of(public, valid_from=NOW - DAY, valid_to=NOW + 30 * DAY)

        places = hosts or HOSTS
        authorities = tuple(
            AuthorityEntry(
                code=code,
                name=f"测试机构{code}",
                hosted_on=node,
                statement_keys=(change(code, entry(self.keys.signing_key(code).public)),),
                sealing_keys=(entry(self.keys.sealing_key(code).public),),
            )
            for code, node in places.items()
        )
        nodes = tuple(
            NodeEntry(id=node, endpoint=f"{node}.invalid:1", roles=frozenset({NodeRole.CUSTODIAN}))
            for node in sorted(set(places.values()))
        )
        return Roster.of(authorities, nodes, version=1, issued=NOW)

    def statement(self, **changes: Any) -> Statement:
        """Return a statement of 天津 to 河北."""
        statement = Statement(
            statement_id=str(uuid.uuid4()),
            kind=KIND,
            issuer=TIANJIN,
            audience=(HEBEI,),
            ticket=TICKET,
            scope=AuthorityCode("100000"),
            chain=1,
            epoch=GENESIS,
            previous_digest=b"",
            issued=NOW,
            protocol_version=1,
            body=b"",
        )
        return replace(statement, **changes)

    def sign(self, raw: bytes, signer: AuthorityCode = TIANJIN) -> SignedBytes:
        """Sign any bytes as a statement."""
        key = self.keys.signing_key(signer)
        return SignedBytes(raw, key.key_id, sign(key, raw))

    def signed(self, signer: AuthorityCode = TIANJIN, **changes: Any) -> SignedBytes:
        """Return a signed statement of 天津 to 河北, with `changes`."""
        return self.sign(codec.statement_to_bytes(self.statement(**changes)), signer)

    def envelope(
        self,
        signed: SignedBytes | None = None,
        *,
        source: str = TIANJIN,
        target: str = HEBEI,
        blocks: tuple[SealedBlock, ...] = (),
        sequence: int = 1,
    ) -> peer_pb.Envelope:
        """Return an envelope from 天津 to 河北."""
        raw = codec.envelope_to_bytes(
            source=source, target=target, signed=signed or self.signed(), blocks=blocks
        )
        numbered = codec.numbered_envelope(raw, incarnation=1, sequence=sequence)
        return peer_pb.Envelope.FromString(numbered)

    def opened(self, raw: bytes, issuer: AuthorityCode = HEBEI) -> Receipt:
        """Return a receipt after its signature was verified."""
        message = peer_pb.SignedReceipt.FromString(raw)
        verify(
            self.keys.signing_key(issuer).public,
            message.receipt,
            message.signature.direct,
            payload_type=RECEIPT_PAYLOAD_TYPE,
        )
        code, receipt = codec.receipt_from_bytes(message.receipt)
        assert code == issuer
        return receipt

    def receipt(
        self,
        statement_digest: bytes,
        *,
        issuer: AuthorityCode = HEBEI,
        signer: AuthorityCode | None = None,
        error: LubiaoError | None = None,
        deferred: bool = False,
    ) -> bytes:
        """Return a signed receipt, whoever signs it."""
        raw = codec.receipt_to_bytes(
            issuer=issuer,
            statement_digest=statement_digest,
            now=NOW,
            error=error,
            deferred=deferred,
        )
        key = self.keys.signing_key(signer or issuer)
        signature = sign(key, raw, payload_type=RECEIPT_PAYLOAD_TYPE)
        return codec.signed_receipt_to_bytes(raw, key_id=key.key_id, signature=signature)


@dataclass
class Office:
    """河北's node: an inbox whose handler notes what it took, and an outbox."""

    peers: Peers
    database: Database = field(default_factory=MemoryDatabase)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    raises: BaseException | None = None
    heard: list[NodeId] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    woken: list[NodeId] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Wire them."""
        self.inbox = Inbox(
            node=AT_HEBEI,
            database=self.database,
            roster=lambda: self.peers.roster,
            keys=self.peers.keys,
            business_clock=self.clock,
            machine_clock=self.clock,
        )
        self.inbox.register({KIND: self._take})
        self.inbox.heard_from = self.heard.append
        self.inbox.counted = self.counts.append
        self.outbox = Outbox(
            node=AT_HEBEI,
            roster=lambda: self.peers.roster,
            inbox=self.inbox,
            machine_clock=self.clock,
            wake=self.woken.append,
        )

    async def _take(self, uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        uow.put(TAKEN, Taken(delivered.target, delivered.digest))
        if self.raises is not None:
            raise self.raises

    async def take(self, envelope: peer_pb.Envelope, peer: NodeId = AT_TIANJIN) -> bytes:
        """Take one envelope."""
        return await self.inbox.take(envelope, peer=peer)

    def post(self, uow: UnitOfWork, signed: SignedBytes, **changes: Any) -> None:
        """Post a statement of 河北 to 天津."""
        given: dict[str, Any] = {
            "source": HEBEI,
            "target": TIANJIN,
            "ticket": TICKET,
            "kind": KIND,
            "blocks": (),
            "now": NOW,
        }
        self.outbox.post(uow, signed=signed, **(given | changes))


class Post:
    """A transport that answers at will and remembers what it carried."""

    def __init__(self, peers: Peers) -> None:
        """Receive everything until told otherwise."""
        self.peers = peers
        self.carried: list[tuple[NodeId, list[peer_pb.Envelope]]] = []
        self.fails = 0
        self.answer: Callable[[peer_pb.Envelope], bytes] = self.received

    def received(self, envelope: peer_pb.Envelope) -> bytes:
        """Return the receipt of the envelope's target."""
        return self.peers.receipt(
            digest(envelope.statement.statement), issuer=AuthorityCode(envelope.target)
        )

    async def deliver(self, node: NodeId, envelopes: list[bytes]) -> list[bytes]:
        """Carry a batch; see `PeerTransport`."""
        opened = [peer_pb.Envelope.FromString(raw) for raw in envelopes]
        self.carried.append((node, opened))
        if self.fails:
            self.fails -= 1
            raise PeerUnreachable(peer=f"node/{node}", got="cut")
        return [self.answer(envelope) for envelope in opened]
