"""Mutants of rulings: numbers 8–12, 17, 18, 24, 25, 27, 28, 33 and 35–41."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.custody import bodies, evidence, forks, machine, proofs, rulings
from gateway.custody.model import Holding, Verdict
from gateway.custody.receive import Receiver
from gateway.custody.ruled import Ruled
from gateway.custody.telling import Telling
from gateway.kernel.ids import AuthorityCode, Epoch
from tests.simulation.mutants.base import Mutant, caught, nothing, stepping


def _ruling_opens_no_era(patch: pytest.MonkeyPatch) -> None:
    """[8] The term of a ruling takes the next count of the old era."""
    original = rulings._taken

    def taken(chain: Any, known: Any, ruling: Any) -> Any:
        held = original(chain, known, ruling)
        count = chain.floor.count if chain.floor else 0
        return replace(held, term_epoch=Epoch(0, count + 1))

    patch.setattr(rulings, "_taken", taken)


def _care_ends_at_the_ruling(patch: pytest.MonkeyPatch) -> None:
    """[9] The old custodian lets go at the ruling; its target may be down for days."""

    def change(_chain: Any, step: machine.Step) -> machine.Step:
        if step.chain.holding is not Holding.YIELDING:
            return step
        return replace(step, chain=replace(step.chain, holding=Holding.RELEASED, desk=None))

    stepping(patch, rulings, "receive_ruling", change)


def _nobody_tells_downstream(patch: pytest.MonkeyPatch) -> None:
    """[10, 12, 33, 39] Nobody forwards, walks, fences, or learns from what is stale."""
    patch.setattr(rulings, "forwarded_to", lambda made: ())
    patch.setattr(Telling, "reach", nothing)

    async def answered(self: Receiver, *given: Any) -> Any:
        return await self._progress.answered(*given)

    patch.setattr(Receiver, "_update_answer", answered)


def _no_fence(patch: pytest.MonkeyPatch) -> None:
    """[39] Silence makes the arbiter tell nobody more."""
    patch.setattr(Telling, "handle", nothing)


def _offer_below_the_ruling_invites(patch: pytest.MonkeyPatch) -> None:
    """[11] An offer of an older era is an invitation like any other."""
    original = machine.receive_offer

    def receive_offer(chain: Any, offered: Any, *, now: Any) -> machine.Step:
        step = original(replace(chain, ruling=0, floor=None), offered, now=now)
        kept = replace(step.chain, ruling=chain.ruling, floor=step.chain.floor or chain.floor)
        return replace(step, chain=kept)

    patch.setattr(machine, "receive_offer", receive_offer)


def _anybody_rules(patch: pytest.MonkeyPatch) -> None:
    """[17] A second body may rule: it is not asked who the arbiter of the scope is."""
    original = proofs.check_ruling

    def check_ruling(item: Any, key: Any, _arbiter: Any) -> bodies.Ruling:
        return original(item, key, item.statement.issuer)

    patch.setattr(proofs, "check_ruling", check_ruling)


def _last_ruling_that_arrives_wins(patch: pytest.MonkeyPatch) -> None:
    """[18] Numbers of rulings are not compared."""
    patch.setattr(rulings, "is_newer", lambda chain, number: number != chain.ruling)


def _taken_is_not_sent(patch: pytest.MonkeyPatch) -> None:
    """[24] TAKEN is said, but does not go through the outbox."""
    original = rulings._ack

    def ack(chain: Any, ruling: Any, role: bodies.Role, successor: str) -> machine.Say:
        say = original(chain, ruling, role, successor)
        return replace(say, audience=()) if role is bodies.Role.TAKEN else say

    patch.setattr(rulings, "_ack", ack)


def _pending_offer_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """[25] A ruling makes the old custodian forget that its offer is out."""
    stepping(
        patch,
        rulings,
        "receive_ruling",
        lambda _chain, step: replace(step, chain=replace(step.chain, pending_epoch=None)),
    )


def _old_acceptance_ends_a_ruled_term(patch: pytest.MonkeyPatch) -> None:
    """[27] ACCEPTED of an offer of an older term releases the one whom a ruling upheld."""
    original = machine.receive_answer

    def receive_answer(chain: Any, made: Any, **given: Any) -> machine.Step:
        accepts = given["body"].verdict is Verdict.ACCEPTED
        if accepts and made is not None and made.verdict is Verdict.PENDING and chain.is_caring:
            held = replace(chain, pending_epoch=made.epoch, holding=Holding.OFFERED)
            return original(held, made, **given)
        return original(chain, made, **given)

    patch.setattr(machine, "receive_answer", receive_answer)


def _attached_ruling_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """[28] What a statement carries is not applied before it."""
    patch.setattr(Ruled, "learn", nothing)


def _ack_is_not_answered(patch: pytest.MonkeyPatch) -> None:
    """[35] The arbiter keeps TAKEN for itself."""
    patch.setattr(Telling, "tell_taken", nothing)


def _ruling_waits_for_the_offer(patch: pytest.MonkeyPatch) -> None:
    """[36] A custodian with an offer out knows the ruling and does not obey it yet."""

    def change(chain: Any, step: machine.Step) -> machine.Step:
        if chain.holding not in (Holding.OFFERED, Holding.REVOKING):
            return step
        kept = replace(step.chain, holding=chain.holding, pending_epoch=chain.pending_epoch)
        return replace(step, chain=replace(kept, term_epoch=chain.term_epoch))

    stepping(patch, rulings, "receive_ruling", change)


def _target_may_refuse(patch: pytest.MonkeyPatch) -> None:
    """[37] A target that never held the ticket answers NOT_HELD instead of taking it."""
    original = rulings.receive_ruling

    def receive_ruling(chain: Any, ruling: Any) -> machine.Step:
        if chain.holding is Holding.ABSENT:
            body = replace(ruling.body, target=AuthorityCode("310100"))
            return original(chain, replace(ruling, body=body))
        return original(chain, ruling)

    patch.setattr(rulings, "receive_ruling", receive_ruling)


def _released_does_not_obey(patch: pytest.MonkeyPatch) -> None:
    """[38] A RELEASED node thinks a ruling is none of its business."""

    def change(chain: Any, step: machine.Step) -> machine.Step:
        return machine.Step(chain=chain) if chain.holding is Holding.RELEASED else step

    stepping(patch, rulings, "receive_ruling", change)


def _earlier_targets_are_not_told(patch: pytest.MonkeyPatch) -> None:
    """[40] Ruling n+1 goes to its target alone, and nobody is told later."""

    async def first(self: Telling, uow: Any, chain: Any, target: Any, earlier: Any) -> Any:
        return (target,)

    patch.setattr(Telling, "first_told", first)
    _nobody_tells_downstream(patch)


def _invitation_survives_the_ruling(patch: pytest.MonkeyPatch) -> None:
    """[41] An invitation of an older era stays open."""
    original = rulings.receive_ruling

    def receive_ruling(chain: Any, ruling: Any) -> machine.Step:
        return original(chain, replace(ruling, invitation=None))

    patch.setattr(rulings, "receive_ruling", receive_ruling)


def _care_goes_on_after_taken(patch: pytest.MonkeyPatch) -> None:
    """Who was overruled goes on caring although it knows that the target took the ticket."""
    patch.setattr(rulings, "receive_taken", lambda chain, **_given: machine.Step(chain=chain))


def _ruling_forgets_the_offers_made(patch: pytest.MonkeyPatch) -> None:
    """The target of a ruling keeps the offer that it had out as its pending one."""

    def change(chain: Any, step: machine.Step) -> machine.Step:
        pending = chain.pending_epoch or step.chain.pending_epoch
        return replace(step, chain=replace(step.chain, pending_epoch=pending))

    stepping(patch, rulings, "receive_ruling", change)


def _no_content_for_the_target(patch: pytest.MonkeyPatch) -> None:
    """Nobody sends the ticket's text to the target of a ruling."""
    patch.setattr(Ruled, "_stand_down", nothing)


def _previous_ruling_is_not_checked(patch: pytest.MonkeyPatch) -> None:
    """A ruling may deny the one before it."""
    patch.setattr(evidence, "check_succession", nothing)


def _fork_of_the_own_term_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """A custodian whose own term is forked goes on as if nothing were."""
    patch.setattr(forks.Forks, "learned", nothing)


MUTANTS = (
    Mutant("no era", _ruling_opens_no_era, caught("S4")),
    Mutant("no care until taken", _care_ends_at_the_ruling, caught("S4", "S11"), seed=4),
    Mutant(
        "anybody rules",
        _anybody_rules,
        caught("HOSTILE", "S1", "S4", "S13", "ASSERTION"),
        seed=45,
    ),
    Mutant("last ruling wins", _last_ruling_that_arrives_wins, caught("S12", "S9", "ASSERTION")),
    Mutant("taken not sent", _taken_is_not_sent, caught("L3", "L0", "L1", "L2"), seed=2),
    Mutant(
        "pending offer forgotten", _pending_offer_is_forgotten, caught("L4", "L1", "L2"), seed=41
    ),
    Mutant(
        "attached ruling ignored",
        _attached_ruling_is_ignored,
        caught("S9", "S13", "L0", "L1", "L2"),
    ),
    Mutant("ack not answered", _ack_is_not_answered, caught("L1", "L3", "L0", "L2"), seed=1),
    Mutant("ruling waits", _ruling_waits_for_the_offer, caught("S9", "S4")),
    Mutant("target refuses", _target_may_refuse, caught("L0", "L1", "L3", "L2"), seed=1),
    Mutant("released disobeys", _released_does_not_obey, caught("S9")),
    Mutant(
        "earlier targets not told", _earlier_targets_are_not_told, caught("L1", "L3", "L0", "L2")
    ),
    Mutant("invitation survives", _invitation_survives_the_ruling, caught("S9", "S12"), seed=168),
    Mutant("care goes on", _care_goes_on_after_taken, caught("L1", "L0", "L2")),
    Mutant(
        "offer outlives ruling",
        _ruling_forgets_the_offers_made,
        caught("C1", "S9", "L0", "L1", "ASSERTION", "L2"),
        seed=8,
    ),
    Mutant("no content", _no_content_for_the_target, caught("L3", "L0", "L2")),
)

STORY_MUTANTS = (
    Mutant("nobody tells downstream", _nobody_tells_downstream, caught("L1", "L3")),
    Mutant("no fence", _no_fence, caught("L1")),
    Mutant("old offer invites", _offer_below_the_ruling_invites, caught("S9", "S12", "S5")),
    Mutant("old acceptance ends", _old_acceptance_ends_a_ruled_term, caught("S4", "S11")),
    Mutant("previous not checked", _previous_ruling_is_not_checked, caught("S1")),
    Mutant("fork ignored", _fork_of_the_own_term_is_ignored, caught("S3")),
)
