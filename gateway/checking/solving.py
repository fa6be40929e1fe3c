"""What the analysis asks of a solver, and what it may hear: values, impossible, or undecided.

Pure: the question and the answer. `solver.py` asks z3 in a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

Value = str | int | bool | tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """Is there a ticket for which these conditions hold or not, with such values of its facts?

    `allowed` bounds single facts; a fact that is not in it may be anything. `needs` and `bans` are
    of the facts that are lists.
    """

    conditions: tuple[tuple[str, bool], ...]
    allowed: Mapping[str, tuple[str | int | bool, ...]] = field(default_factory=dict)
    regions: tuple[str, ...] = ()  # codes in use, for facts that name a region


@dataclass(frozen=True, slots=True)
class Possible:
    """Facts that the question is true of; facts not named have their empty value."""

    facts: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Impossible:
    """There is certainly no such ticket."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """Nobody knows, and why."""

    reason: str


Answer = Possible | Impossible | Undecided


class Solver(Protocol):
    """Answers questions, within a bound of its own."""

    def ask(self, question: Question) -> Answer:
        """Return the answer."""
        ...


class NoSolver:
    """Knows nothing."""

    def ask(self, question: Question) -> Answer:  # noqa: ARG002 - the protocol's
        """Return that nobody knows."""
        return Undecided("没有求解器（安装 lubiao[rules]）")
