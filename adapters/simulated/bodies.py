"""Vertically managed bodies that are asked to take a ticket, and answer through their platform.

No ruling binds them: what they answer stands in `samples/disputes.yaml`, by authority and matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from adapters.kit.client import Client, request_id_of
from adapters.simulated.sitting import Script
from gateway.kernel.errors import ResourceNotFound, TransitionNotAllowed
from hotline.ticket.v1 import codes_pb2, ticket_pb2, ticket_service_pb2

PAGE_SIZE = 20  # of one matter, the newest first
ASKED = ticket_pb2.UnitRequest.STATE_ASKED
log = structlog.get_logger()


def answer_to(
    ticket: ticket_pb2.Ticket, request: ticket_pb2.UnitRequest, script: Script
) -> ticket_service_pb2.AnswerUnitRequestRequest | None:
    """Return what a body answers, without a request id; None: nobody asks it."""
    if request.state != ASKED or request.asked != script["unit"]:
        return None
    said = script["answer"]
    reason = str(said.get("reason", "UNSPECIFIED"))
    return ticket_service_pb2.AnswerUnitRequestRequest(
        name=ticket.name,
        unit_request_number=request.number,
        accepted=bool(said["accepted"]),
        reason=codes_pb2.ReturnReason.Value(f"RETURN_REASON_{reason}"),
        clause=str(said["clause"]),
    )


class Bodies:
    """The bodies that one platform serves."""

    def __init__(self, client: Client, *, scripts: Sequence[Script]) -> None:
        """Answer through `client` as `scripts` say."""
        self._client = client
        self._scripts = scripts

    async def answer(self) -> None:
        """Answer every request that waits.

        Raises:
            LubiaoError: the node cannot answer now.
        """
        for script in self._scripts:
            listed = ticket_service_pb2.ListTicketsRequest(
                page_size=PAGE_SIZE, filter=f'matter = "{script["matter"]}"'
            )
            page = await self._client.call(self._client.tickets.ListTickets, listed)
            for ticket in page.tickets:
                for request in ticket.unit_requests:
                    await self._answer(answer_to(ticket, request, script))

    async def _answer(self, said: ticket_service_pb2.AnswerUnitRequestRequest | None) -> None:
        if said is None:
            return
        said.request_id = request_id_of("body", said.name, str(said.unit_request_number))
        try:
            await self._client.call(self._client.tickets.AnswerUnitRequest, said)
        except (TransitionNotAllowed, ResourceNotFound) as error:
            log.info("body.superseded", ticket=said.name, reason=error.reason)
