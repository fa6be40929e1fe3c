"""CustodyService with evidence files: what a node with tickets serves. Boring on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import date

from gateway.custody.servicer import ANY_TICKET, Context, CustodyServicer
from gateway.custody.transfers import Transfers
from gateway.database.once import Once
from gateway.evidence.export import Exporter, Wanted
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import TicketNumber
from gateway.tickets.tokens import Tokens
from gateway.trust.principal import Principal
from hotline.custody.v1 import custody_service_pb2 as pb


class EvidenceServicer(CustodyServicer):
    """Transfers, ledgers and evidence for the staff of an authority and its auditors."""

    def __init__(
        self,
        *,
        transfers: Transfers,
        once: Once,
        tokens: Tokens,
        principal_of: Callable[[Context], Principal],
        exporter: Exporter,
    ) -> None:
        """Make the servicer."""
        super().__init__(transfers=transfers, once=once, tokens=tokens, principal_of=principal_of)
        self._whose = principal_of
        self._exporter = exporter

    async def ExportCustody(
        self, request: pb.ExportCustodyRequest, context: Context
    ) -> AsyncIterator[pb.ExportCustodyResponse]:
        """Return an evidence file in chunks."""
        principal = self._whose(context)
        ticket = request.parent.removeprefix("tickets/")
        wanted = Wanted(
            ticket=TicketNumber(ticket) if ticket != ANY_TICKET else None,
            first=_day_of(request.first_day, field="first_day"),
            last=_day_of(request.last_day, field="last_day"),
            with_content=request.with_content,
            purpose=request.purpose,
        )
        async for chunk in self._exporter.export(principal, wanted):
            yield pb.ExportCustodyResponse(chunk=chunk)


def _day_of(text: str, *, field: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise FieldInvalid(field=field, got="no day", expected="a day, 2026-03-01") from error
