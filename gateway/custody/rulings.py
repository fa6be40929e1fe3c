"""Rulings as pure steps, beside `machine.py` (docs/custody.md#rulings).

A ruling is input that fences: whoever knows ruling n takes no term below `n.0`. Its target takes
from any state and cannot refuse. The old custodian stops exclusive acts at the ruling, and stops
caring only at TAKEN, because the target may be down for days. Each party tells the ruling to whom
it had offered or handed the ticket, so that it reaches holders whom the arbiter does not know.
"""

from __future__ import annotations

from gateway.custody import bodies, machine
from gateway.custody.model import (
    BecameCustodian,
    CaseRuled,
    Chain,
    CustodyEvent,
    Holding,
    Invitation,
    OfferMade,
    Overruled,
    Released,
    Verdict,
)
from gateway.custody.steps import Say, Step
from gateway.delivery.model import SignedBytes
from gateway.kernel.codes import RulingKind
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.kernel.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class ReceivedRuling:
    """A verified ruling with what is known here of the chain besides its row."""

    digest: bytes
    signed: SignedBytes
    body: bodies.Ruling
    invitation: Invitation | None
    made: tuple[OfferMade, ...]
    has_copy: bool
    desk: str
    followers: tuple[str, ...] = ()  # who follows the ticket whoever holds it


def receive_ruling(chain: Chain, ruling: ReceivedRuling) -> Step:
    """Obey a ruling that is newer than any known here."""
    body, me = ruling.body, chain.key.authority
    known = knowing(chain, body, ruling.digest)
    events: list[CustodyEvent] = [CaseRuled(chain.key, body.case, body.number, body.target)]
    if body.target == me:
        after, role, successor = _taken(chain, known, ruling), bodies.Role.TAKEN, ""
        if not chain.is_caring and ruling.has_copy:
            source = chain.custodian if chain.custodian not in (None, me) else chain.key.scope
            events.append(BecameCustodian(chain.key, epoch_of(body.number), source))
    elif chain.is_caring:
        after, role, successor = (
            replace(known, holding=Holding.YIELDING),
            bodies.Role.YIELDING,
            "",
        )
        events.append(Overruled(chain.key, body.number, body.target))
    elif chain.holding is Holding.RELEASED:
        after, role, successor = known, bodies.Role.RELEASED, _successor(chain, ruling.made)
    else:
        after, role, successor = known, bodies.Role.NOT_HELD, ""
    return Step(
        chain=after,
        says=(*_superseded(chain, ruling), _ack(chain, ruling, role, successor)),
        ends_invitation=ruling.invitation is not None,
        # Whoever is overruled answers no question about its offer any more.
        made=tuple(replace(offer, sealed=b"") for offer in ruling.made if offer.sealed),
        established=(body.last_record, ruling.digest) if body.target == me else None,
        opens_era=body.target == me,
        events=tuple(events),
    )


def knowing(chain: Chain, body: bodies.Ruling, digest: bytes) -> Chain:
    """Return the chain that knows a newer ruling, whoever holds it."""
    is_order = body.kind is RulingKind.INTERIM  # the case goes on
    return replace(
        chain,
        ruling=body.number,
        ruling_target=body.target,
        ruling_statement=digest,
        offers_allowed=body.offers_allowed,
        mandates=body.mandates,
        floor=chain.raised(epoch_of(body.number)),
        case=chain.case if is_order else "",
        filing_due=chain.filing_due and is_order,
        release_due=None,  # who accepted below a known ruling is never told who calls
    )


def is_newer(chain: Chain, number: int) -> bool:
    """Tell whether a ruling overtakes every one that is known; arrival order means nothing."""
    return number > chain.ruling


def outdated(chain: Chain, ruling: ReceivedRuling, known: tuple[SignedBytes, ...]) -> Step:
    """Answer a ruling that comes after a newer one, or in a closed chain: it is never obeyed."""
    body = bodies.RulingAck(
        number=ruling.body.number,
        role=bodies.Role.OUTDATED,
        ruling_digest=ruling.digest,
        attached=known,
    )
    say = Say("RulingAck", epoch_of(ruling.body.number), (chain.key.scope,), body)
    return Step(chain=chain, says=(say,))


def receive_taken(chain: Chain, *, number: int, holder: AuthorityCode) -> Step:
    """Learn that the target of ruling `number` holds the ticket; the ruling is known here."""
    epoch = epoch_of(number)
    is_overruled = chain.holding is Holding.YIELDING and (
        chain.term_epoch is None or epoch > chain.term_epoch
    )
    if is_overruled:
        released = replace(chain, holding=Holding.RELEASED, desk=None, custodian=holder)
        return Step(
            chain=released.with_party(holder),
            released_to=holder,
            events=(Released(chain.key, epoch, holder),),
        )
    is_news = chain.shown_epoch is None or chain.shown_epoch < epoch
    if number == chain.ruling and not chain.is_caring and is_news:
        return Step(chain=replace(chain, custodian=holder))
    return Step(chain=chain)


def stand_down(
    chain: Chain, body: bodies.StandDown, *, holder: AuthorityCode, audience: tuple[str, ...]
) -> Say:
    """Return the report of an overruled custodian; only the new one gets content with it."""
    codes = tuple(AuthorityCode(code) for code in dict.fromkeys((holder, *audience)))
    others = tuple(code for code in codes if code != chain.key.authority)
    return Say("StandDown", body.last_epoch, others, body, content_for=holder)


def epoch_of(number: int) -> Epoch:
    """Return the epoch that a ruling opens."""
    return Epoch(number, 0)


# --- parts ------------------------------------------------------------------------------------


def _taken(chain: Chain, known: Chain, ruling: ReceivedRuling) -> Chain:
    """Return the chain held at `n.0`; pending offers of older terms stay in their rows."""
    me, body = chain.key.authority, ruling.body
    held = replace(
        known,
        holding=Holding.HELD,
        term_epoch=epoch_of(body.number),
        pending_epoch=None,
        path=(me,),
        hops=0,
        refusals=0,
        homeward=0,
        case=body.case if body.kind is RulingKind.INTERIM else "",
        desk=chain.desk or ruling.desk,
        custodian=me,
        release_due=None,
        update_sequence=0,
        content_due=not ruling.has_copy,
    )
    return held.with_party(*ruling.followers)


def _superseded(chain: Chain, ruling: ReceivedRuling) -> tuple[Say, ...]:
    """End an invitation of an older era: it would be accepted below the ruling (mutant 41)."""
    if ruling.invitation is None:
        return ()
    body = bodies.Answer(
        Verdict.SUPERSEDED, ruling.invitation.offer_digest, attached=(ruling.signed,)
    )
    return (machine.answer(chain.key, ruling.invitation, body),)


def _ack(chain: Chain, ruling: ReceivedRuling, role: bodies.Role, successor: str) -> Say:
    """Answer the arbiter, and tell the ruling to whom the ticket was offered or handed."""
    body = bodies.RulingAck(
        number=ruling.body.number,
        role=role,
        ruling_digest=ruling.digest,
        successor=successor,
        attached=(ruling.signed,),
    )
    audience = tuple(dict.fromkeys((chain.key.scope, *forwarded_to(ruling.made))))
    return Say("RulingAck", epoch_of(ruling.body.number), audience, body)


def forwarded_to(made: tuple[OfferMade, ...]) -> tuple[AuthorityCode, ...]:
    """Return whom a ruling must reach because they may hold the ticket through an own offer."""
    open_ = (Verdict.PENDING, Verdict.ACCEPTED)
    return tuple(dict.fromkeys(offer.target for offer in made if offer.verdict in open_))


def _successor(chain: Chain, made: tuple[OfferMade, ...]) -> str:
    accepted = [offer for offer in made if offer.verdict is Verdict.ACCEPTED]
    newest = max(accepted, key=lambda offer: offer.epoch, default=None)
    if newest is not None and (chain.term_epoch is None or newest.epoch > chain.term_epoch):
        return newest.target
    return chain.ruling_target or ""
