"""What a restored authority signed is never contradicted: from its own statements to its state.

Pure. `said` are the statements of this authority in one chain that the backup does not have, as
peers returned them. Each is applied in the order of epochs to the chain of the backup, through the
steps of `machine.py` and `rulings.py` where they know the step; nothing is signed again. What an
own statement implies holds even when the statement of the other that caused it is missing: an
Offer implies that the one before it came back, an acceptance that this authority had let go. What
others said is not applied here: it comes again as if it had been on its way (`recovery.py`).

The minimum that must come out: no epoch is answered, offered or ruled twice; floor and ruling do
not fall; the holding is what the newest own statement implies. The rest is a doubt for a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from gateway.custody import bodies, guards, machine, rulings
from gateway.custody.model import (
    BY_FORK,
    Chain,
    Holding,
    Invitation,
    OfferAnswered,
    OfferMade,
    Verdict,
)
from gateway.custody.states import Local
from gateway.delivery.model import SignedBytes
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace
from gateway.trust.statements import record

CONTENT_MISSING = "content missing"  # an item for people: held without its text
_ORDER = ("Genesis", "Ruling", "RulingAck", "Offer", "Revoke", "Answer")
_PASSING = frozenset({bodies.Role.OUTDATED, bodies.Role.TOLD})


@dataclass(frozen=True, slots=True)
class Fact:
    """A verified statement, parsed."""

    kind: str
    issuer: AuthorityCode
    audience: tuple[AuthorityCode, ...]
    epoch: Epoch
    digest: bytes
    signed: SignedBytes
    issued: Instant
    body: bodies.Body


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the chain besides its row and what this authority said.

    `offers` are the Offers of others by digest; `homeward` says how often the ticket came home
    before each, `before` names the records that each rests on, and `eras` is the ruling that opened
    its era, if one did. `rulings` are those that own answers name; `made` and `invitation` are
    those of the backup. `accepted` are the epochs of own offers of which an acceptance came back:
    it is taken after this, and completes the records.
    """

    offers: Mapping[bytes, Fact]
    homeward: Mapping[bytes, int]
    before: Mapping[bytes, tuple[str, ...]]
    eras: Mapping[bytes, tuple[bytes, bodies.Ruling]]
    rulings: Mapping[bytes, tuple[SignedBytes, bodies.Ruling]]
    made: tuple[OfferMade, ...]
    invitation: Invitation | None
    has_copy: bool
    desk: str
    followers: tuple[str, ...] = ()
    accepted: frozenset[Epoch] = frozenset()


@dataclass(slots=True)
class Reestablished:
    """What the own statements imply."""

    chain: Chain
    made: dict[Epoch, OfferMade] = field(default_factory=dict)
    answered: list[OfferAnswered] = field(default_factory=list)
    ruled: list[Fact] = field(default_factory=list)
    rows: list[Fact] = field(default_factory=list)  # in the order of the ledger
    ends_invitation: bool = False
    doubts: list[tuple[str, str]] = field(default_factory=list)


def reestablish(chain: Chain, said: Sequence[Fact], known: Known) -> Reestablished:
    """Apply what this authority said since the backup to the chain of the backup."""
    state = Reestablished(chain=chain)
    for fact in sorted(said, key=_place):
        state.rows.append(fact)
        match fact.body:
            case bodies.Genesis() as body:
                _began(state, fact, body, known)
            case bodies.Ruling():
                state.ruled.append(fact)
            case bodies.RulingAck() as body if body.role not in _PASSING:
                _obeyed(state, fact, body, known)
            case bodies.Offer() as body:
                _offered(state, fact, body, known)
            case bodies.Revoke():
                if state.chain.pending_epoch == fact.epoch:
                    state.chain = replace(state.chain, holding=Holding.REVOKING)
            case bodies.Answer() as body:
                _answered(state, fact, body, known)
            case _:
                pass
    _conclude(state, said)
    return state


def _place(fact: Fact) -> tuple[Epoch, int, Instant, bytes]:
    rank = _ORDER.index(fact.kind) if fact.kind in _ORDER else len(_ORDER)
    return fact.epoch, rank, fact.issued, fact.digest


def _began(state: Reestablished, fact: Fact, body: bodies.Genesis, known: Known) -> None:
    before = state.chain
    if before.genesis_digest:
        return
    step = machine.begin(before.key, desk=known.desk, contact=False, body=body)
    state.chain = replace(
        step.chain,
        genesis_digest=fact.digest,
        record_digest=record(previous_record=None, first_digest=fact.digest, second_digest=None),
        records=(fact.digest.hex(),),
        chain_head=before.chain_head,
        rows=before.rows,
        content_due=not known.has_copy,
    ).with_party(*before.parties, *step.chain.parties)


def _offered(state: Reestablished, fact: Fact, body: bodies.Offer, known: Known) -> None:
    """Own offers stand one at a time: an Offer implies that the one before it came back."""
    chain = state.chain
    homeward = guards.is_homeward(chain.key, body)
    state.made[fact.epoch] = OfferMade(
        key=chain.key,
        epoch=fact.epoch,
        target=body.target,
        homeward=homeward,
        statement_digest=fact.digest,
        window_end=body.window_end,
    )
    raised = replace(chain, floor=chain.raised(fact.epoch))
    is_current = chain.term_epoch is not None and fact.epoch > chain.term_epoch
    if not is_current or fact.epoch.era < chain.ruling:
        state.chain = raised
        if chain.term_epoch is None:
            state.doubts.append(
                ("unknown term", f"it offered at {fact.epoch} without a known term")
            )
        return
    state.chain = replace(
        raised,
        holding=Holding.OFFERED,
        pending_epoch=fact.epoch,
        path=body.path,
        hops=body.hops,
        refusals=body.refusals,
        homeward=chain.homeward + homeward,
        case=body.case,
        desk=chain.desk or known.desk,
        custodian=chain.key.authority,
    )


def _answered(state: Reestablished, fact: Fact, body: bodies.Answer, known: Known) -> None:
    chain = state.chain
    source = fact.audience[0] if fact.audience else chain.origin
    state.answered.append(
        OfferAnswered(
            key=chain.key,
            epoch=fact.epoch,
            source=source,
            offer_digest=body.offer_digest,
            verdict=body.verdict,
            answer_digest=fact.digest,
        )
    )
    invitation = known.invitation
    if invitation is not None and invitation.epoch <= fact.epoch:
        state.ends_invitation = True
    state.chain = replace(chain, floor=chain.raised(fact.epoch))
    if body.verdict is Verdict.ACCEPTED:
        _took(state, fact, body, source, known)


def _took(
    state: Reestablished, fact: Fact, answer: bodies.Answer, source: AuthorityCode, known: Known
) -> None:
    chain, offer = state.chain, known.offers.get(answer.offer_digest)
    if chain.term_epoch is not None and fact.epoch <= chain.term_epoch:
        return
    if offer is None or not isinstance(offer.body, bodies.Offer):
        state.doubts.append(("offer missing", f"it accepted {fact.epoch}, whose Offer is missing"))
        return
    invitation = Invitation(
        key=chain.key,
        epoch=fact.epoch,
        source=source,
        offer_digest=offer.digest,
        received=offer.issued,
        window_end=offer.body.window_end,
    )
    opened = known.eras.get(offer.digest)
    if opened is not None and rulings.is_newer(chain, opened[1].number):
        chain = rulings.knowing(chain, opened[1], opened[0])  # it came with the offer (check 8)
    free = chain.holding if chain.holding is Holding.ABSENT else Holding.RELEASED
    step = machine.accept(
        replace(chain, holding=free, pending_epoch=None, case=""),
        invitation,
        offer.body,
        desk=known.desk,
        homeward_before=known.homeward.get(offer.digest, 0),
    )
    state.chain = replace(
        step.chain,
        content_due=not known.has_copy,
        record_digest=record(
            previous_record=offer.body.prior_record,
            first_digest=offer.digest,
            second_digest=fact.digest,
        ),
        records=(*known.before.get(offer.digest, ()), offer.digest.hex(), fact.digest.hex()),
    ).with_party(*known.followers)


def _obeyed(state: Reestablished, fact: Fact, ack: bodies.RulingAck, known: Known) -> None:
    """An answer to a ruling implies the ruling, and says what this authority was."""
    chain, found = state.chain, known.rulings.get(ack.ruling_digest)
    if found is None:
        state.doubts.append(
            ("ruling missing", f"it answered ruling {ack.number}, which is missing")
        )
        return
    signed, body = found
    if not rulings.is_newer(chain, body.number):
        return
    if ack.role in (bodies.Role.RELEASED, bodies.Role.NOT_HELD) and chain.is_caring:
        pending = chain.pending_epoch if chain.pending_epoch in known.accepted else None
        chain = replace(chain, holding=Holding.RELEASED, pending_epoch=pending, desk=None)
    made = {offer.epoch: offer for offer in known.made} | state.made
    ruling = rulings.ReceivedRuling(
        digest=ack.ruling_digest,
        signed=signed,
        body=body,
        invitation=known.invitation,
        made=tuple(made.values()),
        has_copy=known.has_copy,
        desk=known.desk,
        followers=known.followers,
    )
    step = rulings.receive_ruling(chain, ruling)
    state.ends_invitation = state.ends_invitation or step.ends_invitation
    state.chain = step.chain
    if ack.role is bodies.Role.TAKEN and body.target == chain.key.authority:
        state.chain = replace(
            step.chain,
            record_digest=record(
                previous_record=body.last_record or None,
                first_digest=ack.ruling_digest,
                second_digest=fact.digest,
            ),
            records=(ack.ruling_digest.hex(), fact.digest.hex()),
        )


def _conclude(state: Reestablished, said: Sequence[Fact]) -> None:
    """Apply what stands at the epoch of a term and was said at its end."""
    for fact in sorted(said, key=_place):
        chain = state.chain
        match fact.body:
            case bodies.CaseFiling() as body if _is_open(chain, fact):
                is_forked = body.cause == BY_FORK and chain.is_caring  # it has said that it stops
                after = machine.require(chain, Local.FORKED) if is_forked else chain.holding
                state.chain = replace(chain, case=body.case, holding=after)
            case bodies.StandDown() as body if chain.term_epoch == body.last_epoch:
                if chain.holding is Holding.YIELDING:
                    state.chain = replace(chain, holding=Holding.RELEASED, desk=None)
            case bodies.ChainClosed() if not chain.closed:
                if chain.key.is_home and fact.epoch != chain.term_epoch:
                    chain = _closed_from(state, fact.epoch)
                state.chain = replace(
                    chain,
                    closed=True,
                    holding=Holding.RELEASED if chain.is_caring else chain.holding,
                    desk=None,
                    pending_epoch=None,
                    case="",
                    filing_due=False,
                )
            case bodies.TicketUpdate() as body if chain.term_epoch == fact.epoch:
                newest = max(chain.update_sequence, body.sequence)
                state.chain = replace(chain, update_sequence=newest)
            case _:
                pass


def _closed_from(state: Reestablished, epoch: Epoch) -> Chain:
    """Return the chain that its province closed in a term that nothing else tells of.

    It held the ticket then, says its own signature. Without the records of that term it has nothing
    to prove it with, and says no more in this chain. The ruling of that era is its own, and known.
    """
    state.doubts.append(("unknown term", f"it closed the chain at {epoch}, a term that is missing"))
    chain = state.chain
    for fact in state.ruled:  # in the order of their numbers
        body = fact.body
        if isinstance(body, bodies.Ruling) and chain.ruling < body.number <= epoch.era:
            chain = rulings.knowing(chain, body, fact.digest)
    return replace(chain, term_epoch=epoch, floor=chain.raised(epoch), records=())


def _is_open(chain: Chain, fact: Fact) -> bool:
    """Tell whether a filing still waits: filed in the present term and not ruled since."""
    return chain.term_epoch == fact.epoch and fact.epoch.era >= chain.ruling


def doubts(state: Reestablished, chain: Chain) -> list[tuple[str, str]]:
    """Return what is for people once a chain is re-established: what it is, and more about it."""
    found = list(state.doubts)
    if chain.content_due and chain.is_caring:
        found.append((CONTENT_MISSING, f"held at {chain.term_epoch} without its text"))
    lost = [made for made in state.made.values() if made.verdict is Verdict.PENDING]
    if chain.is_caring and chain.pending_epoch is None and _offered_last(lost, chain):
        found.append(("offer open", "an own offer of this term has no answer here"))
    return found


def _offered_last(lost: list[OfferMade], chain: Chain) -> bool:
    return any(chain.term_epoch is not None and made.epoch > chain.term_epoch for made in lost)
