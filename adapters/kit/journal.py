"""The adapter's own list of what it submitted and what was acknowledged: append-only, synced.

One JSON object per line. A line that a crash cut short is dropped when the journal is opened, so
what it would have said is simply done again. The journal holds external ids, request ids, ticket
numbers and reasons; no content and no identity. It is the witness that nothing was lost or doubled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from adapters.kit.files import FILE_MODE, sync_folder
from gateway.kernel.errors import FieldInvalid


class EntryKind(Enum):
    """What happened to a message."""

    SUBMITTED = "submitted"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal."""

    kind: EntryKind
    external_id: str
    request_id: str
    number: str = ""
    reason: str = ""

    def to_line(self) -> bytes:
        """Return the line with its end."""
        row = {
            "kind": self.kind.value,
            "external_id": self.external_id,
            "request_id": self.request_id,
            "number": self.number,
            "reason": self.reason,
        }
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Entry:
        """Return the entry of a line.

        Raises:
            ValueError: the line is no entry.
        """
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError("a journal line is a JSON object")  # noqa: TRY004 (bad data, not code)
        return cls(
            kind=EntryKind(row["kind"]),
            external_id=str(row["external_id"]),
            request_id=str(row["request_id"]),
            number=str(row.get("number", "")),
            reason=str(row.get("reason", "")),
        )


class Journal:
    """The journal of one adapter, open for appending."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal and read what it says."""
        self._path = path
        self._acknowledged: dict[str, Entry] = {}
        end = self._load()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, FILE_MODE)
        os.ftruncate(self._descriptor, end)
        os.lseek(self._descriptor, end, os.SEEK_SET)
        os.fsync(self._descriptor)
        sync_folder(path.parent)

    @property
    def acknowledged(self) -> Mapping[str, Entry]:
        """Acknowledged messages by external id."""
        return self._acknowledged

    def append(self, entries: Iterable[Entry]) -> None:
        """Write entries and return when they are on disk."""
        fresh = tuple(entries)
        if not fresh:
            return
        data = b"".join(entry.to_line() for entry in fresh)
        while data:
            data = data[os.write(self._descriptor, data) :]
        os.fsync(self._descriptor)
        for entry in fresh:
            self._note(entry)

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        os.close(self._descriptor)

    def _note(self, entry: Entry) -> None:
        if entry.kind is EntryKind.ACKNOWLEDGED:
            self._acknowledged[entry.external_id] = entry

    def _load(self) -> int:
        """Read the entries and return where the last whole one ends."""
        end = 0
        for entry, size in _whole_entries(self._path):
            self._note(entry)
            end += size
        return end


def read_journal(path: Path) -> tuple[Entry, ...]:
    """Return the whole entries of a journal without opening it for writing."""
    return tuple(entry for entry, _ in _whole_entries(path))


def _whole_entries(path: Path) -> Iterator[tuple[Entry, int]]:
    """Yield each entry with its size; only the last line may be cut short."""
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    for position, line in enumerate(lines, start=1):
        try:
            entry = Entry.from_line(line)
        except (ValueError, KeyError) as error:
            if position == len(lines):
                return
            raise FieldInvalid(
                field=f"{path}:{position}",
                got="no journal entry",
                expected="a line written by this adapter",
                hint="the disk or a person damaged it; restore the file, do not delete it",
            ) from error
        if not line.endswith(b"\n"):
            return
        yield entry, len(line)
