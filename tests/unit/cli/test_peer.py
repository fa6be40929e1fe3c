"""`lubiao peer`: what an operator asks, and how the answer is shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from gateway.cli.connection import Target
from gateway.cli.main import main
from hotline.operation.v1alpha1 import operation_service_pb2 as pb
from hotline.operation.v1alpha1 import operation_service_pb2_grpc

NODE = ("--node", "node.invalid:7443", "--cert", "certs")
ITEM = "refused-130000-00ff"


@dataclass
class Wire:
    """A node that knows one peer and one item, and remembers what was asked."""

    alarm: pb.Peer.Alarm.ValueType = pb.Peer.ALARM_NONE
    asked: list[Any] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def answer(request: Any, **options: float) -> Any:
            assert options["timeout"] > 0
            self.asked.append(request)
            peer = pb.Peer(
                name="peers/hebei",
                mode=pb.Peer.MODE_PAUSED,
                mode_reason="maintenance",
                breaker=pb.Peer.BREAKER_OPEN,
                alarm=self.alarm,
                failures=7,
                error="UNAVAILABLE",
                waiting=12,
            )
            peer.oldest_age.FromTimedelta(timedelta(hours=26, minutes=3))
            peer.reach_time.FromJsonString("2026-03-02T00:30:00Z")
            item = pb.Undelivered(
                name=f"undelivered/{ITEM}",
                kind=pb.Undelivered.KIND_REFUSED,
                state=pb.Undelivered.STATE_OPEN,
                statement_kind="Offer",
                actions=["acknowledge", "resend"],
            )
            match name:
                case "ListPeers" if not request.page_token:
                    return pb.ListPeersResponse(peers=[peer], next_page_token="more")
                case "ListPeers":
                    return pb.ListPeersResponse()
                case "ListUndelivered" if not request.page_token:
                    more = pb.Undelivered(name="undelivered/older", state=pb.Undelivered.STATE_OPEN)
                    return pb.ListUndeliveredResponse(undelivered=[more], next_page_token="more")
                case "ListUndelivered":
                    return pb.ListUndeliveredResponse(undelivered=[item])
                case _ if name.endswith("Peer"):
                    return getattr(pb, f"{name}Response")(peer=peer)
                case _:
                    return getattr(pb, f"{name}Response")(undelivered=item)

        return answer


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()

    def ask(self: Target, work: Callable[[Any], Awaitable[Any]]) -> Any:
        return asyncio.run(work(None))  # type: ignore[arg-type] # a coroutine

    monkeypatch.setattr(Target, "ask", ask)
    monkeypatch.setattr(operation_service_pb2_grpc, "OperationServiceStub", lambda channel: made)
    return made


def test_the_list_shows_every_page_in_beijing_time(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["peer", "list", *NODE]) == 0
    out = capsys.readouterr().out
    assert len(wire.asked) == 2
    for word in ("hebei", "暂停", "断开", "26:03:00", "2026-03-02 08:30:00"):
        assert word in out


def test_a_list_with_something_overdue_ends_with_one(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    wire.alarm = pb.Peer.ALARM_OVERDUE
    assert main(["--lang", "en", "peer", "list", "--json", *NODE]) == 1
    [peer] = json.loads(capsys.readouterr().out)
    assert peer["alarm"] == "ALARM_OVERDUE"


def test_one_peer_is_shown_with_error_and_age(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--lang", "en", "peer", "show", "hebei", *NODE]) == 0
    out = capsys.readouterr().out
    assert "last error: UNAVAILABLE" in out
    assert "oldest: 26:03:00" in out
    assert wire.asked[0].name == "peers/hebei"


@pytest.mark.parametrize("verb", ["pause", "drain"])
def test_an_order_has_a_reason_and_an_id(wire: Wire, verb: str) -> None:
    assert main(["peer", verb, "hebei", *NODE]) == 2, "without a reason"
    assert main(["peer", verb, "hebei", "--reason", "maintenance", *NODE]) == 0
    [asked] = wire.asked
    assert (asked.name, asked.reason) == ("peers/hebei", "maintenance")
    assert asked.request_id


def test_a_peer_is_resumed(wire: Wire) -> None:
    assert main(["peer", "resume", "hebei", *NODE]) == 0
    assert isinstance(wire.asked[0], pb.ResumePeerRequest)


def test_open_items_end_with_one_and_say_what_may_be_done(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["peer", "undelivered", "--peer", "hebei", "--all", *NODE]) == 1
    out = capsys.readouterr().out
    assert "older" in out
    assert "对端拒收" in out, "an item of the last page is not hidden by those before it"
    assert (wire.asked[0].node, wire.asked[0].show_ended) == ("hebei", True)


@pytest.mark.parametrize(
    ("verb", "kind"),
    [
        ("acknowledge", pb.AcknowledgeUndeliveredRequest),
        ("resend", pb.ResendUndeliveredRequest),
        ("discard", pb.DiscardUndeliveredRequest),
    ],
)
@pytest.mark.parametrize("name", [ITEM, f"undelivered/{ITEM}"])
def test_an_act_names_its_item_and_why(wire: Wire, verb: str, kind: Any, name: str) -> None:
    assert main(["peer", verb, name, *NODE]) == 2, "without a note"
    assert main(["peer", verb, name, "--note", "called them", *NODE]) == 0
    [asked] = wire.asked
    assert isinstance(asked, kind)
    assert asked.name == f"undelivered/{ITEM}"
    assert asked.note == "called them"
