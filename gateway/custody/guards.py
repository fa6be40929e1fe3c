"""The guards of a hand-over (I5): what opens a case instead of the hop (docs/custody.md#hops).

Two hand-overs of an era are free. The third, a target that already held the ticket in this era, and
the second substantive refusal open a case. A *homeward* offer brings the ticket to the scope's own
authority, to leave the scope or because that authority asked for it: it is no hop and takes its
sender off the path. After a ruling only those may be offered the ticket whom it names, unless it
allows offers. During a case, and only then, a ticket moves by consent, with an Assumption of the
target.
"""

from __future__ import annotations

from gateway.custody import bodies
from gateway.custody.model import (
    HOMEWARD_MAX,
    HOMEWARD_REASONS,
    HOPS_CONSENTED_MAX,
    HOPS_FREE_MAX,
    REFUSALS_FREE_MAX,
    Chain,
    ChainKey,
    Holding,
    OfferReason,
)
from gateway.delivery.model import SignedBytes
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass


@dataclass(frozen=True, slots=True)
class OfferTerms:
    """What an authority wants to offer, and to whom."""

    target: AuthorityCode
    reason: OfferReason
    rule: str
    trace_digest: bytes
    window_end: Instant
    header: bytes
    assumption: SignedBytes | None = None

    def is_homeward(self, key: ChainKey) -> bool:
        """Tell whether the offer brings the ticket home to the scope's own authority."""
        is_wanted = self.reason in HOMEWARD_REASONS or self.assumption is not None
        return not key.is_outer and self.target == key.scope and is_wanted


def failed_guard(chain: Chain, terms: OfferTerms) -> str | None:
    """Return the guard that opens a case instead of this hand-over (I5), or None."""
    if terms.is_homeward(chain.key):
        return "homeward" if chain.homeward >= HOMEWARD_MAX else None
    if terms.assumption is not None and chain.case:
        return "hops" if chain.hops >= HOPS_CONSENTED_MAX else None
    if terms.target in chain.mandates:
        return None
    if chain.ruling and not chain.offers_allowed:
        return "ruled"  # new facts need a new case
    if terms.target in chain.path:
        return "path"
    if chain.hops >= HOPS_FREE_MAX:
        return "hops"
    if chain.refusals >= REFUSALS_FREE_MAX:
        return "refusals"
    return None


def is_homeward(key: ChainKey, body: bodies.Offer) -> bool:
    """Tell whether an offer brings the ticket home to the scope's authority."""
    is_wanted = body.reason in HOMEWARD_REASONS or body.assumption is not None
    return not key.is_outer and body.target == key.scope and is_wanted


def is_consented(body: bodies.Offer) -> bool:
    """Tell whether an offer moves the ticket during a case, by its target's Assumption."""
    return body.assumption is not None and bool(body.case)


def ground_of(key: ChainKey) -> int:
    """Return what a dispute in a chain is about, as far as its scope tells (code DG)."""
    return 5 if key.is_outer else 1


def must_file(chain: Chain) -> bool:
    """Tell whether the refusals of this era open a case now."""
    return chain.holding is Holding.HELD and chain.refusals >= REFUSALS_FREE_MAX and not chain.case
