"""Somebody who hears everything, has stolen keys, and breaks the protocol with them.

Each attack makes bytes that no honest node made and hands them to an inbox as a peer would. None
may be `received`: what is forged changes nothing, and what it proves (a fork) is kept as evidence
against the signer. Their digests are in `world.forged`, so that checkers know whom not to blame.
A replay is no forgery: its answer is the stored one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.custody import store
from gateway.custody.evidence import IDENTITY_KINDS
from gateway.delivery.codec import (
    receipt_from_bytes,
    signed_to_pb,
    statement_from_bytes,
    statement_to_bytes,
)
from gateway.delivery.model import Outcome, SignedBytes, Statement
from gateway.kernel.ids import AuthorityCode, Epoch, NodeId
from gateway.trust.statements import digest, sign
from hotline.peer.v1 import peer_service_pb2 as peer_pb

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World


class Taken(AssertionError):
    """A forged statement was received as if it were true."""


class Adversary:
    """Attacks a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def attack(self) -> None:
        """Choose an attack for which there is material, and make it."""
        attacks = [
            self._replay,
            self._replay_from_elsewhere,
            self._flipped_bit,
            self._wrong_key,
            self._fork,
            self._fork_own_term,
            self._stale_epoch,
            self._usurped_ruling,
        ]
        await self._world.rng.choice(attacks)()

    # --- what was heard -----------------------------------------------------------------------

    async def _replay(self) -> None:
        """Repeat what was really sent, from where it was really sent."""
        heard = self._heard()
        if heard is None:
            return
        source, target, raw = heard
        self._world.fault("hostile replay", target.id)
        await target.inbox.take(peer_pb.Envelope.FromString(raw), peer=source)

    async def _replay_from_elsewhere(self) -> None:
        """Repeat what was really sent, as the peer of another node."""
        heard = self._heard()
        if heard is None:
            return
        source, target, raw = heard
        others = [node for node in self._world.nodes if node not in (source, target.id)]
        envelope = peer_pb.Envelope.FromString(raw)
        await self._hand_in(
            target, envelope, peer=self._world.rng.choice(others), what="replay from elsewhere"
        )

    async def _flipped_bit(self) -> None:
        """Change one bit of the statement or of its signature."""
        heard = self._heard()
        if heard is None:
            return
        source, target, raw = heard
        envelope = peer_pb.Envelope.FromString(raw)
        field = self._world.rng.choice(["statement", "signature"])
        if field == "statement":
            envelope.statement.statement = self._flip(envelope.statement.statement)
        else:
            signature = envelope.statement.signature
            signature.direct = self._flip(signature.direct)
        await self._hand_in(target, envelope, peer=source, what="flipped bit")

    def _heard(self) -> tuple[NodeId, Node, bytes] | None:
        if not self._world.network.seen:
            return None
        batch = self._world.rng.choice(list(self._world.network.seen))
        raw = self._world.rng.choice(batch.envelopes)
        return batch.source, self._world.nodes[batch.target], raw

    def _flip(self, raw: bytes) -> bytes:
        place = self._world.rng.randrange(len(raw))
        changed = raw[place] ^ (1 << self._world.rng.randrange(8))
        return raw[:place] + bytes([changed]) + raw[place + 1 :]

    # --- what stolen keys sign ----------------------------------------------------------------

    async def _wrong_key(self) -> None:
        """Say what an authority said, signed by another one's key."""
        known = self._known()
        if known is None:
            return
        node, row, statement = known
        others = [code for code in self._world.authorities if code != row.issuer]
        await self._say(
            node,
            row.authority,
            statement,
            signer=self._world.rng.choice(others),
            what="wrong key",
        )

    async def _fork(self) -> None:
        """Say something else under an identity that was used before (check 7)."""
        known = self._known(kinds=IDENTITY_KINDS - {"RulingAck"})
        if known is None:
            return
        node, row, statement = known
        other = replace(statement, statement_id=self._fresh_id())
        await self._say(node, row.authority, other, signer=row.issuer, what="fork")

    async def _fork_own_term(self) -> None:
        """Deny to a custodian what made it one: its term is forked (docs/custody.md#forks)."""
        holding = self._world.rng.choice(["HELD", "OFFERED", "REVOKING"])
        is_revoking = any(
            chain.holding == "REVOKING"
            for node in self._world.nodes.values()
            for chain in node.database.rows(store.CHAINS)
        )
        if is_revoking:  # it lasts for a moment only
            holding = "REVOKING"
        rows = [
            (node, row)
            for node in self._world.nodes.values()
            for chain in node.database.rows(store.CHAINS)
            if chain.holding == holding
            for record in chain.records
            for row in self._kept(node, chain.authority, record)
        ]
        if not rows:
            return
        node, row = self._world.rng.choice(rows[-20:])
        statement = statement_from_bytes(row.statement)
        other = replace(
            statement,
            statement_id=self._fresh_id(),
            audience=(AuthorityCode(row.authority),),
        )
        await self._say(node, row.authority, other, signer=row.issuer, what="fork")

    def _kept(self, node: Node, authority: str, record: str) -> list[store.StatementRow]:
        tables = node.database.tables.get(store.STATEMENTS.name, {})
        row = tables.get((authority, bytes.fromhex(record)))
        return [row] if row is not None and row.issuer not in node.hosts else []

    async def _stale_epoch(self) -> None:
        """Offer at an epoch that was never this signer's to offer (check 9)."""
        known = self._known(kinds=frozenset({"Offer"}))
        if known is None:
            return
        node, row, statement = known
        stale = Epoch(statement.epoch.era, 0)
        other = replace(statement, statement_id=self._fresh_id(), epoch=stale)
        await self._say(node, row.authority, other, signer=row.issuer, what="stale epoch")

    async def _usurped_ruling(self) -> None:
        """Rule where one is not the arbiter."""
        known = self._known(kinds=frozenset({"Ruling"}))
        if known is None:
            return
        node, row, statement = known
        usurpers = [code for code in self._world.authorities if code not in (row.issuer, row.scope)]
        usurper = self._world.rng.choice(usurpers)
        other = replace(statement, statement_id=self._fresh_id(), issuer=usurper)
        await self._say(node, row.authority, other, signer=usurper, what="usurped ruling")

    def _known(
        self, kinds: frozenset[str] = frozenset()
    ) -> tuple[Node, store.StatementRow, Statement] | None:
        """Return a statement that an authority got from another node."""
        rows = [
            (node, row)
            for node in self._world.nodes.values()
            for row in node.database.rows(store.STATEMENTS)[-200:]
            if row.issuer not in node.hosts and (not kinds or row.kind in kinds)
        ]
        if not rows:
            return None
        node, row = self._world.rng.choice(rows)
        statement = statement_from_bytes(row.statement)
        return node, row, replace(statement, audience=(AuthorityCode(row.authority),))

    def _fresh_id(self) -> str:
        return self._world.ids.uuid7(self._world.clock.now())

    async def _say(
        self, node: Node, target: str, statement: Statement, *, signer: str, what: str
    ) -> None:
        raw = statement_to_bytes(statement)
        key = self._world.node_of(signer).keys.signing_key(signer)
        signed = SignedBytes(raw, key.key_id, sign(key, raw))
        source = statement.issuer
        envelope = peer_pb.Envelope(
            source=source,
            incarnation=1,
            target=target,
            sequence=1,
            statement=signed_to_pb(signed),
        )
        await self._hand_in(node, envelope, peer=self._world.node_of(source).id, what=what)

    async def _hand_in(
        self, node: Node, envelope: peer_pb.Envelope, *, peer: NodeId, what: str
    ) -> None:
        if what != "replay from elsewhere":
            self._world.forged.add(digest(envelope.statement.statement))
        self._world.fault(f"hostile {what}", node.id)
        raw = await node.inbox.take(envelope, peer=peer)
        if not raw:
            return
        _, receipt = receipt_from_bytes(peer_pb.SignedReceipt.FromString(raw).receipt)
        if receipt.outcome is Outcome.RECEIVED:
            raise Taken(f"{what}: {node.id} took what {peer} never said")
