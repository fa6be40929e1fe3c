"""The part of ArbitrationService about rules that rulings propose: nothing decided here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from gateway.arbitration.learning.codec import (
    accepted_to_bytes,
    declined_to_bytes,
    proposal_to_pb,
    state_of,
)
from gateway.arbitration.learning.proposals import Proposals
from gateway.kernel.errors import ResourceNotFound
from gateway.kernel.validation import validate
from gateway.trust.call import Call
from gateway.trust.principal import Principal
from hotline.arbitration.v1 import arbitration_service_pb2_grpc as pb_grpc
from hotline.arbitration.v1 import proposal_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class ProposalServicer(pb_grpc.ArbitrationServiceServicer):
    """Proposals for the rule staff and the panel; a node without rules of its own has none."""

    def __init__(
        self, *, proposals: Proposals | None, principal_of: Callable[[Context], Principal]
    ) -> None:
        """`principal_of` gives the authenticated caller."""
        self._proposals = proposals
        self._principal_of = principal_of

    async def ListProposals(
        self, request: pb.ListProposalsRequest, context: Context
    ) -> pb.ListProposalsResponse:
        """Return a page of the caller's authority."""
        validate(request)
        if self._proposals is None:
            return pb.ListProposalsResponse()
        found, token = await self._proposals.page(
            self._principal_of(context),
            page_size=request.page_size,
            page_token=request.page_token,
            state=state_of(request.state),
        )
        return pb.ListProposalsResponse(
            proposals=[proposal_to_pb(row) for row in found], next_page_token=token
        )

    async def GetProposal(
        self, request: pb.GetProposalRequest, context: Context
    ) -> pb.GetProposalResponse:
        """Return one with its evidence."""
        validate(request)
        proposals = self._known(request.name)
        row = await proposals.get(self._principal_of(context), _id_of(request.name))
        return pb.GetProposalResponse(proposal=proposal_to_pb(row, whole=True))

    async def AcceptProposal(
        self, request: pb.AcceptProposalRequest, context: Context
    ) -> pb.AcceptProposalResponse:
        """Make a draft of it."""
        validate(request)
        answer = await self._known(request.name).accept(
            self._asked(request, context, "AcceptProposal"),
            _id_of(request.name),
            etag=request.etag,
            answer=accepted_to_bytes,
        )
        return pb.AcceptProposalResponse.FromString(answer)

    async def DeclineProposal(
        self, request: pb.DeclineProposalRequest, context: Context
    ) -> pb.DeclineProposalResponse:
        """Say why it shall be no rule."""
        validate(request)
        answer = await self._known(request.name).decline(
            self._asked(request, context, "DeclineProposal"),
            _id_of(request.name),
            reason=request.reason,
            answer=declined_to_bytes,
        )
        return pb.DeclineProposalResponse.FromString(answer)

    def _known(self, name: str) -> Proposals:
        if self._proposals is None:
            raise ResourceNotFound(kind="proposal", name=name)
        return self._proposals

    def _asked(
        self,
        request: pb.AcceptProposalRequest | pb.DeclineProposalRequest,
        context: Context,
        method: str,
    ) -> Call:
        return Call(
            principal=self._principal_of(context),
            method=method,
            request_id=request.request_id,
            body=request.SerializeToString(deterministic=True),
        )


def _id_of(name: str) -> str:
    return name.removeprefix("proposals/")
