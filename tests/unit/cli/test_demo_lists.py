from pathlib import Path

from adapters.kit.journal import Entry, EntryKind, Journal
from adapters.simulated.messages import ordinary_messages
from gateway.cli.demo.lists import ordinary_ids, read_submitted
from gateway.cli.demo.make import share_out
from gateway.cli.demo.topology import load_topology


def test_list_says_what_the_adapters_journal_says(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "journal.jsonl"
    journal = Journal(path)
    journal.append(Entry(EntryKind.SUBMITTED, key, "r") for key in ("e1", "e2"))
    journal.append([Entry(EntryKind.ACKNOWLEDGED, "e1", "r", number="n1")])
    with path.open("ab") as stream:
        stream.write(b'{"kind": "acknowl')  # a line in the making

    found = read_submitted(tmp_path, platform="p", authority="131000")

    assert found.sent == {"e1", "e2"}
    assert found.acknowledged == {"e1": "n1"}


def test_platform_that_submitted_nothing_has_an_empty_list(tmp_path: Path) -> None:
    assert not read_submitted(tmp_path, platform="p", authority="131000").sent


def test_judge_knows_the_ids_of_ordinary_messages() -> None:
    rows = ordinary_messages("120000-p1", 3, ["120101"])

    assert [row["工单编号"] for row in rows] == ordinary_ids("120000-p1", 3)


def test_ordinary_messages_are_shared_out_completely() -> None:
    topology = load_topology()

    assert sum(share_out(topology, 7).values()) == 7
    assert sum(share_out(topology, -5).values()) == 0
