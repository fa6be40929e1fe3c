"""From the node to `outbox/`: work for the platform's units, and how its own tickets go on.

Questions to a citizen go to the platform that took the message, again whenever a new process finds
them open. An assignment is written whole, then acknowledged to the node (*received*: it is on the
platform's disk), then the resume token moves on. A crash in between writes the same file again
under the same name. What this platform did itself is not echoed back to it. Progress of a ticket
that the platform neither handed in nor handles is none of its business and is not written.
"""

from __future__ import annotations

import structlog

from adapters.file_drop.formats import render
from adapters.file_drop.intake import Step, no_step
from adapters.file_drop.rows import assignment_row, question_row, state_row
from adapters.file_drop.settings import Settings
from adapters.kit.client import Client, request_id_of
from adapters.kit.files import write_whole
from adapters.kit.mapping import Mapping
from adapters.kit.watcher import Change
from gateway.kernel.errors import ResourceNotFound, TransitionNotAllowed
from hotline.ticket.v1 import ticket_pb2, ticket_service_pb2

log = structlog.get_logger()


class Delivery:
    """Writes what the node has for the platform."""

    def __init__(
        self, settings: Settings, mapping: Mapping, client: Client, *, step: Step = no_step
    ) -> None:
        """Take settings, mapping and an open client of the platform."""
        self._settings = settings
        self._mapping = mapping
        self._client = client
        self._step = step
        self._asked: set[tuple[str, int]] = set()  # written by this process; a new one repeats

    async def handle(self, change: Change) -> None:
        """Write the files of one change; safe to repeat."""
        for assignment in change.ticket.assignments:
            if self._is_new(change.ticket, assignment):
                await self._deliver(change.ticket, assignment)
        await self._deliver_questions(change.ticket)
        if change.event.actor != self._settings.principal:
            self._write_state(change)
        self._step("outbox.handled")

    def _is_new(self, ticket: ticket_pb2.Ticket, assignment: ticket_pb2.Assignment) -> bool:
        return (
            not ticket.followed
            and assignment.platform == self._settings.platform
            and assignment.state == ticket_pb2.Assignment.STATE_ASSIGNED
            and not assignment.HasField("receive_time")
        )

    async def _deliver(self, ticket: ticket_pb2.Ticket, assignment: ticket_pb2.Assignment) -> None:
        number = ticket.name.removeprefix("tickets/")
        try:
            answer = await self._client.call(
                self._client.tickets.GetTicket,
                ticket_service_pb2.GetTicketRequest(
                    name=ticket.name, purpose=self._settings.purpose
                ),
            )
        except ResourceNotFound:
            log.info("assignment.gone", ticket=number)  # given to another unit meanwhile
            return
        kind = self._settings.outbox_format
        path = self._settings.outbox / f"assignment-{number}-{assignment.number}.{kind.value}"
        row = assignment_row(self._mapping, answer.ticket, assignment)
        write_whole(path, render([row], kind))
        self._step("outbox.written")
        request = ticket_service_pb2.AcknowledgeTicketRequest(
            name=ticket.name,
            external_id=f"{number}-{assignment.number}",
            assignment=assignment.number,
            request_id=request_id_of(
                "acknowledge", self._settings.platform, number, str(assignment.number)
            ),
        )
        try:
            await self._client.call(self._client.tickets.AcknowledgeTicket, request)
        except (ResourceNotFound, TransitionNotAllowed) as error:
            log.info("assignment.superseded", ticket=number, reason=error.reason)
        self._step("outbox.acknowledged")

    async def _deliver_questions(self, ticket: ticket_pb2.Ticket) -> None:
        """Write the open questions to the citizen of a ticket that this platform handed in."""
        number = ticket.name.removeprefix("tickets/")
        if ticket.platform != self._settings.platform:
            return
        fresh = {
            item.number
            for item in ticket.information_requests
            if not item.HasField("answer_time") and (number, item.number) not in self._asked
        }
        if not fresh:
            return
        request = ticket_service_pb2.GetTicketRequest(
            name=ticket.name, purpose=self._settings.purpose
        )
        answer = await self._client.call(self._client.tickets.GetTicket, request)
        kind = self._settings.outbox_format
        for question in answer.ticket.information_requests:
            if question.number in fresh:
                row = question_row(self._mapping, answer.ticket, question)
                name = f"question-{number}-{question.number}.{kind.value}"
                write_whole(self._settings.outbox / name, render([row], kind))
                self._asked.add((number, question.number))

    def _write_state(self, change: Change) -> None:
        number = change.ticket.name.removeprefix("tickets/")
        position = change.event.name.rpartition("/")[2] or "0"
        kind = self._settings.outbox_format
        path = self._settings.outbox / f"state-{number}-{position}.{kind.value}"
        write_whole(path, render([state_row(self._mapping, change.ticket, change.event)], kind))
