"""Several nodes in one process: the roster of made-up authorities, and envelopes carried by hand.

The rooms of the nodes are the product's own; here is what stands for the directory and for the
network. The benchmarks' stage and the tests' federations are both built on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from gateway.database.uow import Database
from gateway.delivery.codec import numbered_envelope
from gateway.delivery.inbox import Inbox
from gateway.delivery.store import OUTBOX, OUTBOX_DUE
from gateway.kernel.ids import NATION, AuthorityCode, NodeId
from gateway.kernel.time import Instant
from gateway.trust.key_ring import KeyRing
from gateway.trust.keys import PublicKey
from gateway.trust.roster import (
    ARBITER_KINDS,
    CAPABILITIES,
    CUSTODIAN_KINDS,
    DIRECTORY_KINDS,
    AuthorityEntry,
    KeyEntry,
    NodeEntry,
    NodeRole,
    Roster,
)
from hotline.peer.v1 import peer_service_pb2

YEAR = timedelta(days=365)
ENVELOPES_MAX = 100  # of one node for one other, in one round


class Carried(Protocol):
    """A node as far as envelopes are concerned."""

    @property
    def name(self) -> str:
        """Its id in the roster."""

    @property
    def database(self) -> Database:
        """Where its outbox is."""

    @property
    def inbox(self) -> Inbox:
        """What takes envelopes."""


def made_up_roster(
    hosts: Mapping[str, Sequence[str]],
    rings: Mapping[str, KeyRing],
    *,
    middle: Instant,
    issued: Instant,
    arbiters: Collection[str] = (),
) -> Roster:
    """Return the roster of some nodes; keys and mandates hold a year before and after `middle`."""
    return Roster.of(
        tuple(
            _authority(code, node, rings[node], middle)
            for node, codes in hosts.items()
            for code in codes
        ),
        tuple(
            NodeEntry(
                id=NodeId(node),
                endpoint=f"{node}.invalid:7443",
                roles=frozenset({NodeRole.ARBITER if node in arbiters else NodeRole.CUSTODIAN}),
                capabilities=CAPABILITIES,
            )
            for node in hosts
        ),
        version=1,
        issued=issued,
    )


async def carry(source: Carried, peers: Iterable[Carried], *, now: Instant) -> list[str]:
    """Carry what waits in a node's outbox to others; return the kinds of the statements.

    Raises:
        AssertionError: one was not taken.
    """
    carried = []
    for peer in peers:
        async with source.database.unit() as uow:
            rows = await uow.select(OUTBOX_DUE, node=peer.name, now=now + YEAR, limit=ENVELOPES_MAX)
        for row in rows:
            raw = numbered_envelope(row.envelope, incarnation=1, sequence=row.position)
            envelope = peer_service_pb2.Envelope.FromString(raw)
            receipt = await peer.inbox.take(envelope, peer=NodeId(source.name))
            carried.append(row.kind)
            body = peer_service_pb2.SignedReceipt.FromString(receipt).receipt
            outcome = peer_service_pb2.Receipt.FromString(body).WhichOneof("outcome")
            if outcome != "received":
                raise AssertionError(f"{row.kind} of {row.source}: {outcome} {body!r}")
            async with source.database.unit() as uow:
                uow.delete(OUTBOX, row.position)
    return carried


def _authority(code: str, node: str, ring: KeyRing, middle: Instant) -> AuthorityEntry:
    kinds = CUSTODIAN_KINDS if code != NATION else frozenset()
    if code.endswith("0000"):  # a province rules in its own scope, the nation among provinces
        kinds |= ARBITER_KINDS
    if code == NATION:
        kinds |= DIRECTORY_KINDS

    def lines(public: PublicKey) -> tuple[KeyEntry, ...]:
        made = KeyEntry.of(
            public, valid_from=middle - YEAR, valid_to=middle + YEAR, statement_kinds=kinds
        )
        return (made,)

    return AuthorityEntry(
        code=AuthorityCode(code),
        name=f"测试机构{code}",
        hosted_on=NodeId(node),
        statement_keys=lines(ring.signing_key(code).public),
        sealing_keys=lines(ring.sealing_key(code).public),
        mandate_from=middle - YEAR if code.endswith("0000") else None,
    )
