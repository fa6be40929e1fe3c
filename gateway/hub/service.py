"""The national map: keeps the warehouse up with what was taken, and answers questions from it.

The truth is the table of statements in PostgreSQL. One thread owns the warehouse; the event loop
reads pages of the table, hands them over and waits. A question first loads what has committed, so
an analyst sees what was taken a moment ago.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TypeVar

import structlog

from gateway.aggregates.codec import report_of_statement
from gateway.aggregates.machine import date_of
from gateway.aggregates.model import variance
from gateway.database.uow import Database
from gateway.hub.model import DAYS_MAX, LoadedReport, NationalMap
from gateway.hub.store import AFTER, UP_TO, HubReportRow
from gateway.hub.warehouse import Warehouse
from gateway.kernel.errors import FieldInvalid, LubiaoError

PAGE_ROWS_MAX = 200  # about 5 000 cells: a load of well under a second
POLL_INTERVAL = timedelta(seconds=30)
Answer = TypeVar("Answer")
log = structlog.get_logger()


class HubMap:
    """Questions to the hub's reports."""

    def __init__(self, *, database: Database, warehouse: Warehouse) -> None:
        """Answer from `warehouse`, which is loaded out of `database`."""
        self._database = database
        self._warehouse = warehouse
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="warehouse")
        self._loading = asyncio.Lock()
        self._awake = asyncio.Event()
        self._is_closed = False

    def wake(self) -> None:
        """Load soon; give it to the intake."""
        self._awake.set()

    async def start(self) -> None:
        """Open the warehouse, load it, and begin anew when it does not fit the table.

        Raises:
            PeerUnreachable: the extra `lubiao[hub]` is missing, or the file cannot be opened.
        """
        await self._in_thread(self._warehouse.open)
        await self.refresh()
        cursor = await self._in_thread(self._warehouse.cursor)
        async with self._database.unit() as uow:
            [stored] = await uow.select(UP_TO, txid=cursor.txid, position=cursor.position)
        if await self._in_thread(self._warehouse.reports) != stored.reports:
            log.warning("warehouse.rebuilt", reports=stored.reports)
            await self.rebuild()
        await self._in_thread(self._warehouse.export)

    async def rebuild(self) -> int:
        """Forget the warehouse and load everything again; return how many reports there are."""
        async with self._loading:
            await self._in_thread(self._warehouse.clear)
        return await self.refresh()

    async def refresh(self) -> int:
        """Load what was taken since the last time; return how many reports came."""
        loaded = 0
        async with self._loading:
            while rows := await self._next_page():
                await self._in_thread(partial(self._load, rows))
                loaded += len(rows)
        return loaded

    async def query(self, *, first: int, last: int, province: str) -> NationalMap:
        """Return the map over a range of days; 0 stands for what `Warehouse.query` says.

        Raises:
            FieldInvalid: a day does not exist, or the range is too long.
        """
        for field, day in (("first_day", first), ("last_day", last)):
            if day:
                date_of(day, field=field)
        await self.refresh()

        def ask() -> NationalMap:
            return self._warehouse.query(first=first, last=last, province=province)

        found = await self._in_thread(ask)
        if found.first_day:
            span = date_of(found.last_day) - date_of(found.first_day)
            if span >= timedelta(days=DAYS_MAX):
                raise FieldInvalid(
                    field="last_day",
                    got=f"{span.days + 1} days",
                    expected=f"at most {DAYS_MAX} days; name a first_day",
                )
        return found

    async def run(self, stopping: asyncio.Event) -> None:
        """Load whenever something was taken, until `stopping` is set."""
        ending = asyncio.ensure_future(stopping.wait())
        try:
            while not stopping.is_set():
                self._awake.clear()
                try:
                    await self.refresh()
                except LubiaoError as error:
                    log.warning("warehouse.behind", reason=error.reason)
                awake = asyncio.ensure_future(self._awake.wait())
                await asyncio.wait(
                    (awake, ending),
                    timeout=POLL_INTERVAL.total_seconds(),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                awake.cancel()
        finally:
            ending.cancel()

    async def close(self) -> None:
        """Close the warehouse; a second time does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._in_thread(self._warehouse.close)
        self._thread.shutdown(wait=False)

    def _load(self, rows: list[HubReportRow]) -> None:
        self._warehouse.load([_loaded(row) for row in rows])

    async def _next_page(self) -> list[HubReportRow]:
        cursor = await self._in_thread(self._warehouse.cursor)
        async with self._database.unit() as uow:
            return await uow.select(
                AFTER, txid=cursor.txid, position=cursor.position, limit=PAGE_ROWS_MAX
            )

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _loaded(row: HubReportRow) -> LoadedReport:
    report = report_of_statement(row.statement)
    return LoadedReport(
        txid=row.txid,
        position=row.position,
        province=report.province,
        day=report.day,
        sequence=report.sequence,
        threshold=report.threshold,
        variance=variance(report.epsilon_micro),
        cells=tuple((cell.matter, cell.count) for cell in report.cells),
    )
