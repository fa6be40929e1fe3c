"""TicketService over a real channel: what a platform's client sees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from gateway.dispatch.codec import Submission
from gateway.dispatch.intake import Intake
from gateway.kernel.errors import BatchTooLarge, FieldInvalid
from gateway.trust.call import Call
from hotline.ticket.v1 import (
    codes_pb2,
    ticket_pb2,
    ticket_service_pb2,
    ticket_service_pb2_grpc,
)
from tests.fixtures.nodes import IDS, NOW, a_federation, a_message

PB = ticket_service_pb2


@asynccontextmanager
async def a_stub() -> AsyncIterator[ticket_service_pb2_grpc.TicketServiceAsyncStub]:
    federation = a_federation()
    server = grpc.aio.server()
    servicer = federation.nodes["tianjin"].dispatch.servicer
    ticket_service_pb2_grpc.add_TicketServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield ticket_service_pb2_grpc.TicketServiceStub(channel)
    finally:
        await server.stop(None)


def a_request(message: ticket_pb2.Ticket) -> ticket_service_pb2.CreateTicketRequest:
    return PB.CreateTicketRequest(ticket=message, request_id=IDS.uuid7(NOW))


async def test_one_bad_message_of_a_batch_fails_alone() -> None:
    bad_limit = a_message("T-2", region="120101")
    bad_limit.content.title = ""
    requests = [
        a_request(a_message("T-1", region="120101")),
        a_request(bad_limit),
        a_request(a_message("T-3", region="999999")),
        a_request(a_message("T-4", region="120101")),
    ]
    async with a_stub() as stub:
        response = await stub.BatchCreateTickets(PB.BatchCreateTicketsRequest(requests=requests))
        outcomes = [item.WhichOneof("outcome") for item in response.results]
        assert outcomes == ["ticket", "error", "error", "ticket"]
        assert "title" in response.results[1].error.message
        assert "999999" in response.results[2].error.message
        listed = await stub.ListTickets(PB.ListTicketsRequest())
        assert {item.external_id for item in listed.tickets} == {"T-1", "T-4"}
        assert not any(item.HasField("content") for item in listed.tickets)


async def test_a_defect_at_one_message_of_a_batch_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create = Intake.create

    async def create_or_break(self: Intake, call: Call, submission: Submission) -> bytes:
        if submission.external_id == "T-1":
            raise RuntimeError("测试人员甲")
        return await create(self, call, submission)

    monkeypatch.setattr(Intake, "create", create_or_break)
    requests = [a_request(a_message(name, region="120101")) for name in ("T-1", "T-2")]
    async with a_stub() as stub:
        response = await stub.BatchCreateTickets(PB.BatchCreateTicketsRequest(requests=requests))
    broken, taken = response.results
    assert broken.error.code == grpc.StatusCode.INTERNAL.value[0]
    assert "测试" not in broken.error.message
    assert taken.ticket.external_id == "T-2"


async def test_batch_has_a_bound_and_a_least() -> None:
    federation = a_federation()
    servicer = federation.nodes["tianjin"].dispatch.servicer
    many = PB.BatchCreateTicketsRequest(requests=[a_request(a_message())] * 501)
    with pytest.raises(BatchTooLarge):
        await servicer.BatchCreateTickets(many, None)  # type: ignore[arg-type] # not reached
    with pytest.raises(FieldInvalid):
        await servicer.BatchCreateTickets(PB.BatchCreateTicketsRequest(), None)  # type: ignore[arg-type] # not reached


async def test_client_creates_watches_acknowledges_and_reads() -> None:
    async with a_stub() as stub:
        created = await stub.CreateTicket(a_request(a_message(region="120101")))
        name = created.ticket.name
        watch = stub.WatchTickets(PB.WatchTicketsRequest())
        change = await watch.read()
        assert isinstance(change, PB.WatchTicketsResponse)
        assert change.event.kind == "ticket.received"
        assert change.ticket.name == name
        assert change.resume_token
        watch.cancel()
        acknowledged = await stub.AcknowledgeTicket(
            PB.AcknowledgeTicketRequest(name=name, external_id="TJ-9", request_id=IDS.uuid7(NOW))
        )
        [assignment] = [
            item for item in acknowledged.ticket.assignments if item.HasField("receive_time")
        ]
        assert assignment.platform_external_id == "TJ-9"
        read = await stub.GetTicket(PB.GetTicketRequest(name=name, purpose="承办处理"))
        assert read.ticket.citizen.phones == ["13800138000"]
        events = await stub.ListTicketEvents(PB.ListTicketEventsRequest(parent=name))
        assert events.events[0].name.startswith(f"{name}/events/")


async def test_unit_and_platform_carry_a_ticket_to_its_rating() -> None:
    async with a_stub() as stub:
        created = await stub.CreateTicket(a_request(a_message(region="120101")))
        name, again = created.ticket.name, IDS.uuid7(NOW)
        await stub.SignForTicket(PB.SignForTicketRequest(name=name, request_id=IDS.uuid7(NOW)))
        contacted = await stub.RecordContact(
            PB.RecordContactRequest(
                name=name, method=codes_pb2.CONTACT_METHOD_PHONE, request_id=IDS.uuid7(NOW)
            )
        )
        assert contacted.ticket.assignments[0].HasField("contact_time")
        resolution = ticket_pb2.Resolution(solved=codes_pb2.SOLVED_SOLVED, result="已修补（测试）")
        asked = PB.ResolveTicketRequest(name=name, resolution=resolution, request_id=again)
        resolved = await stub.ResolveTicket(asked)
        assert resolved.ticket.state == ticket_pb2.Ticket.STATE_RESOLVED
        assert not resolved.ticket.resolution.result  # answers are kept, so they hold no text
        assert await stub.ResolveTicket(asked) == resolved
        rating = ticket_pb2.Rating(
            satisfaction=codes_pb2.SATISFACTION_SATISFIED, solved=True, responded=True
        )
        rated = await stub.RateTicket(
            PB.RateTicketRequest(name=name, rating=rating, request_id=IDS.uuid7(NOW))
        )
        assert rated.ticket.state == ticket_pb2.Ticket.STATE_CLOSED
        assert rated.ticket.rating.HasField("rate_time")


async def test_a_unit_asks_the_desk_over_the_wire_and_limits_of_the_schema_hold() -> None:
    async with a_stub() as stub:
        created = await stub.CreateTicket(a_request(a_message(region="120101")))
        name = created.ticket.name
        asked = PB.ReturnTicketRequest(
            name=name,
            reason=codes_pb2.RETURN_REASON_WRONG_FUNCTION,
            clause="职责清单第三条（测试）",
            proposed_owner="units/120000-CG-1",
            request_id=IDS.uuid7(NOW),
        )
        filed = await stub.ReturnTicket(asked)
        assert filed.ticket.returns[0].state == ticket_pb2.Return.STATE_FILED
        due = filed.ticket.due_time.seconds
        wish = PB.ExtendDeadlineRequest(
            name=name,
            reason=codes_pb2.EXTENSION_REASON_COMPLEX,
            basis="情况复杂（测试）",
            request_id=IDS.uuid7(NOW),
        )
        wish.new_due_time.seconds = due + 86_400
        extended = await stub.ExtendDeadline(wish)
        assert extended.ticket.extensions[0].new_due_time.seconds == due + 86_400
        reviews = (
            stub.ReviewReturn(
                PB.ReviewReturnRequest(
                    name=name, return_number=1, basis="测试", request_id=IDS.uuid7(NOW)
                )
            ),
            stub.ReviewExtension(
                PB.ReviewExtensionRequest(
                    name=name, extension_number=1, basis="测试", request_id=IDS.uuid7(NOW)
                )
            ),
        )
        for call in reviews:  # the caller here is a platform
            with pytest.raises(grpc.aio.AioRpcError, match="RoleMissing"):
                await call


async def test_units_and_bodies_answer_over_the_wire() -> None:
    async with a_stub() as stub:
        created = await stub.CreateTicket(a_request(a_message(region="120101")))
        name = created.ticket.name
        filed = PB.ReturnTicketRequest(
            name=name,
            reason=codes_pb2.RETURN_REASON_OVERLAP,
            clause="职责清单第三条（测试）",
            proposed_owner="units/120000-CG-1",
            request_id=IDS.uuid7(NOW),
        )
        await stub.ReturnTicket(filed)
        for refused in (  # the desk's, and the caller here is a platform
            stub.AnswerReturn(
                PB.AnswerReturnRequest(
                    name=name,
                    return_number=1,
                    question="依据（测试）",
                    basis="测试",
                    request_id=IDS.uuid7(NOW),
                )
            ),
            stub.RequestUnit(
                PB.RequestUnitRequest(
                    name=name,
                    unit="units/120101-SWU-1",
                    basis="测试",
                    request_id=IDS.uuid7(NOW),
                )
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match="RoleMissing"):
                await refused
        with pytest.raises(grpc.aio.AioRpcError, match="TransitionNotAllowed"):
            await stub.RespondToReturn(
                PB.RespondToReturnRequest(
                    name=name,
                    return_number=1,
                    agreed_by="units/120000-CG-1",
                    request_id=IDS.uuid7(NOW),
                )
            )
        with pytest.raises(grpc.aio.AioRpcError, match="ResourceNotFound"):
            await stub.AnswerUnitRequest(
                PB.AnswerUnitRequestRequest(
                    name=name,
                    unit_request_number=1,
                    accepted=True,
                    clause="测试",
                    request_id=IDS.uuid7(NOW),
                )
            )
        claimed = await stub.ClaimTicket(
            PB.ClaimTicketRequest(
                name=name,
                unit="units/120000-CG-1",
                clause="职责清单（测试）",
                request_id=IDS.uuid7(NOW),
            )
        )
        assert claimed.ticket.returns[0].state == ticket_pb2.Return.STATE_ASSUMED
        assert claimed.ticket.assignments[-1].unit == "units/120000-CG-1"


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": 0},
        {"reason": 99},
        {"clause": ""},
        {"clause": "长" * 401},
        {"proposed_owner": ""},
        {"proposed_owner": "units/x"},
        {"proposed_owner": "130000"},
        {"request_id": "1"},
        {"name": "tickets/1"},
    ],
    ids=str,
)
async def test_a_malformed_return_is_refused_before_anything_is_read(
    changes: dict[str, object],
) -> None:
    servicer = a_federation().nodes["tianjin"].dispatch.servicer
    values: dict[str, object] = {
        "name": "tickets/12000020260302000010012",
        "reason": int(codes_pb2.RETURN_REASON_OTHER),
        "clause": "测试",
        "proposed_owner": "authorities/130000",
        "request_id": IDS.uuid7(NOW),
    }
    request = PB.ReturnTicketRequest(**(values | changes))  # type: ignore[arg-type] # of a table
    with pytest.raises(FieldInvalid):
        await servicer.ReturnTicket(request, None)  # type: ignore[arg-type] # not reached


@pytest.mark.parametrize("missing", ["reason", "new_due_time", "basis", "request_id"])
async def test_a_malformed_wish_for_more_time_is_refused(missing: str) -> None:
    servicer = a_federation().nodes["tianjin"].dispatch.servicer
    request = PB.ExtendDeadlineRequest(
        name="tickets/12000020260302000010012",
        reason=codes_pb2.EXTENSION_REASON_COMPLEX,
        basis="测试",
        request_id=IDS.uuid7(NOW),
    )
    request.new_due_time.FromDatetime(NOW)
    request.ClearField(missing)  # type: ignore[arg-type] # a name of a field
    with pytest.raises(FieldInvalid):
        await servicer.ExtendDeadline(request, None)  # type: ignore[arg-type] # not reached


@pytest.mark.parametrize("seconds", [-(10**12), 10**12])
async def test_a_due_time_outside_the_calendar_is_refused(seconds: int) -> None:
    servicer = a_federation().nodes["tianjin"].dispatch.servicer
    request = PB.ExtendDeadlineRequest(
        name="tickets/12000020260302000010012",
        reason=codes_pb2.EXTENSION_REASON_COMPLEX,
        basis="测试",
        request_id=IDS.uuid7(NOW),
    )
    request.new_due_time.seconds = seconds
    with pytest.raises(FieldInvalid):
        await servicer.ExtendDeadline(request, None)  # type: ignore[arg-type] # not reached


@pytest.mark.parametrize(
    "changes", [{"basis": ""}, {"basis": "长" * 401}, {"return_number": 0}, {"return_number": -1}]
)
async def test_a_malformed_review_is_refused(changes: dict[str, object]) -> None:
    servicer = a_federation().nodes["tianjin"].dispatch.servicer
    values: dict[str, object] = {
        "name": "tickets/12000020260302000010012",
        "return_number": 1,
        "basis": "测试",
        "request_id": IDS.uuid7(NOW),
    }
    values |= changes
    with pytest.raises(FieldInvalid):
        await servicer.ReviewReturn(PB.ReviewReturnRequest(**values), None)  # type: ignore[arg-type] # of a table, not reached
    values["extension_number"] = values.pop("return_number")
    with pytest.raises(FieldInvalid):
        await servicer.ReviewExtension(PB.ReviewExtensionRequest(**values), None)  # type: ignore[arg-type] # of a table, not reached
