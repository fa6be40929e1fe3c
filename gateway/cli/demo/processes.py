"""The processes that a demonstration starts, each with its log, stopped by their own ids."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TERM_SECONDS_MAX = 15.0  # a node drains and stops its PostgreSQL within this
KILL_SECONDS_MAX = 5.0
POLL_SECONDS = 0.05
# Becomes the process that is wanted, after it asked Linux for a SIGTERM when we are gone: killed
# outright, a demonstration leaves nothing running. Elsewhere than on Linux it only becomes it.
LAUNCHER = """
import ctypes, os, signal, sys
parent, arguments = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)
os.execv(sys.executable, [sys.executable, "-m", *arguments])
"""
PORT_MIN, PORT_END = 20_000, 32_768  # Linux gives 32,768 to 60,999 to outgoing connections


@dataclass(slots=True)
class Started:
    """One process that we started."""

    name: str
    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None


@dataclass(slots=True)
class Processes:
    """All processes of one demonstration."""

    logs: Path
    started: dict[str, Started] = field(default_factory=dict)

    def start(
        self, name: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> Started:
        """Start `python -m …` under a name of its own, in a session of its own."""
        log = self.logs / f"{name}.log"
        extra = dict(environment or {})
        with log.open("ab") as stream:
            process = subprocess.Popen(  # noqa: S603 (our own interpreter, our own arguments)
                [sys.executable, "-c", LAUNCHER, str(os.getpid()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=os.environ | extra,
                start_new_session=True,  # a Ctrl-C reaches the demonstration, which stops in order
            )
        found = Started(name, arguments, log, extra, process)
        self.started[name] = found
        return found

    def restart(self, name: str) -> Started:
        """Start an ended process again as it was, without what was injected for its first life."""
        return self.start(name, *self.started[name].arguments)

    def kill(self, name: str) -> None:
        """End a process as `kill -9` does."""
        found = self.started[name]
        if found.is_alive:
            found.process.kill()
        found.process.wait(KILL_SECONDS_MAX)

    def dead(self) -> list[Started]:
        """Return the processes that ended by themselves."""
        return [found for found in self.started.values() if not found.is_alive]

    def stop(self, *names: str) -> None:
        """Stop processes, all of them for no name: asked first, then killed."""
        chosen = [self.started[name] for name in names] if names else list(self.started.values())
        for found in chosen:
            if found.is_alive:
                found.process.terminate()
        end = time.monotonic() + TERM_SECONDS_MAX
        for found in chosen:
            try:
                found.process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                found.process.kill()
                found.process.wait(KILL_SECONDS_MAX)


def free_ports(count: int) -> list[int]:
    """Return `count` loopback ports that nobody uses now.

    They lie below those that the kernel gives to outgoing connections: between this answer and the
    node that listens, any process of the machine could get such a one.
    """
    found: list[int] = []
    while len(found) < count:
        port = PORT_MIN + secrets.randbelow(PORT_END - PORT_MIN)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def postmaster_pid(data_folder: Path) -> int | None:
    """Return the process id of the PostgreSQL that runs over a data folder, or None."""
    try:
        pid = int((data_folder / "postmaster.pid").read_text().split()[0])
        # The number in a stale file may be somebody else's by now: ours works in this folder.
        is_ours = Path(f"/proc/{pid}/cwd").resolve() == data_folder.resolve()
    except (OSError, IndexError, ValueError):
        return None
    return pid if is_ours else None


def stop_postmaster(data_folder: Path) -> None:
    """Stop a PostgreSQL that outlived its gateway; it was started below our own folder."""
    pid = postmaster_pid(data_folder)
    if pid is None:
        return
    os.kill(pid, signal.SIGINT)
    end = time.monotonic() + TERM_SECONDS_MAX
    while postmaster_pid(data_folder) is not None and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
