"""What a client sees of acts, questions and children; bad input is refused by its limits."""

from __future__ import annotations

from typing import TypeVar

import pytest
from google.protobuf.message import Message

from gateway.kernel.errors import FieldInvalid, RequestIdReused, ResourceNotFound
from hotline.ticket.v1 import codes_pb2
from hotline.ticket.v1 import ticket_service_pb2 as pb
from tests.fixtures.nodes import IDS, NOW, Federation, a_federation, a_message, a_platform
from tests.unit.dispatch.test_servicer import a_request, a_stub

AnyMessage = TypeVar("AnyMessage", bound=Message)
NAME = "tickets/12000020260302000000017"
CHILD = pb.SplitChild(
    purpose=codes_pb2.TICKET_PURPOSE_ASSIST, region="131082", title="协办测试", content="测试"
)


def bad(request: AnyMessage, **changes: object) -> AnyMessage:
    """Return a request with everything right but `changes`."""
    made = type(request)()
    made.CopyFrom(request)
    for name, value in changes.items():
        if isinstance(value, list):
            del getattr(made, name)[:]
            getattr(made, name).extend(value)
        else:
            setattr(made, name, value)
    return made


ID = IDS.uuid7(NOW)
SUPPLEMENT = pb.SupplementTicketRequest(name=NAME, text="测试", request_id=ID)
URGE = pb.UrgeTicketRequest(name=NAME, request_id=ID)
WITHDRAW = pb.WithdrawTicketRequest(name=NAME, request_id=ID)
REOPEN = pb.ReopenTicketRequest(name=NAME, text="测试", request_id=ID)
ASK = pb.RequestInformationRequest(name=NAME, question="测试", request_id=ID)
ANSWER = pb.AnswerInformationRequest(name=NAME, request_number=1, answer="测试", request_id=ID)
SPLIT = pb.SplitTicketRequest(name=NAME, children=[CHILD], request_id=ID)
VERBS = {
    "SupplementTicket": SUPPLEMENT,
    "UrgeTicket": URGE,
    "WithdrawTicket": WITHDRAW,
    "ReopenTicket": REOPEN,
    "RequestInformation": ASK,
    "AnswerInformation": ANSWER,
    "SplitTicket": SPLIT,
}


@pytest.fixture
def federation() -> Federation:
    return a_federation()


@pytest.mark.parametrize("method", VERBS)
@pytest.mark.parametrize(
    "changes", [{"name": "tickets/1"}, {"request_id": "1"}], ids=["name", "request id"]
)
async def test_names_and_request_ids_have_a_form(
    federation: Federation, method: str, changes: dict[str, object]
) -> None:
    await is_refused(federation, method, bad(VERBS[method], **changes), next(iter(changes)))


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("SupplementTicket", {"text": ""}),
        ("SupplementTicket", {"text": "长" * 4001}),
        ("SupplementTicket", {"text": "空\0字"}),
        ("UrgeTicket", {"text": "长" * 1001}),
        ("WithdrawTicket", {"text": "长" * 1001}),
        ("ReopenTicket", {"text": ""}),
        ("RequestInformation", {"question": ""}),
        ("RequestInformation", {"question": "长" * 2001}),
        ("AnswerInformation", {"answer": ""}),
        ("AnswerInformation", {"answer": "长" * 4001}),
        ("AnswerInformation", {"request_number": 0}),
        ("SplitTicket", {"children": []}),
        ("SplitTicket", {"children": [CHILD] * 9}),
        ("SplitTicket", {"children": [bad(CHILD, region="31")]}),
        ("SplitTicket", {"children": [bad(CHILD, purpose=0)]}),
        ("SplitTicket", {"children": [bad(CHILD, title="")]}),
        ("SplitTicket", {"children": [bad(CHILD, content="长" * 16001)]}),
        ("SplitTicket", {"children": [bad(CHILD, matter="x")]}),
    ],
)
async def test_texts_and_numbers_have_bounds(
    federation: Federation, method: str, changes: dict[str, object]
) -> None:
    await is_refused(federation, method, bad(VERBS[method], **changes), next(iter(changes)))


async def is_refused(federation: Federation, method: str, request: Message, field: str) -> None:
    servicer = federation.nodes["tianjin"].dispatch.servicer
    with pytest.raises(FieldInvalid) as failure:
        await getattr(servicer, method)(request, None)
    assert field in failure.value.metadata["field"]


@pytest.mark.parametrize("method", VERBS)
async def test_a_ticket_that_does_not_exist_is_not_found(
    federation: Federation, method: str
) -> None:
    servicer = federation.nodes["tianjin"].dispatch.servicer
    with pytest.raises(ResourceNotFound):
        await getattr(servicer, method)(VERBS[method], None)


async def test_a_request_id_is_for_one_act(federation: Federation) -> None:
    ticket = await federation.create(a_platform("120000"), a_message(region="120101"))
    servicer = federation.nodes["tianjin"].dispatch.servicer
    request = pb.UrgeTicketRequest(name=ticket.name, text="测试催办", request_id=ID)
    first = await servicer.UrgeTicket(request, None)  # type: ignore[arg-type] # not reached
    again = await servicer.UrgeTicket(request, None)  # type: ignore[arg-type] # not reached
    assert first == again
    assert len(again.ticket.citizen_acts) == 1
    other = pb.UrgeTicketRequest(name=ticket.name, text="另一次", request_id=ID)
    with pytest.raises(RequestIdReused):
        await servicer.UrgeTicket(other, None)  # type: ignore[arg-type] # not reached


async def test_a_client_supplements_asks_answers_splits_and_sees_it_all() -> None:
    async with a_stub() as stub:
        created = (await stub.CreateTicket(a_request(a_message(region="120101")))).ticket
        name = created.name
        await stub.SupplementTicket(
            pb.SupplementTicketRequest(name=name, text="测试补充", request_id=IDS.uuid7(NOW))
        )
        await stub.RequestInformation(
            pb.RequestInformationRequest(name=name, question="测试问", request_id=IDS.uuid7(NOW))
        )
        answered = await stub.AnswerInformation(
            pb.AnswerInformationRequest(
                name=name, request_number=1, answer="测试答", request_id=IDS.uuid7(NOW)
            )
        )
        assert not answered.ticket.citizen_acts[0].text  # answers hold no texts
        child = bad(CHILD, region="120102")
        split = await stub.SplitTicket(
            pb.SplitTicketRequest(name=name, children=[child], request_id=IDS.uuid7(NOW))
        )
        refused = await stub.WithdrawTicket(
            pb.WithdrawTicketRequest(name=name, request_id=IDS.uuid7(NOW))
        )
        assert refused.ticket.citizen_acts[1].refusal == "TRANSITION_NOT_ALLOWED"
        shown = (await stub.GetTicket(pb.GetTicketRequest(name=name))).ticket
    assert [act.text for act in shown.citizen_acts] == ["测试补充", ""]
    [request] = shown.information_requests
    assert (request.question, request.answer) == ("测试问", "测试答")
    [known] = shown.children
    assert known.name == split.ticket.children[0].name
    assert known.custodian == "120000"
