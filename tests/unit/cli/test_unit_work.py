"""`lubiao ticket sign|contact|resolve|rate|close`: what goes over the wire, and what is told."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from gateway.cli import unit_work
from gateway.cli.main import main
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as pb

NUMBER = "12000020260302000000017"
NAME = f"tickets/{NUMBER}"
OPTIONS = ["--node", "node.invalid:1", "--cert", "certs"]
ID = "01890a5d-ac96-774b-bcce-b302099a8057"
RESOLVE = ("--solved", "solved", "--text", "已修复（测试）")


class Node:
    """A stub that keeps each request and answers with one ticket."""

    def __init__(self, **fields: Any) -> None:
        self.requests: list[Any] = []
        self.ticket = ticket_pb2.Ticket(
            name=NAME,
            etag="7",
            platform_state=codes_pb2.PLATFORM_STATE_HANDLING,
            **fields,
        )

    def ask(self, _target: object, ask: Any) -> ticket_pb2.Ticket:
        ask(self)
        return self.ticket

    def __getattr__(self, method: str) -> Any:
        def keep(request: Message, timeout: float) -> None:
            assert timeout > 0
            assert type(request).__name__ == f"{method}Request"
            self.requests.append(request)

        return keep


def run(monkeypatch: pytest.MonkeyPatch, node: Node, *arguments: str) -> int:
    monkeypatch.setattr(unit_work, "asked", node.ask)
    return main(["ticket", *arguments, *OPTIONS])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("sign", NUMBER, "--etag", "6"), pb.SignForTicketRequest(name=NAME, etag="6")),
        (
            ("contact", NUMBER, "--method", "phone"),
            pb.RecordContactRequest(name=NAME, method=codes_pb2.CONTACT_METHOD_PHONE),
        ),
        (
            ("resolve", NUMBER, *RESOLVE, "--reply", "测试", "--etag", "6"),
            pb.ResolveTicketRequest(
                name=NAME,
                resolution=ticket_pb2.Resolution(
                    solved=codes_pb2.SOLVED_SOLVED, result="已修复（测试）", public_reply="测试"
                ),
                etag="6",
            ),
        ),
        (
            (
                *("rate", NUMBER, "--satisfaction", "very-satisfied"),
                *("--responded", "--method", "SMS"),
            ),
            pb.RateTicketRequest(
                name=NAME,
                rating=ticket_pb2.Rating(
                    satisfaction=codes_pb2.SATISFACTION_VERY_SATISFIED,
                    responded=True,
                    method=codes_pb2.CONTACT_METHOD_SMS,
                ),
            ),
        ),
        (("close", NUMBER, "--basis", "测试"), pb.CloseTicketRequest(name=NAME, basis="测试")),
    ],
    ids=["sign", "contact", "resolve", "rate", "close"],
)
def test_each_step_asks_its_own_with_a_request_id(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    expected: Any,
) -> None:
    node = Node()
    assert run(monkeypatch, node, *arguments) == 0
    assert run(monkeypatch, node, *arguments, "--request-id", ID) == 0
    first, second = node.requests
    assert first.request_id != ID
    expected.request_id = ID
    assert second == expected
    assert "状态: 已签办理中" in capsys.readouterr().out


def test_the_time_of_a_contact_is_beijing_time(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    words = ("--method", "VISIT", "--at", "2026-04-01T17:30")
    assert run(monkeypatch, node, "contact", NUMBER, *words) == 0
    [request] = node.requests
    assert request.contact_time.ToJsonString() == "2026-04-01T09:30:00Z"


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("contact", NUMBER, "--method", "pigeon"), "--method"),
        (("contact", NUMBER, "--method", "PHONE", "--at", "soon"), "--at"),
        (("resolve", NUMBER, "--solved", "x", "--text", "测试"), "--solved"),
        (("rate", NUMBER, "--satisfaction", "UNSPECIFIED"), "--satisfaction"),
    ],
    ids=["method", "at", "solved", "satisfaction"],
)
def test_a_wrong_code_or_time_is_wrong_usage_that_names_the_option(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    option: str,
) -> None:
    node = Node()
    assert run(monkeypatch, node, *arguments) == 2
    assert node.requests == []
    assert option in capsys.readouterr().err


def test_a_rating_that_the_origin_refuses_ends_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    act = ticket_pb2.CitizenAct(
        number=1, kind=codes_pb2.CITIZEN_ACT_KIND_RATE, refusal="TRANSITION_NOT_ALLOWED"
    )
    node = Node(followed=True, citizen_acts=[act])
    assert run(monkeypatch, node, "rate", NUMBER, "--satisfaction", "SATISFIED") == 1
    assert "状态不允许 [TRANSITION_NOT_ALLOWED]" in capsys.readouterr().out
