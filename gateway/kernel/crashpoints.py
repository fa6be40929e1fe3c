"""Crash points: places where a test lets a real process die as by `kill -9`.

`reach("commit.before")` does nothing unless the composition root has armed the process, which it
does only under a roster marked `demo`. The environment variable `LUBIAO_CRASHPOINT="name:N"` then
kills the process with SIGKILL when it reaches the point `name` for the Nth time. The points are
`commit.before`, `commit.after` (the database), `send.before` and `receipt.before` (delivery).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

VARIABLE = "LUBIAO_CRASHPOINT"
POINTS = ("commit.before", "commit.after", "send.before", "receipt.before")


class _Fuse:
    """The armed point of this process and how often it may still be reached."""

    point: str | None = None
    left: int = 0


def arm(environment: Mapping[str, str], *, is_demo: bool) -> None:
    """Arm the point that `environment` names; a production roster never does.

    Raises:
        ValueError: the variable is set but does not read `name:N` with a known name and N ≥ 1.
    """
    wish = environment.get(VARIABLE, "")
    if not wish or not is_demo:
        _Fuse.point, _Fuse.left = None, 0
        return
    point, _, count = wish.partition(":")
    if point not in POINTS or not count.isdecimal() or int(count) < 1:
        raise ValueError(f"{VARIABLE} must be `name:N` with a name of {POINTS}")
    _Fuse.point, _Fuse.left = point, int(count)


def reach(point: str) -> None:
    """Note that the program is at `point`; die here when it is armed and its count is used up."""
    if _Fuse.point != point:
        return
    _Fuse.left -= 1
    if _Fuse.left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
