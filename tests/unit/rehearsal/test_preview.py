"""Planned changes before their day: which tickets in flight would move."""

from __future__ import annotations

import csv
import io
from datetime import date
from pathlib import Path

import pytest

from gateway.database.memory import MemoryDatabase
from gateway.kernel.errors import FieldInvalid
from gateway.reference.data import ReferenceData
from gateway.rehearsal.archive import pack_folder, reference_of_archive
from gateway.rehearsal.comparing import Comparison
from gateway.rehearsal.history import History
from gateway.rehearsal.model import SAMPLES_MAX, Report
from gateway.rehearsal.service import Trial
from gateway.routing.packs import PackSet
from tests.fixtures.nodes import HOSTED, a_federation, a_message, a_platform
from tests.unit.rehearsal.builders import LANGFANG, NOW, a_rehearsal, an_editor, report_of
from tests.unit.rehearsal.test_simulate import a_decision
from tests.unit.routing.builders import RULES

HEBEI = "130000"


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.suffix in {".csv", ".yaml"}
    }


def with_entry(files: dict[str, bytes], **entry: str) -> dict[str, bytes]:
    """Return the files with a further line of the responsibility list, like the first one."""
    text = files["responsibility.csv"].decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    rows.append({**rows[0], **entry})
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return {**files, "responsibility.csv": out.getvalue().encode()}


async def in_flight(database: MemoryDatabase, *, matter: str) -> list[str]:
    """Make tickets in flight that Hebei's province node decided about."""
    federation = a_federation(HOSTED, databases={"hebei": database})
    created = [
        await federation.create(
            a_platform(HEBEI), a_message(f"T-{number}", region="131082", matter=matter)
        )
        for number in range(3)
    ]
    return sorted(ticket.name.removeprefix("tickets/") for ticket in created)


async def holder(database: MemoryDatabase) -> str:
    for code in (HEBEI, LANGFANG):
        if await History(database).count_in_flight(code):
            return code
    raise AssertionError("nobody holds them")


async def test_a_planned_duty_moves_tickets_only_from_its_day_on(packs: PackSet) -> None:
    database = MemoryDatabase()
    numbers = await in_flight(database, matter="030100")
    code = await holder(database)
    folder = files_of(RULES / "reference")
    planned = with_entry(
        folder,
        entry_id="lf.water",
        matter="030100",
        region="131000",
        effective_from="2027-01-01",
        lead="SW",
        assisting="",
    )
    rehearsal = a_rehearsal(
        database, packs=packs, reference=ReferenceData.load(RULES / "reference")
    )

    async def moved(day: date, archive: bytes) -> Report:
        trial = Trial(authority=code, in_flight=True, preview_on=day, reference_archive=archive)
        return (await report_of(rehearsal, trial, principal=an_editor(code)))[0]

    report = await moved(date(2027, 1, 4), pack_folder(planned))
    (flow,) = report.flows
    assert sorted(flow.samples) == numbers
    assert flow.before.target.split("-")[-2] == "GY"
    assert flow.after.target.split("-")[-2] == "SW"
    assert (report.examined, report.missing, report.on) == (3, 0, date(2027, 1, 4))
    assert (await moved(date(2026, 12, 1), pack_folder(planned))).moved == 0
    assert (await moved(date(2027, 1, 4), b"")).moved == 0


def test_all_tickets_in_flight_that_move_are_listed() -> None:
    comparison = Comparison("131000", lists_all=True)
    for number in range(SAMPLES_MAX + 3):
        comparison.add(str(number), NOW, before=a_decision("units/a"), after=a_decision("units/b"))
    assert len(comparison.flows()[0].samples) == SAMPLES_MAX + 3


def test_a_folder_in_an_archive_is_the_same_data() -> None:
    folder = RULES / "reference"
    data = reference_of_archive(pack_folder(files_of(folder)))
    assert data.version == ReferenceData.load(folder).version


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 100, pack_folder({"a.csv": b"x"})])
def test_what_is_no_reference_folder_is_refused(content: bytes) -> None:
    with pytest.raises(FieldInvalid):
        reference_of_archive(content)


def test_an_archive_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rehearsal.archive.BYTES_MAX", 100)
    with pytest.raises(FieldInvalid, match="bytes"):
        reference_of_archive(pack_folder({"a.csv": b"0" * 101}))
    monkeypatch.setattr("gateway.rehearsal.archive.FILES_MAX", 1)
    with pytest.raises(FieldInvalid, match="files"):
        reference_of_archive(pack_folder({"a.csv": b"", "b.csv": b""}))
