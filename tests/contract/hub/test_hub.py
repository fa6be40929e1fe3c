"""The hub takes numbers in order, refuses what is not, and answers from what it took."""

from __future__ import annotations

import asyncio
import errno
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from gateway.aggregates.model import Cell
from gateway.database.uow import Database
from gateway.delivery.codec import statement_from_bytes, statement_to_bytes
from gateway.delivery.model import Outcome, SealedBlock
from gateway.delivery.store import EVIDENCE
from gateway.hub.model import HubPolicy, LoadedReport
from gateway.hub.service import PAGE_ROWS_MAX
from gateway.hub.store import HUB_REPORTS
from gateway.hub.warehouse import Warehouse
from gateway.kernel.errors import FieldInvalid, PeerUnreachable
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.trust.statements import digest
from hotline.aggregate.v1alpha1 import aggregate_pb2 as pb
from tests.unit.aggregates.builders import HEBEI, LANGFANG, TIANJIN, a_statement, signed
from tests.unit.hub.builders import CELLS, Hub, a_report, say

SECRET = "合成投诉内容：不得出现".encode()


@pytest.fixture
async def hub(database: Database, tmp_path: Path) -> AsyncIterator[Hub]:
    """Give a hub of each engine in turn."""
    made = Hub(tmp_path / "hub", database)
    await made.map.start()
    yield made
    await made.map.close()


async def test_reports_are_taken_in_order_and_shown(hub: Hub) -> None:
    first = say(a_report(1, day=20260301))
    later = (Cell("010000", 30), Cell("030000", None))
    second = say(a_report(2, day=20260302, cells=later), after=first)
    for report in (first, second):
        assert (await hub.take(report)).outcome is Outcome.RECEIVED
    found = await hub.map.query(first=0, last=0, province="")
    assert (found.first_day, found.last_day) == (20260301, 20260302)
    assert found.days == (("130000", (20260301, 20260302)),)
    lines = {line.matter: line for line in found.lines}
    assert (lines["010000"].count, lines["010000"].shown_days) == (55, 2)
    assert lines["010000"].error_bar == 8
    withheld = lines["020000"]
    assert (withheld.shown_days, withheld.suppressed_days) == (0, 1)
    partly = lines["030000"]  # the noise of a withheld day is in no sum
    assert (partly.count, partly.error_bar, partly.suppressed_days) == (14, 6, 1)


async def test_a_range_and_a_province_can_be_asked_for(hub: Hub) -> None:
    first = say(a_report(1, day=20260301))
    await hub.take(first)
    await hub.take(say(a_report(2, day=20260302), after=first))
    await hub.take(say(a_report(1, province=TIANJIN)), source=TIANJIN)
    found = await hub.map.query(first=20260302, last=20260302, province="")
    assert found.days == (("130000", (20260302,)),)
    found = await hub.map.query(first=0, last=0, province="120000")
    assert {line.province for line in found.lines} == {"120000"}
    assert not (await hub.map.query(first=20260401, last=0, province="")).lines
    with pytest.raises(FieldInvalid):
        await hub.map.query(first=20260230, last=0, province="")


async def test_a_range_longer_than_the_bound_is_refused(hub: Hub) -> None:
    first = say(a_report(1, day=20240101))
    await hub.take(first)
    await hub.take(say(a_report(2, day=20260302), after=first))
    with pytest.raises(FieldInvalid, match="400 days"):
        await hub.map.query(first=20240101, last=0, province="")


async def test_who_names_no_day_gets_the_newest_ones(hub: Hub) -> None:
    """After a year, or once one province has pushed an old day, a plain question must go on."""
    first = say(a_report(1, day=20240101))
    await hub.take(first)
    await hub.take(say(a_report(2, day=20260302), after=first))
    found = await hub.map.query(first=0, last=0, province="")
    assert (found.first_day, found.last_day) == (20250127, 20260302)
    assert found.days == (("130000", (20260302,)),)
    found = await hub.map.query(first=0, last=20240301, province="")
    assert (found.first_day, found.last_day) == (20240101, 20240301)
    assert not (await hub.map.query(first=0, last=10101, province="")).lines


async def test_a_day_that_is_still_to_come_waits(hub: Hub) -> None:
    answer = await hub.take(say(a_report(day=29991231)))
    assert (answer.outcome, answer.reason) == (Outcome.DEFERRED, "TRANSITION_NOT_ALLOWED")
    assert not (await hub.map.query(first=0, last=0, province="")).lines


async def test_a_repeat_changes_nothing(hub: Hub) -> None:
    report = say(a_report())
    assert (await hub.take(report)).outcome is Outcome.RECEIVED
    assert (await hub.take(report)).outcome is Outcome.RECEIVED
    found = await hub.map.query(first=0, last=0, province="")
    assert found.lines[0].count == 25


async def test_a_report_that_overtook_another_is_deferred_and_comes_again(hub: Hub) -> None:
    first = say(a_report(1, day=20260301))
    second = say(a_report(2, day=20260302), after=first)
    early = await hub.take(second)
    assert (early.outcome, early.reason) == (Outcome.DEFERRED, "RESOURCE_NOT_FOUND")
    await hub.take(first)
    assert (await hub.take(second)).outcome is Outcome.RECEIVED


@pytest.mark.parametrize(
    ("sequence", "day"),
    [(1, 20260301), (1, 20260305), (2, 20260301), (2, 20260305)],
    ids=["same place, other numbers", "same number", "same day", "other predecessor"],
)
async def test_a_second_history_is_refused_and_kept_as_evidence(
    hub: Hub, sequence: int, day: int
) -> None:
    await hub.take(say(a_report(1, day=20260301)))
    forked = say(a_report(sequence, day=day, cells=(Cell("010000", 99),)))
    receipt = await hub.take(forked)
    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "CHAIN_FORKED")
    async with hub.database.unit() as uow:
        evidence = await uow.get(EVIDENCE, "100000", digest(forked.statement))
        stored = await uow.get(HUB_REPORTS, "130000", 1)
    assert evidence is not None
    assert stored is not None
    found = await hub.map.query(first=0, last=0, province="")
    assert found.lines[0].count == 25


async def test_a_day_is_reported_once_whatever_its_number(hub: Hub) -> None:
    first = say(a_report(1, day=20260301))
    await hub.take(first)
    receipt = await hub.take(say(a_report(2, day=20260301), after=first))
    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "CHAIN_FORKED")


async def test_nobody_reports_for_another(hub: Hub) -> None:
    for report, issuer in (
        (a_report(province=TIANJIN), HEBEI),
        (a_report(province=HEBEI), LANGFANG),
    ):
        receipt = await hub.take(say(report, issuer=issuer), source=issuer)
        assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "STATEMENT_MALFORMED")


async def test_what_spends_more_than_the_policy_is_refused(hub: Hub) -> None:
    receipt = await hub.take(say(a_report(epsilon_micro=HubPolicy().epsilon_micro_max + 1)))
    assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "STATEMENT_MALFORMED")


async def test_a_count_below_its_own_threshold_is_refused(hub: Hub) -> None:
    receipt = await hub.take(say(a_report(cells=(Cell("010000", 9),))))
    assert receipt.outcome is Outcome.REFUSED


async def test_a_day_that_does_not_exist_is_refused(hub: Hub) -> None:
    assert (await hub.take(say(a_report(day=20260230)))).outcome is Outcome.REFUSED


async def test_a_matter_of_a_newer_catalogue_waits_for_the_hub(hub: Hub) -> None:
    receipt = await hub.take(say(a_report(cells=(*CELLS, Cell("880000", 12)))))
    assert (receipt.outcome, receipt.reason) == (Outcome.DEFERRED, "VERSION_TOO_NEW")


async def test_what_is_no_report_is_refused(hub: Hub) -> None:
    assert (await hub.take(a_statement(b"\xff\xff"))).outcome is Outcome.REFUSED
    assert (await hub.take(a_statement(b""))).outcome is Outcome.REFUSED
    raw = statement_from_bytes(say(a_report()).statement)
    for frame in (
        replace(raw, epoch=Epoch(0, 1)),
        replace(raw, chain=2),
        replace(raw, scope=AuthorityCode("130000")),
    ):
        assert (await hub.take(signed(statement_to_bytes(frame)))).outcome is Outcome.REFUSED
    block = SealedBlock("case_block", SECRET, "none", "none")
    assert (await hub.take(say(a_report()), blocks=(block,))).outcome is Outcome.REFUSED


async def test_no_byte_beyond_the_known_fields_comes_to_lie_at_the_hub(hub: Hub) -> None:
    """A text in an unknown field, or under a field that is given twice, is never kept (I7)."""
    body = say(a_report())
    plain = statement_from_bytes(body.statement)
    unknown_in_body = a_statement(plain.body + b"\x7a" + bytes([len(SECRET)]) + SECRET)
    twice = pb.Report(province=SECRET.decode()).SerializeToString()
    hidden_in_body = a_statement(twice + plain.body)
    field_200 = b"\xc2\x0c" + bytes([len(SECRET)]) + SECRET
    unknown_in_frame = signed(body.statement + field_200)
    for statement in (unknown_in_body, hidden_in_body, unknown_in_frame):
        receipt = await hub.take(statement)
        assert (receipt.outcome, receipt.reason) == (Outcome.DEFERRED, "VERSION_TOO_NEW")
        async with hub.database.unit() as uow:
            assert await uow.get(EVIDENCE, "100000", digest(statement.statement)) is None
            assert await uow.get(HUB_REPORTS, "130000", 1) is None


async def test_the_warehouse_is_rebuilt_when_it_was_removed_or_does_not_fit(hub: Hub) -> None:
    await hub.take(say(a_report()))
    before = await hub.map.query(first=0, last=0, province="")
    await hub.map.close()
    for path in (*hub.folder.glob("reports.duckdb*"), *hub.folder.glob("parquet/*")):
        path.unlink()
    again = Hub(hub.folder, hub.database)
    await again.map.start()
    assert await again.map.query(first=0, last=0, province="") == before
    await again.map.close()
    [month] = (hub.folder / "parquet").iterdir()
    month.unlink()
    with duckdb.connect(str(hub.folder / "reports.duckdb")) as connection:
        connection.execute("DELETE FROM cells")  # the cursor says that all is loaded
    once_more = Hub(hub.folder, hub.database)
    await once_more.map.start()
    assert await once_more.map.query(first=0, last=0, province="") == before
    await once_more.map.close()
    assert month.exists()


async def test_each_month_is_a_parquet_file(hub: Hub) -> None:
    first = say(a_report(1, day=20260228))
    await hub.take(first)
    await hub.take(say(a_report(2, day=20260301), after=first))
    await hub.map.refresh()
    files = sorted((hub.folder / "parquet").iterdir())
    assert [path.name for path in files] == ["202602.parquet", "202603.parquet"]
    with duckdb.connect() as reader:
        query = f"SELECT matter, count FROM '{files[1]}' ORDER BY matter"
        rows = reader.execute(query).fetchall()
    assert rows == [("010000", 25), ("020000", None), ("030000", 14)]


async def test_a_crash_between_the_rows_and_the_file_leaves_no_old_file(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = say(a_report(1, day=20260227))
    await hub.take(first)
    await hub.map.refresh()

    def die(warehouse: Warehouse, months: Sequence[int] = ()) -> None:
        raise KeyError

    with monkeypatch.context() as patched:
        patched.setattr(Warehouse, "export", die)
        await hub.take(say(a_report(2, day=20260228), after=first))
        with pytest.raises(KeyError):
            await hub.map.refresh()
    await hub.map.close()
    once_more = Hub(hub.folder, hub.database)
    await once_more.map.start()
    await once_more.map.close()
    with duckdb.connect() as reader:
        query = f"SELECT DISTINCT day FROM '{hub.folder}/parquet/202602.parquet' ORDER BY day"
        assert reader.execute(query).fetchall() == [(20260227,), (20260228,)]


async def test_a_disk_that_takes_no_file_does_not_end_the_hub(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    await hub.take(say(a_report()))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(PeerUnreachable):
            await hub.map.refresh()
    await hub.map.refresh()
    assert (await hub.map.query(first=0, last=0, province="")).lines


def test_a_page_of_reports_is_loaded_in_a_moment(tmp_path: Path) -> None:
    """A hub that begins anew has a page a week of the nation; a question waits for all."""
    warehouse = Warehouse(tmp_path / "hub")
    warehouse.open()
    cells = tuple((f"{matter:02d}0000", 25) for matter in range(1, 27))
    page = [
        LoadedReport(
            txid=1,
            position=number,
            province=f"{11 + number // 28}0000",
            day=20260201 + number % 28,
            sequence=number + 1,
            threshold=10,
            variance=1.0,
            cells=cells,
        )
        for number in range(PAGE_ROWS_MAX)
    ]
    began = time.monotonic()
    warehouse.load(page)
    spent = time.monotonic() - began
    assert warehouse.reports() == PAGE_ROWS_MAX
    warehouse.close()
    assert spent < 2, "it takes about 0.05 s; a statement for each cell took 6 and more"


async def test_the_map_follows_by_itself(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    stopping, loaded = asyncio.Event(), asyncio.Event()
    loop, load = asyncio.get_running_loop(), Warehouse.load

    def noted(warehouse: Warehouse, reports: Sequence[LoadedReport]) -> None:
        load(warehouse, reports)
        loop.call_soon_threadsafe(loaded.set)

    monkeypatch.setattr(Warehouse, "load", noted)
    async with asyncio.TaskGroup() as group:
        group.create_task(hub.map.run(stopping))
        await hub.take(say(a_report()))
        await loaded.wait()
        stopping.set()
    assert list((hub.folder / "parquet").glob("*.parquet"))


async def test_a_file_that_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "reports.duckdb").write_bytes(b"no database" * 1000)
    hub = Hub(tmp_path)
    with pytest.raises(PeerUnreachable, match="rebuilt"):
        await hub.map.start()
    await hub.map.close()


async def test_a_missing_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    hub = Hub(tmp_path)
    with pytest.raises(PeerUnreachable, match=r"lubiao\[hub\]"):
        await hub.map.start()
    await hub.map.close()
