"""A folder of reference data in a ZIP archive: bounded, in memory, never written to a disk."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import PurePosixPath

from gateway.kernel.errors import FieldInvalid
from gateway.reference.data import ReferenceData

FILES_MAX = 1_000  # a file of units and one of service levels for each authority
BYTES_MAX = 50 * 1024 * 1024  # unpacked; the release's are half a megabyte


def pack_folder(files: Mapping[str, bytes]) -> bytes:
    """Return files by their path as an archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            archive.writestr(name, data)
    return content.getvalue()


def reference_of_archive(content: bytes) -> ReferenceData:
    """Return the reference data of an archive.

    Raises:
        FieldInvalid: it is no archive, too big, or its files do not parse.
    """
    return ReferenceData.of_files(_unpacked(content), name="reference_archive")


def _unpacked(content: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            total = sum(entry.file_size for entry in entries)
            if len(entries) > FILES_MAX or total > BYTES_MAX:
                raise _refused(f"{len(entries)} files, {total} bytes unpacked")
            # The declared sizes hold: zipfile reads no more than them, and fails on what differs.
            entries.sort(key=lambda entry: PurePosixPath(entry.filename))
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise _refused(f"no archive: {type(error).__name__}") from error


def _refused(got: str) -> FieldInvalid:
    expected = f"a ZIP of a reference folder: {FILES_MAX} files, {BYTES_MAX} bytes at most"
    return FieldInvalid(field="reference_archive", got=got, expected=expected)
