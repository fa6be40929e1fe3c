"""A node that is restored from an older backup, and what its peers return to it.

    backup = node.database.snapshot()
    …                                          # the node goes on, and says things
    await backups.restore(node, backup)        # a new incarnation; it signs nothing any more
    await backups.recover(node)                # peers answer, a person confirms, it serves

`restore(…, forgets=True)` is the mutant: the node goes on as if it had only been restarted.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from gateway.custody import recovery_store
from gateway.custody.books import Books
from gateway.custody.collecting import QUIET
from gateway.custody.confirming import confirm, view
from gateway.custody.heads import HeadKeeper
from gateway.custody.incarnation import Seen, begin_life, load
from gateway.custody.openings import Openings
from gateway.custody.recovery import RecoveryRun
from gateway.database.memory import Snapshot
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import numbered_envelope
from gateway.delivery.store import OutboxRow
from gateway.kernel.errors import LubiaoError, PeerUnreachable
from gateway.kernel.ids import AuthorityCode, NodeId, TicketNumber
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.simulation.network import Crashed

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World

PASSES_MAX = 20
ROSTER_PASSES = 3


class PlainKeys:
    """Keeps texts as they are: the simulation has nothing to hide."""

    async def seal_text(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        *,
        at: str,
        text: bytes,
    ) -> bytes | None:
        del uow, authority, ticket, at
        return text

    async def open_text(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        *,
        at: str,
        sealed: bytes,
    ) -> bytes | None:
        del uow, authority, ticket, at
        return sealed


OPENINGS = Openings(keys=PlainKeys())


@dataclass(slots=True)
class Known:
    """A witness in memory."""

    seen: Seen

    def read(self) -> Seen:
        return self.seen

    def write(self, seen: Seen) -> None:
        self.seen = seen

    def changing(self) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass(frozen=True, slots=True)
class SimulatedBooks:
    """Calls the books of other nodes; a cut link cuts them too."""

    world: World
    source: NodeId

    async def exchange_heads(
        self, node: NodeId, request: peer_pb.ExchangeHeadsRequest
    ) -> peer_pb.ExchangeHeadsResponse:
        return await books_of(self._reached(node)).exchange_heads(request)

    async def return_statements(
        self, node: NodeId, request: peer_pb.ReturnStatementsRequest
    ) -> peer_pb.ReturnStatementsResponse:
        books = books_of(self._reached(node))
        return await books.return_statements(request, peer=self.source)

    def _reached(self, node: NodeId) -> Node:
        ways = {(self.source, node), (node, self.source)}
        if ways & self.world.network.cut:
            raise PeerUnreachable(peer=node, got="cut")
        return self.world.nodes[node]


def books_of(node: Node) -> Books:
    """Return what a node shows to others."""
    return Books(
        database=node.database,
        roster=node.known_roster,
        keys=node.keys,
        recovery=node.recovery,
        clock=node.clock,
        openings=OPENINGS,
    )


def keeper_of(node: Node) -> HeadKeeper:
    """Return who watches the heads of others at a node."""
    return HeadKeeper(
        node=node.id,
        database=node.database,
        transport=SimulatedBooks(node.world, node.id),
        roster=node.known_roster,
        clock=node.clock,
    )


def run_of(node: Node) -> RecoveryRun:
    """Return what carries the recovery of a node through."""
    room = node.desk if node.is_arbiter_only else node.custody
    assert room.restorer is not None
    run = RecoveryRun(
        recovery=node.recovery,
        database=node.database,
        transport=SimulatedBooks(node.world, node.id),
        roster=node.known_roster,
        keys=node.keys,
        restorer=room.restorer,
        handlers=node.handlers(),
        machine_clock=node.clock,
        business_clock=node.clock,
    )
    run.react = node.react_all
    return run


async def restore(node: Node, backup: Snapshot, *, forgets: bool = False) -> None:
    """Put a backup in the place of a node's disk and start it; it knows that it was restored."""
    node.database.restore(backup)
    if not forgets:
        witness = Known(Seen(incarnation=node.recovery.incarnation, must_recover=True))
        async with node.database.unit() as uow:
            await begin_life(
                uow, node=node.id, authorities=node.hosts, witness=witness, now=node.clock.now()
            )
        async with node.database.unit() as uow:
            await load(uow, node.recovery)
    node.start()


async def recover(node: Node, *, without: tuple[str, ...] = ()) -> None:
    """Let peers answer, a person confirm, and the node serve."""
    run = run_of(node)
    await run.step()
    node.world.clock.advance(QUIET + timedelta(seconds=1))
    await run.step()
    async with node.database.unit() as uow:
        await confirm(uow, node.id, by="测试员", without=without, now=node.clock.now())
    for _ in range(PASSES_MAX):
        if await run.step():
            return
    raise AssertionError("the recovery does not come to an end")


async def carry_through(node: Node) -> None:
    """Recover as `recover` does, whatever breaks meanwhile: the process, the disk, a roster."""
    run = run_of(node)
    for attempt in range(PASSES_MAX):
        try:
            if await run.step():
                return
            node.world.clock.advance(QUIET + timedelta(seconds=1))
            if attempt > ROSTER_PASSES:
                node.old_roster = None  # a key that it does not list may be in a newer one
            async with node.database.unit() as uow:
                await confirm(uow, node.id, by="测试员", now=node.clock.now())
        except Crashed:
            node.start()
            run = run_of(node)
        except LubiaoError:
            continue  # a peer has not returned everything, or the disk is in trouble
    raise AssertionError(f"{node.id}: the recovery does not come to an end")


async def missing(node: Node) -> tuple[str, ...]:
    """Return the peers that have not returned everything."""
    async with node.database.unit() as uow:
        found = await view(uow, node.id)
    return found.missing if found else ()


def envelope_of(row: OutboxRow, *, incarnation: int) -> peer_pb.Envelope:
    """Return a waiting envelope as a life of its node would send it."""
    raw = numbered_envelope(row.envelope, incarnation=incarnation, sequence=1)
    return peer_pb.Envelope.FromString(raw)


async def request_of(node: Node, authority: str) -> peer_pb.ExchangeHeadsRequest:
    """Return what a node asks about an authority whose head it knows."""
    async with node.database.unit() as uow:
        head = await uow.get(recovery_store.PEER_HEADS, authority)
    assert head is not None
    known = peer_pb.LedgerEntry.FromString(head.entry)
    return peer_pb.ExchangeHeadsRequest(authority=authority, known=known)
