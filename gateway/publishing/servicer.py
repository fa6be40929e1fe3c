"""RoutingService whole: what changes rules and speaks of misroutes, beside what reads and tries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import grpc

from gateway.checking.model import Finding
from gateway.database.uow import Database
from gateway.delivery.codec import instant_of_field, signed_from_pb
from gateway.kernel.codes import MisrouteReason, MisrouteResolution
from gateway.kernel.errors import FieldInvalid, StatementMalformed
from gateway.kernel.ids import TicketNumber
from gateway.kernel.time import Clock, Instant
from gateway.publishing.codec import (
    counts_to_pb,
    findings_to_pb,
    misroute_to_pb,
    version_to_pb,
)
from gateway.publishing.drafts import PAGE_SIZE, Drafts
from gateway.publishing.force import RulesInForce
from gateway.publishing.library import find_source
from gateway.publishing.misroutes import Complaint, Misroutes
from gateway.publishing.model import FINDINGS_SHOWN_MAX, Misroute, Version
from gateway.publishing.publisher import Publisher
from gateway.rehearsal.service import Rehearsal
from gateway.rehearsal.servicer import RehearsalServicer
from gateway.routing.codec import NAME_PREFIX, explanation_to_pb, facts_from_pb
from gateway.routing.service import RoutingService
from gateway.tickets.servicer import PrincipalOf
from gateway.tickets.tokens import Tokens
from gateway.trust.call import Call
from hotline.routing.v1 import publication_pb2 as pb
from hotline.routing.v1 import routing_service_pb2 as routing_pb

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What the servicer calls."""

    routing: RoutingService
    rehearsal: Rehearsal
    drafts: Drafts
    publisher: Publisher
    misroutes: Misroutes
    force: RulesInForce


class RulesServicer(RehearsalServicer):
    """Requests in, messages out, nothing decided here."""

    def __init__(
        self,
        rooms: Rooms,
        *,
        database: Database,
        tokens: Tokens,
        clock: Clock,
        principal_of: PrincipalOf,
    ) -> None:
        """Make the servicer; `clock` is business time."""
        super().__init__(rooms.routing, rehearsal=rooms.rehearsal, principal_of=principal_of)
        self._rooms = rooms
        self._database = database
        self._tokens = tokens
        self._clock = clock

    async def GetRulePack(
        self, request: routing_pb.GetRulePackRequest, context: Context
    ) -> routing_pb.GetRulePackResponse:
        """Return the version in force with its source, or any version that was written here."""
        if "/versions/" not in request.name:
            await self._rooms.force.ready()
            return await super().GetRulePack(request, context)
        async with self._database.unit() as uow:
            version = await self._rooms.drafts.resolve(uow, request.name)
            source = await find_source(uow, version.version)
        return routing_pb.GetRulePackResponse(
            rule_pack=routing_pb.RulePack(
                name=NAME_PREFIX + version.pack,
                version=version.version,
                owner=version.owner,
                title=version.title,
                rule_count=version.rule_count,
                source=(source or b"").decode(),
            )
        )

    async def ListRulePacks(
        self, request: routing_pb.ListRulePacksRequest, context: Context
    ) -> routing_pb.ListRulePacksResponse:
        """Return a page of the packs in force."""
        await self._rooms.force.ready()
        return await super().ListRulePacks(request, context)

    async def ExplainRoute(
        self, request: routing_pb.ExplainRouteRequest, context: Context
    ) -> routing_pb.ExplainRouteResponse:
        """Return what would be decided now, or was at another instant, and why."""
        if not request.HasField("decide_time"):
            await self._rooms.force.ready()
            return await super().ExplainRoute(request, context)
        now = instant_of_field(request.decide_time, field="decide_time")
        packs = await self._rooms.force.packs_at(now)
        decision = self._rooms.routing.decide(
            facts_from_pb(request.facts), authority=request.authority, now=now, packs=packs
        )
        return explanation_to_pb(decision)

    # --- the life of a version ------------------------------------------------------------------

    async def CreateRulePack(
        self, request: pb.CreateRulePackRequest, context: Context
    ) -> pb.CreateRulePackResponse:
        """Keep a draft."""
        answer = await self._rooms.drafts.create(
            self._call(request, context, "CreateRulePack"),
            pack=request.name.removeprefix(NAME_PREFIX),
            source=request.source.encode(),
            answer=lambda version: _bytes(
                pb.CreateRulePackResponse(version=version_to_pb(version))
            ),
        )
        return pb.CreateRulePackResponse.FromString(answer)

    async def CheckRulePack(
        self, request: pb.CheckRulePackRequest, context: Context
    ) -> pb.CheckRulePackResponse:
        """Check a version."""

        def shown(version: Version, findings: tuple[Finding, ...]) -> bytes:
            return _bytes(
                pb.CheckRulePackResponse(
                    version=version_to_pb(version),
                    findings=findings_to_pb(findings[:FINDINGS_SHOWN_MAX]),
                    finding_count=len(findings),
                )
            )

        call = self._call(request, context, "CheckRulePack")
        answer = await self._rooms.drafts.check(call, name=request.name, answer=shown)
        return pb.CheckRulePackResponse.FromString(answer)

    async def ApproveRulePack(
        self, request: pb.ApproveRulePackRequest, context: Context
    ) -> pb.ApproveRulePackResponse:
        """Approve a version as a second person."""
        answer = await self._rooms.drafts.approve(
            self._call(request, context, "ApproveRulePack"),
            name=request.name,
            etag=request.etag,
            answer=lambda version: _bytes(
                pb.ApproveRulePackResponse(version=version_to_pb(version))
            ),
        )
        return pb.ApproveRulePackResponse.FromString(answer)

    async def PublishRulePack(
        self, request: pb.PublishRulePackRequest, context: Context
    ) -> pb.PublishRulePackResponse:
        """Sign a version and bring it into force."""
        effective = None
        if request.HasField("effective_time"):
            effective = instant_of_field(request.effective_time, field="effective_time")
        answer = await self._rooms.publisher.publish(
            self._call(request, context, "PublishRulePack"),
            name=request.name,
            effective=effective,
            reason=request.reason,
            etag=request.etag,
            answer=lambda version: _bytes(
                pb.PublishRulePackResponse(version=version_to_pb(version))
            ),
        )
        return pb.PublishRulePackResponse.FromString(answer)

    async def RollbackRulePack(
        self, request: pb.RollbackRulePackRequest, context: Context
    ) -> pb.RollbackRulePackResponse:
        """Bring an earlier version into force again."""
        answer = await self._rooms.publisher.rollback(
            self._call(request, context, "RollbackRulePack"),
            pack=request.name.removeprefix(NAME_PREFIX),
            version=request.version,
            reason=request.reason,
            answer=lambda version: _bytes(
                pb.RollbackRulePackResponse(version=version_to_pb(version))
            ),
        )
        return pb.RollbackRulePackResponse.FromString(answer)

    async def RetireRulePack(
        self, request: pb.RetireRulePackRequest, context: Context
    ) -> pb.RetireRulePackResponse:
        """Take a pack out of force, or withdraw a version."""
        answer = await self._rooms.publisher.retire(
            self._call(request, context, "RetireRulePack"),
            name=request.name,
            reason=request.reason,
            answer=lambda version: _bytes(
                pb.RetireRulePackResponse(version=version_to_pb(version))
            ),
        )
        return pb.RetireRulePackResponse.FromString(answer)

    async def ImportRulePack(
        self, request: pb.ImportRulePackRequest, context: Context
    ) -> pb.ImportRulePackResponse:
        """Bring a pack of the nation into force, which the nation signed."""
        try:
            signed = signed_from_pb(request.publication)
        except StatementMalformed as error:
            raise FieldInvalid(
                field="publication", got=error.metadata["got"], expected=error.metadata["expected"]
            ) from error
        answer = await self._rooms.publisher.take_in(
            self._call(request, context, "ImportRulePack"),
            source=request.source.encode(),
            signed=signed,
            answer=lambda version: _bytes(
                pb.ImportRulePackResponse(version=version_to_pb(version))
            ),
        )
        return pb.ImportRulePackResponse.FromString(answer)

    async def ListRulePackVersions(
        self, request: pb.ListRulePackVersionsRequest, context: Context
    ) -> pb.ListRulePackVersionsResponse:
        """Return a page of versions, the newest first."""
        binding = (self.principal_of(context).name, "ListRulePackVersions", request.parent)
        before: tuple[Instant, str, str] | None = None
        if request.page_token:
            place = self._tokens.open(binding, request.page_token, field="page_token")
            time, pack, version = map(str, place)
            before = (datetime.fromisoformat(time), pack, version)
        size = request.page_size or PAGE_SIZE
        drafts = self._rooms.drafts
        async with self._database.unit() as uow:
            found = await drafts.newest(
                uow,
                pack=request.parent.removeprefix(NAME_PREFIX),
                before=before,
                limit=size + 1,
            )
            shown = [version_to_pb(each, await drafts.signed(uow, each)) for each in found[:size]]
        token = ""
        if len(found) > size:
            last = found[size - 1]
            token = self._tokens.issue(binding, last.created.isoformat(), last.pack, last.version)
        return pb.ListRulePackVersionsResponse(versions=shown, next_page_token=token)

    # --- misroutes ------------------------------------------------------------------------------

    async def ReportMisroute(
        self, request: pb.ReportMisrouteRequest, context: Context
    ) -> pb.ReportMisrouteResponse:
        """Report that a ticket came wrongly."""
        complaint = Complaint(
            ticket=TicketNumber(request.ticket.removeprefix("tickets/")),
            reason=MisrouteReason(request.reason),
            rule=request.rule,
            pack=request.pack,
            proposed_target=request.proposed_target,
            is_about_offer=request.offered,
        )
        if bool(request.rule) is not bool(request.pack):
            raise FieldInvalid(field="pack", got="one of rule and pack", expected="both, or none")
        answer = await self._rooms.misroutes.report(
            self._call(request, context, "ReportMisroute"),
            complaint,
            answer=lambda misroute, now: _bytes(
                pb.ReportMisrouteResponse(misroute=misroute_to_pb(misroute, now=now))
            ),
        )
        return pb.ReportMisrouteResponse.FromString(answer)

    async def ListMisroutes(
        self, request: pb.ListMisroutesRequest, context: Context
    ) -> pb.ListMisroutesResponse:
        """Return a page of reports of and to the caller's authority."""
        principal = self.principal_of(context)
        wish = f"{request.show_answered}{request.overdue_only}"
        binding = (principal.name, "ListMisroutes", wish)
        place: dict[str, Any] = {}
        if request.page_token:
            time, name = self._tokens.open(binding, request.page_token, field="page_token")
            place["after"] = (datetime.fromisoformat(str(time)), str(name))
        size, misroutes = request.page_size or PAGE_SIZE, self._rooms.misroutes
        async with self._database.unit() as uow:
            found = await misroutes.oldest(
                uow,
                authority=principal.authority,
                answered=request.show_answered,
                overdue=request.overdue_only,
                limit=size + 1,
                **place,
            )
            counts = (
                []
                if request.page_token
                else await misroutes.counts(uow, authority=principal.authority)
            )
        response = pb.ListMisroutesResponse(counts=counts_to_pb(counts))
        return self._page(found, size, binding, response)

    def _page(
        self,
        found: list[Misroute],
        size: int,
        binding: tuple[str, ...],
        response: pb.ListMisroutesResponse,
    ) -> pb.ListMisroutesResponse:
        now = self._clock.now()
        response.misroutes.extend(misroute_to_pb(each, now=now) for each in found[:size])
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = self._tokens.issue(
                binding, last.reported.isoformat(), last.misroute
            )
        return response

    async def AnswerMisroute(
        self, request: pb.AnswerMisrouteRequest, context: Context
    ) -> pb.AnswerMisrouteResponse:
        """Answer a report about one of the caller's rules."""
        answer = await self._rooms.misroutes.answer(
            self._call(request, context, "AnswerMisroute"),
            misroute=request.name.removeprefix("misroutes/"),
            resolution=MisrouteResolution(request.resolution),
            version=request.version,
            answer=lambda misroute, now: _bytes(
                pb.AnswerMisrouteResponse(misroute=misroute_to_pb(misroute, now=now))
            ),
        )
        return pb.AnswerMisrouteResponse.FromString(answer)

    def _call(self, request: Any, context: Context, method: str) -> Call:
        return Call(
            principal=self.principal_of(context),
            method=method,
            request_id=request.request_id,
            body=request.SerializeToString(deterministic=True),
        )


def _bytes(response: Any) -> bytes:
    return bytes(response.SerializeToString())
