"""A verdict on files, whatever they are: steps that hold, and the first thing that does not.

Evidence of custody and dossiers of cases are verified alike: numbered steps, each resting on the
ones before, ended by the first flaw. What the steps are is their own matter (an `Enum` each).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

Step = TypeVar("Step", bound=Enum)


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence in both languages."""

    chinese: str
    english: str


@dataclass(frozen=True, slots=True)
class FlawOf(Generic[Step]):
    """The first thing that does not hold."""

    check: Step
    where: str
    what: Text
    got: str = ""
    expected: str = ""


@dataclass(frozen=True, slots=True)
class PassedOf(Generic[Step]):
    """A step that holds, with how much it looked at and what a reader should know."""

    check: Step
    examined: int
    remarks: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True)
class VerdictOf(Generic[Step]):
    """What a verification found: the steps that hold, and the flaw that ended it, if any."""

    passed: tuple[PassedOf[Step], ...]
    flaw: FlawOf[Step] | None
    # The reader's own roster or key counted, not what came with the file.
    is_anchored: bool = field(default=True, kw_only=True)

    @property
    def holds(self) -> bool:
        """Tell whether everything that was claimed holds."""
        return self.flaw is None
