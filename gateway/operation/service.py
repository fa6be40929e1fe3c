"""What people do about peers and about what cannot be delivered; every act is audited.

A reason or note is kept with the peer or the item; the audit names who did what to which of them,
because free text has no place in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.once import Once
from gateway.database.uow import Database, UnitOfWork
from gateway.delivery.guard import Guard
from gateway.delivery.model import Item, ItemState, Mode
from gateway.delivery.store import CONTROLS, OUTBOX, ControlRow, OutboxRow
from gateway.delivery.undelivered import UNDELIVERED, UNDELIVERED_LISTED, UndeliveredRow
from gateway.kernel.errors import PeerNotAllowed, ResourceNotFound
from gateway.kernel.ids import NodeId
from gateway.kernel.time import Clock, Instant
from gateway.operation.machine import Act, after
from gateway.operation.model import MONITOR, PeerView
from gateway.operation.view import Observer
from gateway.trust.call import Call
from gateway.trust.principal import Principal

PAGE_SIZE = 50
_BEGINNING = (datetime(1970, 1, 1, tzinfo=UTC), "")


class PageTokens(Protocol):
    """Issues and opens page tokens."""

    def issue(self, binding: tuple[str, ...], *position: int | str) -> str:
        """Return the token of a position."""
        ...

    def open(self, binding: tuple[str, ...], token: str, *, field: str) -> tuple[int | str, ...]:
        """Return the position of a token."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """The use cases of a node's system administrators.

    Attributes:
        authority: who runs the node; staff of the authorities that it merely hosts operate nothing.
        retry: tells the pump that a node is worth a new attempt.
        clock: machine time.
    """

    database: Database
    observer: Observer
    guard: Guard
    audit: AuditLog
    once: Once
    tokens: PageTokens
    clock: Clock
    authority: str
    retry: Callable[[NodeId], None]

    # --- peers --------------------------------------------------------------------------------

    async def peer(self, principal: Principal, node: str) -> PeerView:
        """Return one peer.

        Raises:
            ResourceNotFound: there is none.
        """
        self._check(principal)
        async with self.database.unit() as uow:
            return await self._peer(uow, node)

    async def peers(
        self, principal: Principal, *, page_size: int, page_token: str
    ) -> tuple[list[PeerView], str]:
        """Return a page of peers by node id."""
        self._check(principal)
        binding = (principal.name, "ListPeers")
        first = ""
        if page_token:
            first = str(self.tokens.open(binding, page_token, field="page_token")[0])
        async with self.database.unit() as uow:
            seen = await self.observer.look(uow)
        size = page_size or PAGE_SIZE
        rest = [view for node, view in sorted(seen.peers.items()) if node > first]
        page = rest[:size]
        return page, self.tokens.issue(binding, page[-1].node) if len(rest) > size else ""

    async def order(
        self,
        call: Call,
        node: str,
        *,
        mode: Mode,
        reason: str,
        answer: Callable[[PeerView], bytes],
    ) -> bytes:
        """Order how a peer is served, and return the answer to that request."""
        self._check(call.principal)

        async def step(uow: UnitOfWork, now: Instant) -> bytes:
            await self._peer(uow, node)
            actor, ordered = call.principal.name, self.clock.now()
            uow.put(CONTROLS, ControlRow(node, mode.value, reason, actor, ordered))
            self._record(uow, call, act=f"peer.{call.method}", subject=f"peers/{node}", now=now)
            uow.after_commit(lambda: self.retry(NodeId(node)))
            return answer(await self._peer(uow, node))

        return await self.once.run(call, step, locks=(MONITOR, f"peer/{node}"))

    async def _peer(self, uow: UnitOfWork, node: str) -> PeerView:
        view = (await self.observer.look(uow)).peers.get(NodeId(node))
        if view is None:
            raise ResourceNotFound(kind="peer", name=node)
        return view

    # --- items --------------------------------------------------------------------------------

    async def undelivered(
        self, principal: Principal, *, page_size: int, page_token: str, node: str, everything: bool
    ) -> tuple[list[UndeliveredRow], str]:
        """Return a page of items, oldest first."""
        self._check(principal)
        binding = (principal.name, "ListUndelivered", node, str(everything))
        created, item = _BEGINNING
        if page_token:
            stamp, name = self.tokens.open(binding, page_token, field="page_token")
            created, item = datetime.fromisoformat(str(stamp)), str(name)
        size = page_size or PAGE_SIZE
        async with self.database.unit() as uow:
            rows = await uow.select(
                UNDELIVERED_LISTED,
                after_time=created,
                after_item=item,
                everything=everything,
                node=node,
                limit=size + 1,
            )
        token = ""
        if len(rows) > size:
            last = rows[size - 1]
            token = self.tokens.issue(binding, last.created.isoformat(), last.item)
        return rows[:size], token

    async def act(
        self,
        call: Call,
        item: str,
        *,
        act: Act,
        note: str,
        answer: Callable[[UndeliveredRow], bytes],
    ) -> bytes:
        """Do something about an item, and return the answer to that request.

        Raises:
            ResourceNotFound: there is none.
            TransitionNotAllowed: the act is none for this item.
        """
        self._check(call.principal)

        async def step(uow: UnitOfWork, now: Instant) -> bytes:
            row = await uow.get(UNDELIVERED, item)
            if row is None:
                raise ResourceNotFound(kind="undelivered", name=item)
            kind = Item(row.kind)
            state = after(act, kind, ItemState(row.state), row.statement_kind, item=item)
            if act is Act.RESEND:
                await self._resend(kind)(uow, row)
            changed = replace(
                row,
                state=state.value,
                changed=self.clock.now(),
                actor=call.principal.name,
                note=note,
                # What is back in the outbox is there; sealed content is kept in one place.
                envelope=b"" if state is ItemState.RESENT else row.envelope,
            )
            uow.put(UNDELIVERED, changed)
            self._record(
                uow,
                call,
                act=f"undelivered.{act.value}",
                subject=f"tickets/{row.ticket}" if row.ticket else f"undelivered/{item}",
                now=now,
                basis=f"undelivered/{item}",
            )
            return answer(changed)

        return await self.once.run(call, step, locks=(MONITOR, f"undelivered/{item}"))

    def _resend(self, kind: Item) -> Callable[[UnitOfWork, UndeliveredRow], Awaitable[None]]:
        match kind:
            case Item.STUCK:
                return self._resend_waiting
            case Item.REFUSED | Item.SET_ASIDE:
                return self._resend_kept
            case Item.QUARANTINED:
                return self._ask_again
            case _:
                return self._resend_queue

    async def _resend_queue(self, uow: UnitOfWork, row: UndeliveredRow) -> None:
        uow.after_commit(lambda: self.retry(NodeId(row.node)))

    async def _resend_waiting(self, uow: UnitOfWork, row: UndeliveredRow) -> None:
        """Make an envelope due that is still in the outbox."""
        waiting = await uow.get(OUTBOX, row.position)
        if waiting is not None:
            uow.put(OUTBOX, replace(waiting, not_before=self.clock.now()))
        uow.after_commit(lambda: self.retry(NodeId(row.node)))

    async def _resend_kept(self, uow: UnitOfWork, row: UndeliveredRow) -> None:
        """Put an envelope back into the outbox: the same bytes, number and age."""
        entry = self.observer.roster().node_for(row.target, row.statement_kind)
        node = entry.id if entry is not None else row.node
        if not row.envelope or not node:
            raise ResourceNotFound(kind="envelope", name=f"undelivered/{row.item}")
        envelope = OutboxRow(
            position=0,
            node=node,
            source=row.source,
            target=row.target,
            ticket=row.ticket,
            kind=row.statement_kind,
            statement_digest=row.statement_digest,
            envelope=row.envelope,
            sequence=row.sequence,
            created=row.since,
            not_before=self.clock.now(),
        )
        uow.insert(OUTBOX, envelope)
        uow.after_commit(lambda: self.retry(NodeId(node)))

    async def _ask_again(self, uow: UnitOfWork, row: UndeliveredRow) -> None:
        """Let the handler try once more when the peer sends it next."""
        uow.after_commit(lambda: self.guard.release(row.target, row.statement_digest))

    # --- both ---------------------------------------------------------------------------------

    def _check(self, principal: Principal) -> None:
        if principal.authority != self.authority:
            raise PeerNotAllowed(
                principal=principal.name,
                got=f"authority {principal.authority}",
                expected=f"{self.authority}, which runs this node",
            )

    def _record(
        self,
        uow: UnitOfWork,
        call: Call,
        *,
        act: str,
        subject: str,
        now: Instant,
        basis: str = "operation",
    ) -> None:
        entry = AuditEntry(
            time=now,
            principal=call.principal.name,
            role=call.principal.acting_role,
            act=act,
            subject=subject,
            basis=basis,
        )
        self.audit.append(uow, entry)
