"""The newest signed roster on disk: one file in the node's folder, replaced whole.

The file holds exactly the bytes that were signed, with their signatures. A crash leaves the old
file or the new one. The version in it is also the least version this node will ever accept.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gateway.kernel.errors import FieldInvalid

ROSTER_FILE = "roster.binpb"
FILE_BYTES_MAX = 17 * 1024 * 1024  # a roster of 16 MiB with its signatures


@dataclass(frozen=True, slots=True)
class RosterFile:
    """A file with a signed roster."""

    path: Path

    def read(self) -> bytes | None:
        """Return the signed roster, or None when there is no file yet.

        Raises:
            FieldInvalid: the file is larger than any roster.
        """
        try:
            with self.path.open("rb") as file:
                signed = file.read(FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        if len(signed) > FILE_BYTES_MAX:
            raise FieldInvalid(
                field=self.path, got="a larger file", expected=f"at most {FILE_BYTES_MAX} bytes"
            )
        return signed

    def replace(self, signed: bytes) -> None:
        """Put a signed roster in the place of the present one, on disk before returning."""
        temporary = self.path.with_name(self.path.name + ".new")
        with temporary.open("wb") as file:
            file.write(signed)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
        descriptor = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def mark(self) -> tuple[int, int, int] | None:
        """Return what changes when the file is replaced; None when there is no file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_size)
