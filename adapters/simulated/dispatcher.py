"""A simulated dispatcher at the triage desk, with a staff certificate and nothing but RPCs.

It does what only a person may do (`desk.next_act`), a moment after it saw the ticket, and accepts
offers that no rule decides. It keeps no position: a new process looks at everything again, and the
request ids are computed, so an act that was done before is answered with its first answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import grpc
import structlog

from adapters.kit.client import Client, request_id_of
from adapters.kit.status import is_transient
from adapters.kit.watcher import Change, Watcher
from adapters.simulated import desk
from gateway.kernel.errors import (
    CasePending,
    EtagMismatch,
    FieldInvalid,
    GuardViolated,
    LubiaoError,
    NotCustodian,
    ResourceNotFound,
    TransitionNotAllowed,
)
from hotline.arbitration.v1 import (
    arbitration_service_pb2,
    arbitration_service_pb2_grpc,
    case_pb2,
)
from hotline.custody.v1 import custody_pb2, custody_service_pb2
from hotline.ticket.v1 import ticket_pb2, ticket_service_pb2

TOKEN_FILE = "resume-token"  # noqa: S105 (a position in a stream, no secret)
TICK_SECONDS = 0.2
DISPUTE_WORDS = (
    "该事项属垂直管理，本级不能直接派单，请裁定；裁定前由现承办单位负责联系。（演示数据）"
)
INVITATIONS_SECONDS = 3.0
AT_ONCE_MAX = 8  # a desk has so many people
_OVERTAKEN = (TransitionNotAllowed, EtagMismatch, CasePending, NotCustodian, ResourceNotFound)
log = structlog.get_logger()


class SimulatedDispatcher:
    """The people at the desk of one authority."""

    def __init__(
        self,
        client: Client,
        *,
        folder: Path,
        authority: str,
        delay: timedelta,
        channel: grpc.aio.Channel,
        choices: Sequence[Mapping[str, str]] = (),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Work for `authority` through `client`, with what its people decide after a look."""
        self._client = client
        self._cases = arbitration_service_pb2_grpc.ArbitrationServiceStub(channel)
        self._authority = authority
        self._delay = delay.total_seconds()
        self._choices = choices
        self._now = now
        self._due: dict[str, float] = {}
        self._tried: dict[str, frozenset[int]] = {}
        (folder / TOKEN_FILE).unlink(missing_ok=True)
        self._watcher = Watcher(client, folder / TOKEN_FILE, self.handle)

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watcher.run(stopping))
            group.create_task(self._every(TICK_SECONDS, self.work, stopping))
            group.create_task(self._every(INVITATIONS_SECONDS, self.accept_invitations, stopping))

    async def handle(self, change: Change) -> None:
        """Put a ticket on the desk if there is something to do about it."""
        ticket = change.ticket
        if desk.next_act(ticket, self._choices, tried=self._tried_of(ticket)) is not None:
            self._due.setdefault(ticket.name, self._now() + self._delay)

    async def work(self) -> None:
        """Do what is due."""
        now = self._now()
        names = [name for name, due in self._due.items() if due <= now][:AT_ONCE_MAX]
        for name in names:
            del self._due[name]
        await asyncio.gather(*(self._work_on(name) for name in names))

    async def accept_invitations(self) -> None:
        """Accept the offers that wait for a person of this authority."""
        request = custody_service_pb2.ListTransfersRequest(parent="tickets/-")
        answer = await self._client.call(self._client.custody.ListTransfers, request)
        offered = custody_service_pb2.Transfer.STATE_OFFERED
        for transfer in answer.transfers:
            if transfer.target != self._authority or transfer.state != offered:
                continue
            accept = custody_service_pb2.AcceptTransferRequest(
                name=transfer.name, request_id=self._request_id("accept", transfer.name)
            )
            with contextlib.suppress(*_OVERTAKEN):
                await self._client.call(self._client.custody.AcceptTransfer, accept)

    async def _every(
        self, seconds: float, act: Callable[[], object], stopping: asyncio.Event
    ) -> None:
        while not stopping.is_set():
            try:
                done = act()
                assert asyncio.iscoroutine(done)
                await done
            except LubiaoError as error:
                if not is_transient(error):
                    raise
                log.info("dispatcher.waiting", reason=error.reason)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await stopping.wait()

    async def _work_on(self, name: str) -> None:
        """Do the next thing about one ticket, as it stands now."""
        try:
            answer = await self._client.call(
                self._client.tickets.GetTicket, ticket_service_pb2.GetTicketRequest(name=name)
            )
            ticket = answer.ticket
            act = desk.next_act(ticket, self._choices, tried=self._tried_of(ticket))
            if act is not None:
                await self._do(ticket, act)
        except _OVERTAKEN as error:
            # The ticket has moved on; a change that says so has come or follows.
            log.info("dispatcher.superseded", ticket=name, reason=error.reason)
        except LubiaoError as error:
            if not is_transient(error):
                raise
            self._due.setdefault(name, self._now() + self._delay)

    async def _do(self, ticket: ticket_pb2.Ticket, act: desk.Act) -> None:
        match act:
            case desk.RecordAnswer():
                await self._record_answer(ticket)
            case desk.Close():
                await self._close(ticket)
            case desk.Review(number, is_granted):
                await self._review(ticket, number, is_granted=is_granted)
            case desk.Extend(number):
                await self._extend(ticket, number)
            case desk.Transfer(target, number):
                await self._transfer(ticket, target, number)
            case desk.Assign(units, basis):
                await self._assign(ticket, units, basis)
            case desk.Dispute(unit, basis):
                await self._dispute(ticket, unit, basis)

    async def _record_answer(self, ticket: ticket_pb2.Ticket) -> None:
        request = ticket_service_pb2.ResolveTicketRequest(
            name=ticket.name,
            resolution=desk.answer_by_letter(),
            request_id=self._request_id("resolve", ticket.name),
        )
        await self._client.call(self._client.tickets.ResolveTicket, request)

    async def _close(self, ticket: ticket_pb2.Ticket) -> None:
        request = ticket_service_pb2.CloseTicketRequest(
            name=ticket.name,
            basis="外部转送已收到答复",
            request_id=self._request_id("close", ticket.name),
        )
        await self._client.call(self._client.tickets.CloseTicket, request)

    async def _review(self, ticket: ticket_pb2.Ticket, number: int, *, is_granted: bool) -> None:
        request = ticket_service_pb2.ReviewReturnRequest(
            name=ticket.name,
            return_number=number,
            granted=is_granted,
            basis="另有承办机构，同意退单" if is_granted else "退单依据不足，仍由原单位办理",
            request_id=self._request_id("review", ticket.name, str(number)),
        )
        await self._client.call(self._client.tickets.ReviewReturn, request)

    async def _extend(self, ticket: ticket_pb2.Ticket, number: int) -> None:
        request = ticket_service_pb2.ReviewExtensionRequest(
            name=ticket.name,
            extension_number=number,
            granted=True,
            citizen_told=True,
            basis="情况属实，同意延期并已告知诉求人",
            request_id=self._request_id("extend", ticket.name, str(number)),
        )
        await self._client.call(self._client.tickets.ReviewExtension, request)

    async def _transfer(self, ticket: ticket_pb2.Ticket, target: str, number: int) -> None:
        self._tried[ticket.name] = self._tried_of(ticket) | {number}
        request = custody_service_pb2.CreateTransferRequest(
            parent=ticket.name,
            target=target,
            reason=custody_pb2.OFFER_REASON_MANUAL,
            request_id=self._request_id("transfer", ticket.name, str(number)),
        )
        answer = await self._client.call(self._client.custody.CreateTransfer, request)
        if answer.case:
            log.info("dispatcher.case", ticket=ticket.name, case=answer.case)

    async def _assign(self, ticket: ticket_pb2.Ticket, units: Sequence[str], basis: str) -> None:
        for unit in units:
            request = ticket_service_pb2.AssignTicketRequest(
                name=ticket.name,
                unit=unit,
                basis=basis,
                request_id=self._request_id("assign", ticket.name, ticket.etag, unit),
            )
            try:
                await self._client.call(self._client.tickets.AssignTicket, request)
            except (FieldInvalid, GuardViolated) as error:
                log.info("dispatcher.no_unit", ticket=ticket.name, unit=unit, reason=error.reason)
                continue
            return

    async def _dispute(self, ticket: ticket_pb2.Ticket, unit: str, basis: str) -> None:
        request = arbitration_service_pb2.OpenCaseRequest(
            ticket=ticket.name,
            proposed_owner=unit,
            ground=case_pb2.Case.GROUND_VERTICAL,
            legal_basis=basis,
            words=DISPUTE_WORDS,
            request_id=self._request_id("dispute", ticket.name, unit),
        )
        await self._client.call(self._cases.OpenCase, request)

    def _tried_of(self, ticket: ticket_pb2.Ticket) -> frozenset[int]:
        return self._tried.get(ticket.name, frozenset())

    def _request_id(self, act: str, *parts: str) -> str:
        return request_id_of("dispatcher", self._authority, act, *parts)
