"""Questions of whom a ticket is offered to, as pure steps (docs/custody.md#inquiries).

The question goes to who offers, over the same chain, and its answer comes back. Neither is an
answer to the offer: no state, no epoch, no window and no clock moves, and neither is a row of the
ledger. Only the newest question counts: its answer is kept with the invitation, the question with
the offer, sealed as it came. Both are gone when the offer is answered or a ruling overtakes it.
"""

from __future__ import annotations

from gateway.custody import bodies, machine
from gateway.custody.model import (
    INQUIRIES_PER_OFFER_MAX,
    Chain,
    Holding,
    Inquired,
    Invitation,
    OfferMade,
    Verdict,
)
from gateway.custody.states import Local
from gateway.kernel.errors import StatementMalformed, TransitionNotAllowed
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Received:
    """A verified Inquiry or its answer, with its block as it is kept: sealed."""

    source: AuthorityCode
    epoch: Epoch
    body: bodies.Inquiry | bodies.InquiryAnswer
    sealed: bytes


def ask(
    chain: Chain,
    invitation: Invitation,
    *,
    said: int,
    promise: bodies.Commitment,
    now: Instant,
) -> machine.Step:
    """Ask who offers; `said` is how many questions about this offer were asked before.

    Raises:
        TransitionNotAllowed: there were enough.
    """
    machine.require(chain, Local.ASK)
    if said >= INQUIRIES_PER_OFFER_MAX:
        raise TransitionNotAllowed(
            name=f"tickets/{chain.key.ticket}",
            state=f"after {said} questions",
            event=Local.ASK.value,
            allowed="accept, decline",
        )
    body = bodies.Inquiry(said + 1, invitation.offer_digest, now, (promise,))
    say = machine.Say("Inquiry", invitation.epoch, (invitation.source,), body)
    asks = replace(invitation, asked=said + 1, asked_at=now, told=None, sealed=b"")
    return machine.Step(chain=chain, says=(say,), invitation=asks)


def is_open(chain: Chain, made: OfferMade) -> bool:
    """Tell whether an own offer waits for its answer, so that a question about it has a reader."""
    is_pending = chain.pending_epoch == made.epoch and made.verdict is Verdict.PENDING
    return is_pending and chain.holding in (Holding.OFFERED, Holding.REVOKING)


def answer(
    chain: Chain, made: OfferMade, number: int, *, promise: bodies.Commitment, now: Instant
) -> machine.Step:
    """Answer question `number` about an own offer: it must be the newest, and wait.

    Raises:
        TransitionNotAllowed: it is not, or the offer does not wait any more.
    """
    machine.require(chain, Local.INFORM)
    is_newest = made.asked == number and made.told is None
    if made.epoch != chain.pending_epoch or not is_newest:
        raise TransitionNotAllowed(
            name=f"tickets/{chain.key.ticket}",
            state=f"without question {number} waiting",
            event=Local.INFORM.value,
            allowed="recall",
        )
    body = bodies.InquiryAnswer(made.asked, made.statement_digest, now, (promise,))
    say = machine.Say("InquiryAnswer", made.epoch, (made.target,), body)
    return machine.Step(chain=chain, says=(say,), made=(replace(made, told=now),))


def receive_inquiry(chain: Chain, made: OfferMade | None, given: Received) -> machine.Step:
    """Take a question about an own offer: for the desk, or for nobody if it is too late.

    Raises:
        StatementMalformed: there is no such offer.
    """
    body = given.body
    is_sound = (
        made is not None
        and made.target == given.source
        and made.statement_digest == body.offer_digest
    )
    if made is None or not is_sound or not isinstance(body, bodies.Inquiry):
        raise _stray(given, "an offer made to it")
    is_in_time = chain.holding is Holding.OFFERED and is_open(chain, made)
    if not is_in_time or body.number <= made.asked:
        return machine.Step(chain=chain, records=False)
    asked = replace(made, asked=body.number, asked_at=body.ask_time, told=None, sealed=given.sealed)
    event = Inquired(chain.key, given.epoch, made.target, body.number)
    return machine.Step(chain=chain, records=False, made=(asked,), events=(event,))


def receive_answer(chain: Chain, invitation: Invitation | None, given: Received) -> machine.Step:
    """Take the answer of who offers, while the invitation is open.

    Raises:
        StatementMalformed: it comes from another, or is about another offer.
    """
    body = given.body
    if invitation is None or invitation.epoch != given.epoch:
        return machine.Step(chain=chain, records=False)  # decided meanwhile: nobody needs it
    is_sound = invitation.source == given.source and invitation.offer_digest == body.offer_digest
    if not is_sound or not isinstance(body, bodies.InquiryAnswer):
        raise _stray(given, "who offers the ticket")
    if body.number != invitation.asked or invitation.told is not None:
        return machine.Step(chain=chain, records=False)
    told = replace(invitation, told=body.answer_time, sealed=given.sealed)
    return machine.Step(chain=chain, records=False, invitation=told)


def _stray(given: Received, expected: str) -> StatementMalformed:
    offer = given.body.offer_digest.hex()
    return StatementMalformed(
        check=10,
        got=f"{type(given.body).__name__} of {given.source} about offer {offer}",
        expected=expected,
    )
