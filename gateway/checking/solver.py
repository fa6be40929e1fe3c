"""z3 in a process of its own, with a deadline that does not depend on z3.

Off the request path: it is used by `lubiao rules check` and by the worker that checks a draft. One
question at a time; a process that does not answer in time is killed and the answer is "undecided";
after `FAILURES_MAX` of these nothing is asked any more, so a pack full of hard conditions costs
seconds and not minutes. Answers are remembered. Without z3 (extra `rules`) everything is undecided.
"""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
from importlib.util import find_spec
from typing import Any, Self

from gateway.checking.solving import Answer, Impossible, Possible, Question, Undecided

SECONDS = 2.0  # of one question: a usual one takes milliseconds
START_SECONDS = 20.0  # until z3 is loaded
GRACE_SECONDS = 1.0  # before the process is killed that did not keep its own timeout
FAILURES_MAX = 5
LISTS = frozenset({"risk_tags", "passing_regions", "reported_units", "other_matters"})
_MISSING = Undecided("没有求解器（安装 lubiao[rules]）")
_LATE = Undecided("求解器未能在时限内判定")


class ProcessSolver:
    """Answers questions with z3; use it as a context, so that its process ends."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        """Start nothing yet: most packs have no question for a solver."""
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None
        self._failures = 0
        self._answers: dict[str, Answer] = {}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()

    @staticmethod
    def is_installed() -> bool:
        """Tell whether z3 can be had."""
        return find_spec("z3") is not None

    def ask(self, question: Question) -> Answer:
        """Return z3's answer, or that it is undecided, within the deadline."""
        if not self.is_installed():
            return _MISSING
        line = json.dumps(
            {"conditions": question.conditions, "allowed": dict(question.allowed)},
            ensure_ascii=False,
        )
        found = self._answers.get(line)
        if found is None:
            if self._failures >= FAILURES_MAX:
                return _LATE
            found = self._answers[line] = self._asked(line)
        return found

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _asked(self, line: str) -> Answer:
        process = self._process or self._start()
        if process is None or process.stdin is None:
            return self._failed()
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
        except OSError:
            return self._failed()
        text = self._read(process, self._seconds + GRACE_SECONDS)
        return self._failed() if text is None else _answer(json.loads(text))

    def _start(self) -> subprocess.Popen[str] | None:
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            [sys.executable, "-m", "gateway.checking.proving", str(self._seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        is_ready = self._read(self._process, START_SECONDS) is not None
        return self._process if is_ready else None

    def _failed(self) -> Answer:
        self._failures += 1
        self.close()
        return _LATE

    @staticmethod
    def _read(process: subprocess.Popen[str], seconds: float) -> str | None:
        """Return the next line, None when none comes in time or the process has ended."""
        if process.stdout is None:
            return None
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            if not waiting.select(seconds):
                return None
        return process.stdout.readline() or None


def _answer(said: dict[str, Any]) -> Answer:
    match said["answer"]:
        case "impossible":
            return Impossible()
        case "possible":
            facts = {
                name: tuple(value) if name in LISTS else value
                for name, value in said["facts"].items()
            }
            return Possible(facts)
        case _:
            return Undecided(said["reason"])
