"""Handing in messages: in batches, journalled before and after, safe to repeat at any time.

The request id of a message is computed from the platform, its external id and its bytes. So a
process that died between sending and hearing the answer repeats the very same request, and the
node answers with the ticket it already committed. A corrected message has other bytes and another
request id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from adapters.kit.client import Client, request_id_of
from adapters.kit.journal import Entry, EntryKind, Journal
from adapters.kit.status import error_of_status, is_transient
from gateway.kernel.errors import LubiaoError, PeerUnreachable
from hotline.ticket.v1 import ticket_pb2, ticket_service_pb2

BATCH_TICKETS_MAX = 500  # bound of BatchCreateTickets
BATCH_BYTES_MAX = 3 * 1024 * 1024  # gRPC's default message limit is 4 MiB
BATCH_DEADLINE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The node committed the message under this ticket number."""

    external_id: str
    number: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The node will not take the message as it is."""

    external_id: str
    error: LubiaoError


Outcome = Acknowledged | Refused
Request = ticket_service_pb2.CreateTicketRequest


class Submitter:
    """Hands in messages of one platform and keeps the list of what was acknowledged."""

    def __init__(self, client: Client, journal: Journal, *, platform: str) -> None:
        """Take an open client and journal of `platform`."""
        self._client = client
        self._journal = journal
        self._platform = platform

    async def submit(self, tickets: Sequence[ticket_pb2.Ticket]) -> tuple[Outcome, ...]:
        """Hand in `tickets` and return what became of each, in order.

        A message that the journal shows as acknowledged is not sent again.

        Raises:
            PeerUnreachable: the node stays silent; nothing is lost, call again with the same.
        """
        requests = [self._request(ticket) for ticket in tickets]
        outcomes: dict[str, Outcome] = {}
        fresh: dict[str, Request] = {}
        for request in requests:
            known = self._journal.acknowledged.get(request.ticket.external_id)
            if known is not None and known.request_id == request.request_id:
                outcomes[request.request_id] = Acknowledged(known.external_id, known.number)
            else:
                fresh[request.request_id] = request
        for batch in batches(list(fresh.values())):
            outcomes.update(await self._submit_batch(batch))
        return tuple(outcomes[request.request_id] for request in requests)

    def _request(self, ticket: ticket_pb2.Ticket) -> Request:
        digest = hashlib.sha256(ticket.SerializeToString(deterministic=True)).hexdigest()
        request_id = request_id_of("create", self._platform, ticket.external_id, digest)
        return Request(ticket=ticket, request_id=request_id)

    async def _submit_batch(self, batch: Sequence[Request]) -> dict[str, Outcome]:
        self._journal.append(_entry(EntryKind.SUBMITTED, request) for request in batch)
        outcomes: dict[str, Outcome] = {}
        pending = list(batch)
        attempt = 0
        while True:
            pending, doubt = await self._send(pending, outcomes)
            if doubt is None:
                return outcomes
            attempt += 1
            if attempt >= self._client.backoff.attempts_max:
                raise doubt
            await self._client.pause(attempt - 1, doubt)

    async def _send(
        self, pending: Sequence[Request], outcomes: dict[str, Outcome]
    ) -> tuple[list[Request], LubiaoError | None]:
        """Send once; fill `outcomes` and return what must be sent again, and why."""
        response = await self._client.call(
            self._client.tickets.BatchCreateTickets,
            ticket_service_pb2.BatchCreateTicketsRequest(requests=pending),
            deadline=BATCH_DEADLINE,
        )
        if len(response.results) != len(pending):
            got = f"{len(response.results)} results for {len(pending)} requests"
            raise PeerUnreachable(peer=self._client.peer, got=got)
        again: list[Request] = []
        doubt: LubiaoError | None = None
        entries: list[Entry] = []
        for request, result in zip(pending, response.results, strict=True):
            external_id = request.ticket.external_id
            if result.WhichOneof("outcome") == "ticket":
                number = result.ticket.name.removeprefix("tickets/")
                outcomes[request.request_id] = Acknowledged(external_id, number)
                entries.append(_entry(EntryKind.ACKNOWLEDGED, request, number=number))
                continue
            error = error_of_status(result.error, peer=self._client.peer)
            if is_transient(error):
                again.append(request)
                doubt = error
            else:
                outcomes[request.request_id] = Refused(external_id, error)
                entries.append(_entry(EntryKind.REFUSED, request, reason=error.reason))
        self._journal.append(entries)
        return again, doubt


def batches(requests: Sequence[Request]) -> Iterator[list[Request]]:
    """Yield `requests` in order, in batches within the bounds of one call."""
    batch: list[Request] = []
    size = 0
    for request in requests:
        bytes_more = request.ByteSize() + 16
        if batch and (len(batch) >= BATCH_TICKETS_MAX or size + bytes_more > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(request)
        size += bytes_more
    if batch:
        yield batch


def _entry(kind: EntryKind, request: Request, *, number: str = "", reason: str = "") -> Entry:
    return Entry(
        kind=kind,
        external_id=request.ticket.external_id,
        request_id=request.request_id,
        number=number,
        reason=reason,
    )
