"""CustodyService: the edge where staff look at transfers and decide on them. Boring on purpose.

Evidence files are of the room above, which adds their method (`gateway/evidence/servicer.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import grpc
from google.protobuf.message import Message

from gateway.custody import store
from gateway.custody.model import OfferReason
from gateway.custody.service import CaseFiled
from gateway.custody.transfers import Transfer, Transfers
from gateway.database.once import Once
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import (
    digest_to_pb,
    epoch_to_pb,
    instant_of_field,
    instant_to_pb,
    signed_to_pb,
)
from gateway.delivery.model import SignedBytes
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant
from gateway.tickets.tokens import Tokens
from gateway.trust.call import Call
from gateway.trust.principal import Principal
from hotline.custody.v1 import custody_service_pb2 as pb
from hotline.custody.v1 import custody_service_pb2_grpc as pb_grpc
from hotline.ticket.v1 import codes_pb2 as codes_pb

Context = grpc.aio.ServicerContext[Any, Any]
Response = TypeVar("Response", bound=Message)
PAGE_SIZE = 50
ANY_TICKET = "-"


class CustodyServicer(pb_grpc.CustodyServiceServicer):
    """Transfers and ledgers for the staff of an authority."""

    def __init__(
        self,
        *,
        transfers: Transfers,
        once: Once,
        tokens: Tokens,
        principal_of: Callable[[Context], Principal],
    ) -> None:
        """Make the servicer."""
        self._transfers = transfers
        self._once = once
        self._tokens = tokens
        self._principal_of = principal_of

    async def GetTransfer(
        self, request: pb.GetTransferRequest, context: Context
    ) -> pb.GetTransferResponse:
        """Return one transfer."""
        authority = self._principal_of(context).authority
        async with self._transfers.database.unit() as uow:
            transfer = await self._transfers.find(uow, authority, request.name)
        return pb.GetTransferResponse(transfer=_transfer_to_pb(transfer))

    async def ListTransfers(
        self, request: pb.ListTransfersRequest, context: Context
    ) -> pb.ListTransfersResponse:
        """List the transfers of a ticket, or the invitations that wait for a person."""
        authority = self._principal_of(context).authority
        ticket = request.parent.removeprefix("tickets/")
        size = request.page_size or PAGE_SIZE
        async with self._transfers.database.unit() as uow:
            if ticket != ANY_TICKET:
                found = await self._transfers.of_ticket(uow, authority, TicketNumber(ticket))
                return pb.ListTransfersResponse(transfers=map(_transfer_to_pb, found))
            [after] = self._opened(authority, request, beginning=("",))
            page = await self._transfers.waiting(uow, authority, after=str(after), limit=size)
        token = ""
        if len(page) == size:
            token = self._tokens.issue((authority, request.parent), page[-1].key.ticket)
        return pb.ListTransfersResponse(transfers=map(_transfer_to_pb, page), next_page_token=token)

    async def CreateTransfer(
        self, request: pb.CreateTransferRequest, context: Context
    ) -> pb.CreateTransferResponse:
        """Offer custody by a person's decision."""
        principal = self._principal_of(context)

        async def act(uow: UnitOfWork) -> pb.CreateTransferResponse:
            outcome = await self._transfers.create(
                uow,
                principal,
                ticket=TicketNumber(request.parent.removeprefix("tickets/")),
                target=AuthorityCode(request.target),
                reason=OfferReason(request.reason),
            )
            if isinstance(outcome, CaseFiled):
                return pb.CreateTransferResponse(case=outcome.case)
            return pb.CreateTransferResponse(transfer=_transfer_to_pb(outcome))

        return await self._run(principal, "CreateTransfer", request, act, pb.CreateTransferResponse)

    async def AcceptTransfer(
        self, request: pb.AcceptTransferRequest, context: Context
    ) -> pb.AcceptTransferResponse:
        """Accept an invitation."""
        principal = self._principal_of(context)

        async def act(uow: UnitOfWork) -> pb.AcceptTransferResponse:
            transfer = await self._transfers.accept(uow, principal, request.name)
            return pb.AcceptTransferResponse(transfer=_transfer_to_pb(transfer))

        return await self._run(principal, "AcceptTransfer", request, act, pb.AcceptTransferResponse)

    async def DeclineTransfer(
        self, request: pb.DeclineTransferRequest, context: Context
    ) -> pb.DeclineTransferResponse:
        """Decline an invitation with reason, clause and proposed owner."""
        principal = self._principal_of(context)

        async def act(uow: UnitOfWork) -> pb.DeclineTransferResponse:
            transfer = await self._transfers.decline(
                uow,
                principal,
                request.name,
                reason=request.reason,
                clause=request.clause,
                proposed_owner=request.proposed_owner,
            )
            return pb.DeclineTransferResponse(transfer=_transfer_to_pb(transfer))

        return await self._run(
            principal, "DeclineTransfer", request, act, pb.DeclineTransferResponse
        )

    async def StandBy(self, request: pb.StandByRequest, context: Context) -> pb.StandByResponse:
        """Tell who offers that a person is deciding."""
        principal = self._principal_of(context)
        until = (
            instant_of_field(request.until_time, field="until_time")
            if request.HasField("until_time")
            else None
        )

        async def act(uow: UnitOfWork) -> pb.StandByResponse:
            transfer = await self._transfers.stand_by(uow, principal, request.name, until=until)
            return pb.StandByResponse(transfer=_transfer_to_pb(transfer))

        return await self._run(principal, "StandBy", request, act, pb.StandByResponse)

    async def AskAboutTransfer(
        self, request: pb.AskAboutTransferRequest, context: Context
    ) -> pb.AskAboutTransferResponse:
        """Ask who offers a ticket."""
        principal = self._principal_of(context)

        async def act(uow: UnitOfWork) -> pb.AskAboutTransferResponse:
            asked = await self._transfers.ask(
                uow, principal, request.name, question=request.question
            )
            return pb.AskAboutTransferResponse(transfer=_transfer_to_pb(asked))

        return await self._run(
            principal, "AskAboutTransfer", request, act, pb.AskAboutTransferResponse
        )

    async def AnswerInquiry(
        self, request: pb.AnswerInquiryRequest, context: Context
    ) -> pb.AnswerInquiryResponse:
        """Answer the question that waits about an own offer."""
        principal = self._principal_of(context)

        async def act(uow: UnitOfWork) -> pb.AnswerInquiryResponse:
            told = await self._transfers.inform(
                uow, principal, request.name, number=request.number, answer=request.answer
            )
            return pb.AnswerInquiryResponse(transfer=_transfer_to_pb(told))

        return await self._run(principal, "AnswerInquiry", request, act, pb.AnswerInquiryResponse)

    async def GetInquiry(
        self, request: pb.GetInquiryRequest, context: Context
    ) -> pb.GetInquiryResponse:
        """Return the newest question about an offer, and its answer."""
        principal = self._principal_of(context)
        async with self._transfers.database.unit() as uow:
            words = await self._transfers.inquiry(
                uow, principal, request.name, purpose=request.purpose
            )
        return pb.GetInquiryResponse(question=words.question, answer=words.answer)

    async def RevokeTransfer(
        self, request: pb.RevokeTransferRequest, context: Context
    ) -> pb.RevokeTransferResponse:
        """Ask for an offer back."""
        principal = self._principal_of(context)

        async def act(uow: UnitOfWork) -> pb.RevokeTransferResponse:
            transfer = await self._transfers.revoke(uow, principal, request.name)
            return pb.RevokeTransferResponse(transfer=_transfer_to_pb(transfer))

        return await self._run(principal, "RevokeTransfer", request, act, pb.RevokeTransferResponse)

    async def AssumeTicket(
        self, request: pb.AssumeTicketRequest, context: Context
    ) -> pb.AssumeTicketResponse:
        """Ask the custodian for a ticket."""
        principal = self._principal_of(context)
        ticket = TicketNumber(request.name.removeprefix("tickets/"))

        async def act(uow: UnitOfWork) -> pb.AssumeTicketResponse:
            asked = await self._transfers.assume(uow, principal, ticket=ticket)
            return pb.AssumeTicketResponse(
                custodian=asked.custodian,
                case=asked.case,
                expire_time=instant_to_pb(asked.expire),
            )

        return await self._run(principal, "AssumeTicket", request, act, pb.AssumeTicketResponse)

    async def FileCase(self, request: pb.FileCaseRequest, context: Context) -> pb.FileCaseResponse:
        """Have the arbiter decide who holds a ticket."""
        principal = self._principal_of(context)
        ticket = TicketNumber(request.name.removeprefix("tickets/"))

        async def act(uow: UnitOfWork) -> pb.FileCaseResponse:
            owner = AuthorityCode(request.proposed_owner)
            case = await self._transfers.file(uow, principal, ticket=ticket, owner=owner)
            return pb.FileCaseResponse(case=case)

        return await self._run(principal, "FileCase", request, act, pb.FileCaseResponse)

    async def ListCustodyRecords(
        self, request: pb.ListCustodyRecordsRequest, context: Context
    ) -> pb.ListCustodyRecordsResponse:
        """List the ledger of a ticket at the caller's authority."""
        authority = self._principal_of(context).authority
        ticket = TicketNumber(request.parent.removeprefix("tickets/"))
        size = request.page_size or PAGE_SIZE
        scope, number, sequence = self._opened(authority, request, beginning=("", 0, 0))
        after = (str(scope), int(number), int(sequence))
        async with self._transfers.database.unit() as uow:
            await self._transfers.of_ticket(uow, authority, ticket)
            rows = await self._transfers.records(uow, authority, ticket, after=after, limit=size)
        token = ""
        if len(rows) == size:
            last = rows[-1][0]
            token = self._tokens.issue(
                (authority, request.parent), last.scope, last.number, last.sequence
            )
        return pb.ListCustodyRecordsResponse(
            records=[_record_to_pb(row, kept) for row, kept in rows], next_page_token=token
        )

    def _opened(
        self,
        authority: AuthorityCode,
        request: pb.ListTransfersRequest | pb.ListCustodyRecordsRequest,
        *,
        beginning: tuple[int | str, ...],
    ) -> tuple[int | str, ...]:
        """Return where a page begins; a token is good for its authority and parent only."""
        if not request.page_token:
            return beginning
        binding = (authority, request.parent)
        return self._tokens.open(binding, request.page_token, field="page_token")

    async def _run(
        self,
        principal: Principal,
        method: str,
        request: Any,
        act: Callable[[UnitOfWork], Awaitable[Response]],
        response_type: type[Response],
    ) -> Response:
        """Run `act` once per request id; a repeat gets the stored answer."""
        call = Call(
            principal=principal,
            method=method,
            request_id=request.request_id,
            body=request.SerializeToString(deterministic=True),
        )

        async def step(uow: UnitOfWork, _now: Instant) -> bytes:
            return (await act(uow)).SerializeToString()

        return response_type.FromString(await self._once.run(call, step, locks=()))


def _transfer_to_pb(transfer: Transfer) -> pb.Transfer:
    message = pb.Transfer(
        name=transfer.name,
        source=transfer.source,
        target=transfer.target,
        state=pb.Transfer.State.Value(f"STATE_{transfer.state}"),
        epoch=epoch_to_pb(transfer.epoch),
        reason=cast("codes_pb.ReturnReason.ValueType", transfer.reason),
        clause=transfer.clause,
        proposed_owner=transfer.proposed_owner,
        decider=transfer.decider,
        inquiries=transfer.asked,
    )
    if transfer.asked_at is not None:
        message.inquiry_time.CopyFrom(instant_to_pb(transfer.asked_at))
    if transfer.told is not None:
        message.inquiry_answer_time.CopyFrom(instant_to_pb(transfer.told))
    if transfer.stand_by_until is not None:
        message.stand_by_until_time.CopyFrom(instant_to_pb(transfer.stand_by_until))
    if transfer.window_end is not None:
        message.window_end.CopyFrom(instant_to_pb(transfer.window_end))
    if transfer.offer_digest:
        message.offer_digest.CopyFrom(digest_to_pb(transfer.offer_digest))
    return message


def _record_to_pb(row: store.CustodyRow, kept: store.StatementRow | None) -> pb.CustodyRecord:
    message = pb.CustodyRecord(
        sequence=row.sequence,
        kind=row.kind,
        scope=row.scope,
        chain=row.number,
        epoch=epoch_to_pb(Epoch.from_key(row.epoch)),
        subject_digest=digest_to_pb(row.subject_digest),
        state_digest=digest_to_pb(row.state_digest),
        row_digest=digest_to_pb(row.row_digest),
        record_time=instant_to_pb(row.recorded),
        holding=row.holding,
    )
    if kept is not None:
        signed = SignedBytes(kept.statement, kept.key_id, kept.signature)
        message.statement.CopyFrom(signed_to_pb(signed))
    return message
