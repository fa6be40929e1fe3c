"""The guides for newcomers, word for word: every shell block runs, every shown output is compared.

`docs/first-day.md` builds a federation in an empty folder, `docs/dispute.md` and then
`docs/first-hour.md` go on in it. All their blocks run in order in one shell, as a person would
type them; only ports are replaced by free ones. An output block (```text) belongs to the shell
block before it. Where a guide says that something takes a moment, the source says `<!-- until -->`
before the output, and the commands of the block are repeated until the output fits. `…` in a shown
output stands for anything.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.cli.demo.processes import free_ports, stop_postmaster

ROOT = Path(__file__).parents[2]
GUIDES = tuple(ROOT / "docs" / f"{name}.md" for name in ("first-day", "dispute", "first-hour"))
BLOCK_SECONDS_MAX = 150.0
UNTIL_SECONDS_MAX = 60.0
TERM_SECONDS_MAX = 30.0
POLL_SECONDS = 0.05
RETRY_SECONDS = 0.5  # what a person would wait at least
PORT = re.compile(r"\b(127\.0\.0\.1|0\.0\.0\.0):(74\d\d)\b")
_BLOCK = re.compile(
    r"(?P<until><!-- until -->\n+)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
# What differs between two runs: instants, days, numbers of tickets and cases, digests, sizes.
_VARIABLE = (
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "DAY"),
    (re.compile(r"\b\d{22}[\dX]\b"), "NUMBER"),
    (re.compile(r"(?<!\d)20[2-9]\d[01]\d[0-3]\d(?!\d)"), "DAY"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b"), "DIGEST"),
    (re.compile(r"\d+\.\d GiB"), "SIZE"),
    (re.compile(r"还有 \d+ 天"), "还有 DAYS 天"),
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r"[─━]+"), "─"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """Commands of a guide, and what it says that they print."""

    place: str
    commands: str
    shown: str = ""
    takes_a_moment: bool = False


def blocks_of(guide: Path) -> Iterator[Block]:
    """Yield the shell blocks of a guide in order, each with the output that follows it."""
    text = guide.read_text(encoding="utf-8")
    waiting: Block | None = None
    for match in _BLOCK.finditer(text):
        place = f"{guide.name}:{text[: match.start('text')].count(chr(10)) + 1}"
        match match["kind"]:
            case "bash":
                if waiting is not None:
                    yield waiting
                waiting = Block(place, match["text"])
            case "text" if waiting is not None:
                is_late = match["until"] is not None
                yield Block(waiting.place, waiting.commands, match["text"], is_late)
                waiting = None
    if waiting is not None:
        yield waiting


def masked(text: str) -> str:
    """Return a text without what differs between two runs."""
    for pattern, word in _VARIABLE:
        text = pattern.sub(word, text)
    return "\n".join(line.strip() for line in text.strip().splitlines())


def fits(shown: str, printed: str) -> bool:
    """Tell whether what was printed is what a guide shows."""
    pattern = re.escape(masked(shown)).replace("\\ …\\ ", "\\ .*").replace("…", ".*")
    return re.fullmatch(pattern, masked(printed), re.DOTALL) is not None


class Shell:
    """One bash for all blocks, so that variables and background processes last."""

    def __init__(self, folder: Path) -> None:
        """Start it in a folder, with `lubiao` on its path."""
        self._folder = folder
        self._work = folder / "work"
        self._work.mkdir()
        programs = folder / "bin"
        programs.mkdir()
        lubiao = programs / "lubiao"
        python = f"{shlex.quote(sys.executable)} -m gateway"
        lubiao.write_text(f'#!/bin/sh\nexec {python} "$@"\n', encoding="utf-8")
        lubiao.chmod(0o755)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LUBIAO_")}
        python_path = os.pathsep.join([str(ROOT), str(ROOT / "proto")])
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self._work,
            stdin=subprocess.PIPE,
            env=environment
            | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": python_path},
            text=True,
            start_new_session=True,
        )
        self._number = 0

    def run(self, commands: str, *, may_fail: bool = False) -> str:
        """Run commands in order until one fails, which must not be; return what they printed."""
        self._number += 1
        script, output, done = (
            self._folder / f"{self._number:03d}.{each}" for each in ("sh", "out", "done")
        )
        script.write_text(commands, encoding="utf-8")
        assert self._process.stdin is not None
        self._process.stdin.write(
            f"set -e; . {script} < /dev/null > {output} 2>&1{' || true' if may_fail else ''}; "
            f"set +e; : > {done}\n"
        )
        self._process.stdin.flush()
        end = time.monotonic() + BLOCK_SECONDS_MAX
        while not done.exists():
            printed = output.read_text(encoding="utf-8") if output.exists() else ""
            assert self._process.poll() is None, f"ended with an error:\n{commands}\n{printed}"
            assert time.monotonic() < end, f"takes too long:\n{commands}\n{printed}"
            time.sleep(POLL_SECONDS)
        return output.read_text(encoding="utf-8")

    def stop(self) -> None:
        """End the shell and everything that it started, also after a block that failed."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        group = self._process.pid  # it leads a session of its own
        for number, seconds in ((signal.SIGTERM, TERM_SECONDS_MAX), (signal.SIGKILL, 5.0)):
            end = time.monotonic() + seconds
            while self._is_alive(group) and time.monotonic() < end:
                with suppress(ProcessLookupError):
                    os.killpg(group, number)
                time.sleep(10 * POLL_SECONDS)
        for database in self._work.glob("*/database"):
            stop_postmaster(database)

    def _is_alive(self, group: int) -> bool:
        self._process.poll()
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        return True


@dataclass
class Ports:
    """Free ports in the place of those that the guides name."""

    free: dict[str, str] = field(default_factory=dict)

    def replace(self, text: str) -> str:
        """Return a text with free ports."""
        named = [port for _, port in PORT.findall(text)]
        for port in dict.fromkeys(named):
            if port not in self.free:
                self.free[port] = str(free_ports(1)[0])
        return PORT.sub(lambda match: f"{match[1]}:{self.free[match[2]]}", text)


@contextmanager
def shell_in(folder: Path) -> Iterator[Shell]:
    """Give a shell, and end it with all it started."""
    shell = Shell(folder)
    try:
        yield shell
    finally:
        shell.stop()


def follow(shell: Shell, blocks: Sequence[Block]) -> None:
    """Run blocks as a reader would, and compare what they print."""
    ports = Ports()
    for block in blocks:
        commands, shown = ports.replace(block.commands), ports.replace(block.shown)
        printed = shell.run(commands, may_fail=block.takes_a_moment)
        end = time.monotonic() + UNTIL_SECONDS_MAX
        while block.takes_a_moment and not fits(shown, printed) and time.monotonic() < end:
            time.sleep(RETRY_SECONDS)
            printed = shell.run(commands, may_fail=True)
        if shown:
            assert fits(shown, printed), (
                f"{block.place}\n{commands}\nshown:\n{masked(shown)}\n\nprinted:\n{masked(printed)}"
            )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_guides_work_word_for_word(tmp_path: Path) -> None:
    blocks = [block for guide in GUIDES for block in blocks_of(guide)]

    with shell_in(tmp_path) as shell:
        follow(shell, blocks)

    assert sum(bool(block.shown) for block in blocks) >= len(GUIDES)
