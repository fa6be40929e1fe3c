"""AggregateService: the edge where a province's staff see and push reports. Boring on purpose."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import grpc

from gateway.aggregates import machine
from gateway.aggregates.codec import pushed_to_pb
from gateway.aggregates.model import MICRO, Actor, Balance, Preview, Refused, error_bar, variance
from gateway.aggregates.service import Reports
from gateway.aggregates.store import BEYOND, BudgetRow
from gateway.database.idempotency import Request, find_answer, remember
from gateway.delivery.codec import instant_to_pb
from gateway.kernel.errors import BudgetExceeded, PeerNotAllowed, ResourceNotFound
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.tickets.tokens import Tokens
from gateway.trust.principal import Principal, Role
from hotline.aggregate.v1alpha1 import aggregate_service_pb2 as pb
from hotline.aggregate.v1alpha1 import aggregate_service_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]
PAGE_SIZE = 50


class AggregateServicer(pb_grpc.AggregateServiceServicer):
    """Preview, push and ledger for the staff of a province."""

    def __init__(
        self,
        *,
        reports: Reports,
        tokens: Tokens,
        principal_of: Callable[[Context], Principal],
    ) -> None:
        """Make the servicer."""
        self._reports = reports
        self._tokens = tokens
        self._principal_of = principal_of

    async def PreviewReport(
        self, request: pb.PreviewReportRequest, context: Context
    ) -> pb.PreviewReportResponse:
        """Show what would leave for a day."""
        principal = self._principal_of(context)
        now = self._reports.clock.now()
        preview = await self._reports.preview(
            province=_province(principal),
            day=request.day or machine.today(now),
            actor=_actor(principal),
            now=now,
        )
        return _preview_to_pb(preview)

    async def PushReport(
        self, request: pb.PushReportRequest, context: Context
    ) -> pb.PushReportResponse:
        """Push the report of a closed day."""
        principal = self._principal_of(context)
        province, now = _province(principal), self._reports.clock.now()
        # Not by `Once`: a refusal is a line of the budget that stays, and no answer to keep.
        known = Request(
            principal=principal.name,
            request_id=request.request_id,
            method="PushReport",
            body_digest=hashlib.sha256(request.SerializeToString(deterministic=True)).digest(),
        )
        async with self._reports.database.unit() as uow:
            stored = await find_answer(uow, known)
            if stored is not None:
                return pb.PushReportResponse.FromString(stored)
            outcome = await self._reports.push(
                uow,
                province=province,
                day=request.day,
                actor=_actor(principal),
                now=now,
            )
            if not isinstance(outcome, Refused):
                response = pb.PushReportResponse(
                    report=pushed_to_pb(outcome), repeated=outcome.repeated
                )
                remember(uow, known, response=response.SerializeToString(), now=now)
                return response
        # The refusal is committed by now: it stands in the budget.
        raise BudgetExceeded(
            budget=f"{province} {outcome.budget}",
            got=_epsilon(outcome.needed_micro),
            expected=_epsilon(outcome.left_micro),
        )

    async def GetReport(
        self, request: pb.GetReportRequest, context: Context
    ) -> pb.GetReportResponse:
        """Return one report."""
        province = _province(self._principal_of(context))
        code, _, day = request.name.removeprefix("reports/").partition("-")
        if code != province:
            raise ResourceNotFound(kind="report", name=request.name)
        async with self._reports.database.unit() as uow:
            found = await self._reports.get(uow, province, int(day))
        return pb.GetReportResponse(report=pushed_to_pb(found))

    async def ListReports(
        self, request: pb.ListReportsRequest, context: Context
    ) -> pb.ListReportsResponse:
        """List reports, newest first."""
        province = _province(self._principal_of(context))
        size, binding = request.page_size or PAGE_SIZE, (province, "reports")
        before = self._opened(binding, request.page_token)
        async with self._reports.database.unit() as uow:
            page = await self._reports.newest(uow, province, before=before, limit=size)
        token = ""
        if len(page) == size:
            token = self._tokens.issue(binding, page[-1].report.sequence)
        return pb.ListReportsResponse(reports=map(pushed_to_pb, page), next_page_token=token)

    async def ListBudgetEntries(
        self, request: pb.ListBudgetEntriesRequest, context: Context
    ) -> pb.ListBudgetEntriesResponse:
        """List the lines of the budget, newest first, with the balances."""
        province = _province(self._principal_of(context))
        size, binding = request.page_size or PAGE_SIZE, (province, "budgetEntries")
        before, now = self._opened(binding, request.page_token), self._reports.clock.now()
        async with self._reports.database.unit() as uow:
            page = await self._reports.budget(uow, province, before=before, limit=size)
            balances = await self._reports.balances(uow, province, now=now)
        token = self._tokens.issue(binding, page[-1].position) if len(page) == size else ""
        return pb.ListBudgetEntriesResponse(
            budget_entries=map(_entry_to_pb, page),
            next_page_token=token,
            balances=map(_balance_to_pb, balances),
        )

    def _opened(self, binding: tuple[str, ...], token: str) -> int:
        if not token:
            return BEYOND
        [before] = self._tokens.open(binding, token, field="page_token")
        return int(before)


def _province(principal: Principal) -> AuthorityCode:
    """Return the caller's province: the figures of a province are its own staff's."""
    code = principal.authority
    if code == NATION or not code.endswith("0000"):
        raise PeerNotAllowed(
            principal=principal.name, got=f"authority {code}", expected="staff of a province"
        )
    return code


def _actor(principal: Principal) -> Actor:
    """Return who asks, in the role that the matrix asks for."""
    role = Role.SUPERVISOR if principal.has_role(Role.SUPERVISOR) else Role.DISPATCHER
    return Actor(principal.name, role.value)


def _epsilon(micro: int) -> str:
    return f"ε {micro / MICRO:g}"


def _preview_to_pb(preview: Preview) -> pb.PreviewReportResponse:
    policy = preview.policy
    message = pb.PreviewReportResponse(
        province=preview.province,
        day=preview.day,
        closed=preview.closed,
        epsilon_micro=policy.epsilon_micro,
        threshold=policy.threshold,
        error_bar=error_bar(variance(policy.epsilon_micro)),
        cells=[
            pb.PreviewCell(
                matter=cell.matter,
                matter_name=cell.name,
                exact_count=cell.exact,
                example_count=cell.example,
                example_suppressed=cell.is_example_suppressed,
                suppression_per_mille=cell.suppression_per_mille,
            )
            for cell in preview.cells
        ],
    )
    if preview.pushed is not None:
        message.pushed.CopyFrom(pushed_to_pb(preview.pushed))
    return message


def _entry_to_pb(row: BudgetRow) -> pb.BudgetEntry:
    return pb.BudgetEntry(
        name=f"budgetEntries/{row.position}",
        day=row.day,
        epsilon_micro=row.epsilon_micro,
        outcome=pb.BudgetEntry.Outcome.Value(f"OUTCOME_{row.outcome}"),
        actor=row.actor,
        record_time=instant_to_pb(row.recorded),
    )


def _balance_to_pb(balance: Balance) -> pb.BudgetBalance:
    return pb.BudgetBalance(
        period=balance.period,
        budget_micro=balance.budget_micro,
        spent_micro=balance.spent_micro,
    )
