"""What callers of a node see over real mutual TLS."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.kernel.errors import (
    BatchTooLarge,
    DeadlineTooShort,
    FieldInvalid,
    InvariantViolated,
    LubiaoError,
    NodeDraining,
    NotCustodian,
    PeerNotAllowed,
    QuotaExceeded,
    RoleMissing,
)
from gateway.server.context import current_call, principal_of
from gateway.server.status import DETAILS_KEY, from_status
from gateway.server.traffic import Quota
from gateway.trust.certificates import CertificateAuthority
from gateway.trust.principal import Principal, Role
from hotline.federation.v1 import federation_service_pb2 as federation_pb
from hotline.federation.v1 import federation_service_pb2_grpc as federation_grpc
from hotline.ticket.v1 import ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as ticket_pb
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc
from tests.integration.server.builders import CLOCK, FakeFederation, a_node, a_ticket_servicer

pytestmark = pytest.mark.integration
NAME = "tickets/12000020260302000000017"
REQUEST_ID = "0198c0de-0000-7000-8000-000000000001"


async def error_of_roster(channel: grpc.aio.Channel) -> LubiaoError:
    """Call GetRoster, which must fail, and return the typed error."""
    stub = federation_grpc.FederationServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.GetRoster(federation_pb.GetRosterRequest(), timeout=5)
    error = from_status(failure.value)
    assert error is not None
    return error


async def get_ticket(channel: grpc.aio.Channel) -> Any:
    stub = ticket_grpc.TicketServiceStub(channel)
    return await stub.GetTicket(ticket_pb.GetTicketRequest(name=NAME), timeout=5)


async def error_of_assigning(channel: grpc.aio.Channel) -> LubiaoError:
    stub = ticket_grpc.TicketServiceStub(channel)
    request = ticket_pb.AssignTicketRequest(
        name=NAME, unit="units/130000-DESK-1", basis="职责清单", request_id=REQUEST_ID
    )
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.AssignTicket(request, timeout=5)
    error = from_status(failure.value)
    assert error is not None
    return error


async def test_a_servicer_learns_who_calls_and_the_ids_of_the_call(tmp_path: Path) -> None:
    seen = []

    async def remember(context: Any) -> None:
        seen.append((principal_of(context), current_call()))

    async with a_node(tmp_path, federation=FakeFederation(remember)) as node:
        stub = federation_grpc.FederationServiceStub(node.staff(Role.CLERK))
        call = stub.GetRoster(
            federation_pb.GetRosterRequest(), timeout=5, metadata=(("x-request-id", "abc-1"),)
        )
        await call
        trailers = dict(await call.trailing_metadata())
    principal, known = seen[0]
    assert principal.name == "lubiao://130000/staff/p1"
    assert principal.roles == {Role.CLERK}
    assert known.request_id == trailers["x-request-id"] == "abc-1"
    assert known.time_left < timedelta(seconds=5)


async def test_a_certificate_of_an_unknown_ca_does_not_get_through_tls(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        foreign = CertificateAuthority.create(tmp_path / "x", "130000", now=CLOCK.now())
        channel = node.channel(foreign.issue_platform("lf", now=CLOCK.now()))
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await get_ticket(channel)
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_revoked_shape_of_caller_is_refused_by_kind(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await get_ticket(node.peer())
        error = from_status(failure.value)
    assert isinstance(error, PeerNotAllowed)
    assert error.metadata["got"] == "a node"


async def test_staff_of_an_authority_that_lives_elsewhere_is_refused(tmp_path: Path) -> None:
    async with a_node(tmp_path, hosted=frozenset({"120000"})) as node:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await get_ticket(node.staff(Role.CLERK))
        assert isinstance(from_status(failure.value), PeerNotAllowed)


async def test_a_role_that_may_not_is_told_which_roles_may(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        error = await error_of_assigning(node.staff(Role.HANDLER))
    assert isinstance(error, RoleMissing)
    assert "dispatcher" in error.metadata["expected"]


async def test_hired_staff_never_judges_dispatch(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        error = await error_of_assigning(node.staff(Role.DISPATCHER, outsourced=True))
    assert isinstance(error, RoleMissing)
    assert "outsourced" in error.metadata["got"]


async def test_a_deadline_that_leaves_too_little_is_refused_before_the_work(tmp_path: Path) -> None:
    async def never(request: Any) -> Any:
        raise AssertionError

    tickets = a_ticket_servicer(BatchCreateTickets=never)
    async with a_node(tmp_path, tickets=tickets) as node:
        stub = ticket_grpc.TicketServiceStub(node.platform())
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stub.BatchCreateTickets(ticket_pb.BatchCreateTicketsRequest(), timeout=0.9)
        error = from_status(failure.value)
    assert isinstance(error, DeadlineTooShort)


async def test_work_that_outlasts_its_deadline_ends_with_a_typed_error(tmp_path: Path) -> None:
    async def stuck(context: Any) -> None:
        await asyncio.Event().wait()

    async with a_node(tmp_path, federation=FakeFederation(stuck)) as node:
        stub = federation_grpc.FederationServiceStub(node.peer())
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stub.GetRoster(federation_pb.GetRosterRequest(), timeout=0.5)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_without_a_deadline_the_default_of_the_matrix_bounds_the_work(tmp_path: Path) -> None:
    seen = []

    async def remember(context: Any) -> None:
        seen.append(current_call().time_left)

    async with a_node(tmp_path, federation=FakeFederation(remember)) as node:
        stub = federation_grpc.FederationServiceStub(node.peer())
        await stub.GetRoster(federation_pb.GetRosterRequest())
    assert seen == [timedelta(seconds=10)]


async def test_a_typed_error_arrives_whole_with_its_chinese_text(tmp_path: Path) -> None:
    raised = NotCustodian(
        ticket="1", holding="RELEASED", event="ResolveTicket", custodian="120000", hint="ask them"
    )

    async def refuse(context: Any) -> None:
        raise raised

    async with a_node(tmp_path, federation=FakeFederation(refuse)) as node:
        stub = federation_grpc.FederationServiceStub(node.peer())
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stub.GetRoster(federation_pb.GetRosterRequest(), timeout=5)
    error = from_status(failure.value)
    assert isinstance(error, NotCustodian)
    assert error.text() == raised.text()
    assert failure.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    trailers = dict(failure.value.trailing_metadata() or ())
    status = status_pb2.Status()
    raw = trailers[DETAILS_KEY]
    assert isinstance(raw, bytes)
    status.ParseFromString(raw)
    text = error_details_pb2.LocalizedMessage()
    assert any(detail.Unpack(text) for detail in status.details)
    assert (text.locale, text.message) == ("zh-CN", raised.chinese_text())
    assert trailers["x-request-id"]


async def test_a_defect_tells_the_caller_nothing_about_itself(tmp_path: Path) -> None:
    async def fail(context: Any) -> None:
        raise ValueError("the caller's phone is 13900000000")

    async with a_node(tmp_path, federation=FakeFederation(fail)) as node:
        error = await error_of_roster(node.peer())
    assert isinstance(error, InvariantViolated)
    assert "139" not in error.text() + str(error.metadata)


async def test_a_request_beyond_the_limits_of_the_schema_names_every_field(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        stub = ticket_grpc.TicketServiceStub(node.platform())
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stub.AcknowledgeTicket(ticket_pb.AcknowledgeTicketRequest(), timeout=5)
    error = from_status(failure.value)
    assert isinstance(error, FieldInvalid)
    assert {field for field, _ in error.violations} == {"name", "external_id", "request_id"}


async def error_of_creating(channel: grpc.aio.Channel, *, size: int) -> grpc.aio.AioRpcError:
    stub = ticket_grpc.TicketServiceStub(channel)
    ticket = ticket_pb2.Ticket(external_id="x" * size)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.CreateTicket(ticket_pb.CreateTicketRequest(ticket=ticket), timeout=5)
    return failure.value


async def test_an_oversized_request_is_told_its_size_and_the_bound(tmp_path: Path) -> None:
    async with a_node(tmp_path, request_bytes_max=65_536) as node:
        failure = await error_of_creating(node.platform(), size=70_000)
    error = from_status(failure)
    assert isinstance(error, BatchTooLarge)
    assert error.metadata["got"].endswith(" bytes")
    assert error.metadata["expected"] == "65536 bytes"


async def test_a_request_of_many_times_the_bound_is_not_even_read(tmp_path: Path) -> None:
    async with a_node(tmp_path, request_bytes_max=65_536) as node:
        failure = await error_of_creating(node.platform(), size=300_000)
    assert failure.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert from_status(failure) is None


async def test_one_principal_cannot_hold_more_than_its_quota(tmp_path: Path) -> None:
    release = asyncio.Event()
    servicer = FakeFederation(lambda context: release.wait())
    async with a_node(tmp_path, federation=servicer, quota=Quota(calls_max=1)) as node:
        channel, other = node.peer(), node.staff(Role.CLERK)
        stub = federation_grpc.FederationServiceStub(channel)
        first = asyncio.ensure_future(stub.GetRoster(federation_pb.GetRosterRequest(), timeout=5))
        await servicer.began.wait()
        error = await error_of_roster(channel)
        release.set()
        await first
        await federation_grpc.FederationServiceStub(other).GetRoster(
            federation_pb.GetRosterRequest(), timeout=5
        )
        await stub.GetRoster(federation_pb.GetRosterRequest(), timeout=5)
    assert isinstance(error, QuotaExceeded)
    assert error.retry_delay is not None


async def test_a_draining_node_finishes_what_it_began_and_begins_nothing(tmp_path: Path) -> None:
    release = asyncio.Event()
    servicer = FakeFederation(lambda context: release.wait())
    async with a_node(tmp_path, federation=servicer) as node:
        channel = node.peer()
        stub = federation_grpc.FederationServiceStub(channel)
        watch = stub.WatchRoster(federation_pb.WatchRosterRequest())
        await watch.read()
        begun = asyncio.ensure_future(stub.GetRoster(federation_pb.GetRosterRequest(), timeout=9))
        await servicer.began.wait()
        drain = asyncio.create_task(node.server.drain(within=timedelta(seconds=9)))
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await watch.read()
        refused = await error_of_roster(channel)
        health = await health_of(channel, "")
        release.set()
        await begun
        assert await drain
    assert isinstance(from_status(ended.value), NodeDraining)
    assert isinstance(refused, NodeDraining)
    assert health == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_drain_does_not_wait_for_ever(tmp_path: Path) -> None:
    servicer = FakeFederation(lambda context: asyncio.Event().wait())
    async with a_node(tmp_path, federation=servicer) as node:
        stub = federation_grpc.FederationServiceStub(node.peer())
        stuck = asyncio.ensure_future(stub.GetRoster(federation_pb.GetRosterRequest(), timeout=9))
        await servicer.began.wait()
        assert not await node.server.drain(within=timedelta(milliseconds=50))
        with pytest.raises(grpc.aio.AioRpcError):
            await stuck


async def test_health_is_told_per_service(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        channel = node.platform()
        await node.server.set_serving("hotline.ticket.v1.TicketService", is_serving=False)
        kind = health_pb2.HealthCheckResponse
        assert await health_of(channel, "") == kind.SERVING
        assert await health_of(channel, "hotline.ticket.v1.TicketService") == kind.NOT_SERVING
        stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call] # no stubs
        listed = await stub.List(health_pb2.HealthListRequest(), timeout=5)
        assert len(listed.statuses) == 3


async def test_a_stream_and_its_end_are_counted(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        stub = federation_grpc.FederationServiceStub(node.peer())
        watch = stub.WatchRoster(federation_pb.WatchRosterRequest(), timeout=0.3)
        answers = [answer async for answer in watch]
        text = node.metrics.exposition().decode()
    assert len(answers) == 1  # and it ended normally at the bound, so that the caller resumes
    assert 'lubiao_rpc_calls_total{code="OK",method="/hotline.federation.v1' in text


async def health_of(channel: grpc.aio.Channel, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call] # no stubs
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
    return int(answer.status)


async def test_a_refused_act_is_told_with_its_subject_and_reason(tmp_path: Path) -> None:
    told: list[tuple[str, str, str, str]] = []

    async def refused(principal: Principal, method: str, subject: str, error: LubiaoError) -> None:
        told.append((principal.name, method.rpartition("/")[2], subject, error.reason))

    async with a_node(tmp_path, refused=refused) as node:
        error = await error_of_assigning(node.staff(Role.HANDLER))
    assert isinstance(error, RoleMissing)
    assert told == [("lubiao://130000/staff/p1", "AssignTicket", NAME, "ROLE_MISSING")]
