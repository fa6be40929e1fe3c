"""What the simulation keeps of tickets: the least that custody asks a content source for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from zlib import crc32

from gateway.database.table import Table
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import instant_to_pb
from gateway.kernel.errors import ResourceNotFound
from gateway.kernel.ids import AuthorityCode, TicketNumber
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import codes_pb2, ticket_pb2

START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
FAR = timedelta(days=200)  # inside the validity of the simulated roster

CITIZEN = custody_pb2.IdentityBlock(
    citizen=ticket_pb2.Citizen(display_name="合成市民")
).SerializeToString(deterministic=True)


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Copy:
    """What the simulation keeps of a ticket at one authority."""

    authority: str
    ticket: str
    uid: str
    origin: str
    state: int
    version: int
    identity: bytes


MATTERS = ("041501", "041502")
REGIONS = ("131002", "130102", "320102", "")
URGENCIES = (codes_pb2.URGENCY_NORMAL, codes_pb2.URGENCY_NORMAL, codes_pb2.URGENCY_URGENT)

COPIES = Table("simulated_copies", Copy, key=("authority", "ticket"))


class SimulatedCopies:
    """The ContentSource of the simulation, transactional like everything else."""

    async def header(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> bytes:
        copy = await uow.get(COPIES, authority, ticket)
        if copy is None:
            raise ResourceNotFound(kind="ticket", name=f"tickets/{ticket}")
        header = custody_pb2.TicketHeader(
            uid=copy.uid,
            origin=copy.origin,
            matter=_drawn(ticket, MATTERS),
            region=_drawn(ticket, REGIONS),
            urgency=_drawn(ticket, URGENCIES),
            type=codes_pb2.TICKET_TYPE_COMPLAINT,
            received_time=instant_to_pb(START),
            due_time=instant_to_pb(START + FAR),
        )
        return header.SerializeToString(deterministic=True)

    async def case_block(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> bytes:
        content = ticket_pb2.TicketContent(
            title=f"case of {ticket}",
            content="a synthetic case",
            place=ticket_pb2.Place(region="131002"),
        )
        return custody_pb2.CaseBlock(content=content).SerializeToString(deterministic=True)

    async def identity_block(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> bytes | None:
        copy = await uow.get(COPIES, authority, ticket)
        return copy.identity or None if copy else None

    async def state_block(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> tuple[int, bytes]:
        copy = await uow.get(COPIES, authority, ticket)
        assert copy is not None
        decision = ticket_pb2.RouteDecision(rule=str(copy.version))
        block = custody_pb2.StateBlock(decision=decision)
        return copy.state, block.SerializeToString(deterministic=True)

    async def citizen_act_applied(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> int:
        return 0  # the simulation's citizens do nothing more

    async def forget_identity(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> None:
        copy = await uow.get(COPIES, authority, ticket)
        if copy is not None:
            uow.put(COPIES, replace(copy, identity=b""))


def _drawn(ticket: str, items: tuple[Item, ...]) -> Item:
    """Return what a ticket has of something, always the same."""
    return items[crc32(f"{ticket}/{items}".encode()) % len(items)]
