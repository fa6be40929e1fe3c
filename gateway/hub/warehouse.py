"""The warehouse: reports in DuckDB, and one Parquet file a month for other tools.

Everything here is derived from the table `hub_reports` and may be deleted: it is loaded again from
the beginning. Loading is idempotent: cells and the cursor commit together, and a cell that is there
already stays. A Parquet file is written beside and renamed, so a reader never sees half of one.

All methods block and belong to one thread; `gateway.hub.service` calls them off the event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.aggregates.machine import days_before
from gateway.aggregates.model import error_bar
from gateway.database.table import load_queries
from gateway.hub.model import (
    BEGINNING,
    DAYS_MAX,
    EMPTY,
    Cursor,
    LoadedReport,
    MapLine,
    NationalMap,
)
from gateway.kernel.errors import PeerUnreachable

if TYPE_CHECKING:
    import duckdb

FILE = "reports.duckdb"
PARQUET = "parquet"
MEMORY_LIMIT = "256MB"  # a national year of first-level counts has 0.3 million rows
_SQL = load_queries(Path(__file__).with_name("warehouse.sql"))
_NO_EXTENSIONS = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


class Warehouse:
    """The hub's reports, ready for questions."""

    def __init__(self, folder: Path) -> None:
        """Keep the files below `folder`; nothing is opened yet."""
        self._folder = folder
        self._opened: duckdb.DuckDBPyConnection | None = None

    def open(self) -> None:
        """Open or make the files.

        Raises:
            PeerUnreachable: DuckDB is not installed, or does not open its file.
        """
        try:
            import duckdb  # noqa: PLC0415 # an extra: only a hub needs it
        except ImportError as error:
            raise _unavailable(
                "DuckDB is not installed",
                hint="install the extra `lubiao[hub]` / 请安装 lubiao[hub]",
            ) from error
        (self._folder / PARQUET).mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = {"memory_limit": MEMORY_LIMIT, "threads": "1", **_NO_EXTENSIONS}
        try:
            connection = duckdb.connect(str(self._folder / FILE), config=dict(settings))
            connection.execute(_SQL["make_cells"])
            connection.execute(_SQL["make_loaded"])
        except duckdb.Error as error:
            raise _unavailable(
                type(error).__name__,
                hint=f"end the other process, or remove {self._folder.name}: it is rebuilt",
            ) from error
        self._opened = connection

    def close(self) -> None:
        """Close the files."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def clear(self) -> None:
        """Forget everything, to load again from the beginning."""
        with self._transaction():
            self._run("clear_cells")
            self._run("clear_loaded")
            with _typed_errors():
                for path in (self._folder / PARQUET).glob("*.parquet"):
                    path.unlink()

    def cursor(self) -> Cursor:
        """Return how far reports have been loaded."""
        rows = self._run("cursor")
        return Cursor(*rows[0]) if rows else BEGINNING

    def reports(self) -> int:
        """Return how many reports there are."""
        return int(self._run("reports")[0][0])

    def load(self, reports: Sequence[LoadedReport]) -> None:
        """Add reports in the order of their stream and move the cursor, all or nothing."""
        if not reports:
            return
        months = {report.day // 100 for report in reports}
        with self._transaction():
            self._run("add_cells", **_columns(reports))
            self._run("clear_loaded")
            last = reports[-1]
            self._run("set_cursor", txid=last.txid, position=last.position)
            with _typed_errors():
                for month in months:  # before the commit: after a crash none is old
                    self._parquet(month).unlink(missing_ok=True)
        self.export(months)

    def query(self, *, first: int, last: int, province: str) -> NationalMap:
        """Return the map over a range of days.

        A last day of 0 is the last one there is; a first day of 0 the first one there is, but not
        so long before the last that the range would be too long.
        """
        low, high = self._run("extent", province=province)[0]
        last = last or high
        if not low or last < low:
            return EMPTY
        first = first or max(low, days_before(min(last, high), DAYS_MAX - 1))
        if first > last:
            return EMPTY
        given: dict[str, Any] = {"first": first, "last": last, "province": province}
        lines = tuple(
            MapLine(
                province=row[0],
                matter=row[1],
                count=row[2],
                shown_days=row[3],
                suppressed_days=row[4],
                error_bar=error_bar(row[5]),
            )
            for row in self._run("map", **given)
        )
        days: dict[str, list[int]] = {}
        for code, day in self._run("days", **given):
            days.setdefault(code, []).append(day)
        return NationalMap(
            first_day=first,
            last_day=last,
            lines=lines,
            days=tuple((code, tuple(found)) for code, found in days.items()),
        )

    def export(self, months: Iterable[int] = ()) -> None:
        """Write the Parquet files of these months, and of every month that has none.

        A file that cannot be written is away rather than old, so it is written at the next start.
        """
        wanted = {int(month) for month in months}
        for (month,) in self._run("months"):
            target = self._parquet(month)
            if month not in wanted and target.exists():
                continue
            with _typed_errors():
                target.unlink(missing_ok=True)
            beside = target.with_suffix(".new")
            # COPY takes no parameters; both values are our own: a number and a path.
            path = str(beside).replace("'", "''")
            rows = f"SELECT * FROM cells WHERE day // 100 = {int(month)}"  # noqa: S608 # a number
            order = "ORDER BY day, province, matter"
            self._run_sql(f"COPY ({rows} {order}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
            with _typed_errors():
                beside.replace(target)

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._opened is None:
            self.open()
        assert self._opened is not None
        return self._opened

    def _parquet(self, month: int) -> Path:
        return self._folder / PARQUET / f"{month}.parquet"

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._run_sql("BEGIN TRANSACTION")
        try:
            yield
            self._run_sql("COMMIT")
        except BaseException:
            with suppress(Exception):  # the error that counts is the first one
                self._run_sql("ROLLBACK")
            raise

    def _run(self, name: str, **parameters: Any) -> list[Any]:
        with _typed_errors():
            return self._connection.execute(_SQL[name], parameters or None).fetchall()

    def _run_sql(self, sql: str) -> None:
        with _typed_errors():
            self._connection.execute(sql)


@contextmanager
def _typed_errors() -> Iterator[None]:
    """Turn what DuckDB or the disk says into one typed error: a full disk must not end the hub."""
    import duckdb  # noqa: PLC0415 # an extra: open() has found it by now

    try:
        yield
    except (duckdb.Error, OSError) as error:
        raise _unavailable(
            type(error).__name__, hint="look at the disk; it is tried again"
        ) from error


def _columns(reports: Sequence[LoadedReport]) -> dict[str, list[Any]]:
    """Return the columns of all cells, each as one list."""
    cells = [(report, matter, count) for report in reports for matter, count in report.cells]
    return {
        "provinces": [report.province for report, _, _ in cells],
        "days": [report.day for report, _, _ in cells],
        "matters": [matter for _, matter, _ in cells],
        "counts": [count for _, _, count in cells],
        "sequences": [report.sequence for report, _, _ in cells],
        "thresholds": [report.threshold for report, _, _ in cells],
        "variances": [report.variance for report, _, _ in cells],
    }


def _unavailable(got: str, *, hint: str) -> PeerUnreachable:
    return PeerUnreachable(peer="warehouse", got=got, hint=hint)
