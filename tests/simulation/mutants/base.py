"""What a planted fault is, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from gateway.custody.model import Holding
from gateway.custody.steps import Step

STEPS = 500  # protocol steps of a run with a mutant; a quarter of an honest one


@dataclass(frozen=True, slots=True)
class Mutant:
    """One dropped rule and the properties that may notice first."""

    name: str
    apply: Callable[[pytest.MonkeyPatch], None]
    caught_by: frozenset[str]
    seed: int = 0  # where to begin, so that a rare story comes soon
    steps: int = STEPS


def caught(*names: str) -> frozenset[str]:
    """Return the properties that may notice a mutant."""
    return frozenset(names)


def stepping(
    patch: pytest.MonkeyPatch, module: Any, name: str, change: Callable[[Any, Step], Step]
) -> None:
    """Change what a pure step of the product returns; `change` gets the chain before it."""
    original = getattr(module, name)

    def changed(chain: Any, *given: Any, **named: Any) -> Step:
        return change(chain, original(chain, *given, **named))

    patch.setattr(module, name, changed)


def held_again(step: Step) -> Step:
    """Return the step after which the chain is simply held."""
    return replace(step, chain=replace(step.chain, holding=Holding.HELD, pending_epoch=None))


def every(count: int) -> Callable[[], bool]:
    """Return a question that is answered yes every so many times."""
    asked = 0

    def ask() -> bool:
        nonlocal asked
        asked += 1
        return asked % count == 0

    return ask


async def nothing(*_given: Any, **_named: Any) -> tuple[()]:
    """Do nothing where the product does something."""
    return ()
