"""Crash points kill a process only when it was armed for a demonstration."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from gateway.kernel.crashpoints import VARIABLE, arm

PROGRAM = """
from gateway.kernel import crashpoints
crashpoints.arm({{{variable!r}: {wish!r}}}, is_demo={is_demo})
for number in range(4):
    print(number, flush=True)
    crashpoints.reach("commit.after")
    crashpoints.reach("commit.before")
"""


def outcome(wish: str, *, is_demo: bool) -> tuple[int, list[str]]:
    program = PROGRAM.format(variable=VARIABLE, wish=wish, is_demo=is_demo)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.split()


def test_armed_process_dies_when_it_reaches_its_point_for_the_nth_time() -> None:
    assert outcome("commit.before:3", is_demo=True) == (-signal.SIGKILL, ["0", "1", "2"])


def test_production_process_never_dies() -> None:
    assert outcome("commit.before:1", is_demo=False) == (0, ["0", "1", "2", "3"])


@pytest.mark.parametrize("wish", ["commit.before", "commit.before:0", "unknown:1", ":1", "x"])
def test_unreadable_wish_is_refused(wish: str) -> None:
    with pytest.raises(ValueError, match=VARIABLE):
        arm({VARIABLE: wish}, is_demo=True)


def test_empty_environment_arms_nothing() -> None:
    arm({}, is_demo=True)
