"""What a pure step returns: the chain after it, what to say, and what happened."""

from __future__ import annotations

from gateway.custody import bodies
from gateway.custody.model import (
    Chain,
    CustodyEvent,
    Invitation,
    OfferAnswered,
    OfferMade,
    Verdict,
)
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.kernel.values import dataclass


@dataclass(frozen=True, slots=True)
class Say:
    """A statement to make: sign `body` for `audience`; complete `row` with its digest.

    It goes to the whole audience, or at first only to those of it that `post_to` names; content
    beside it goes to all of them, or only to the one that `content_for` names.
    """

    kind: str
    epoch: Epoch
    audience: tuple[AuthorityCode, ...]
    body: bodies.Body
    row: OfferMade | OfferAnswered | None = None
    post_to: tuple[AuthorityCode, ...] | None = None
    content_for: AuthorityCode | None = None
    records: bool = True  # whether it becomes a ledger row


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of one event in one chain."""

    chain: Chain
    says: tuple[Say, ...] = ()
    made: tuple[OfferMade, ...] = ()
    invitation: Invitation | None = None
    ends_invitation: bool = False
    resend: bytes = b""  # digest of a stored answer that goes out again
    records: bool = True  # whether the received statement becomes a ledger row
    established: tuple[bytes, bytes] | None = None  # (prior record, offer or ruling) of a new term
    opens_era: bool = False  # the new term is the first one of a ruling's era
    released_to: AuthorityCode | None = None
    events: tuple[CustodyEvent, ...] = ()


def recorded(chain: Chain, made: OfferMade) -> Step:
    """Return the step of an answer that moves nothing; one that ChainClosed overtook is a record.

    Then `made`, with its answer, handed over the last term of the era, whatever came first.
    """
    term = chain.term_epoch
    is_last = term is not None and made.epoch.era == term.era and made.epoch > term
    if not (chain.closed and is_last and made.verdict is Verdict.ACCEPTED):
        return Step(chain=chain, made=(made,))
    return Step(chain=chain, made=(made,), established=(chain.record_digest, made.statement_digest))
