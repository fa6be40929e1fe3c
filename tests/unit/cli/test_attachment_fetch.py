"""Fetching a file: what arrived whole before is not asked for again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gateway.cli import attachment
from gateway.cli.connection import Target

CONTENT = b"synthetic bytes"


def test_a_file_that_was_whole_when_the_command_died_is_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unasked(*_: object) -> object:
        raise AssertionError("a node refuses an offset at the end of the file")

    monkeypatch.setattr(Target, "of", unasked)
    (tmp_path / "picture.jpg.part").write_bytes(CONTENT)
    attachment.fetch(
        number="1200002026030200001000X",
        digest=hashlib.sha256(CONTENT).hexdigest(),
        file=tmp_path / "picture.jpg",
        purpose="handling",
    )
    assert (tmp_path / "picture.jpg").read_bytes() == CONTENT
    assert not (tmp_path / "picture.jpg.part").exists()
