"""Planted faults: each drops one rule of the protocol; the checkers must notice.

The numbers in brackets are those of the mutants in docs/custody.md#mutants. A mutant is applied by
replacing a function of the product for the time of a test and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from gateway.custody import guards, machine, recall
from gateway.custody.coupling import Coupling
from gateway.custody.model import Holding
from gateway.custody.states import Local
from gateway.delivery import inbox, pump
from gateway.delivery.model import SignedBytes
from gateway.delivery.store import OUTBOX


@dataclass(frozen=True, slots=True)
class Mutant:
    """One dropped rule and the properties that may notice first."""

    name: str
    apply: Callable[[pytest.MonkeyPatch], None]
    caught_by: frozenset[str]


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
    patch.setattr(guards, "failed_guard", lambda chain, terms: None)
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

    async def close_inner(self: Coupling, uow: Any, outer: Any, *, now: Any) -> None:
        return None

    patch.setattr(Coupling, "_close_inner", close_inner)


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


MUTANTS = (
    Mutant("recall does not wait", _recall_does_not_wait, frozenset({"S2", "S4", "S11", "S13"})),
    Mutant("revoke not remembered", _revoke_is_not_remembered, frozenset({"S2", "S6", "S7"})),
    Mutant("sender lets go", _sender_lets_go_at_the_offer, frozenset({"S4", "S11"})),
    Mutant("refused epoch reused", _refused_epoch_is_used_again, frozenset({"S12", "S13"})),
    Mutant(
        "two offers at once", _two_offers_at_once, frozenset({"S2", "S13", "S1", "L1", "ASSERTION"})
    ),
    Mutant("no hop limit", _no_hop_limit, frozenset({"S10"})),
    Mutant("acts while offered", _exclusive_acts_while_offered, frozenset({"S3"})),
    Mutant("late revoke wins", _late_revoke_beats_accepted, frozenset({"S5", "S6", "S7"})),
    Mutant("receipt before commit", _receipt_before_commit, frozenset({"L0", "L1", "L2", "L3"})),
    Mutant("outbox emptied early", _outbox_emptied_by_sending, frozenset({"L0", "L1", "L2", "L3"})),
    Mutant("inner chain left open", _inner_chain_left_open, frozenset({"L0", "L1", "L3", "S2"})),
    Mutant("recall signed anew", _recall_is_signed_anew, frozenset({"S13"})),
    Mutant("early is refused", _early_statements_are_refused, frozenset({"S13"})),
)
