"""Drawing noise from the node's side: one short-lived child process a report, bounded in time.

The child is `gateway.aggregates.noise`. Whatever goes wrong with it is one typed error, and then
there is no report: no other source of noise exists. What it said on standard error is not passed
on, because a traceback there may hold exact counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from gateway.aggregates.noise import NOT_INSTALLED
from gateway.kernel.errors import PeerUnreachable

DRAW_TIME_MAX = timedelta(seconds=8)  # below the database's lock time-out; 0.3 s when idle
ANSWER_BYTES_MAX = 65_536
PEER = "noise process"
MODULE = "gateway.aggregates.noise"
_ROOT = str(Path(__file__).resolve().parents[2])
CRASHES_MAX = 3  # then something is wrong with the machine


class Noise(Protocol):
    """Adds noise to counts."""

    async def draw(self, counts: Sequence[int], *, epsilon_micro: int) -> tuple[int, ...]:
        """Return each count with discrete Laplace noise.

        Raises:
            PeerUnreachable: there is no noise, hence no report.
        """
        ...


class _CrashedError(Exception):
    """The child ended by a signal, or before it was asked."""


class NoiseProcess:
    """Noise of OpenDP in a child process."""

    def __init__(self, *, command: Sequence[str] = (), time_max: timedelta = DRAW_TIME_MAX) -> None:
        """Run `command`, by default this Python with the module of the noise."""
        self._command = tuple(command) or (sys.executable, "-m", MODULE)
        self._time_max = time_max

    async def draw(self, counts: Sequence[int], *, epsilon_micro: int) -> tuple[int, ...]:
        """Return each count with noise; see `Noise`.

        A child that crashed drew nothing that anybody saw, so another one is asked.
        """
        for _ in range(CRASHES_MAX):
            with suppress(_CrashedError):
                return await self._draw_once(counts, epsilon_micro=epsilon_micro)
        raise _no_noise(f"it crashed {CRASHES_MAX} times")

    async def _draw_once(self, counts: Sequence[int], *, epsilon_micro: int) -> tuple[int, ...]:
        request = json.dumps({"counts": list(counts), "epsilon_micro": epsilon_micro}).encode()
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(),
            )
        except OSError as error:
            raise _no_noise(f"cannot be started: {type(error).__name__}") from error
        try:
            async with asyncio.timeout(self._time_max.total_seconds()):
                answer, _ = await child.communicate(request)
        except TimeoutError as error:
            raise _no_noise(f"no answer within {self._time_max.total_seconds()} s") from error
        except RuntimeError as error:  # uvloop, when the child is gone before it was asked
            raise _CrashedError from error
        finally:
            await _end(child)
        if child.returncode == NOT_INSTALLED:
            raise _no_noise(
                "OpenDP is not installed",
                hint="install the extra `lubiao[aggregates]` / 请安装 lubiao[aggregates]",
            )
        if child.returncode is not None and child.returncode < 0:
            raise _CrashedError
        if child.returncode != 0:
            raise _no_noise(f"it ended with {child.returncode}")
        return _parsed(answer, len(counts))


async def _end(child: asyncio.subprocess.Process) -> None:
    """Kill a child that still runs, and reap it."""
    if child.returncode is None:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def _environment() -> dict[str, str]:
    """Return our variables with the folder that holds `gateway`, wherever it runs from."""
    paths = [_ROOT, *filter(None, [os.environ.get("PYTHONPATH", "")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _parsed(answer: bytes, length: int) -> tuple[int, ...]:
    try:
        noisy: Any = json.loads(answer[:ANSWER_BYTES_MAX])["noisy"]
    except (ValueError, KeyError, TypeError) as error:
        raise _no_noise("its answer does not parse") from error
    are_integers = isinstance(noisy, list) and all(type(value) is int for value in noisy)
    if not are_integers or len(noisy) != length:
        raise _no_noise("its answer is not one number for each count")
    return tuple(noisy)


def _no_noise(got: str, *, hint: str = "") -> PeerUnreachable:
    return PeerUnreachable(peer=PEER, got=got, hint=hint or "no report leaves without noise")
