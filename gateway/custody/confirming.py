"""What a person sees of a recovery, and the person's word that lets the node go on."""

from __future__ import annotations

from gateway.custody import recovery_store as store
from gateway.custody.incarnation import Mode
from gateway.database.uow import UnitOfWork
from gateway.kernel.errors import FieldInvalid, ResourceNotFound, TransitionNotAllowed
from gateway.kernel.ids import NodeId
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class RecoveryView:
    """Where a recovery stands."""

    state: store.NodeStateRow
    peers: tuple[store.RecoveryPeerRow, ...]
    items: tuple[store.RecoveryItemRow, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The nodes that have not returned everything and that nobody waived."""
        return tuple(peer.node for peer in self.peers if not (peer.complete or peer.waived_by))


async def view(uow: UnitOfWork, node: NodeId) -> RecoveryView | None:
    """Return where the recovery of a node stands; None if it never began to live."""
    state = await uow.get(store.NODE_STATE, node)
    if state is None:
        return None
    peers = await uow.select(store.RECOVERY_PEERS)
    items = await uow.select(store.RECOVERY_ITEMS)
    return RecoveryView(state, tuple(peers), tuple(items))


async def confirm(
    uow: UnitOfWork, node: NodeId, *, by: str, without: tuple[str, ...] = (), now: Instant
) -> None:
    """Note that a person lets the node go on, without the peers that are named.

    Raises:
        ResourceNotFound: the node is not recovering.
        TransitionNotAllowed: a peer has not answered and is not named.
        FieldInvalid: nobody gave a name, or a named peer is none.
    """
    await uow.lock(f"node/{node}")
    found = await view(uow, node)
    if found is None or found.state.mode != Mode.RECOVERING.value:
        raise ResourceNotFound(kind="recovery", name=f"nodes/{node}")
    if not by:
        raise FieldInvalid(field="by", got="empty", expected="the name of a person")
    known = {peer.node: peer for peer in found.peers}
    if not known or not set(without) <= known.keys():
        raise FieldInvalid(field="without", got=",".join(without), expected=",".join(known))
    missing = set(found.missing) - set(without)
    if missing:
        raise TransitionNotAllowed(
            name=f"nodes/{node}",
            state="recovering",
            event="confirm",
            allowed=f"when {', '.join(sorted(missing))} has answered or is named as missing",
        )
    for name in without:
        uow.put(store.PEERS, replace(known[name], waived_by=by))
    uow.put(store.NODE_STATE, replace(found.state, confirmed_by=by, changed=now))
