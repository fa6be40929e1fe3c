"""The custody protocol as pure steps: (state, event) → (state, what to say, what happened).

**Theory of operation** (docs/custody.md). An offer leaves custody where it is; only the target's
ACCEPTED moves it. An epoch is answered once and for ever. A revoke is a request whose reply is the
answer of that epoch, whatever it is. Silence changes nothing. A ruling (`rulings.py`) opens a new
era, and what carries an older era than a known ruling has no force.

A step never does I/O and reads no clock. An illegal local event raises and changes nothing; a
repeat is a legal event with the stored answer. What a step says is signed by the caller in the same
transaction: a `Say` that makes a row carries it, to be completed with the digest of the bytes.
"""

from __future__ import annotations

from typing import TypeAlias

from gateway.custody import bodies, guards, steps
from gateway.custody.model import (
    AUTOMATIC_DECLINES,
    COUNTS_PER_ERA_MAX,
    HOPS_FREE_MAX,
    BecameCustodian,
    Chain,
    ChainKey,
    Holding,
    Invitation,
    Invited,
    OfferAnswered,
    OfferMade,
    OfferReturned,
    Released,
    Verdict,
)
from gateway.custody.states import ANSWER_ACCEPTED, ANSWER_OTHER, LOCAL, Local
from gateway.delivery.model import SignedBytes
from gateway.kernel.errors import (
    CasePending,
    ChainForked,
    InvariantViolated,
    NotCustodian,
    QuotaExceeded,
    StatementMalformed,
    TransitionNotAllowed,
)
from gateway.kernel.ids import GENESIS, AuthorityCode, Epoch
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace

LOOP, HOPS = 15, 16  # ReturnReason numbers of the answers that no person gave
Say: TypeAlias = steps.Say
Step: TypeAlias = steps.Step


# --- local events -----------------------------------------------------------------------------


def begin(key: ChainKey, *, desk: str, contact: bool, body: bodies.Genesis) -> Step:
    """Open a chain with a first term at this authority."""
    chain = Chain(
        key=key,
        origin=body.origin,
        genesis_digest=b"",
        holding=Holding.HELD,
        term_epoch=GENESIS,
        floor=GENESIS,
        path=(key.authority,),
        desk=desk,
        contact=contact,
        custodian=key.authority,
    )
    audience = () if key.is_home or key.is_outer else (key.scope,)
    return Step(chain=chain.with_party(*audience), says=(Say("Genesis", GENESIS, audience, body),))


def offer(chain: Chain, terms: guards.OfferTerms, *, acts: tuple[bodies.Act, ...] = ()) -> Step:
    """Offer custody; the guards of I5 must have been asked before (`guards.failed_guard`).

    Raises:
        NotCustodian: this authority does not hold the ticket freely.
        CasePending: a case is open.
        QuotaExceeded: the counts of this era are used up.
    """
    after = require(chain, Local.OFFER)
    if chain.case and terms.assumption is None:
        raise CasePending(ticket=chain.key.ticket, case=chain.case, event="offer")
    epoch = chain.next_epoch()
    if epoch.count > COUNTS_PER_ERA_MAX:
        raise QuotaExceeded(
            quota=f"offers of ticket {chain.key.ticket} in one era",
            got=epoch.count,
            expected=COUNTS_PER_ERA_MAX,
            hint="file a case",
        )
    homeward = terms.is_homeward(chain.key)
    body = bodies.Offer(
        target=terms.target,
        prior_record=chain.record_digest,
        path=chain.path,
        hops=chain.hops,
        refusals=chain.refusals,
        case=chain.case,
        window_end=terms.window_end,
        reason=terms.reason,
        rule=terms.rule,
        trace_digest=terms.trace_digest,
        header=terms.header,
        acts=acts,
        assumption=terms.assumption,
        mandated=terms.target in chain.mandates,
    )
    row = OfferMade(
        key=chain.key,
        epoch=epoch,
        target=terms.target,
        homeward=homeward,
        statement_digest=b"",
        window_end=terms.window_end,
    )
    offered = replace(
        chain,
        holding=after,
        floor=chain.raised(epoch),
        pending_epoch=epoch,
        homeward=chain.homeward + homeward,
    )
    return Step(chain=offered, says=(Say("Offer", epoch, (terms.target,), body, row),))


def file_case(chain: Chain, *, case: str, cause: str, target: str, arbiter: AuthorityCode) -> Step:
    """File a case instead of a hand-over; the ticket stays where it is."""
    require(chain, Local.FILE_CASE)
    body = bodies.CaseFiling(
        ground=guards.ground_of(chain.key),
        case=case,
        last_record=chain.record_digest,
        cause=cause,
        proposed_target=target,
        path=chain.path,
    )
    epoch = chain.term_epoch or GENESIS
    return Step(chain=replace(chain, case=case), says=(Say("CaseFiling", epoch, (arbiter,), body),))


def revoke(chain: Chain, made: OfferMade, *, reason: str) -> Step:
    """Ask for the pending offer back. Asked again, the same Revoke goes out again."""
    after = require(chain, Local.REVOKE)
    body = bodies.Revoke(offer_digest=made.statement_digest, reason=reason)
    return Step(
        chain=replace(chain, holding=after),
        says=(Say("Revoke", made.epoch, (made.target,), body),),
    )


def accept(
    chain: Chain,
    invitation: Invitation,
    offer_body: bodies.Offer,
    *,
    desk: str,
    homeward_before: int,
) -> Step:
    """Accept the invitation: this authority holds the ticket at the offer's epoch.

    `homeward_before` is how often the ticket came home in this era already, after the records.
    """
    after = require(chain, Local.ACCEPT)
    me, epoch = chain.key.authority, invitation.epoch
    homeward = guards.is_homeward(chain.key, offer_body)
    path = tuple(code for code in offer_body.path if not (homeward and code == invitation.source))
    held = replace(
        chain,
        holding=after,
        term_epoch=epoch,
        floor=chain.raised(epoch),
        pending_epoch=None,
        path=path if me in path else (*path, me),
        hops=offer_body.hops + (not homeward),
        refusals=offer_body.refusals,
        homeward=max(chain.homeward, homeward_before + homeward),
        desk=desk,
        custodian=me,
        update_sequence=0,
        release_due=None,
        case="" if guards.is_consented(offer_body) else chain.case,
    )
    say = answer(chain.key, invitation, bodies.Answer(Verdict.ACCEPTED, invitation.offer_digest))
    overseer = () if chain.key.is_outer else (chain.key.scope,)  # follows every inner chain
    return Step(
        chain=held.with_party(*offer_body.path, invitation.source, *overseer),
        says=(say,),
        ends_invitation=True,
        established=(offer_body.prior_record, invitation.offer_digest),
        events=(BecameCustodian(chain.key, epoch, invitation.source),),
    )


def decline(
    chain: Chain, invitation: Invitation, *, reason: int, clause: str, proposed_owner: str
) -> Step:
    """Decline the invitation; custody never left the offerer."""
    require(chain, Local.DECLINE)
    body = bodies.Answer(
        Verdict.DECLINED,
        invitation.offer_digest,
        reason=reason,
        clause=clause,
        proposed_owner=proposed_owner,
    )
    return replace(_refused(chain, invitation, body), ends_invitation=True)


# --- received statements, first matching line -------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReceivedOffer:
    """A verified Offer with what is already known of its epoch."""

    source: AuthorityCode
    epoch: Epoch
    digest: bytes
    body: bodies.Offer
    answered: OfferAnswered | None
    invitation: Invitation | None
    consented: bool = False  # by an Assumption of ours, or a mandate of the ruling
    newest: tuple[SignedBytes, ...] = ()  # the newest ruling known here, and what closed the chain


def receive_offer(chain: Chain, offered: ReceivedOffer, *, now: Instant) -> Step:
    """Take an Offer: the stored answer, an automatic answer, or an invitation.

    Raises:
        ChainForked: the signer made two offers where its term allows one.
    """
    epoch = offered.epoch
    if offered.answered is not None:
        _check_same(
            offered.answered.offer_digest, offered.digest, signer=offered.source, epoch=epoch
        )
        return Step(chain=chain, resend=offered.answered.answer_digest, records=False)
    if offered.invitation is not None and offered.invitation.epoch == epoch:
        _check_same(
            offered.invitation.offer_digest, offered.digest, signer=offered.source, epoch=epoch
        )
        return Step(chain=chain, records=False)  # the receipt again, no second invitation
    invitation = Invitation(
        key=chain.key,
        epoch=epoch,
        source=offered.source,
        offer_digest=offered.digest,
        received=now,
        window_end=offered.body.window_end,
    )
    if (
        epoch.era < chain.ruling
        or (chain.floor is not None and epoch <= chain.floor)
        or chain.closed
    ):
        body = bodies.Answer(Verdict.SUPERSEDED, offered.digest, attached=offered.newest)
        return _refused(chain, invitation, body)
    if chain.is_caring or offered.invitation is not None:
        # The custodian of an era offers one at a time: either we are it, or it has two offers out.
        raise ChainForked(signer=offered.source, kind="Offer", epoch=epoch)
    homeward = guards.is_homeward(chain.key, offered.body)
    automatic, is_free = None, homeward or offered.consented
    if not is_free and chain.key.authority in offered.body.path:
        automatic = LOOP
    elif not is_free and offered.body.hops >= HOPS_FREE_MAX:
        automatic = HOPS
    if automatic is not None:
        body = bodies.Answer(
            Verdict.DECLINED,
            offered.digest,
            reason=automatic,
            clause="docs/custody.md#hops",
            proposed_owner=offered.source,
        )
        return _refused(chain, invitation, body)
    return Step(
        chain=chain,
        invitation=invitation,
        events=(Invited(chain.key, epoch, offered.source, homeward),),
    )


def receive_revoke(
    chain: Chain,
    *,
    source: AuthorityCode,
    epoch: Epoch,
    offer_digest: bytes,
    answered: OfferAnswered | None,
    invitation: Invitation | None,
) -> Step:
    """Take a Revoke: the stored answer beats it, else REVOKED is stored, Offer seen or not.

    Raises:
        ChainForked: it asks another offer of that epoch back than the one that was seen.
    """
    if answered is not None:
        _check_same(answered.offer_digest, offer_digest, signer=source, epoch=epoch)
        return Step(chain=chain, resend=answered.answer_digest, records=False)
    ends = invitation is not None and invitation.epoch == epoch
    if invitation is not None and ends:
        _check_same(invitation.offer_digest, offer_digest, signer=source, epoch=epoch)
    row = OfferAnswered(
        key=chain.key,
        epoch=epoch,
        source=source,
        offer_digest=offer_digest,
        verdict=Verdict.REVOKED,
        answer_digest=b"",
    )
    body = bodies.Answer(Verdict.REVOKED, offer_digest)
    return Step(
        chain=replace(chain, floor=chain.raised(epoch)),
        says=(Say("Answer", epoch, (source,), body, row),),
        ends_invitation=ends,
    )


def receive_answer(
    chain: Chain,
    made: OfferMade | None,
    *,
    source: AuthorityCode,
    epoch: Epoch,
    digest: bytes,
    body: bodies.Answer,
) -> Step:
    """Take the answer to an own offer.

    Raises:
        ChainForked: another answer of that epoch is recorded, or no such offer was made.
        StatementMalformed: it does not name the offer; no third party could follow such a record.
    """
    if made is None or made.target != source:
        raise ChainForked(signer=source, kind="Answer", epoch=epoch)
    needs_offer = body.verdict is not Verdict.REVOKED or body.offer_digest
    if needs_offer and body.offer_digest != made.statement_digest:
        raise StatementMalformed(
            check=10,
            got=f"{body.verdict.value} of offer {body.offer_digest.hex() or 'none'}",
            expected=made.statement_digest.hex(),
        )
    if made.verdict is not Verdict.PENDING:
        if made.answer_digest != digest:
            raise ChainForked(signer=source, kind="Answer", epoch=epoch)
        return Step(chain=chain, records=False)
    answered = replace(
        made,
        verdict=body.verdict,
        answer_digest=digest,
        reason=body.reason,
        clause=body.clause,
        proposed_owner=body.proposed_owner,
        sealed=b"",  # a question about it has no reader any more
    )
    if epoch != chain.pending_epoch:  # an older term, upheld by a ruling since: record it only
        return steps.recorded(chain, answered)
    if body.verdict is Verdict.ACCEPTED:
        return _released(chain, answered)
    return _returned(chain, answered)


def _released(chain: Chain, made: OfferMade) -> Step:
    is_news = chain.is_caring  # one that TAKEN released knows a later custodian
    released = replace(
        chain,
        holding=_after(ANSWER_ACCEPTED, chain),
        pending_epoch=None,
        desk=None,
        custodian=made.target if is_news else chain.custodian,
    )
    return Step(
        chain=released.with_party(made.target),
        made=(made,),
        established=(chain.record_digest, made.statement_digest),
        released_to=made.target if made.epoch.era >= chain.ruling else None,
        events=(Released(chain.key, made.epoch, made.target),) if is_news else (),
    )


def _returned(chain: Chain, made: OfferMade) -> Step:
    substantive = made.verdict is Verdict.DECLINED and made.reason not in AUTOMATIC_DECLINES
    back = replace(
        chain,
        holding=_after(ANSWER_OTHER, chain),
        pending_epoch=None,
        refusals=chain.refusals + substantive,
    )
    event = OfferReturned(
        key=chain.key,
        epoch=made.epoch,
        target=made.target,
        verdict=made.verdict,
        reason=made.reason,
        clause=made.clause,
        proposed_owner=made.proposed_owner,
    )
    return Step(chain=back, made=(made,), events=(event,))


def _after(table: dict[Holding, Holding], chain: Chain) -> Holding:
    if chain.holding not in table:
        raise InvariantViolated(
            invariant="a pending offer belongs to OFFERED, REVOKING, YIELDING or RELEASED",
            got=f"{chain.holding.value} of {chain.key.ticket}",
        )
    return table[chain.holding]


def close(chain: Chain, *, outer_record: bytes) -> Step:
    """Close an inner chain of a province that was released outside; nobody cares in it any more."""
    body = bodies.ChainClosed(outer_record=outer_record)
    closed = _closed(chain, Holding.RELEASED)
    audience = tuple(AuthorityCode(code) for code in chain.parties)
    return Step(
        chain=closed, says=(Say("ChainClosed", chain.term_epoch or GENESIS, audience, body),)
    )


def receive_closed(
    chain: Chain, invitation: Invitation | None, *, closing: tuple[SignedBytes, ...] = ()
) -> Step:
    """Take ChainClosed from the province: care ends here, an open invitation ends SUPERSEDED."""
    says: tuple[Say, ...] = ()
    if invitation is not None:
        body = bodies.Answer(Verdict.SUPERSEDED, invitation.offer_digest, attached=closing)
        says = (answer(chain.key, invitation, body),)
    holding = Holding.RELEASED if chain.is_caring else chain.holding
    return Step(
        chain=_closed(chain, holding),
        says=says,
        ends_invitation=invitation is not None,
    )


def _closed(chain: Chain, holding: Holding) -> Chain:
    """Return the chain as nobody moves it any more; a case about it has no object."""
    return replace(
        chain,
        holding=holding,
        closed=True,
        desk=None,
        pending_epoch=None,
        case="",
        filing_due=False,
    )


# --- shared -----------------------------------------------------------------------------------


def require(chain: Chain, event: Local) -> Holding:
    """Return the holding state after a local event, or raise: illegal events change nothing."""
    after = LOCAL.get((chain.holding, event))
    if after is not None:
        return after
    if event in (Local.OFFER, Local.EXCLUSIVE_ACT, Local.CARE_ACT):
        raise NotCustodian(
            ticket=chain.key.ticket,
            holding=chain.holding.value,
            event=event.value,
            custodian=chain.custodian or "unknown",
        )
    raise TransitionNotAllowed(
        name=f"tickets/{chain.key.ticket}",
        state=chain.holding.value,
        event=event.value,
        allowed=",".join(sorted(e.value for h, e in LOCAL if h is chain.holding)) or "none",
    )


def _refused(chain: Chain, invitation: Invitation, body: bodies.Answer) -> Step:
    """Answer an offer without taking it: its epoch is used up."""
    return Step(
        chain=replace(chain, floor=chain.raised(invitation.epoch)),
        says=(answer(chain.key, invitation, body),),
    )


def answer(key: ChainKey, invitation: Invitation, body: bodies.Answer) -> Say:
    """Return the one answer of an epoch, to be stored for ever."""
    row = OfferAnswered(
        key=key,
        epoch=invitation.epoch,
        source=invitation.source,
        offer_digest=invitation.offer_digest,
        verdict=body.verdict,
        answer_digest=b"",
    )
    return Say("Answer", invitation.epoch, (invitation.source,), body, row)


def _check_same(known: bytes, digest: bytes, *, signer: AuthorityCode, epoch: Epoch) -> None:
    """Refuse another offer of an epoch that was seen: two digests are proof against the signer."""
    if known != digest:
        raise ChainForked(signer=signer, kind="Offer", epoch=epoch)
