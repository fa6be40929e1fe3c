"""Mutants of standing by and asking: neither is an answer, and neither opens a window for ever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.custody import deciding, inquiries, machine, stand_by
from gateway.custody.bodies import Answer
from gateway.custody.inquiring import Inquiring
from gateway.custody.model import Inquired, Verdict
from gateway.custody.recall import WINDOW_TIMER, timer_key
from gateway.database.timers import cancel, schedule
from tests.simulation import people
from tests.simulation.mutants.base import STEPS, Mutant, caught, held_again, nothing, stepping


def _moves_again_and_again(patch: pytest.MonkeyPatch) -> None:
    """Each StandBy moves the window by one more, however often it is said."""
    patch.setattr(deciding.Deciding, "_said", nothing)
    original = stand_by.stand_by

    def say(chain: Any, invitation: Any, *, latest: Any, **given: Any) -> machine.Step:
        further = latest - invitation.window_end + stand_by.moved_end(invitation)
        return original(chain, invitation, latest=further, **given)

    def hear(chain: Any, made: Any, given: Any, **named: Any) -> machine.Step:
        further = given.latest - made.window_end + stand_by.moved_end(made)
        return heard(chain, made, replace(given, latest=further), **named)

    heard = stand_by.receive_stand_by
    patch.setattr(stand_by, "stand_by", say)
    patch.setattr(stand_by, "receive_stand_by", hear)


def _has_no_bound(patch: pytest.MonkeyPatch) -> None:
    """The time that is said counts, whatever it is."""
    patch.setattr(
        stand_by,
        "latest_end",
        lambda *, offered, window_end: window_end + 100 * (window_end - offered),
    )


def _counts_as_acceptance(patch: pytest.MonkeyPatch) -> None:
    """Who hears that a person is deciding lets go."""

    def change(chain: Any, step: machine.Step) -> machine.Step:
        if not step.made:
            return step
        released = machine.receive_answer(
            chain,
            replace(step.made[0], stand_by_until=None),
            source=step.made[0].target,
            epoch=step.made[0].epoch,
            digest=step.made[0].statement_digest,
            body=Answer(Verdict.ACCEPTED, step.made[0].statement_digest),
        )
        return replace(step, chain=released.chain)

    stepping(patch, stand_by, "receive_stand_by", change)


def _ends_the_window(patch: pytest.MonkeyPatch) -> None:
    """Nothing asks the offer back any more: a silent peer that once stood by keeps it for ever."""
    patch.setattr(
        deciding, "schedule", lambda uow, *, kind, key, due: cancel(uow, kind=kind, key=key)
    )


def _a_question_moves_the_window(patch: pytest.MonkeyPatch) -> None:
    """Who asks something gets another window for it, each time."""
    taken = Inquiring.taken

    async def moving(self: Any, uow: Any, *given: Any) -> tuple[Any, ...]:
        events = await taken(self, uow, *given)
        for event in (each for each in events if isinstance(each, Inquired)):
            name = timer_key(event.key, event.epoch)
            schedule(uow, kind=WINDOW_TIMER, key=name, due=given[-1] + 5 * people.WINDOW)
        return events

    patch.setattr(Inquiring, "taken", moving)


def _a_question_declines(patch: pytest.MonkeyPatch) -> None:
    """Who hears a question holds its ticket again, as if it had been declined."""

    def change(_chain: Any, step: machine.Step) -> machine.Step:
        return held_again(step) if step.made else step

    stepping(patch, inquiries, "receive_inquiry", change)


def _talking(plant: Callable[[pytest.MonkeyPatch], None]) -> Callable[[pytest.MonkeyPatch], None]:
    """Return a fault in a world where people stand by and ask in every seed."""

    def planted(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(people, "TALK_EVERY", 1)
        plant(patch)

    return planted


MUTANTS = (
    Mutant("question moves the window", _talking(_a_question_moves_the_window), caught("I6")),
    Mutant("question as refusal", _talking(_a_question_declines), caught("S2", "S13", "L2", "S4")),
    Mutant(
        "stand-by again and again", _talking(_moves_again_and_again), caught("I6"), steps=2 * STEPS
    ),
    Mutant("stand-by without bound", _talking(_has_no_bound), caught("I6")),
    Mutant("stand-by as acceptance", _talking(_counts_as_acceptance), caught("S11", "S4")),
    Mutant("stand-by ends the window", _talking(_ends_the_window), caught("I6")),
)
