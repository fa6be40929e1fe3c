"""Files that a command reads or writes: bounded, whole or not at all, never over another one."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from pathlib import Path
from typing import Protocol

import grpc

from gateway.cli.connection import Target
from gateway.cli.output import pick, print_line
from gateway.kernel.errors import FieldInvalid, ResourceNotFound


class Chunk(Protocol):
    """One message of a stream that carries a file."""

    @property
    def chunk(self) -> bytes:
        """Bytes of the file."""


def check_new(path: Path, *, option: str) -> None:
    """Return if nothing is at a path yet.

    Raises:
        FieldInvalid: there is something, which is not overwritten.
    """
    if path.exists():
        got = f"{path} ({pick('已存在', 'it exists')})"
        raise FieldInvalid(field=option, got=got, expected=pick("新文件", "a new file"))


def receive_file(
    target: Target, path: Path, chunks: Callable[[grpc.aio.Channel], AsyncIterable[Chunk]]
) -> None:
    """Write what a node streams into a file that is there only once it is whole; print its name.

    Raises:
        LubiaoError: the node refused, broke off, or cannot be reached; there is no file.
    """
    part = path.with_name(f"{path.name}.part")

    async def receive(channel: grpc.aio.Channel) -> None:
        with part.open("wb") as file:
            async for response in chunks(channel):
                file.write(response.chunk)

    try:
        target.ask(receive)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    print_line(str(path))


def require_file(path: Path, *, field: str) -> None:
    """Return if a path is that of a plain file.

    Raises:
        ResourceNotFound: there is none.
        FieldInvalid: it is a folder, or something else without an end.
    """
    if not path.exists():
        raise ResourceNotFound(kind="file", name=str(path))
    if not path.is_file():
        what = pick("目录", "a folder") if path.is_dir() else pick("非普通文件", "no plain file")
        raise FieldInvalid(field=field, got=f"{path} ({what})", expected=pick("文件", "a file"))


def read_bounded(path: Path, bytes_max: int) -> bytes:
    """Return a file, or one byte more than it may have: whoever reads it says that it is too large.

    Raises:
        ResourceNotFound: there is no such file.
        FieldInvalid: it is a folder, or something else without an end.
    """
    require_file(path, field="FILE")
    with path.open("rb") as file:
        return file.read(bytes_max + 1)
