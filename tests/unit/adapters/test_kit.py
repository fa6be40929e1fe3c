import asyncio
from pathlib import Path

import grpc
import pytest
from google.rpc import status_pb2

from adapters.kit.client import Backoff, Client, request_id_of
from adapters.kit.files import make_private_folder, write_whole
from adapters.kit.journal import Entry, EntryKind, Journal, read_journal
from adapters.kit.status import error_of_status, is_transient
from adapters.kit.submitter import Acknowledged, Refused, Submitter, batches
from adapters.kit.watcher import Change, Watcher
from gateway.kernel.errors import EpochStale, FieldInvalid, LubiaoError, PeerUnreachable
from hotline.ticket.v1 import ticket_pb2, ticket_service_pb2
from tests.unit.adapters.builders import QUICK
from tests.unit.adapters.fake_node import FakeNode, a_status, serving


def a_ticket(external_id: str, title: str = "题") -> ticket_pb2.Ticket:
    return ticket_pb2.Ticket(external_id=external_id, content=ticket_pb2.TicketContent(title=title))


def a_submitter(channel: grpc.aio.Channel, folder: Path) -> Submitter:
    client = Client(channel, peer="fake", backoff=QUICK)
    return Submitter(client, Journal(folder / "journal"), platform="p1")


def test_typed_error_of_the_node_keeps_class_and_metadata() -> None:
    error = error_of_status(a_status("EPOCH_STALE", ticket="t", got="1", expected="2"), peer="n")

    assert isinstance(error, EpochStale)
    assert error.metadata == {"ticket": "t", "got": "1", "expected": "2"}
    assert not is_transient(error)


def test_status_without_a_known_reason_is_judged_by_its_code() -> None:
    lost = error_of_status(status_pb2.Status(code=14, message="x"), peer="n")
    refused = error_of_status(a_status("NEWER_THAN_US", code=3), peer="n")

    assert isinstance(lost, PeerUnreachable)
    assert is_transient(lost)
    assert isinstance(refused, FieldInvalid)


def test_same_act_has_the_same_request_id_and_another_act_another() -> None:
    assert request_id_of("a", "b") == request_id_of("a", "b")
    assert request_id_of("a", "b") != request_id_of("ab", "")


def test_back_off_starts_below_a_second_and_is_bounded() -> None:
    backoff = Backoff()

    assert backoff.delay(0).total_seconds() < 0.5
    assert backoff.delay(60) <= backoff.longest


def test_batches_keep_order_and_both_bounds() -> None:
    small = [ticket_service_pb2.CreateTicketRequest(request_id=str(n)) for n in range(1001)]
    big = [
        ticket_service_pb2.CreateTicketRequest(ticket=a_ticket("x", "长" * 400_000))
        for _ in range(4)
    ]

    assert [len(batch) for batch in batches(small)] == [500, 500, 1]
    assert [item for batch in batches(small) for item in batch] == small
    assert [len(batch) for batch in batches(big)] == [2, 2]


async def test_lost_answer_is_asked_again_and_doubles_nothing(tmp_path: Path) -> None:
    node = FakeNode(answers_to_lose=2)
    async with serving(node) as channel:
        outcomes = await a_submitter(channel, tmp_path).submit([a_ticket("e1"), a_ticket("e2")])

    assert [type(outcome) for outcome in outcomes] == [Acknowledged, Acknowledged]
    assert len(node.tickets) == 2
    assert len(node.batches) == 3


async def test_one_bad_message_fails_alone(tmp_path: Path) -> None:
    node = FakeNode(refuse_titles={"坏"})
    async with serving(node) as channel:
        outcomes = await a_submitter(channel, tmp_path).submit(
            [a_ticket("e1"), a_ticket("e2", "坏"), a_ticket("e3")]
        )

    assert [type(outcome) for outcome in outcomes] == [Acknowledged, Refused, Acknowledged]
    kinds = [entry.kind for entry in read_journal(tmp_path / "journal")]
    assert kinds.count(EntryKind.ACKNOWLEDGED) == 2
    assert kinds.count(EntryKind.REFUSED) == 1


async def test_acknowledged_message_is_not_sent_again_by_the_next_process(tmp_path: Path) -> None:
    node = FakeNode()
    async with serving(node) as channel:
        first = await a_submitter(channel, tmp_path).submit([a_ticket("e1")])
        second = await a_submitter(channel, tmp_path).submit([a_ticket("e1"), a_ticket("e2")])

    assert second[0] == first[0]
    assert node.batches == [1, 1]


async def test_silent_node_leaves_the_message_in_doubt_and_journalled(tmp_path: Path) -> None:
    node = FakeNode(is_down=True)
    async with serving(node) as channel:
        with pytest.raises(PeerUnreachable):
            await a_submitter(channel, tmp_path).submit([a_ticket("e1")])

    assert [entry.kind for entry in read_journal(tmp_path / "journal")] == [EntryKind.SUBMITTED]


def test_journal_line_cut_short_by_a_crash_is_dropped_and_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    entry = Entry(EntryKind.ACKNOWLEDGED, "e1", "r1", number="n1")
    path.write_bytes(entry.to_line() + entry.to_line()[:20])

    journal = Journal(path)
    journal.append([Entry(EntryKind.ACKNOWLEDGED, "e2", "r2", number="n2")])

    assert [item.external_id for item in read_journal(path)] == ["e1", "e2"]
    assert set(journal.acknowledged) == {"e1", "e2"}


def test_journal_damaged_in_the_middle_is_refused_not_shortened(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    entry = Entry(EntryKind.ACKNOWLEDGED, "e1", "r1", number="n1")
    path.write_bytes(b"damage\n" + entry.to_line())

    with pytest.raises(FieldInvalid):
        Journal(path)
    assert entry.to_line() in path.read_bytes()


def test_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    folder.mkdir(mode=0o750)
    folder.chmod(0o750)

    with pytest.raises(FieldInvalid) as caught:
        make_private_folder(folder)

    assert caught.value.metadata["got"] == "mode 0750"


def test_written_file_replaces_the_old_one_whole_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_whole(path, b"one")
    write_whole(path, b"two")

    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


class Notebook:
    """A handler that notes positions and ends the watch after enough of them."""

    def __init__(self, stop_after: int, failing: LubiaoError | None = None) -> None:
        self.seen: list[str] = []
        self.stopping = asyncio.Event()
        self._stop_after = stop_after
        self._failing = failing

    async def handle(self, change: Change) -> None:
        if self._failing is not None:
            error, self._failing = self._failing, None
            raise error
        if self.stopping.is_set():
            await asyncio.Event().wait()  # a process that is being stopped handles nothing more
        self.seen.append(change.event.name.rpartition("/")[2])
        if len(self.seen) == self._stop_after:
            self.stopping.set()


def a_watcher(channel: grpc.aio.Channel, folder: Path, notebook: Notebook) -> Watcher:
    return Watcher(Client(channel, peer="fake", backoff=QUICK), folder / "token", notebook.handle)


async def test_watch_goes_on_after_the_last_handled_change(tmp_path: Path) -> None:
    node = FakeNode()
    for _ in range(3):
        node.change(a_ticket("e"), "ticket.received")
    async with serving(node) as channel:
        first, second = Notebook(2), Notebook(1)
        await a_watcher(channel, tmp_path, first).run(first.stopping)
        await a_watcher(channel, tmp_path, second).run(second.stopping)

    # The token of the change that ended the first watch may not have been saved: at least once.
    assert first.seen == ["1", "2"]
    assert second.seen[0] in {"2", "3"}


async def test_handler_that_cannot_now_gets_the_change_again(tmp_path: Path) -> None:
    node = FakeNode()
    node.change(a_ticket("e"), "ticket.received")
    async with serving(node) as channel:
        notebook = Notebook(1, failing=PeerUnreachable(peer="x", got="y"))
        await a_watcher(channel, tmp_path, notebook).run(notebook.stopping)

    assert notebook.seen == ["1"]
    assert node.watched_from == ["", ""]


async def test_token_of_a_replaced_node_starts_again_from_the_beginning(tmp_path: Path) -> None:
    node = FakeNode(unknown_tokens={"77"})
    node.change(a_ticket("e"), "ticket.received")
    (tmp_path / "token").write_text("77")
    async with serving(node) as channel:
        notebook = Notebook(1)
        await a_watcher(channel, tmp_path, notebook).run(notebook.stopping)

    assert node.watched_from == ["77", ""]


async def test_handler_that_fails_for_good_ends_the_watch(tmp_path: Path) -> None:
    node = FakeNode()
    node.change(a_ticket("e"), "ticket.received")
    async with serving(node) as channel:
        notebook = Notebook(1, failing=FieldInvalid(field="x", got="y", expected="z"))
        with pytest.raises(FieldInvalid):
            await a_watcher(channel, tmp_path, notebook).run(notebook.stopping)
