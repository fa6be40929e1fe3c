"""The life of this node: its incarnation, and whether it may sign.

The number stands twice: in the database (`node_state`), and in the node's folder beside it
(`Witness`), with the newest sealed entry of each hosted authority. A database that is behind its
folder was restored from an older backup, and has forgotten what it said since. Then the node begins
a new incarnation and *recovers*: it signs nothing until its peers have returned what they hold and
a person has confirmed (`recovery.py`). A backup that took the folder along cannot be seen here;
then a peer's head shows it, or a person says so (docs/operations.md#restore).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import field
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Protocol

from gateway.custody import recovery_store as store
from gateway.custody.model import CustodyEvent
from gateway.custody.repeats import is_taken
from gateway.custody.store import LAST_ENTRY
from gateway.database.uow import UnitOfWork
from gateway.delivery.incarnations import FIRST
from gateway.delivery.model import Delivered
from gateway.kernel.errors import NodeRecovering
from gateway.kernel.ids import AuthorityCode, NodeId
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace

Receive = Callable[[UnitOfWork, Delivered, Instant], Awaitable[tuple[CustodyEvent, ...]]]

WITNESS_FILE = "incarnation.json"
# A statement may be on its way for as long as its sender is cut off, and come after the backup.
SINCE_MARGIN = timedelta(days=7)
LONG_AGO = timedelta(days=3650)  # nothing was sealed before the backup: everything is asked for


class Mode(Enum):
    """What the node may do."""

    SERVING = "serving"
    RECOVERING = "recovering"  # signs nothing, applies nothing
    APPLYING = "applying"  # confirmed by a person; what was returned is being applied


@dataclass(slots=True)
class Recovery:
    """Whether this node may sign; everybody who signs for an authority asks it first."""

    node: NodeId
    incarnation: int = FIRST
    mode: Mode = Mode.SERVING
    _inside: ContextVar[bool] = field(
        default_factory=lambda: ContextVar("applies_recovered", default=False), repr=False
    )

    @property
    def is_recovering(self) -> bool:
        """Tell whether the node may not sign."""
        return self.mode is not Mode.SERVING

    @property
    def was_restored(self) -> bool:
        """Tell whether this node ever was restored: some of its statements came from peers."""
        return self.incarnation > FIRST

    def refuse_if_recovering(self, authority: str = "") -> None:  # noqa: ARG002 one life a node
        """Return if this node may sign for its authorities, and take statements for them.

        Raises:
            NodeRecovering: it was restored from a backup and does not know yet what it said.
        """
        if self.is_recovering and not self._inside.get():
            raise NodeRecovering(node=self.node)

    async def has_taken(self, uow: UnitOfWork, delivered: Delivered) -> bool:
        """Tell whether a statement was taken from who returned it, before its sender repeats it."""
        is_others = delivered.statement.issuer != delivered.target
        return self.was_restored and is_others and await is_taken(uow, delivered)

    def guarded(self, receive: Receive) -> Receive:
        """Return `receive` that takes nothing while the node may not sign: it comes again."""

        async def take(
            uow: UnitOfWork, delivered: Delivered, now: Instant
        ) -> tuple[CustodyEvent, ...]:
            self.refuse_if_recovering(delivered.target)
            if await self.has_taken(uow, delivered):
                return ()
            return await receive(uow, delivered, now)

        return take

    @contextmanager
    def applying(self) -> Iterator[None]:
        """Let recovery itself apply what was returned, after a person has confirmed."""
        token = self._inside.set(self.mode is Mode.APPLYING)
        try:
            yield
        finally:
            self._inside.reset(token)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a folder knows of its database: the incarnation, and newest entries by authority."""

    incarnation: int = FIRST
    heads: Mapping[str, int] = field(default_factory=dict)
    must_recover: bool = False  # a person said that the database was restored
    used: Mapping[str, int] = field(default_factory=dict)  # newest entries of earlier lives


class Witness(Protocol):
    """What is kept outside the database, so that an older one is recognised."""

    def read(self) -> Seen:
        """Return what is known; who knows nothing knows a first life."""
        ...

    def write(self, seen: Seen) -> None:
        """Keep it; when this returns it is on disk."""
        ...

    def changing(self) -> AbstractContextManager[None]:
        """Keep everybody else from changing it: what is read within is still so when written."""
        ...


class FileWitness:
    """The file beside the database; written with fsync, replaced whole.

    Several processes of a node, and the command line, change it: each under the lock of a file
    beside it, or one would undo what another wrote.
    """

    def __init__(self, folder: Path) -> None:
        """Keep the file in the node's folder."""
        self._path = folder / WITNESS_FILE

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock; other processes and threads wait. Not reentrant."""
        with self._path.with_suffix(".lock").open("w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # closing the file lets it go
            yield

    def read(self) -> Seen:
        """Return what is known; a folder without the file knows nothing."""
        try:
            known = json.loads(self._path.read_text(encoding="ascii"))
        except FileNotFoundError:
            return Seen()
        return Seen(
            incarnation=int(known["incarnation"]),
            heads={str(code): int(number) for code, number in known["heads"].items()},
            must_recover=bool(known.get("must_recover", False)),
            used={str(code): int(number) for code, number in known.get("used", {}).items()},
        )

    def write(self, seen: Seen) -> None:
        """Replace the file; when this returns it is on disk."""
        text = json.dumps(
            {
                "incarnation": seen.incarnation,
                "heads": dict(sorted(seen.heads.items())),
                "must_recover": seen.must_recover,
                "used": dict(sorted(seen.used.items())),
            }
        )
        fresh = self._path.with_suffix(f".{os.getpid()}")
        with fresh.open("w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def sealed(self, authority: str, sequence: int) -> None:
        """Note a newly sealed entry; called after its commit."""
        with self.changing():
            seen = self.read()
            if seen.heads.get(authority, 0) < sequence:
                self.write(replace(seen, heads={**seen.heads, authority: sequence}))

    def used(self, authority: str) -> int:
        """Return the number of the newest entry that earlier lives made; 0: none."""
        return self.read().used.get(authority, 0)

    def ask_for_recovery(self) -> None:
        """Note that a person, or a peer's proof, says that the database was restored."""
        with self.changing():
            self.write(replace(self.read(), must_recover=True))


async def begin_life(
    uow: UnitOfWork,
    *,
    node: NodeId,
    authorities: tuple[AuthorityCode, ...],
    witness: Witness,
    now: Instant,
) -> store.NodeStateRow:
    """Compare the database with what its folder knows, and begin a new life if it is behind.

    The witness is written before the commit: a crash between the two costs one incarnation more.
    """
    await uow.lock(f"node/{node}")
    seen = witness.read()  # before the database: what was sealed meanwhile is no forgotten entry
    known = await uow.get(store.NODE_STATE, node) or store.NodeStateRow(
        node=node,
        incarnation=FIRST,
        mode=Mode.SERVING.value,
        since=now,
        changed=now,
        confirmed_by="",
    )
    last = {code: await _newest(uow, code) for code in authorities}
    is_behind = (
        seen.must_recover
        or known.incarnation < seen.incarnation
        or any(sequence < seen.heads.get(code, 0) for code, (sequence, _) in last.items())
    )
    if is_behind:
        # Everything is sealed within seconds, so the backup is not older than its newest entry.
        newest = max((at for _, at in last.values() if at is not None), default=None)
        known = replace(
            known,
            incarnation=max(known.incarnation, seen.incarnation) + 1,
            mode=Mode.RECOVERING.value,
            since=newest - SINCE_MARGIN if newest else now - LONG_AGO,
            changed=now,
            confirmed_by="",
        )
        for peer in await uow.select(store.RECOVERY_PEERS):
            uow.delete(store.PEERS, peer.node)
    uow.put(store.NODE_STATE, known)
    _note(witness, seen, known, {str(code): sequence for code, (sequence, _) in last.items()})
    return known


def _note(
    witness: Witness, seen: Seen, known: store.NodeStateRow, sealed: Mapping[str, int]
) -> None:
    """Write down this life; another process may have sealed, or a person spoken, meanwhile.

    A new life keeps the numbers of the entries that the earlier ones used (`used`): the ledger goes
    on above them, for two entries with one number are proof against this node.
    """
    is_new = known.incarnation != seen.incarnation
    with witness.changing():
        present = witness.read()
        fresh = Seen(
            incarnation=known.incarnation,
            heads=sealed if is_new else _greatest(present.heads, sealed),
            must_recover=present.must_recover and not (is_new and seen.must_recover),
            used=_greatest(present.used, present.heads) if is_new else present.used,
        )
        if fresh != present:
            witness.write(fresh)


def _greatest(some: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    return {code: max(some.get(code, 0), others.get(code, 0)) for code in {*some, *others}}


async def load(uow: UnitOfWork, recovery: Recovery) -> None:
    """Bring `recovery` up to what the database says; nothing stored means a first life."""
    row = await uow.get(store.NODE_STATE, recovery.node)
    if row is not None:
        recovery.incarnation, recovery.mode = row.incarnation, Mode(row.mode)


async def _newest(uow: UnitOfWork, authority: AuthorityCode) -> tuple[int, Instant | None]:
    [*rows] = await uow.select(LAST_ENTRY, authority=authority)
    return (rows[0].sequence, rows[0].recorded) if rows else (0, None)
