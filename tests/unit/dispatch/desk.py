"""What these tests ask of units and the desk: extensions, and copies as they are kept."""

from __future__ import annotations

from dataclasses import replace

from gateway.dispatch.extending import Request
from gateway.dispatch.handling import Target
from gateway.kernel.codes import ExtensionReason
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.tickets.model import Ticket
from gateway.trust.principal import Principal
from hotline.ticket.v1 import ticket_pb2
from tests.fixtures.nodes import Federation, a_call, a_person, a_platform

PB = ticket_pb2.Ticket


def a_request(new_due: Instant) -> Request:
    return Request(reason=ExtensionReason.EXAMINATION, new_due=new_due, basis="等鉴定（测试）")


def a_reviewer(authority: str) -> Principal:
    """Return another dispatcher than the one who files in these tests."""
    return replace(a_person(authority), id="s2")


async def copy_at(federation: Federation, authority: str, number: str) -> Ticket:
    node = federation.node_of(authority)
    async with node.database.unit() as uow:
        return await node.room.tickets.get(uow, AuthorityCode(authority), TicketNumber(number))


async def ask(
    federation: Federation,
    authority: str,
    number: str,
    new_due: Instant,
    *,
    who: Principal | None = None,
) -> PB:
    answer = await federation.node_of(authority).dispatch.units.extending.ask(
        a_call(who or a_platform(authority), "ExtendDeadline"),
        Target(number=TicketNumber(number)),
        request=a_request(new_due),
    )
    return PB.FromString(answer)


async def review(
    federation: Federation,
    authority: str,
    number: str,
    *,
    is_granted: bool,
    who: Principal | None = None,
    extension: int = 1,
    request_id: str = "",
) -> PB:
    answer = await federation.node_of(authority).dispatch.units.extending.review(
        a_call(who or a_reviewer(authority), "ReviewExtension", request_id=request_id),
        Target(number=TicketNumber(number)),
        number=extension,
        is_granted=is_granted,
        is_citizen_told=True,
        basis="同意（测试）",
    )
    return PB.FromString(answer)
