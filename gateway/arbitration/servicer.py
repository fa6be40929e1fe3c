"""ArbitrationService: requests in, messages out, nothing decided here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from gateway.arbitration.codec import case_to_pb, order_of_request
from gateway.arbitration.service import Arbitration
from gateway.kernel.time import Clock
from gateway.kernel.validation import validate
from gateway.trust.call import Call
from gateway.trust.principal import Principal
from hotline.arbitration.v1alpha1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1alpha1 import arbitration_service_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class ArbitrationServicer(pb_grpc.ArbitrationServiceServicer):
    """Cases for the staff of the arbiter and of the parties."""

    def __init__(
        self,
        *,
        arbitration: Arbitration,
        principal_of: Callable[[Context], Principal],
        clock: Clock,
    ) -> None:
        """`principal_of` gives the authenticated caller; `clock` is business time."""
        self._arbitration = arbitration
        self._principal_of = principal_of
        self._clock = clock

    async def GetCase(self, request: pb.GetCaseRequest, context: Context) -> pb.GetCaseResponse:
        """Return one case file."""
        validate(request)
        case = await self._arbitration.get(self._principal_of(context), _id_of(request.name))
        return pb.GetCaseResponse(case=case_to_pb(case, now=self._clock.now()))

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
        call = Call(
            principal=self._principal_of(context),
            method="IssueRuling",
            request_id=request.request_id,
            body=request.SerializeToString(deterministic=True),
        )
        answer = await self._arbitration.rule(
            call, _id_of(request.name), order_of_request(request), etag=request.etag
        )
        return pb.IssueRulingResponse.FromString(answer)


def _id_of(name: str) -> str:
    return name.removeprefix("cases/")
