"""From `inbox/` to the node: every row becomes a ticket or a rejected row, then the file goes.

The steps for one file, each safe to repeat, so that a crash after any of them only means that the
file is read again:

    1  read      the file is complete: not `*.part`, not changed for a while
    2  submit    every readable row, journalled; acknowledged rows are not sent twice
    3  write     `rejected/` with the reasons, then a receipt in `outbox/`; names follow the content
    4  remove    the file, if it is still the one that was read

A node that stays silent leaves the file where it is. A row that is refused does not hold up others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

import structlog

from adapters.file_drop.formats import FILE_BYTES_MAX, Format, Row, parse, render
from adapters.file_drop.rows import bad_rows, receipt_row, ticket_of_row
from adapters.file_drop.settings import Settings
from adapters.kit.files import PART_SUFFIX, remove, sync_folder, write_whole
from adapters.kit.mapping import Mapping
from adapters.kit.submitter import Acknowledged, Refused, Submitter
from gateway.kernel.errors import FieldInvalid, LubiaoError
from hotline.ticket.v1 import ticket_pb2

Stamp = tuple[int, int, int]
Step = Callable[[str], None]
log = structlog.get_logger()


def no_step(name: str) -> None:
    """Do nothing at a named step; tests pass a function that stops the adapter there."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was read."""

    path: Path
    stamp: Stamp
    data: bytes

    @property
    def key(self) -> str:
        """A short name of the content: the same bytes have the same key."""
        return hashlib.sha256(self.data).hexdigest()[:12]

    @property
    def stem(self) -> str:
        """The beginning of the names of all files that this one leads to."""
        return f"{self.path.stem}-{self.key}"


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that cannot be taken, and why."""

    row: Row
    error: LubiaoError


class Folder:
    """The complete files of one incoming folder."""

    def __init__(self, path: Path, *, settle_seconds: float, now: Callable[[], float]) -> None:
        """Look at `path`; a file is complete when unchanged for `settle_seconds`."""
        self._path = path
        self._settle = settle_seconds
        self._now = now
        self._seen: dict[Path, tuple[Stamp, float]] = {}

    def complete(self) -> list[Path]:
        """Return the files that are complete, oldest first."""
        found: list[tuple[int, Path]] = []
        present: dict[Path, tuple[Stamp, float]] = {}
        for path in sorted(self._path.iterdir()):
            if path.name.startswith(".") or path.suffix == PART_SUFFIX:
                continue
            stamp = stamp_of(path)
            if stamp is None:
                continue
            known = self._seen.get(path)
            since = known[1] if known is not None and known[0] == stamp else self._now()
            present[path] = (stamp, since)
            if self._now() - since >= self._settle:
                found.append((stamp[2], path))
        self._seen = present
        return [path for _, path in sorted(found)]


def stamp_of(path: Path) -> Stamp | None:
    """Return inode, size and time of change of a regular file; None for anything else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if S_ISREG(found.st_mode) else None


def read_source(path: Path) -> Source | None:
    """Return a file as it is; None when it changed or went meanwhile."""
    stamp = stamp_of(path)
    if stamp is None:
        return None
    with path.open("rb") as stream:
        data = stream.read(FILE_BYTES_MAX + 1)
    return Source(path, stamp, data) if stamp_of(path) == stamp else None


def remove_source(source: Source) -> None:
    """Remove a file that was dealt with, unless somebody put another in its place."""
    if stamp_of(source.path) == source.stamp:
        remove(source.path)


def rows_of(source: Source) -> tuple[Row, ...]:
    """Return the rows of a file.

    Raises:
        FieldInvalid: it is no CSV or JSON Lines file.
    """
    kind = Format.of(source.path)
    if kind is None:
        raise FieldInvalid(
            field=source.path.name, got=source.path.suffix, expected=".csv or .jsonl"
        )
    return parse(source.data, kind, name=source.path.name)


class Rejects:
    """The folder of what could not be taken: the rows as they were, and a file of reasons."""

    def __init__(self, settings: Settings, mapping: Mapping) -> None:
        """Write below the folder of `settings`."""
        self._folder = settings.rejected
        self._mapping = mapping

    def write_rows(self, source: Source, rejections: list[Rejection]) -> None:
        """Keep rejected rows and their reasons; nothing for none."""
        if not rejections:
            return
        rows = bad_rows(item.row for item in rejections)
        # Always JSON Lines: a row that is no CSV row has no columns to be written under.
        write_whole(self._folder / f"{source.stem}.jsonl", render(rows, Format.JSONL))
        reasons = [self._reason(item.row.number, item.error) for item in rejections]
        self._write_reasons(source, reasons)

    def take_file(self, source: Source, error: LubiaoError) -> None:
        """Move a whole file that cannot be read here, beside the reason."""
        self._write_reasons(source, [self._reason(0, error)])
        if stamp_of(source.path) == source.stamp:
            source.path.replace(self._folder / f"{source.stem}{source.path.suffix}")
            sync_folder(self._folder)
            sync_folder(source.path.parent)

    def _write_reasons(self, source: Source, reasons: list[dict[str, str]]) -> None:
        write_whole(self._folder / f"{source.stem}.reasons.jsonl", render(reasons, Format.JSONL))

    def _reason(self, number: int, error: LubiaoError) -> dict[str, str]:
        fields = {
            "row": str(number),
            "reason": error.reason,
            "message": error.chinese_text(),
            "hint": error.hint,
        }
        return {self._mapping.column(name): value for name, value in fields.items()}


class Intake:
    """Hands in what lies in `inbox/`."""

    def __init__(
        self,
        settings: Settings,
        mapping: Mapping,
        submitter: Submitter,
        *,
        step: Step = no_step,
    ) -> None:
        """Take settings, mapping and the submitter of the platform."""
        self._settings = settings
        self._mapping = mapping
        self._submitter = submitter
        self._rejects = Rejects(settings, mapping)
        self._step = step

    async def take(self, path: Path) -> None:
        """Deal with one complete file.

        Raises:
            PeerUnreachable: the node stays silent; the file stays.
        """
        source = read_source(path)
        if source is None:
            return
        self._step("inbox.read")
        try:
            rows = rows_of(source)
        except FieldInvalid as error:
            self._rejects.take_file(source, error)
            log.warning("inbox.rejected", reason=error.reason)
            return
        accepted, rejections = await self._submit(source, rows)
        self._step("inbox.submitted")
        self._rejects.write_rows(source, rejections)
        self._step("inbox.rejected")
        kind = self._settings.outbox_format
        if accepted:
            receipt = self._settings.outbox / f"receipt-{source.stem}.{kind.value}"
            write_whole(receipt, render(accepted, kind))
        self._step("inbox.receipted")
        remove_source(source)
        log.info("inbox.taken", accepted=len(accepted), rejected=len(rejections))

    async def _submit(
        self, source: Source, rows: tuple[Row, ...]
    ) -> tuple[list[dict[str, str]], list[Rejection]]:
        rejections: list[Rejection] = []
        readable = list(self._readable(source, rows, rejections))
        outcomes = await self._submitter.submit([ticket for _, ticket in readable])
        accepted: list[dict[str, str]] = []
        for (row, _), outcome in zip(readable, outcomes, strict=True):
            match outcome:
                case Acknowledged():
                    accepted.append(
                        receipt_row(
                            self._mapping,
                            row=row.number,
                            external_id=outcome.external_id,
                            number=outcome.number,
                        )
                    )
                case Refused():
                    rejections.append(Rejection(row, outcome.error))
        rejections.sort(key=lambda item: item.row.number)
        return accepted, rejections

    def _readable(
        self, source: Source, rows: tuple[Row, ...], rejections: list[Rejection]
    ) -> Iterator[tuple[Row, ticket_pb2.Ticket]]:
        for row in rows:
            try:
                yield row, ticket_of_row(self._mapping, row, name=source.path.name)
            except LubiaoError as error:
                rejections.append(Rejection(row, error))
