import json
from datetime import timedelta
from pathlib import Path

from adapters.file_drop.formats import Row
from adapters.file_drop.rows import ticket_of_row
from adapters.kit.client import Client
from adapters.simulated.dispatcher import SimulatedDispatcher
from adapters.simulated.messages import SAMPLES, ordinary_messages, sample_messages
from adapters.simulated.platform import Delays, SimulatedPlatform
from hotline.ticket.v1 import ticket_pb2
from tests.unit.adapters.builders import QUICK, a_row, city_mapping, rows_in
from tests.unit.adapters.fake_node import FakeNode, serving

NUMBER = "13100020261102000000001"


class Watch:
    def __init__(self) -> None:
        self.present = 0.0

    def now(self) -> float:
        return self.present


def a_platform(folder: Path, watch: Watch) -> SimulatedPlatform:
    return SimulatedPlatform(folder, messages=[a_row()], delays=Delays(), now=watch.now)


def test_messages_are_handed_in_once_over_restarts(tmp_path: Path) -> None:
    folder, watch = tmp_path / "drop", Watch()
    a_platform(folder, watch).tick()
    handed = folder / "inbox" / "messages.jsonl"
    assert rows_in(handed) == [a_row()]
    handed.unlink()

    a_platform(folder, watch).tick()

    assert not handed.exists()


def test_assignment_is_signed_contacted_resolved_and_rated_in_order_over_restarts(
    tmp_path: Path,
) -> None:
    folder, watch = tmp_path / "drop", Watch()
    a_platform(folder, watch).tick()
    row = {"全国工单编号": NUMBER, "派单序号": "1"}
    (folder / "outbox" / f"assignment-{NUMBER}-1.jsonl").write_text(json.dumps(row) + "\n")
    acts = []
    for _ in range(20):
        platform = a_platform(folder, watch)
        platform.tick()
        watch.present += 5
        platform.tick()
        for path in (folder / "answers").iterdir():
            acts += [answer["操作"] for answer in rows_in(path)]
            path.unlink()

    assert acts == ["签收", "联系", "办结", "评价"]
    assert not list((folder / "outbox").iterdir())


def test_next_answer_waits_until_the_adapter_took_the_last(tmp_path: Path) -> None:
    folder, watch = tmp_path / "drop", Watch()
    platform = a_platform(folder, watch)
    platform.tick()
    row = {"全国工单编号": NUMBER, "派单序号": "1"}
    (folder / "outbox" / f"assignment-{NUMBER}-1.jsonl").write_text(json.dumps(row) + "\n")
    for _ in range(5):
        watch.present += 5
        platform.tick()

    assert len(list((folder / "answers").iterdir())) == 1


def test_every_sample_and_ordinary_message_reads_as_a_ticket() -> None:
    platforms = [path.stem for path in SAMPLES.glob("*.jsonl")]
    rows = [row for name in platforms for row in sample_messages(name)]
    rows += ordinary_messages("120000-p1", 7, ["120101", "131082"])

    tickets = [
        ticket_of_row(city_mapping(), Row(number, row), name="f")
        for number, row in enumerate(rows, start=1)
    ]

    assert len({ticket.external_id for ticket in tickets}) == len(rows) == 12
    assert all("演示数据" in ticket.content.content for ticket in tickets)


async def test_dispatcher_records_the_answer_to_an_external_referral_and_closes(
    tmp_path: Path,
) -> None:
    node, pauses = FakeNode(), []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    referred = ticket_pb2.Ticket(
        name=f"tickets/{NUMBER}",
        state=ticket_pb2.Ticket.STATE_DISPATCHED,
        external_referral=ticket_pb2.ExternalReferral(region="330100"),
    )
    other = ticket_pb2.Ticket(name=f"tickets/{NUMBER}", state=referred.state)
    async with serving(node) as channel:
        dispatcher = SimulatedDispatcher(
            Client(channel, peer="fake", backoff=QUICK),
            folder=tmp_path,
            authority="120000",
            delay=timedelta(seconds=1),
            sleep=sleep,
        )
        for ticket in (other, referred, referred):
            node.change(ticket, "ticket.referred")
        referred.state = ticket_pb2.Ticket.STATE_RESOLVED
        node.change(referred, "ticket.resolved")
        for change in node.changes:
            await dispatcher.handle(change)

    assert node.acts == [("resolve", f"tickets/{NUMBER}"), ("close", f"tickets/{NUMBER}")]
    assert pauses == [1.0, 1.0]
