"""ArbitrationService: requests in, messages out, nothing decided here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from gateway.arbitration.case_codec import case_to_pb
from gateway.arbitration.codec import order_of_request
from gateway.arbitration.filing_units import UnitRequests, Wish
from gateway.arbitration.learning.proposals import Proposals
from gateway.arbitration.learning.servicer import ProposalServicer
from gateway.arbitration.precedents.codec import (
    comparable_to_pb,
    precedent_to_pb,
    revoked_to_bytes,
)
from gateway.arbitration.proceedings import Proceedings, Saying
from gateway.arbitration.service import PAGE_SIZE_DEFAULT, Arbitration
from gateway.arbitration.sight.servicer import SightServicer, Views
from gateway.kernel.codes import CaseEntryKind, CaseGround
from gateway.kernel.errors import ResourceNotFound
from gateway.kernel.ids import TicketNumber
from gateway.kernel.time import Clock
from gateway.kernel.validation import validate
from gateway.trust.call import Call
from gateway.trust.principal import Principal
from hotline.arbitration.v1 import arbitration_service_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
Asking = (
    pb.IssueRulingRequest
    | pb.TakeUpCaseRequest
    | pb.ConveneCaseRequest
    | pb.CreateEntryRequest
    | pb.RevokePrecedentRequest
    | pb.OpenCaseRequest
)


class ArbitrationServicer(ProposalServicer, SightServicer):
    """Cases for the staff of the arbiter and of the parties."""

    def __init__(
        self,
        *,
        arbitration: Arbitration,
        proceedings: Proceedings,
        views: Views,
        requests: UnitRequests | None = None,
        proposals: Proposals | None = None,
        principal_of: Callable[[Context], Principal],
        clock: Clock,
    ) -> None:
        """`principal_of` gives the authenticated caller; `clock` is business time."""
        ProposalServicer.__init__(self, proposals=proposals, principal_of=principal_of)
        SightServicer.__init__(self, views=views, principal_of=principal_of, clock=clock)
        self._arbitration = arbitration
        self._proceedings = proceedings
        self._requests = requests
        self._principal_of = principal_of
        self._clock = clock

    async def GetCase(self, request: pb.GetCaseRequest, context: Context) -> pb.GetCaseResponse:
        """Return one case file."""
        validate(request)
        principal = self._principal_of(context)
        case = await self._arbitration.get(principal, _id_of(request.name))
        message = case_to_pb(case, now=self._clock.now())
        message.precedents.extend(
            comparable_to_pb(await self._arbitration.comparable(principal, case))
        )
        return pb.GetCaseResponse(case=message)

    async def ListCases(
        self, request: pb.ListCasesRequest, context: Context
    ) -> pb.ListCasesResponse:
        """Return a page of cases."""
        validate(request)
        cases, token = await self._arbitration.page(
            self._principal_of(context),
            page_size=request.page_size,
            page_token=request.page_token,
            filter_text=request.filter,
        )
        now = self._clock.now()
        return pb.ListCasesResponse(
            cases=[case_to_pb(case, now=now) for case in cases], next_page_token=token
        )

    async def IssueRuling(
        self, request: pb.IssueRulingRequest, context: Context
    ) -> pb.IssueRulingResponse:
        """Decide a case."""
        validate(request)
        call = self._call(request, context, "IssueRuling")
        answer = await self._arbitration.rule(
            call, _id_of(request.name), order_of_request(request), etag=request.etag
        )
        return pb.IssueRulingResponse.FromString(answer)

    async def TakeUpCase(
        self, request: pb.TakeUpCaseRequest, context: Context
    ) -> pb.TakeUpCaseResponse:
        """Begin the review."""
        validate(request)
        call = self._call(request, context, "TakeUpCase")
        answer = await self._proceedings.take_up(call, _id_of(request.name))
        return pb.TakeUpCaseResponse.FromString(answer)

    async def ConveneCase(
        self, request: pb.ConveneCaseRequest, context: Context
    ) -> pb.ConveneCaseResponse:
        """Begin the conference."""
        validate(request)
        call = self._call(request, context, "ConveneCase")
        answer = await self._proceedings.convene(call, _id_of(request.name))
        return pb.ConveneCaseResponse.FromString(answer)

    async def CreateEntry(
        self, request: pb.CreateEntryRequest, context: Context
    ) -> pb.CreateEntryResponse:
        """Put something on record."""
        validate(request)
        call = self._call(request, context, "CreateEntry")
        answer = await self._proceedings.say(call, _id_of(request.name), saying_of_request(request))
        return pb.CreateEntryResponse.FromString(answer)

    async def OpenCase(self, request: pb.OpenCaseRequest, context: Context) -> pb.OpenCaseResponse:
        """Have a dispute of units decided."""
        validate(request)
        call = self._call(request, context, "OpenCase")
        wish = wish_of_request(request)
        if self._requests is None:
            raise ResourceNotFound(kind="ticket", name=request.ticket)
        return pb.OpenCaseResponse.FromString(await self._requests.open(call, wish))

    async def ListPrecedents(
        self, request: pb.ListPrecedentsRequest, context: Context
    ) -> pb.ListPrecedentsResponse:
        """Return the precedents of the caller's scope."""
        validate(request)
        scope = self._principal_of(context).authority
        found = await self._arbitration.casebook.listed(
            scope, limit=request.page_size or PAGE_SIZE_DEFAULT
        )
        return pb.ListPrecedentsResponse(precedents=[precedent_to_pb(item) for item in found])

    async def RevokePrecedent(
        self, request: pb.RevokePrecedentRequest, context: Context
    ) -> pb.RevokePrecedentResponse:
        """End a precedent."""
        validate(request)
        answer = await self._arbitration.casebook.revoke(
            self._call(request, context, "RevokePrecedent"),
            request.name.removeprefix("precedents/"),
            reason=request.reason,
            answer=revoked_to_bytes,
        )
        return pb.RevokePrecedentResponse.FromString(answer)

    def _call(self, request: Asking, context: Context, method: str) -> Call:
        return Call(
            principal=self._principal_of(context),
            method=method,
            request_id=request.request_id,
            body=request.SerializeToString(deterministic=True),
        )


def _id_of(name: str) -> str:
    return name.removeprefix("cases/")


def saying_of_request(request: pb.CreateEntryRequest) -> Saying:
    """Return what a request puts on record; the schema has checked its limits."""
    return Saying(
        kind=CaseEntryKind(request.kind),
        proposed=request.proposed_owner or None,
        legal_basis=request.legal_basis,
        attendees=tuple(request.attendees),
        evidence=tuple(request.evidence),
        upheld=request.upheld,
        words=request.words,
        party=request.party,
    )


def wish_of_request(request: pb.OpenCaseRequest) -> Wish:
    """Return what a request wants decided; the schema has checked its limits."""
    return Wish(
        ticket=TicketNumber(request.ticket.removeprefix("tickets/")),
        party=request.party,
        proposed=request.proposed_owner,
        ground=CaseGround(request.ground) or None,
        legal_basis=request.legal_basis,
        words=request.words,
    )
