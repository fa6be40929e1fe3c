import asyncio
import contextlib
from pathlib import Path

import grpc
import pytest

from adapters.file_drop.adapter import JOURNAL_FILE
from adapters.file_drop.formats import Format, Row
from adapters.file_drop.intake import Step
from adapters.file_drop.rows import ticket_of_row
from adapters.file_drop.settings import Settings, load_settings
from adapters.kit.journal import EntryKind, read_journal
from adapters.kit.mapping import load_mapping
from gateway.kernel.errors import FieldInvalid, PeerUnreachable
from hotline.ticket.v1 import codes_pb2, ticket_pb2, ticket_service_pb2
from tests.unit.adapters.builders import (
    MAPPING,
    PLATFORM,
    a_row,
    a_settings,
    an_adapter,
    lines,
    rows_in,
)
from tests.unit.adapters.fake_node import FakeNode, serving

NUMBER = "13100020261102000000001"
POINTS_IN = ("inbox.read", "inbox.submitted", "inbox.rejected", "inbox.receipted")
POINTS_ANSWER = ("answers.read", "answers.passed", "answers.rejected")
POINTS_OUT = ("outbox.written", "outbox.acknowledged")


class KilledError(BaseException):
    """Stands for a kill -9: nothing of the adapter catches it."""


def dies_at(point: str) -> Step:
    def step(name: str) -> None:
        if name == point:
            raise KilledError

    return step


async def test_file_becomes_tickets_and_goes_after_acknowledgement(tmp_path: Path) -> None:
    settings, node = a_settings(tmp_path), FakeNode()
    (settings.inbox / "a.jsonl").write_bytes(lines(a_row(), a_row(工单编号="LF-2")))
    async with serving(node) as channel:
        await an_adapter(settings, channel).take_once()

    assert set(node.tickets) == {"LF-1", "LF-2"}
    assert not list(settings.inbox.iterdir())
    (receipt,) = settings.outbox.glob("receipt-*")
    assert [row["工单编号"] for row in rows_in(receipt)] == ["LF-1", "LF-2"]
    assert not list(settings.rejected.iterdir())


async def test_bad_row_is_rejected_alone_with_its_reason(tmp_path: Path) -> None:
    settings, node = a_settings(tmp_path), FakeNode(refuse_titles={"坏"})
    rows = [a_row(), a_row(工单编号="LF-2", 诉求类型="牢骚"), a_row(工单编号="LF-3", 诉求标题="坏")]
    (settings.inbox / "a.jsonl").write_bytes(lines(*rows))
    async with serving(node) as channel:
        await an_adapter(settings, channel).take_once()

    assert set(node.tickets) == {"LF-1"}
    (reasons,) = settings.rejected.glob("*.reasons.jsonl")
    found = rows_in(reasons)
    assert [(row["行号"], row["原因代码"]) for row in found] == [
        ("2", "FIELD_INVALID"),
        ("3", "FIELD_INVALID"),
    ]
    (raw,) = [path for path in settings.rejected.iterdir() if "reasons" not in path.name]
    assert rows_in(raw) == rows[1:]
    assert not list(settings.inbox.iterdir())


async def test_unreadable_file_is_kept_whole_with_its_reason(tmp_path: Path) -> None:
    settings = a_settings(tmp_path)
    content = "诉求标题\n".encode("utf-16")
    (settings.inbox / "a.csv").write_bytes(content)
    async with serving(FakeNode()) as channel:
        await an_adapter(settings, channel).take_once()

    (kept,) = settings.rejected.glob("*.csv")
    assert kept.read_bytes() == content
    assert list(settings.rejected.glob("*.reasons.jsonl"))


async def test_file_that_is_too_large_is_kept_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("formats", "intake"):
        monkeypatch.setattr(f"adapters.file_drop.{module}.FILE_BYTES_MAX", 100)
    settings = a_settings(tmp_path)
    content = lines(a_row(), a_row(工单编号="LF-2"))
    (settings.inbox / "a.jsonl").write_bytes(content)
    async with serving(FakeNode()) as channel:
        await an_adapter(settings, channel).take_once()

    (kept,) = [path for path in settings.rejected.iterdir() if "reasons" not in path.name]
    assert kept.read_bytes() == content


async def test_silent_node_leaves_the_file(tmp_path: Path) -> None:
    settings = a_settings(tmp_path)
    (settings.inbox / "a.jsonl").write_bytes(lines(a_row()))
    async with serving(FakeNode(is_down=True)) as channel:
        with pytest.raises(PeerUnreachable):
            await an_adapter(settings, channel).take_once()

    assert (settings.inbox / "a.jsonl").exists()


async def test_part_files_and_links_are_not_touched(tmp_path: Path) -> None:
    settings, node = a_settings(tmp_path), FakeNode()
    (settings.inbox / "a.jsonl.part").write_bytes(lines(a_row()))
    (tmp_path / "elsewhere.jsonl").write_bytes(lines(a_row()))
    (settings.inbox / "b.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    async with serving(node) as channel:
        await an_adapter(settings, channel).take_once()

    assert not node.tickets


async def test_file_that_changes_meanwhile_is_read_again(tmp_path: Path) -> None:
    settings, node = a_settings(tmp_path), FakeNode()
    path = settings.inbox / "a.jsonl"
    path.write_bytes(lines(a_row()))

    def append(name: str) -> None:
        if name == "inbox.read":
            path.write_bytes(lines(a_row(), a_row(工单编号="LF-2")))

    async with serving(node) as channel:
        await an_adapter(settings, channel, append).take_once()
        assert path.exists()
        await an_adapter(settings, channel).take_once()

    assert set(node.tickets) == {"LF-1", "LF-2"}


def test_row_without_a_number_of_its_own_keeps_one_identity(tmp_path: Path) -> None:
    mapping = MAPPING.read_text(encoding="utf-8")
    own = tmp_path / "mapping.yaml"
    own.write_text(mapping.replace("  external_id: 工单编号\n", ""), encoding="utf-8")
    first, again, other = (
        ticket_of_row(load_mapping(own), Row(number, a_row(诉求标题=title)), name="f").external_id
        for number, title in ((1, "甲"), (9, "甲"), (1, "乙"))
    )

    assert first == again != other


@pytest.mark.parametrize("point", POINTS_IN)
@pytest.mark.parametrize("answers_to_lose", [0, 1])
async def test_kill_at_any_point_of_intake_loses_and_doubles_nothing(
    tmp_path: Path, point: str, answers_to_lose: int
) -> None:
    settings, node = a_settings(tmp_path), FakeNode(answers_to_lose=answers_to_lose)
    rows = [a_row(), a_row(工单编号="LF-2"), a_row(工单编号="LF-3", 诉求类型="牢骚")]
    (settings.inbox / "a.jsonl").write_bytes(lines(*rows))
    async with serving(node) as channel:
        with pytest.raises(KilledError):
            await an_adapter(settings, channel, dies_at(point)).take_once()
        await an_adapter(settings, channel).take_once()

    assert sorted(node.tickets) == ["LF-1", "LF-2"]
    journal = read_journal(settings.state / JOURNAL_FILE)
    acknowledged = {e.external_id: e.number for e in journal if e.kind is EntryKind.ACKNOWLEDGED}
    assert acknowledged == {
        key: ticket.name.removeprefix("tickets/") for key, ticket in node.tickets.items()
    }
    assert not list(settings.inbox.iterdir())
    assert len(list(settings.rejected.iterdir())) == 2
    assert len(list(settings.outbox.iterdir())) == 1


@pytest.mark.parametrize("point", POINTS_ANSWER)
async def test_kill_at_any_point_of_the_answers_does_every_act_once(
    tmp_path: Path, point: str
) -> None:
    settings, node = a_settings(tmp_path), FakeNode()
    acts = [
        {"操作": "签收"},
        {"操作": "联系", "联系方式": "电话"},
        {"操作": "办结", "是否解决": "已解决", "办理情况": "已办"},
        {"操作": "评价", "满意度": "满意"},
        {"操作": "归档"},
    ]
    rows = [{"全国工单编号": NUMBER} | act for act in acts]
    (settings.answers / "a.jsonl").write_bytes(lines(*rows))
    async with serving(node) as channel:
        with pytest.raises(KilledError):
            await an_adapter(settings, channel, dies_at(point)).take_once()
        await an_adapter(settings, channel).take_once()

    assert [act for act, _ in node.acts] == ["sign", "contact", "resolve", "rate", "close"]
    assert not list(settings.answers.iterdir())


def an_assigned_ticket(node: FakeNode) -> ticket_pb2.Ticket:
    ticket = ticket_pb2.Ticket(
        name=f"tickets/{NUMBER}",
        platform_state=codes_pb2.PLATFORM_STATE_TO_SIGN,
        channel=codes_pb2.CHANNEL_PHONE,
        type=codes_pb2.TICKET_TYPE_COMPLAINT,
        urgency=codes_pb2.URGENCY_NORMAL,
        content=ticket_pb2.TicketContent(title="演示标题", content="演示内容"),
        assignments=[
            ticket_pb2.Assignment(
                number=1,
                unit="units/131082-JT-1",
                platform=PLATFORM,
                role=codes_pb2.ASSIGNMENT_ROLE_LEAD,
                state=ticket_pb2.Assignment.STATE_ASSIGNED,
            )
        ],
    )
    node.tickets["x"] = ticket
    return ticket


async def handle_changes(settings: Settings, channel: grpc.aio.Channel, count: int) -> None:
    """Run an adapter until it has handled `count` changes; a bound keeps a failing test short."""
    stopping = asyncio.Event()
    handled: list[str] = []

    def step(name: str) -> None:
        if name == "outbox.handled":
            handled.append(name)
            if len(handled) == count:
                stopping.set()

    async with asyncio.timeout(10):
        await an_adapter(settings, channel, step).run(stopping)


@pytest.mark.parametrize("kind", list(Format))
async def test_assignment_reaches_the_platform_and_is_acknowledged(
    tmp_path: Path, kind: Format
) -> None:
    settings, node = a_settings(tmp_path, kind), FakeNode()
    node.change(an_assigned_ticket(node), "assignment.assigned")
    async with serving(node) as channel:
        await handle_changes(settings, channel, 1)

    assert node.acts == [("acknowledge", f"tickets/{NUMBER}")]
    assert node.purposes == [settings.purpose]
    path = settings.outbox / f"assignment-{NUMBER}-1.{kind.value}"
    assert "演示内容" in path.read_text(encoding="utf-8-sig")


async def test_each_assignment_of_a_platform_is_acknowledged_by_its_own_number(
    tmp_path: Path,
) -> None:
    settings, node = a_settings(tmp_path), FakeNode()
    ticket = an_assigned_ticket(node)
    ticket.assignments.add().CopyFrom(ticket.assignments[0])
    ticket.assignments[1].number = 2
    node.change(ticket, "assignment.assigned")
    async with serving(node) as channel:
        await handle_changes(settings, channel, 1)

    acknowledged = [
        request.assignment
        for request in node.requests
        if isinstance(request, ticket_service_pb2.AcknowledgeTicketRequest)
    ]
    assert acknowledged == [1, 2]


@pytest.mark.parametrize("point", POINTS_OUT)
async def test_kill_at_any_point_of_delivery_loses_no_assignment(
    tmp_path: Path, point: str
) -> None:
    settings, node = a_settings(tmp_path), FakeNode()
    node.change(an_assigned_ticket(node), "assignment.assigned")
    node.change(an_assigned_ticket(node), "ticket.note")
    async with serving(node) as channel:
        # A killed process leaves what it had written; the task group only carries the kill out.
        with contextlib.suppress(KilledError, BaseExceptionGroup):
            await an_adapter(settings, channel, dies_at(point)).run(asyncio.Event())
        await handle_changes(settings, channel, 2)

    assert (settings.outbox / f"assignment-{NUMBER}-1.jsonl").exists()
    assert node.acts == [("acknowledge", f"tickets/{NUMBER}")]


async def test_own_acts_are_not_echoed_back(tmp_path: Path) -> None:
    settings, node = a_settings(tmp_path), FakeNode()
    ticket = an_assigned_ticket(node)
    ticket.assignments[0].state = ticket_pb2.Assignment.STATE_SIGNED
    node.change(ticket, "assignment.signed", actor=settings.principal)
    node.change(ticket, "ticket.overdue")
    async with serving(node) as channel:
        await handle_changes(settings, channel, 2)

    assert (settings.outbox / f"state-{NUMBER}-2.jsonl").exists()
    assert not (settings.outbox / f"state-{NUMBER}-1.jsonl").exists()
    assert not node.acts


def test_settings_name_every_problem_at_once(tmp_path: Path) -> None:
    (tmp_path / "adapter.yaml").write_text(
        "platform: '!'\nauthority: 12\nsettle: -1\nwhat: 1\n", encoding="utf-8"
    )

    with pytest.raises(FieldInvalid) as caught:
        load_settings(tmp_path)

    for part in ("platform", "authority", "settle", "what", "endpoint", "mapping"):
        assert part in caught.value.hint


def test_folder_open_to_others_stops_the_adapter(tmp_path: Path) -> None:
    settings = a_settings(tmp_path)
    settings.outbox.chmod(0o755)

    with pytest.raises(FieldInvalid):
        settings.make_folders()
