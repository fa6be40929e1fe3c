"""The command talks to a node over real mutual TLS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.cli.ca import write_folder
from gateway.cli.main import main
from gateway.kernel.errors import FieldInvalid, ResourceNotFound
from gateway.server.status import to_status
from gateway.trust.certificates import node_host
from gateway.trust.principal import Role
from hotline.ticket.v1 import ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as ticket_pb
from tests.integration.server.builders import CLOCK, NODE, Node, a_node, a_ticket_servicer

pytestmark = pytest.mark.integration
NUMBER = "12000020260302000000017"
Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture(autouse=True)
def _no_log_lines() -> Iterator[None]:
    with structlog.testing.capture_logs():  # the server's, which lives in the same process
        yield


def a_command(node: Node, folder: Path, capture: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `lubiao` as a dispatcher of Hebei, in a thread of its own."""
    issued = node.hebei.issue_staff("p1", frozenset({Role.DISPATCHER}), now=CLOCK.now())
    write_folder(issued, folder / "p1", root=node.root.certificate)

    async def run(*arguments: object, endpoint: str = "") -> tuple[int, str, str]:
        options = (
            *("--node", endpoint or f"127.0.0.1:{node.server.port}"),
            *("--cert", str(folder / "p1"), "--host", node_host(NODE)),
        )
        code = await asyncio.to_thread(main, [*map(str, arguments), *options])
        captured = capture.readouterr()
        return code, captured.out, captured.err

    return run


async def test_a_batch_is_handed_in_and_one_bad_ticket_fails_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[ticket_pb.BatchCreateTicketsRequest] = []

    async def create(request: ticket_pb.BatchCreateTicketsRequest) -> Any:
        seen.append(request)
        ticket = ticket_pb2.Ticket(name=f"tickets/{NUMBER}", state=ticket_pb2.Ticket.STATE_RECEIVED)
        error = to_status(FieldInvalid(field="matter", got="?", expected="six digits"))
        return ticket_pb.BatchCreateTicketsResponse(
            results=[
                ticket_pb.BatchCreateTicketsResult(ticket=ticket),
                ticket_pb.BatchCreateTicketsResult(error=error),
            ]
        )

    tickets = a_ticket_servicer(BatchCreateTickets=create)
    file = tmp_path / "tickets.csv"
    file.write_text("matter,content.title\n140301,夜间施工\nx,路灯\n", encoding="utf-8")
    async with a_node(tmp_path, tickets=tickets) as node:
        run = a_command(node, tmp_path, capsys)
        code, out, _ = await run("ticket", "submit", file, "--json")
        await run("ticket", "submit", file)
    rows = json.loads(out)
    assert code == 1
    assert [row["reason"] for row in rows] == ["", "FIELD_INVALID"]
    assert rows[0]["number"] == NUMBER
    assert seen[0].requests[0].ticket.content.title == "夜间施工"
    # The same file again carries the same request ids, so nothing is created twice.
    assert [each.request_id for each in seen[0].requests] == [
        each.request_id for each in seen[1].requests
    ]


async def test_a_list_is_read_page_by_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def pages(request: ticket_pb.ListTicketsRequest) -> Any:
        number = int(request.page_token or 0)
        ticket = ticket_pb2.Ticket(name=f"tickets/{number}")
        token = str(number + 1) if number < 2 else ""
        return ticket_pb.ListTicketsResponse(tickets=[ticket], next_page_token=token)

    async with a_node(tmp_path, tickets=a_ticket_servicer(ListTickets=pages)) as node:
        run = a_command(node, tmp_path, capsys)
        code, out, _ = await run("ticket", "list", "--json")
        assert (await run("ticket", "list"))[0] == 0
    assert code == 0
    assert [row["name"] for row in json.loads(out)] == ["tickets/0", "tickets/1", "tickets/2"]


async def test_a_refusal_is_told_in_words_and_by_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(request: Any) -> Any:
        raise ResourceNotFound(kind="ticket", name=NUMBER)

    async with a_node(tmp_path, tickets=a_ticket_servicer(GetTicket=refuse)) as node:
        run = a_command(node, tmp_path, capsys)
        code, _, err = await run("ticket", "show", NUMBER)
        assert (code, "RESOURCE_NOT_FOUND" in err) == (1, True)
        code, _, err = await run("ticket", "show", NUMBER, endpoint="127.0.0.1:1")
        assert (code, "PEER_UNREACHABLE" in err) == (3, True)


async def test_without_a_node_or_certificates_the_command_says_which_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LUBIAO_NODE", raising=False)
    monkeypatch.delenv("LUBIAO_CERT", raising=False)
    assert await asyncio.to_thread(main, ["ticket", "list"]) == 2
    assert "--node" in capsys.readouterr().err


async def test_a_malformed_file_is_refused_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text('{"matter": "140301"}\n{"matter": \n', encoding="utf-8")
    assert await asyncio.to_thread(main, ["ticket", "submit", str(file)]) == 2
    assert "t.jsonl:2" in capsys.readouterr().err
    file.write_text('{"nonsense": "13900000000"}\n', encoding="utf-8")
    assert await asyncio.to_thread(main, ["ticket", "submit", str(file)]) == 2
    assert "139" not in capsys.readouterr().err
