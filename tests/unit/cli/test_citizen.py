"""`lubiao ticket supplement` to `split`: what is asked of the node, and what the person is told."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from gateway.cli import citizen
from gateway.cli.main import main
from hotline.ticket.v1 import codes_pb2, ticket_pb2

NUMBER = "12000020260302000000017"
OPTIONS = ["--node", "node.invalid:1", "--cert", "certs"]
ID = "01890a5d-ac96-774b-bcce-b302099a8057"


class Node:
    """A stub that keeps each request and answers with one ticket."""

    def __init__(self, refusal: str = "") -> None:
        self.requests: list[Message] = []
        act = ticket_pb2.CitizenAct(
            number=1, kind=codes_pb2.CITIZEN_ACT_KIND_URGE, applied=not refusal, refusal=refusal
        )
        question = ticket_pb2.InformationRequest(number=1, asker="130000")
        child = ticket_pb2.ChildTicket(name=f"tickets/{NUMBER}", custodian="310000")
        self.ticket = ticket_pb2.Ticket(
            name=f"tickets/{NUMBER}",
            citizen_acts=[act],
            information_requests=[question],
            children=[child],
        )

    def ask(self, _target: object, ask: Any) -> ticket_pb2.Ticket:
        ask(self)
        return self.ticket

    def __getattr__(self, _method: str) -> Any:
        return lambda request, timeout: self.requests.append(request)


def run(monkeypatch: pytest.MonkeyPatch, node: Node, *arguments: str) -> int:
    monkeypatch.setattr(citizen, "asked", node.ask)
    return main(["ticket", *arguments, *OPTIONS])


@pytest.mark.parametrize(
    "arguments",
    [
        ("supplement", NUMBER, "--text", "测试"),
        ("urge", NUMBER),
        ("withdraw", NUMBER, "--text", "测试"),
        ("reopen", NUMBER, "--text", "测试"),
        ("ask", NUMBER, "--text", "测试"),
        ("answer", NUMBER, "--question", "1", "--text", "测试"),
        ("split", NUMBER, "--region", "131082", "--title", "协办测试", "--text", "测试"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_each_verb_asks_its_own_with_a_request_id(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    node = Node()
    assert run(monkeypatch, node, *arguments) == 0
    assert run(monkeypatch, node, *arguments, "--request-id", ID) == 0
    first, second = node.requests
    assert first.name == f"tickets/{NUMBER}"  # type: ignore[attr-defined] # of every request
    assert first.request_id != second.request_id  # type: ignore[attr-defined] # of every request
    assert second.request_id == ID  # type: ignore[attr-defined] # of every request


def test_a_refused_act_is_told_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    node = Node(refusal="TRANSITION_NOT_ALLOWED")
    assert run(monkeypatch, node, "urge", NUMBER) == 1
    told = capsys.readouterr()
    assert "结果: 状态不允许 [TRANSITION_NOT_ALLOWED]" in told.out
    assert "请用 lubiao ticket show 查看状态" in told.err


@pytest.mark.parametrize("token", ["CASE_PENDING", "NOT_CUSTODIAN", "A_REASON_OF_TOMORROW"])
def test_every_reason_of_a_refusal_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], token: str
) -> None:
    assert run(monkeypatch, Node(refusal=token), "urge", NUMBER) == 1
    told = capsys.readouterr()
    assert token in told.out
    assert told.err.strip()


def test_one_split_names_several_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    regions = ("--region", "131082", "--region", "310101", "--purpose", "issue")
    assert run(monkeypatch, node, "split", NUMBER, *regions, "--title", "测试", "--text", "测") == 0
    [request] = node.requests
    children = request.children  # type: ignore[attr-defined] # a SplitTicketRequest
    assert [child.region for child in children] == ["131082", "310101"]
    assert {child.purpose for child in children} == {codes_pb2.TICKET_PURPOSE_ISSUE}


@pytest.mark.parametrize(
    "arguments", [("supplement", NUMBER), ("answer", NUMBER, "--question", "0", "--text", "测")]
)
def test_what_is_missing_or_out_of_bounds_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    node = Node()
    assert run(monkeypatch, node, *arguments) == 2
    assert not node.requests
