"""Simulated rule staff: they read what rulings propose, and take a proposal to a rule in force.

An editor accepts a proposal, has the draft checked, and publishes it once it is approved; an
approver, who is another person with another certificate, approves. Then citizens write again: the
editor's folder may name sample messages, and a platform's inbox into which they go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta

import grpc
import structlog

from adapters.kit.client import Client, request_id_of
from adapters.kit.status import is_transient
from gateway.kernel.errors import LubiaoError
from hotline.arbitration.v1 import arbitration_service_pb2_grpc, proposal_pb2
from hotline.routing.v1 import publication_pb2, routing_service_pb2_grpc

CHECK_DEADLINE = timedelta(seconds=60)  # a check weighs a month of decisions
LOOK_SECONDS = 1.0
EDITOR, APPROVER = "editor", "approver"
REASON = "依裁定形成的规则（演示数据）"
log = structlog.get_logger()
State = publication_pb2.RulePackState


class SimulatedSteward:
    """One person of an authority's rule staff."""

    def __init__(
        self,
        client: Client,
        channel: grpc.aio.Channel,
        *,
        duty: str,
        in_force: Callable[[], None] = lambda: None,
    ) -> None:
        """Work as editor or approver; `in_force` is called when a proposed rule is in force."""
        self._client = client
        self._duty = duty
        self._in_force = in_force
        self._proposals = arbitration_service_pb2_grpc.ArbitrationServiceStub(channel)
        self._packs = routing_service_pb2_grpc.RoutingServiceStub(channel)
        self._done: set[str] = set()  # proposals that are rules in force, or nothing for this duty

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set."""
        while not stopping.is_set():
            try:
                await self.work()
            except LubiaoError as error:
                if is_transient(error):
                    log.info("steward.waiting", reason=error.reason)
                else:
                    log.warning("steward.refused", reason=error.reason, got=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await stopping.wait()

    async def work(self) -> None:
        """Take every proposal one step on."""
        listed = proposal_pb2.ListProposalsRequest()
        answer = await self._client.call(self._proposals.ListProposals, listed)
        for proposal in answer.proposals:
            if proposal.name in self._done:
                continue
            if proposal.state == proposal_pb2.RuleProposal.STATE_OPEN and self._duty == EDITOR:
                request = proposal_pb2.AcceptProposalRequest(
                    name=proposal.name, request_id=request_id_of("accept", proposal.name)
                )
                await self._client.call(
                    self._proposals.AcceptProposal, request, deadline=CHECK_DEADLINE
                )
            elif proposal.draft:
                await self._go_on(proposal)

    async def _go_on(self, proposal: proposal_pb2.RuleProposal) -> None:
        pb = publication_pb2
        name = proposal.draft
        parent = name.rpartition("/versions/")[0]
        versions = await self._client.call(
            self._packs.ListRulePackVersions, pb.ListRulePackVersionsRequest(parent=parent)
        )
        found = next((each for each in versions.versions if each.name == name), None)
        if found is None:
            return
        request_id = request_id_of("steward", self._duty, name, str(found.state))
        match found.state, self._duty:
            case State.RULE_PACK_STATE_DRAFT, "editor":
                check = pb.CheckRulePackRequest(name=name, request_id=request_id)
                await self._client.call(self._packs.CheckRulePack, check, deadline=CHECK_DEADLINE)
            case State.RULE_PACK_STATE_CHECKED, "approver":
                approval = pb.ApproveRulePackRequest(name=name, request_id=request_id)
                await self._client.call(self._packs.ApproveRulePack, approval)
            case State.RULE_PACK_STATE_APPROVED, "editor":
                publication = pb.PublishRulePackRequest(
                    name=name, reason=REASON, request_id=request_id
                )
                await self._client.call(
                    self._packs.PublishRulePack, publication, deadline=CHECK_DEADLINE
                )
            case ((State.RULE_PACK_STATE_ACTIVE | State.RULE_PACK_STATE_RETIRED), _):
                self._done.add(proposal.name)
                self._in_force()
            case _:
                pass  # the other person's turn
