"""Files that are whole or absent: written beside their place, synced, then renamed."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.kernel.errors import FieldInvalid

FOLDER_MODE = 0o700
FILE_MODE = 0o600
PART_SUFFIX = ".part"


def make_private_folder(path: Path) -> None:
    """Make a folder that only its owner may enter, or check that it is one.

    Raises:
        FieldInvalid: it is open to others, somebody else's, or no folder.
    """
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    found = path.lstat()
    mode = found.st_mode & 0o777
    if path.is_symlink() or not path.is_dir():
        raise FieldInvalid(field=path, got="no folder", expected="a folder of mode 0700")
    if mode & 0o077:
        raise FieldInvalid(
            field=path,
            got=f"mode {mode:04o}",
            expected="mode 0700",
            hint=f"its files hold personal data: chmod 700 {path}",
        )
    if found.st_uid != os.geteuid():
        raise FieldInvalid(field=path, got=f"owner {found.st_uid}", expected="this user")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees all of it or nothing."""
    part = path.with_name(f".{path.name}{PART_SUFFIX}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file for good; it may be gone already."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make renames and removals in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
