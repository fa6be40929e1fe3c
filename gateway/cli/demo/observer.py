"""Reading the nodes: every copy of every ticket, through their RPCs, with staff certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Self

import grpc

from gateway.cli.demo.judge import Copy
from gateway.server.client import CertificateFolder, open_channel
from hotline.ticket.v1 import codes_pb2, ticket_pb2, ticket_service_pb2, ticket_service_pb2_grpc

DEADLINE = timedelta(seconds=5)
PAGE_SIZE = 500  # the bound of ListTickets


class Observer:
    """Staff of every authority, who look at the tickets there."""

    def __init__(self, watches: Mapping[str, tuple[str, str, Path]]) -> None:
        """Take per authority: node, endpoint, folder with a staff certificate."""
        self._nodes = {code: node for code, (node, _, _) in watches.items()}
        self._channels = {
            code: staff_channel(endpoint, folder) for code, (_, endpoint, folder) in watches.items()
        }

    async def __aenter__(self) -> Self:
        """Enter; channels connect when they are used."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the channels."""
        for channel in self._channels.values():
            await channel.close()

    async def copies(self) -> list[Copy]:
        """Return every copy at every authority.

        Raises:
            grpc.aio.AioRpcError: a node does not answer.
        """
        lists = await asyncio.gather(*(self._copies_at(code) for code in self._channels))
        return [copy for found in lists for copy in found]

    async def is_up(self, authority: str) -> bool:
        """Tell whether the node of an authority answers."""
        try:
            await self._page(authority, "")
        except grpc.aio.AioRpcError as error:
            lost = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            if error.code() in lost:
                return False
            raise
        return True

    async def _copies_at(self, authority: str) -> list[Copy]:
        stub = ticket_service_pb2_grpc.TicketServiceStub(self._channels[authority])
        found: list[Copy] = []
        token = ""
        while True:
            page = await self._page(authority, token)
            for listed in page.tickets:
                ticket = listed
                if listed.HasField("external_referral"):
                    # The hand-over sheet is content, which a list does not show.
                    request = ticket_service_pb2.GetTicketRequest(name=listed.name)
                    answer = await stub.GetTicket(request, timeout=DEADLINE.total_seconds())
                    ticket = answer.ticket
                found.append(copy_of(ticket, authority=authority, node=self._nodes[authority]))
            token = page.next_page_token
            if not token:
                return found

    async def _page(self, authority: str, token: str) -> ticket_service_pb2.ListTicketsResponse:
        stub = ticket_service_pb2_grpc.TicketServiceStub(self._channels[authority])
        request = ticket_service_pb2.ListTicketsRequest(page_size=PAGE_SIZE, page_token=token)
        return await stub.ListTickets(request, timeout=DEADLINE.total_seconds())


def staff_channel(endpoint: str, certificates: Path) -> grpc.aio.Channel:
    """Return a mutual-TLS channel with the certificate of a folder."""
    return open_channel(endpoint, CertificateFolder.load(certificates).channel_credentials())


def copy_of(ticket: ticket_pb2.Ticket, *, authority: str, node: str) -> Copy:
    """Return what the judge needs of a ticket."""
    active = [
        item
        for item in ticket.assignments
        if item.state != ticket_pb2.Assignment.STATE_REASSIGNED
        and item.role in {codes_pb2.ASSIGNMENT_ROLE_UNSPECIFIED, codes_pb2.ASSIGNMENT_ROLE_LEAD}
    ]
    referral = ticket.external_referral
    return Copy(
        number=ticket.name.removeprefix("tickets/"),
        authority=ticket.authority or authority,
        node=node,
        origin=ticket.origin,
        platform=ticket.platform,
        external_id=ticket.external_id,
        is_followed=ticket.followed,
        state=_short(ticket_pb2.Ticket.State.Name(ticket.state), "STATE_"),
        custodian=ticket.custody.custodian,
        path=tuple(ticket.custody.path),
        case=ticket.custody.case,
        action=_short(ticket_pb2.RouteDecision.Action.Name(ticket.decision.action), "ACTION_"),
        rule=ticket.decision.rule,
        unit=active[-1].unit.removeprefix("units/") if active else "",
        units=tuple(item.unit.removeprefix("units/") for item in ticket.assignments),
        unit_name=active[-1].unit_name if active else "",
        region=ticket.resolved_region,
        is_rated=ticket.rating.satisfaction != codes_pb2.SATISFACTION_UNSPECIFIED,
        is_overdue=ticket.overdue,
        line=_line(ticket),
        referred_to=referral.region,
        has_sheet=bool(referral.sheet),
        has_answer=referral.HasField("answer_time"),
    )


def _line(ticket: ticket_pb2.Ticket) -> str:
    if not ticket.HasField("emergency_referral"):
        return ""
    name = codes_pb2.EmergencyLine.Name(ticket.emergency_referral.line)
    return _short(name, "EMERGENCY_LINE_")


def _short(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)
