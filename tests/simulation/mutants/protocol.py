"""Mutants of offers, answers and revokes: numbers 1–7, 13–16, 19–23, 30–34, 42 and 43."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.custody import bodies, guards, machine, progress, proofs, recall
from gateway.custody import store as custody_store
from gateway.custody.model import Holding, Verdict
from gateway.custody.receive import Receiver
from gateway.custody.states import Local
from gateway.database.memory import MemoryDatabase
from gateway.delivery import codec
from gateway.delivery.model import SignedBytes
from gateway.delivery.outbox import Outbox
from gateway.delivery.pump import Pump
from gateway.kernel.errors import PeerUnreachable
from gateway.kernel.ids import Epoch
from tests.simulation.mutants.base import Mutant, caught, held_again, stepping


def _recall_does_not_wait(patch: pytest.MonkeyPatch) -> None:
    """[1] A recall takes the ticket back without the other side's answer."""
    stepping(patch, machine, "revoke", lambda _chain, step: held_again(step))


def _revoke_is_not_remembered(patch: pytest.MonkeyPatch) -> None:
    """[2] REVOKED is said, but neither stored nor does it end the invitation."""

    def change(chain: Any, step: machine.Step) -> machine.Step:
        says = tuple(replace(say, row=None) for say in step.says)
        return replace(step, chain=chain, says=says, ends_invitation=False)

    stepping(patch, machine, "receive_revoke", change)


def _refusal_is_not_remembered(patch: pytest.MonkeyPatch) -> None:
    """[3] DECLINED is said and not stored."""

    def change(chain: Any, step: machine.Step) -> machine.Step:
        says = tuple(replace(say, row=None) for say in step.says)
        return replace(step, chain=chain, says=says)

    stepping(patch, machine, "decline", change)


def _answers_die_with_the_process(patch: pytest.MonkeyPatch) -> None:
    """[4] The answers that were given are gone after a restart."""
    original = MemoryDatabase.abandon

    def abandon(self: Any) -> None:
        original(self)
        name = custody_store.OFFERS_ANSWERED.name
        if name in self._stored:
            self._stored[name].rows.clear()
            for place in self._by_ticket:
                if place[0] == name:
                    self._by_ticket[place].clear()

    patch.setattr(MemoryDatabase, "abandon", abandon)


def _sent_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """[5] A statement leaves inside the transaction that makes it."""
    pumps: dict[int, Pump] = {}
    sending: set[object] = set()
    begin, post = Pump.__init__, Outbox.post

    def init(self: Pump, **given: Any) -> None:
        begin(self, **given)
        pumps[id(given["database"])] = self

    def posting(self: Outbox, uow: Any, **given: Any) -> None:
        post(self, uow, **given)
        entry = self._roster().node_for(given["target"], given["kind"])
        pump = pumps.get(id(self._inbox._database))
        if entry is None or entry.id == self._node or pump is None:
            return
        envelope = codec.envelope_to_bytes(
            source=given["source"],
            target=given["target"],
            signed=given["signed"],
            blocks=tuple(given["blocks"]),
            traceparent="",
        )
        numbered = codec.numbered_envelope(
            envelope, incarnation=pump._numbers.incarnation, sequence=1
        )

        async def send() -> None:
            if sending:
                return  # its peer waits for this very transaction
            sending.add(entry.id)
            try:
                await pump._transport.deliver(entry.id, [numbered])
            except PeerUnreachable:
                return
            finally:
                sending.clear()

        uow.before_commit(send)

    patch.setattr(Pump, "__init__", init)
    patch.setattr(Outbox, "post", posting)


def _sender_lets_go_at_the_offer(patch: pytest.MonkeyPatch) -> None:
    """[6] The sender is released by its own offer."""

    def change(_chain: Any, step: machine.Step) -> machine.Step:
        return replace(step, chain=replace(step.chain, holding=Holding.RELEASED))

    stepping(patch, machine, "offer", change)


def _refused_epoch_is_used_again(patch: pytest.MonkeyPatch) -> None:
    """[7] A refused count is offered again."""

    def change(chain: Any, step: machine.Step) -> machine.Step:
        return replace(step, chain=replace(step.chain, floor=chain.term_epoch))

    stepping(patch, machine, "_returned", change)


def _answer_of_another_epoch(patch: pytest.MonkeyPatch) -> None:
    """[13] An answer counts for whatever offer is out, not for the one of its epoch."""
    original = machine.receive_answer

    def receive_answer(chain: Any, made: Any, **given: Any) -> machine.Step:
        if made is not None and made.verdict is Verdict.PENDING and chain.pending_epoch:
            made = replace(made, epoch=chain.pending_epoch)
            given = {**given, "epoch": chain.pending_epoch}
        return original(chain, made, **given)

    patch.setattr(machine, "receive_answer", receive_answer)


def _accepted_answers_expire(patch: pytest.MonkeyPatch) -> None:
    """[14] An acceptance is forgotten as soon as the ticket is handed on."""
    original = machine.receive_revoke

    def receive_revoke(chain: Any, **given: Any) -> machine.Step:
        answered = given["answered"]
        is_old = answered is not None and answered.verdict is Verdict.ACCEPTED
        if is_old and chain.holding is not Holding.HELD:
            given = {**given, "answered": None}
        return original(chain, **given)

    patch.setattr(machine, "receive_revoke", receive_revoke)


def _two_offers_at_once(patch: pytest.MonkeyPatch) -> None:
    """[15] An offer may follow while another is out."""

    def change(_chain: Any, step: machine.Step) -> machine.Step:
        return replace(step, chain=replace(step.chain, holding=Holding.HELD))

    stepping(patch, machine, "offer", change)


def _epochs_of_updates_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    """[16] Whatever update arrives is shown."""
    original = progress._verdict

    def verdict(*given: Any, is_old: bool) -> Any:
        return original(*given, is_old=True) if is_old else bodies.UpdateVerdict.APPLIED

    patch.setattr(progress, "_verdict", verdict)


def _answer_is_not_sent(patch: pytest.MonkeyPatch) -> None:
    """[19] An answer is stored, but does not go through the outbox."""
    original = machine.answer

    def answer(*given: Any) -> machine.Say:
        return replace(original(*given), post_to=())

    patch.setattr(machine, "answer", answer)


def _without_guard(patch: pytest.MonkeyPatch, cause: str, **blind: Any) -> None:
    failed = guards.failed_guard

    def failed_guard(chain: Any, terms: Any) -> str | None:
        found = failed(chain, terms)
        if found != cause:
            return found
        return failed(replace(chain, **blind), terms)

    patch.setattr(guards, "failed_guard", failed_guard)
    original = machine.receive_offer

    def receive_offer(chain: Any, offered: Any, **given: Any) -> machine.Step:
        return original(chain, replace(offered, body=replace(offered.body, **blind)), **given)

    patch.setattr(machine, "receive_offer", receive_offer)


def _no_hop_limit(patch: pytest.MonkeyPatch) -> None:
    """[20] Neither side counts hops."""
    _without_guard(patch, "hops", hops=0)


def _no_loop_check(patch: pytest.MonkeyPatch) -> None:
    """[21] Neither side looks whether the target held the ticket before."""
    _without_guard(patch, "path", path=())


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


def _floor_stays_behind(patch: pytest.MonkeyPatch) -> None:
    """[30] Who accepts does not learn which counts of the era are used."""

    def change(_chain: Any, step: machine.Step) -> machine.Step:
        era = step.chain.term_epoch.era if step.chain.term_epoch else 0
        return replace(step, chain=replace(step.chain, floor=Epoch(era, 0)))

    stepping(patch, machine, "accept", change)


def _neither_floor_nor_answers(patch: pytest.MonkeyPatch) -> None:
    """[31, 32] No floor inside an era; survives alone, so answers are not looked up either."""
    original = machine.receive_offer

    def receive_offer(chain: Any, offered: Any, **given: Any) -> machine.Step:
        step = original(replace(chain, floor=None), replace(offered, answered=None), **given)
        return replace(step, chain=replace(step.chain, floor=step.chain.floor or chain.floor))

    patch.setattr(machine, "receive_offer", receive_offer)
    _late_revoke_beats_accepted(patch)


def _superseded(say: Any) -> Any:
    verdict = Verdict.SUPERSEDED
    body, row = replace(say.body, verdict=verdict), replace(say.row, verdict=verdict)
    return replace(say, body=body, row=row)


def _only_a_floor(patch: pytest.MonkeyPatch) -> None:
    """[34] What is at or below the floor is refused anew, whatever was answered."""
    original = machine.receive_revoke

    def receive_revoke(chain: Any, **given: Any) -> machine.Step:
        step = original(chain, **{**given, "answered": None})
        if given["answered"] is None:
            return step
        says = tuple(_superseded(say) for say in step.says)
        return replace(step, says=says)

    patch.setattr(machine, "receive_revoke", receive_revoke)


def _floor_moves_with_the_invitation(patch: pytest.MonkeyPatch) -> None:
    """[42] The floor moves with the Offer already; a Revoke then finds its epoch used up.

    Alone it survives behind the order of the lines, so the floor is asked first.
    """

    def change(chain: Any, step: machine.Step) -> machine.Step:
        if step.invitation is None:
            return step
        raised = replace(step.chain, floor=chain.raised(step.invitation.epoch))
        return replace(step, chain=raised)

    stepping(patch, machine, "receive_offer", change)
    original = machine.receive_revoke

    def receive_revoke(chain: Any, **given: Any) -> machine.Step:
        step = original(chain, **given)
        if chain.floor is None or given["epoch"] > chain.floor:
            return step
        return replace(step, ends_invitation=False)  # "answered long ago", it thinks

    patch.setattr(machine, "receive_revoke", receive_revoke)


def _revoke_leaves_the_invitation(patch: pytest.MonkeyPatch) -> None:
    """[43] REVOKED is stored, but the invitation stays open."""
    stepping(
        patch,
        machine,
        "receive_revoke",
        lambda _chain, step: replace(step, ends_invitation=False),
    )


def _declined_and_held(patch: pytest.MonkeyPatch) -> None:
    """[3, the other half] Who declines takes the ticket all the same."""

    def change(chain: Any, step: machine.Step) -> machine.Step:
        epoch = step.says[0].epoch
        held = replace(step.chain, holding=Holding.HELD, term_epoch=epoch, desk="nobody's desk")
        return replace(step, chain=held)

    stepping(patch, machine, "decline", change)


def _epochs_are_not_proven(patch: pytest.MonkeyPatch) -> None:
    """[30] The floor stays behind, and nobody looks whether an epoch is above the proven one."""
    _floor_stays_behind(patch)
    patch.setattr(proofs, "check_offer", lambda *_given, **_named: None)


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


def _answers_are_not_recorded_by_the_offerer(patch: pytest.MonkeyPatch) -> None:
    """The offerer acts on an answer and keeps no record of it."""
    stepping(patch, machine, "receive_answer", lambda _chain, step: replace(step, established=None))


def _refusals_open_no_case(patch: pytest.MonkeyPatch) -> None:
    """I5: the second substantive refusal files nothing."""
    patch.setattr(guards, "must_file", lambda _chain: False)


def _clock_takes_the_ticket_back(patch: pytest.MonkeyPatch) -> None:
    """A window that ends gives the ticket back to who offered it, without an answer."""
    original = recall.Recall.handle

    async def handle(self: recall.Recall, uow: Any, *, key: str, now: Any) -> None:
        await original(self, uow, key=key, now=now)
        authority, ticket, scope, number, *_ = key.split("/")
        row = await uow.get(custody_store.CHAINS, authority, ticket, scope, int(number))
        if row is not None and row.holding == Holding.REVOKING.value:
            uow.put(
                custody_store.CHAINS,
                replace(row, holding=Holding.HELD.value, pending_epoch=None),
            )

    patch.setattr(recall.Recall, "handle", handle)


def _windows_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Lost wake-up: a window ends and nobody asks the offer back."""

    async def handle(self: recall.Recall, uow: Any, *, key: str, now: Any) -> None:
        return None

    patch.setattr(recall.Recall, "handle", handle)


def _update_of_a_stale_holder_is_believed(patch: pytest.MonkeyPatch) -> None:
    """Updates below a known ruling are shown: only (epoch, sequence) is compared."""
    original = progress._verdict

    def verdict(chain: Any, epoch: Any, sequence: int, *, is_old: bool) -> Any:
        return original(replace(chain, ruling=0), epoch, sequence, is_old=is_old)

    patch.setattr(progress, "_verdict", verdict)


def _answer_from_memory(patch: pytest.MonkeyPatch) -> None:
    """Answers are looked up in a memory that a restart empties, not on the disk."""
    original = Receiver._answered
    seen: dict[int, set[object]] = {}

    async def answered(self: Receiver, uow: Any, key: Any, epoch: Any) -> Any:
        found = await original(self, uow, key, epoch)
        mine = seen.setdefault(id(self), set())
        is_known = (key, epoch) in mine
        mine.add((key, epoch))
        return found if is_known else None

    patch.setattr(Receiver, "_answered", answered)


MUTANTS = (
    Mutant("recall does not wait", _recall_does_not_wait, caught("S2")),
    Mutant(
        "revoke not remembered", _revoke_is_not_remembered, caught("S6", "S2", "S7", "S13", "I8")
    ),
    Mutant("refusal not remembered", _refusal_is_not_remembered, caught("S6")),
    Mutant("answers die", _answers_die_with_the_process, caught("S5")),
    Mutant(
        "sent before commit",
        _sent_before_the_commit,
        caught("S13", "S4", "S11", "I8", "S6"),
        seed=1,
    ),
    Mutant("sender lets go", _sender_lets_go_at_the_offer, caught("S11")),
    Mutant("refused epoch reused", _refused_epoch_is_used_again, caught("S12")),
    Mutant(
        "accepted answers expire", _accepted_answers_expire, caught("S5", "S6", "S7", "I8"), seed=1
    ),
    Mutant("two offers at once", _two_offers_at_once, caught("S1", "S2", "S13", "L1", "ASSERTION")),
    Mutant("epochs of updates", _epochs_of_updates_are_not_compared, caught("S8")),
    Mutant("answer not sent", _answer_is_not_sent, caught("L2"), seed=3),
    Mutant("no hop limit", _no_hop_limit, caught("S10"), seed=60),
    Mutant("no loop check", _no_loop_check, caught("S10"), seed=30),
    Mutant("acts while offered", _exclusive_acts_while_offered, caught("S3")),
    Mutant("late revoke wins", _late_revoke_beats_accepted, caught("S5", "S6", "S7", "I8")),
    Mutant("floor stays behind", _floor_stays_behind, caught("S12", "S13", "S1"), seed=1),
    Mutant(
        "neither floor nor answers",
        _neither_floor_nor_answers,
        caught("S5", "S6", "S7", "S13", "I8"),
    ),
    Mutant("only a floor", _only_a_floor, caught("S5", "S6", "I8")),
    Mutant("floor at the offer", _floor_moves_with_the_invitation, caught("S5", "S7", "I8")),
    Mutant("invitation outlives revoke", _revoke_leaves_the_invitation, caught("S5", "S7", "I8")),
    Mutant("declined and held", _declined_and_held, caught("S7"), seed=3),
    Mutant("epochs not proven", _epochs_are_not_proven, caught("S1"), seed=3),
    Mutant("recall signed anew", _recall_is_signed_anew, caught("I8")),
    Mutant("hand-over no record", _answers_are_not_recorded_by_the_offerer, caught("L4")),
    Mutant("refusals open no case", _refusals_open_no_case, caught("I5"), seed=5),
    Mutant("clock takes back", _clock_takes_the_ticket_back, caught("S2", "S4", "S13"), seed=9),
    Mutant("window forgotten", _windows_are_forgotten, caught("I6"), seed=9),
    Mutant("stale update shown", _update_of_a_stale_holder_is_believed, caught("S8"), seed=6),
    Mutant(
        "answers in memory",
        _answer_from_memory,
        caught("S5", "S6", "S7", "I8", "ASSERTION"),
        seed=1,
    ),
)

STORY_MUTANTS = (Mutant("answer of another epoch", _answer_of_another_epoch, caught("S6", "S4")),)
