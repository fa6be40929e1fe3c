"""Planted faults: each drops one rule of the protocol; the checkers must notice.

The numbers in brackets are those of the mutants in docs/custody.md#mutants. A mutant is applied by
replacing a function of the product for the time of a test and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from gateway.custody import bodies, guards, machine, recall, rulings
from gateway.custody.arbiter import Arbiter
from gateway.custody.coupling import Coupling
from gateway.custody.model import Holding, Verdict
from gateway.custody.receive import Receiver
from gateway.custody.ruled import Ruled
from gateway.custody.states import Local
from gateway.delivery import inbox, pump
from gateway.delivery.model import SignedBytes
from gateway.delivery.store import OUTBOX
from gateway.kernel.ids import AuthorityCode, Epoch


@dataclass(frozen=True, slots=True)
class Mutant:
    """One dropped rule and the properties that may notice first."""

    name: str
    apply: Callable[[pytest.MonkeyPatch], None]
    caught_by: frozenset[str]
    seed: int = 0  # where to begin, so that a rare story comes soon


def _recall_does_not_wait(patch: pytest.MonkeyPatch) -> None:
    """[1] A recall takes the ticket back without the other side's answer."""
    original = machine.revoke

    def revoke(chain: Any, made: Any, *, reason: str) -> machine.Step:
        step = original(chain, made, reason=reason)
        back = replace(step.chain, holding=Holding.HELD, pending_epoch=None)
        return replace(step, chain=back)

    patch.setattr(machine, "revoke", revoke)


def _revoke_is_not_remembered(patch: pytest.MonkeyPatch) -> None:
    """[2] REVOKED is said, but neither stored nor does it end the invitation."""
    original = machine.receive_revoke

    def receive_revoke(chain: Any, **given: Any) -> machine.Step:
        step = original(chain, **given)
        says = tuple(replace(say, row=None) for say in step.says)
        return replace(step, chain=chain, says=says, ends_invitation=False)

    patch.setattr(machine, "receive_revoke", receive_revoke)


def _sender_lets_go_at_the_offer(patch: pytest.MonkeyPatch) -> None:
    """[6] The sender is released by its own offer."""
    original = machine.offer

    def offer(chain: Any, terms: Any, **given: Any) -> machine.Step:
        step = original(chain, terms, **given)
        return replace(step, chain=replace(step.chain, holding=Holding.RELEASED))

    patch.setattr(machine, "offer", offer)


def _refused_epoch_is_used_again(patch: pytest.MonkeyPatch) -> None:
    """[7] A refused count is offered again."""
    original = machine._returned

    def returned(chain: Any, made: Any) -> machine.Step:
        step = original(chain, made)
        return replace(step, chain=replace(step.chain, floor=chain.term_epoch))

    patch.setattr(machine, "_returned", returned)


def _two_offers_at_once(patch: pytest.MonkeyPatch) -> None:
    """[15] An offer may follow while another is out."""
    original = machine.offer

    def offer(chain: Any, terms: Any, **given: Any) -> machine.Step:
        step = original(chain, terms, **given)
        return replace(step, chain=replace(step.chain, holding=Holding.HELD))

    patch.setattr(machine, "offer", offer)


def _no_hop_limit(patch: pytest.MonkeyPatch) -> None:
    """[20, 21] Neither side counts hops or looks for loops."""
    guard = guards.failed_guard

    def failed_guard(chain: Any, terms: Any) -> str | None:
        cause = guard(chain, terms)
        return cause if cause == "ruled" else None

    patch.setattr(guards, "failed_guard", failed_guard)
    original = machine.receive_offer

    def receive_offer(chain: Any, offered: Any, **given: Any) -> machine.Step:
        body = replace(offered.body, hops=0, path=())
        return original(chain, replace(offered, body=body), **given)

    patch.setattr(machine, "receive_offer", receive_offer)


def _exclusive_acts_while_offered(patch: pytest.MonkeyPatch) -> None:
    """[22] The custodian goes on acting while its offer is out."""
    original = machine.require

    def require(chain: Any, event: Local) -> Holding:
        if event is Local.EXCLUSIVE_ACT and chain.is_caring:
            return Holding(chain.holding)
        return original(chain, event)

    patch.setattr(machine, "require", require)


def _late_revoke_beats_accepted(patch: pytest.MonkeyPatch) -> None:
    """[23] A Revoke that comes after ACCEPTED is answered REVOKED."""
    original = machine.receive_revoke

    def receive_revoke(chain: Any, **given: Any) -> machine.Step:
        return original(chain, **{**given, "answered": None})

    patch.setattr(machine, "receive_revoke", receive_revoke)


def _receipt_before_commit(patch: pytest.MonkeyPatch) -> None:
    """Delivery: the peer is told `received` although the transaction never committed."""
    original = inbox.Inbox._apply

    async def apply(self: inbox.Inbox, place: Any, delivered: Any) -> bytes:
        if place.sequence % 5 == 0:
            return self._receipt(place.target, place.digest, None, deferred=False)
        return await original(self, place, delivered)

    patch.setattr(inbox.Inbox, "_apply", apply)


def _outbox_emptied_by_sending(patch: pytest.MonkeyPatch) -> None:
    """Delivery: a row is removed when it is sent, not when it is receipted."""
    original = pump.Pump._next_batch

    async def next_batch(self: pump.Pump, node: Any) -> Any:
        batch = await original(self, node)
        async with self._database.unit() as uow:
            for row in batch:
                uow.delete(OUTBOX, row.position)
        return batch

    patch.setattr(pump.Pump, "_next_batch", next_batch)


def _inner_chain_left_open(patch: pytest.MonkeyPatch) -> None:
    """Coupling [rule 5]: a province that let go outside leaves its inner chain open."""

    async def close_inner(self: Coupling, uow: Any, outer: Any, *, now: Any) -> tuple[()]:
        return ()

    patch.setattr(Coupling, "close_inner", close_inner)


def _recall_is_signed_anew(patch: pytest.MonkeyPatch) -> None:
    """A second Revoke of one epoch has other bytes: an honest node forks itself."""

    async def revoke_again(
        self: recall.Recall, uow: Any, chain: Any, made: Any, *, now: Any
    ) -> None:
        offer = await self._kept(uow, chain.key.authority, made.statement_digest)
        signed = SignedBytes(offer.statement, offer.key_id, offer.signature)
        step = recall._with_offer(machine.revoke(chain, made, reason="again"), signed)
        await self._writer.write(uow, step, now=now)

    patch.setattr(recall.Recall, "_revoke_again", revoke_again)


def _early_statements_are_refused(patch: pytest.MonkeyPatch) -> None:
    """Delivery: what overtook another statement is refused for ever instead of deferred."""
    patch.setattr(inbox, "_is_for_ever", lambda error: True)


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
    original = rulings.receive_ruling

    def receive_ruling(chain: Any, ruling: Any) -> machine.Step:
        step = original(chain, ruling)
        if step.chain.holding is not Holding.YIELDING:
            return step
        return replace(step, chain=replace(step.chain, holding=Holding.RELEASED, desk=None))

    patch.setattr(rulings, "receive_ruling", receive_ruling)


def _nobody_tells_downstream(patch: pytest.MonkeyPatch) -> None:
    """[10, 12, 33, 39] Nobody forwards, walks, fences, or learns from what is stale."""
    patch.setattr(rulings, "forwarded_to", lambda made: ())

    async def reach(self: Arbiter, uow: Any, key: Any, to: Any, now: Any) -> None:
        return None

    async def answered(self: Receiver, *given: Any) -> Any:
        return await self._progress.answered(*given)

    patch.setattr(Arbiter, "_reach", reach)
    patch.setattr(Receiver, "_update_answer", answered)


def _offer_below_the_ruling_invites(patch: pytest.MonkeyPatch) -> None:
    """[11] An offer of an older era is an invitation like any other."""
    original = machine.receive_offer

    def receive_offer(chain: Any, offered: Any, *, now: Any) -> machine.Step:
        step = original(replace(chain, ruling=0, floor=None), offered, now=now)
        kept = replace(step.chain, ruling=chain.ruling, floor=step.chain.floor or chain.floor)
        return replace(step, chain=kept)

    patch.setattr(machine, "receive_offer", receive_offer)


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
    original = rulings.receive_ruling

    def receive_ruling(chain: Any, ruling: Any) -> machine.Step:
        step = original(chain, ruling)
        return replace(step, chain=replace(step.chain, pending_epoch=None))

    patch.setattr(rulings, "receive_ruling", receive_ruling)


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

    async def learn(self: Ruled, uow: Any, key: Any, items: Any, now: Any) -> tuple[()]:
        return ()

    patch.setattr(Ruled, "learn", learn)


def _ack_is_not_answered(patch: pytest.MonkeyPatch) -> None:
    """[35] The arbiter keeps TAKEN for itself."""

    async def tell(self: Arbiter, *given: Any) -> None:
        return None

    patch.setattr(Arbiter, "_tell_taken", tell)


def _ruling_waits_for_the_offer(patch: pytest.MonkeyPatch) -> None:
    """[36] A custodian with an offer out knows the ruling and does not obey it yet."""
    original = rulings.receive_ruling

    def receive_ruling(chain: Any, ruling: Any) -> machine.Step:
        step = original(chain, ruling)
        if chain.holding in (Holding.OFFERED, Holding.REVOKING):
            kept = replace(step.chain, holding=chain.holding, pending_epoch=chain.pending_epoch)
            return replace(step, chain=replace(kept, term_epoch=chain.term_epoch))
        return step

    patch.setattr(rulings, "receive_ruling", receive_ruling)


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
    original = rulings.receive_ruling

    def receive_ruling(chain: Any, ruling: Any) -> machine.Step:
        if chain.holding is Holding.RELEASED:
            return machine.Step(chain=chain)
        return original(chain, ruling)

    patch.setattr(rulings, "receive_ruling", receive_ruling)


def _earlier_targets_are_not_told(patch: pytest.MonkeyPatch) -> None:
    """[40] Ruling n+1 goes to its target alone, and nobody is told later."""

    async def first(self: Arbiter, uow: Any, chain: Any, target: Any, earlier: Any) -> Any:
        return (target,)

    patch.setattr(Arbiter, "_first_told", first)
    _nobody_tells_downstream(patch)


def _invitation_survives_the_ruling(patch: pytest.MonkeyPatch) -> None:
    """[41] An invitation of an older era stays open."""
    original = rulings.receive_ruling

    def receive_ruling(chain: Any, ruling: Any) -> machine.Step:
        return original(chain, replace(ruling, invitation=None))

    patch.setattr(rulings, "receive_ruling", receive_ruling)


def _not_taken_home(patch: pytest.MonkeyPatch) -> None:
    """Coupling [rule 4]: a province that is overruled outside leaves the ticket in its city."""

    async def home(self: Arbiter, uow: Any, authority: Any, ticket: Any, now: Any) -> tuple[()]:
        return ()

    patch.setattr(Arbiter, "home_at_once", home)


def _no_inner_chain_at_taken(patch: pytest.MonkeyPatch) -> None:
    """Coupling [rule 1]: TAKEN outside opens no inner chain."""
    original = Ruled._keep_levels

    async def keep(self: Ruled, uow: Any, chain: Any, body: Any, now: Any) -> Any:
        if chain.holding is Holding.HELD:
            return ()
        return await original(self, uow, chain, body, now)

    patch.setattr(Ruled, "_keep_levels", keep)


def _no_content_for_the_target(patch: pytest.MonkeyPatch) -> None:
    """Nobody sends the ticket's text to the target of a ruling."""

    async def nothing(self: Ruled, *given: Any, **more: Any) -> None:
        return None

    patch.setattr(Ruled, "_stand_down", nothing)


MUTANTS = (
    Mutant("recall does not wait", _recall_does_not_wait, frozenset({"S2", "S4", "S11", "S13"})),
    Mutant(
        "revoke not remembered", _revoke_is_not_remembered, frozenset({"S2", "S6", "S7", "S13"})
    ),
    Mutant("sender lets go", _sender_lets_go_at_the_offer, frozenset({"S4", "S11"})),
    Mutant("refused epoch reused", _refused_epoch_is_used_again, frozenset({"S12", "S13"})),
    Mutant(
        "two offers at once", _two_offers_at_once, frozenset({"S2", "S13", "S1", "L1", "ASSERTION"})
    ),
    Mutant("no hop limit", _no_hop_limit, frozenset({"S10"}), seed=23),
    Mutant("acts while offered", _exclusive_acts_while_offered, frozenset({"S3"}), seed=8),
    Mutant("late revoke wins", _late_revoke_beats_accepted, frozenset({"S5", "S6", "S7"})),
    Mutant("receipt before commit", _receipt_before_commit, frozenset({"L0", "L1", "L2", "L3"})),
    Mutant("outbox emptied early", _outbox_emptied_by_sending, frozenset({"L0", "L1", "L2", "L3"})),
    Mutant(
        "inner chain left open", _inner_chain_left_open, frozenset({"L0", "L1", "L3", "S2"}), seed=4
    ),
    Mutant("recall signed anew", _recall_is_signed_anew, frozenset({"S13"})),
    Mutant("early is refused", _early_statements_are_refused, frozenset({"S13"}), seed=6),
    Mutant("no era", _ruling_opens_no_era, frozenset({"S1", "S2", "S4", "S9", "S12"})),
    Mutant("no care until taken", _care_ends_at_the_ruling, frozenset({"S4", "S11"})),
    Mutant(
        "last ruling wins", _last_ruling_that_arrives_wins, frozenset({"S12", "S9", "ASSERTION"})
    ),
    Mutant("taken not sent", _taken_is_not_sent, frozenset({"L0", "L1", "L3"})),
    Mutant(
        "pending offer forgotten", _pending_offer_is_forgotten, frozenset({"L1", "L4"}), seed=25
    ),
    Mutant(
        "attached ruling ignored",
        _attached_ruling_is_ignored,
        frozenset({"L0", "L1", "S9", "S13"}),
    ),
    Mutant("ack not answered", _ack_is_not_answered, frozenset({"L1", "L3"})),
    Mutant("ruling waits", _ruling_waits_for_the_offer, frozenset({"S4", "S9"})),
    Mutant("target refuses", _target_may_refuse, frozenset({"L0", "L1", "L3"})),
    Mutant("released disobeys", _released_does_not_obey, frozenset({"L1", "L3"})),
    Mutant("earlier targets not told", _earlier_targets_are_not_told, frozenset({"L1", "L3"})),
    Mutant(
        "invitation survives", _invitation_survives_the_ruling, frozenset({"S9", "S12"}), seed=2
    ),
    Mutant("no inner chain", _no_inner_chain_at_taken, frozenset({"L1"})),
    Mutant("no content", _no_content_for_the_target, frozenset({"L0", "L3"})),
)

STORY_MUTANTS = (
    Mutant("nobody tells downstream", _nobody_tells_downstream, frozenset({"L1", "L3"})),
    Mutant("old offer invites", _offer_below_the_ruling_invites, frozenset({"S9", "S12", "S5"})),
    Mutant("old acceptance ends", _old_acceptance_ends_a_ruled_term, frozenset({"S4", "S11"})),
    Mutant("not taken home", _not_taken_home, frozenset({"C1"})),
)
"""Faults that a random run meets too rarely: a story of tests/unit/custody must notice each."""
