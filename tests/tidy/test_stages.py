"""Whoever sees only the end of a check's output sees why it failed."""

from __future__ import annotations

import os
import sys

import pytest

from tests import stages


def test_a_failed_command_is_told_by_its_code_and_last_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = f"for n in range({stages.LAST_LINES + 1}): print(n)\nraise SystemExit(3)"

    code, last = stages._watched((sys.executable, "-c", said), dict(os.environ))

    assert code == 3
    assert last == [str(n) for n in range(1, stages.LAST_LINES + 1)]
    assert capsys.readouterr().out.split() == [str(n) for n in range(stages.LAST_LINES + 1)]
