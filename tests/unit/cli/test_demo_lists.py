from pathlib import Path

from adapters.kit.journal import Entry, EntryKind, Journal
from adapters.simulated.messages import variation_messages
from gateway.cli.demo.lists import Programme, read_expectations, read_submitted, share_out
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


def test_judge_knows_the_ids_of_variations() -> None:
    programme = Programme.of(load_topology(), tickets=100)
    given = {
        row["工单编号"]
        for name in {case.platform for case in programme.cases}
        for row in variation_messages(name, programme.shares)
    }

    assert given == {item.external_id for item in programme.varied}
    assert len(given) + len(programme.cases) == 100


def test_variations_are_shared_out_completely_by_weight() -> None:
    cases = read_expectations()
    shares = share_out(cases, 1000)

    assert sum(shares.values()) == 1000
    assert sum(share_out(cases, 7).values()) == 7
    assert sum(share_out(cases, -5).values()) == 0
    rare = next(case for case in cases if case.id == 20)
    assert shares[rare.external_id] < min(
        shares[case.external_id] for case in cases if case.weight > rare.weight
    )


def test_part_of_the_world_has_the_cases_whose_authorities_all_take_part() -> None:
    part = Programme.of(load_topology().only(["120000", "130000"]), tickets=0)

    assert {case.id for case in part.cases} == {1, 7, 10, 11, 13, 16, 17, 20, 21, 23, 25}
