"""Wiring of the tickets and dispatch rooms: one place for the composition root and for tests.

Custody needs the content of tickets, and dispatch needs custody; so the tickets side is built first
(`build_tickets`), then custody over its `blocks`, then dispatch over both (`build_dispatch`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.audit.service import AuditLog
from gateway.custody.service import CustodyService
from gateway.database.uow import Database
from gateway.dispatch.acting import Acting
from gateway.dispatch.handling import Handling
from gateway.dispatch.intake import Intake
from gateway.dispatch.numbers import NumberMint
from gateway.dispatch.once import Once
from gateway.dispatch.reactions import Reactions
from gateway.dispatch.rendering import Render
from gateway.dispatch.router import Router
from gateway.dispatch.servicer import TicketServicer
from gateway.kernel.ids import Ids
from gateway.kernel.time import Clock
from gateway.privacy.vault import ContentVault
from gateway.reference.data import ReferenceData
from gateway.routing.packs import PackSet
from gateway.tickets.blocks import TicketBlocks
from gateway.tickets.reader import TicketReader
from gateway.tickets.service import ChangeSignal, Tickets
from gateway.tickets.servicer import PrincipalOf, TicketReadServicer
from gateway.tickets.tokens import Tokens
from gateway.trust.key_ring import KeyRing


@dataclass(frozen=True, slots=True)
class TicketRoom:
    """The tickets side of one node; `blocks` is custody's ContentSource."""

    tickets: Tickets
    blocks: TicketBlocks
    signal: ChangeSignal
    token_key: bytes


@dataclass(frozen=True, slots=True)
class DispatchRoom:
    """The dispatch side: register `reactions.handlers()` with the inbox, serve `servicer`."""

    intake: Intake
    handling: Handling
    acting: Acting
    reactions: Reactions
    reader: TicketReader
    servicer: TicketServicer


def build_tickets(*, keys: KeyRing, ids: Ids) -> TicketRoom:
    """Return the tickets side of one node."""
    vault = ContentVault(keys=keys, ids=ids)
    signal = ChangeSignal()
    tickets = Tickets(vault=vault, signal=signal)
    return TicketRoom(tickets, TicketBlocks(tickets), signal, vault.token_key())


def build_dispatch(
    *,
    room: TicketRoom,
    database: Database,
    custody: CustodyService,
    audit: AuditLog,
    ids: Ids,
    business_clock: Clock,
    reference: Callable[[], ReferenceData],
    packs: Callable[[], PackSet],
    hosted: Callable[[], frozenset[str]],
    joined: Callable[[], frozenset[str]],
    principal_of: PrincipalOf,
) -> DispatchRoom:
    """Return the dispatch side of one node.

    `hosted` are the authorities that live here, `joined` all of the roster that can take an offer.
    """
    tickets = room.tickets
    router = Router(reference=reference, packs=packs, hosted=hosted, joined=joined)
    acting = Acting(tickets=tickets, custody=custody, router=router)
    reactions = Reactions(
        tickets=tickets, custody=custody, acting=acting, router=router, audit=audit
    )
    once = Once(database=database, clock=business_clock, key=room.token_key)
    render = Render(custody=custody)
    intake = Intake(
        tickets=tickets,
        custody=custody,
        reactions=reactions,
        router=router,
        audit=audit,
        once=once,
        mint=NumberMint(),
        render=render,
        ids=ids,
    )
    handling = Handling(
        tickets=tickets,
        custody=custody,
        acting=acting,
        router=router,
        audit=audit,
        once=once,
        render=render,
    )
    reader = TicketReader(
        database=database,
        tickets=tickets,
        custody=custody.view,
        audit=audit,
        tokens=Tokens(room.token_key),
        clock=business_clock,
        signal=room.signal,
    )
    reading = TicketReadServicer(reader=reader, principal_of=principal_of, clock=business_clock)
    servicer = TicketServicer(
        intake=intake, handling=handling, reading=reading, principal_of=principal_of
    )
    return DispatchRoom(intake, handling, acting, reactions, reader, servicer)
