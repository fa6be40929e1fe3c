"""Reading the nodes: every copy of every ticket, through their RPCs, with staff certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import Self

import grpc

from gateway.cli.demo.disputes import CaseFile
from gateway.cli.demo.judge import Copy
from gateway.cli.demo.proposed import ProposedRule
from gateway.server.client import CertificateFolder, open_channel
from hotline.arbitration.v1 import arbitration_service_pb2 as arbitration_pb
from hotline.arbitration.v1 import arbitration_service_pb2_grpc as arbitration_grpc
from hotline.arbitration.v1 import case_pb2, proposal_pb2
from hotline.custody.v1 import custody_pb2
from hotline.routing.v1 import publication_pb2, routing_service_pb2_grpc
from hotline.ticket.v1 import codes_pb2, ticket_pb2, ticket_service_pb2, ticket_service_pb2_grpc

DEADLINE = timedelta(seconds=10)
PAGE_SIZE = 100  # of 500: a node renders a page within the deadline on a busy machine
OPEN_STATES = ("RECEIVED", "DISPATCHED", "HANDLING", "RESOLVED", "REOPENED")


class Observer:
    """Staff of every authority, who look at the tickets there."""

    def __init__(
        self,
        watches: Mapping[str, tuple[str, str, Path]],
        *,
        arbiters: Mapping[str, tuple[str, Path]] | None = None,
        stewards: Sequence[str] = (),
    ) -> None:
        """Take per authority: node, endpoint, folder with a staff certificate; then arbiters.

        `stewards` are authorities of the first whose rule staff gets proposals.
        """
        self._stewards = tuple(stewards)
        self._nodes = {code: node for code, (node, _, _) in watches.items()}
        self._channels = {
            code: staff_channel(endpoint, folder) for code, (_, endpoint, folder) in watches.items()
        }
        self._arbiters = {
            code: self._channels.get(code) or staff_channel(endpoint, folder)
            for code, (endpoint, folder) in (arbiters or {}).items()
        }
        self._sheets: dict[tuple[str, str], bool] = {}  # by ticket and etag: content never changes

    async def __aenter__(self) -> Self:
        """Enter; channels connect when they are used."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the channels."""
        for channel in {*self._channels.values(), *self._arbiters.values()}:
            await channel.close()

    async def copies(self) -> list[Copy]:
        """Return every copy at every authority.

        Raises:
            grpc.aio.AioRpcError: a node does not answer.
        """
        lists = await asyncio.gather(*(self._copies_at(code) for code in self._channels))
        return [copy for found in lists for copy in found]

    async def is_busy(self, *, least: int) -> bool:
        """Tell whether some authority still works on `least` tickets or more in one state.

        Cheap where reading everything is not: nodes render so many tickets at most.

        Raises:
            grpc.aio.AioRpcError: a node does not answer.
        """
        for authority in self._channels:
            for state in OPEN_STATES:
                filter_text = f'state = "{state}" AND followed = false'
                page = await self._page(authority, "", size=least, filter_text=filter_text)
                if len(page.tickets) >= least:
                    return True
        return False

    async def case_files(self) -> list[CaseFile]:
        """Return every dispute at the arbiters.

        Raises:
            grpc.aio.AioRpcError: a node does not answer.
        """
        found: list[CaseFile] = []
        for authority, channel in self._arbiters.items():
            stub = arbitration_grpc.ArbitrationServiceStub(channel)
            token = ""
            while True:
                request = arbitration_pb.ListCasesRequest(page_size=PAGE_SIZE, page_token=token)
                page = await stub.ListCases(request, timeout=DEADLINE.total_seconds())
                found += [case_file_of(case) for case in page.cases if case.scope == authority]
                token = page.next_page_token
                if not token:
                    break
        return found

    async def proposed_rules(self) -> list[ProposedRule]:
        """Return every rule that a ruling proposed, with what became of it.

        Raises:
            grpc.aio.AioRpcError: a node does not answer.
        """
        found: list[ProposedRule] = []
        for authority in self._stewards:
            channel = self._channels[authority]
            proposals = arbitration_grpc.ArbitrationServiceStub(channel)
            packs = routing_service_pb2_grpc.RoutingServiceStub(channel)
            listed = await proposals.ListProposals(
                proposal_pb2.ListProposalsRequest(), timeout=DEADLINE.total_seconds()
            )
            for proposal in listed.proposals:
                state = ""
                if proposal.draft:
                    parent = proposal.draft.rpartition("/versions/")[0]
                    request = publication_pb2.ListRulePackVersionsRequest(parent=parent)
                    versions = await packs.ListRulePackVersions(
                        request, timeout=DEADLINE.total_seconds()
                    )
                    states = {each.name: each.state for each in versions.versions}
                    number = states.get(proposal.draft, publication_pb2.RULE_PACK_STATE_UNSPECIFIED)
                    name = publication_pb2.RulePackState.Name(number)
                    state = _short(name, "RULE_PACK_STATE_")
                found.append(proposed_rule_of(proposal, version=state))
        return found

    async def is_up(self, authority: str) -> bool:
        """Tell whether the node of an authority answers."""
        try:
            await self._page(authority, "")
        except grpc.aio.AioRpcError as error:
            lost = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            if error.code() in lost:
                return False
            raise
        return True

    async def _copies_at(self, authority: str) -> list[Copy]:
        stub = ticket_service_pb2_grpc.TicketServiceStub(self._channels[authority])
        found: list[Copy] = []
        token = ""
        while True:
            page = await self._page(authority, token)
            for listed in page.tickets:
                copy = copy_of(listed, authority=authority, node=self._nodes[authority])
                if listed.HasField("external_referral"):
                    copy = replace(copy, has_sheet=await self._has_sheet(stub, listed))
                found.append(copy)
            token = page.next_page_token
            if not token:
                return found

    async def _has_sheet(
        self, stub: ticket_service_pb2_grpc.TicketServiceAsyncStub, listed: ticket_pb2.Ticket
    ) -> bool:
        """Tell whether a hand-over sheet was made out; a list does not show content."""
        key = (listed.name, listed.etag)
        if key not in self._sheets:
            request = ticket_service_pb2.GetTicketRequest(name=listed.name)
            answer = await stub.GetTicket(request, timeout=DEADLINE.total_seconds())
            self._sheets[key] = bool(answer.ticket.external_referral.sheet)
        return self._sheets[key]

    async def _page(
        self, authority: str, token: str, *, size: int = PAGE_SIZE, filter_text: str = ""
    ) -> ticket_service_pb2.ListTicketsResponse:
        stub = ticket_service_pb2_grpc.TicketServiceStub(self._channels[authority])
        request = ticket_service_pb2.ListTicketsRequest(
            page_size=size, page_token=token, filter=filter_text
        )
        return await stub.ListTickets(request, timeout=DEADLINE.total_seconds())


def staff_channel(endpoint: str, certificates: Path) -> grpc.aio.Channel:
    """Return a mutual-TLS channel with the certificate of a folder."""
    return open_channel(endpoint, CertificateFolder.load(certificates).channel_credentials())


def copy_of(ticket: ticket_pb2.Ticket, *, authority: str, node: str) -> Copy:
    """Return what the judge needs of a ticket."""
    active = [
        item
        for item in ticket.assignments
        if item.state != ticket_pb2.Assignment.STATE_REASSIGNED
        and item.role in {codes_pb2.ASSIGNMENT_ROLE_UNSPECIFIED, codes_pb2.ASSIGNMENT_ROLE_LEAD}
    ]
    referral = ticket.external_referral
    return Copy(
        number=ticket.name.removeprefix("tickets/"),
        authority=ticket.authority or authority,
        node=node,
        origin=ticket.origin,
        platform=ticket.platform,
        external_id=ticket.external_id,
        is_followed=ticket.followed,
        state=_short(ticket_pb2.Ticket.State.Name(ticket.state), "STATE_"),
        custodian=ticket.custody.custodian,
        path=tuple(ticket.custody.path),
        case=ticket.custody.case,
        action=_short(ticket_pb2.RouteDecision.Action.Name(ticket.decision.action), "ACTION_"),
        rule=ticket.decision.rule,
        unit=active[-1].unit.removeprefix("units/") if active else "",
        units=tuple(item.unit.removeprefix("units/") for item in ticket.assignments),
        unit_name=active[-1].unit_name if active else "",
        region=ticket.resolved_region,
        is_rated=ticket.rating.satisfaction != codes_pb2.SATISFACTION_UNSPECIFIED,
        is_overdue=ticket.overdue,
        line=_line(ticket),
        referred_to=referral.region,
        has_sheet=bool(referral.sheet),
        has_answer=referral.HasField("answer_time"),
        parent=ticket.parent.removeprefix("tickets/"),
        purpose=_short(codes_pb2.TicketPurpose.Name(ticket.purpose), "TICKET_PURPOSE_"),
        is_provisional=ticket.due_provisional,
        is_secret=ticket.secrecy_required,
        asked=len(ticket.information_requests),
        answered=sum(item.HasField("answer_time") for item in ticket.information_requests),
        explanation=ticket.decision.explanation,
        named=tuple(
            (item.unit.removeprefix("units/"), item.unit_name) for item in ticket.assignments
        ),
        requests=tuple(
            (
                item.unit.removeprefix("units/"),
                item.bound_unit.removeprefix("units/"),
                _short(ticket_pb2.UnitRequest.State.Name(item.state), "STATE_"),
            )
            for item in ticket.unit_requests
        ),
    )


def case_file_of(case: case_pb2.Case) -> CaseFile:
    """Return what the judge needs of a dispute."""
    interim = custody_pb2.Ruling.KIND_INTERIM
    named = [item.target for item in case.rulings if item.kind == interim]
    proper = [item for item in case.rulings if item.kind != interim]
    newest = proper[-1] if proper else None
    kinds = [entry.kind for entry in case.entries]
    return CaseFile(
        ticket=case.ticket,
        state=_short(case_pb2.Case.State.Name(case.state), "STATE_"),
        cause=case.cause,
        ruling=_short(custody_pb2.Ruling.Kind.Name(newest.kind), "KIND_") if newest else "",
        target=newest.target if newest else "",
        case=case.name.removeprefix("cases/"),
        scope=case.scope,
        level=_short(case_pb2.Case.Level.Name(case.level), "LEVEL_"),
        form=_short(case_pb2.CaseRuling.Form.Name(newest.form), "FORM_") if newest else "",
        parts=tuple(part.party for part in newest.parts) if newest else (),
        interim=named[0] if named else "",
        positions=kinds.count(case_pb2.CaseEntry.KIND_POSITION),
        minutes=case_pb2.CaseEntry.KIND_MINUTES in kinds,
        filed=case.file_time.ToDatetime(tzinfo=UTC),
        named=case.rulings[0].issue_time.ToDatetime(tzinfo=UTC) if case.rulings else None,
        ruled=newest.issue_time.ToDatetime(tzinfo=UTC) if newest else None,
    )


def proposed_rule_of(proposal: proposal_pb2.RuleProposal, *, version: str) -> ProposedRule:
    """Return what is shown of a proposal; `version` is the state of what came of it."""
    return ProposedRule(
        case=proposal.case.removeprefix("cases/"),
        rule=proposal.rule,
        pack=proposal.pack,
        text=proposal.text,
        state=_short(proposal_pb2.RuleProposal.State.Name(proposal.state), "STATE_"),
        version=version,
        examined=proposal.examined_count,
        moved=proposal.moved_count,
        obstacle=proposal.obstacle,
    )


def _line(ticket: ticket_pb2.Ticket) -> str:
    if not ticket.HasField("emergency_referral"):
        return ""
    name = codes_pb2.EmergencyLine.Name(ticket.emergency_referral.line)
    return _short(name, "EMERGENCY_LINE_")


def _short(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)
