"""The transition table of a version of a pack: what is not in it does not exist.

A version is its bytes, so nothing here changes a text: a mended draft is another version. What was
in force may come back (RESTORE, a rollback); what was withdrawn before it ever was in force may
not, which `machine.py` looks at. SIGNED lasts only for the step that publishes.
"""

from __future__ import annotations

from enum import Enum

from gateway.kernel.codes import RulePackState

_S = RulePackState


class Step(Enum):
    """What can happen to a version."""

    SOUND = "a check finds no error"
    FAULTY = "a check finds errors"
    APPROVE = "a second person approves"
    SIGN = "the owner signs"
    SCHEDULE = "it waits for its instant"
    ACTIVATE = "it comes into force"
    SUPERSEDE = "another version comes into force"
    RESTORE = "a rollback brings it back"
    RETIRE = "the pack is retired"
    WITHDRAW = "it is withdrawn before its instant"


VERSION: dict[tuple[RulePackState, Step], RulePackState] = {
    (_S.DRAFT, Step.SOUND): _S.CHECKED,
    (_S.DRAFT, Step.FAULTY): _S.DRAFT,
    (_S.DRAFT, Step.WITHDRAW): _S.RETIRED,
    (_S.CHECKED, Step.SOUND): _S.CHECKED,
    (_S.CHECKED, Step.FAULTY): _S.DRAFT,  # units and regions change; so may a verdict
    (_S.CHECKED, Step.APPROVE): _S.APPROVED,
    (_S.CHECKED, Step.WITHDRAW): _S.RETIRED,
    (_S.APPROVED, Step.SOUND): _S.APPROVED,
    (_S.APPROVED, Step.FAULTY): _S.DRAFT,
    (_S.APPROVED, Step.SIGN): _S.SIGNED,
    (_S.APPROVED, Step.WITHDRAW): _S.RETIRED,
    (_S.SIGNED, Step.SCHEDULE): _S.SCHEDULED,
    (_S.SIGNED, Step.ACTIVATE): _S.ACTIVE,
    (_S.SCHEDULED, Step.ACTIVATE): _S.ACTIVE,
    (_S.SCHEDULED, Step.WITHDRAW): _S.RETIRED,
    (_S.ACTIVE, Step.SUPERSEDE): _S.RETIRED,
    (_S.ACTIVE, Step.RETIRE): _S.RETIRED,
    (_S.RETIRED, Step.RESTORE): _S.ACTIVE,
}


def allowed_steps(state: RulePackState) -> tuple[str, ...]:
    """Return what can happen in `state`, for an error that helps."""
    return tuple(step.value for held, step in VERSION if held is state)
