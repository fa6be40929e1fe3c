"""Standing by, as pure steps: "a person is deciding" (docs/custody.md#stand-by).

Whom a ticket was offered to says so once per offer. Nothing of custody changes: no state, no epoch,
no answer, and the clock of the ticket runs. Only the window of the offer moves, once, and by one
more window of its own length at most. That bound is read from the signed offer, so it is the clock
of the offerer alone that counts: nobody's skew makes a window longer, and both sides know the same
bound without asking each other.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.custody import bodies, machine
from gateway.custody.model import (
    STAND_BYS_PER_OFFER_MAX,
    Chain,
    Holding,
    Invitation,
    OfferMade,
    StoodBy,
    Verdict,
)
from gateway.custody.states import Local
from gateway.kernel.errors import StatementMalformed
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace
from gateway.trust.principal import Role

SILENCE_MIN = timedelta(minutes=1)  # an offer made at the end of its window leaves time to answer
DECIDERS = frozenset({Role.DISPATCHER, Role.SUPERVISOR})
ROLES = frozenset(role.value for role in Role)
LAST = datetime(2999, 12, 31, tzinfo=UTC)  # beyond it no time can be said (delivery/codec.py)


def latest_end(*, offered: Instant, window_end: Instant) -> Instant:
    """Return until when standing by can move a window: one more of the same length."""
    window = max(window_end - offered, SILENCE_MIN)
    return window_end + min(window, max(LAST - window_end, timedelta(0)))


def moved_end(offer: OfferMade | Invitation) -> Instant:
    """Return when the window of an offer ends, stand-by and all; it never ends earlier."""
    return max(offer.window_end, offer.stand_by_until or offer.window_end)


def stand_by(
    chain: Chain, invitation: Invitation, *, until: Instant, decider: str, latest: Instant
) -> machine.Step:
    """Say that a person is deciding; a time beyond the bound is cut to it."""
    machine.require(chain, Local.STAND_BY)
    until = min(until, latest)
    body = bodies.StandBy(invitation.offer_digest, until, decider)
    say = machine.Say("StandBy", invitation.epoch, (invitation.source,), body)
    waits = replace(invitation, stand_by_until=until, decider=decider)
    return machine.Step(chain=chain, says=(say,), invitation=waits)


@dataclass(frozen=True, slots=True)
class ReceivedStandBy:
    """A verified StandBy; `before` are the digests of those of this signer and epoch kept here."""

    source: AuthorityCode
    epoch: Epoch
    digest: bytes
    body: bodies.StandBy
    before: tuple[bytes, ...]
    latest: Instant


def receive_stand_by(
    chain: Chain, made: OfferMade | None, given: ReceivedStandBy, *, now: Instant
) -> machine.Step:
    """Take a StandBy: it moves the window of the pending offer, or changes nothing.

    Raises:
        StatementMalformed: there is no such offer, or another StandBy of it came before.
    """
    body = given.body
    is_sound = (
        made is not None
        and made.target == given.source
        and made.statement_digest == body.offer_digest
    )
    if made is None or not is_sound:
        raise StatementMalformed(
            check=10,
            got=f"StandBy of {given.source} for offer {body.offer_digest.hex()}",
            expected="an offer made to it",
        )
    if given.digest in given.before:
        return machine.Step(chain=chain, records=False)
    if len(given.before) >= STAND_BYS_PER_OFFER_MAX:
        raise StatementMalformed(
            check=10,
            got=f"another StandBy of {given.source} at {given.epoch}",
            expected=f"{STAND_BYS_PER_OFFER_MAX} for each offer",
        )
    is_open = (
        chain.holding is Holding.OFFERED
        and chain.pending_epoch == given.epoch
        and made.verdict is Verdict.PENDING
        and now <= made.window_end
    )
    if not is_open:  # answered, asked back, ruled or too late: it is kept, and that is all
        return machine.Step(chain=chain)
    until = min(body.until, given.latest)
    decider = body.decider if body.decider in ROLES else ""  # what is no role may be a name
    waits = replace(made, stand_by_until=until, decider=decider)
    event = StoodBy(chain.key, given.epoch, made.target, moved_end(waits), decider)
    return machine.Step(chain=chain, made=(waits,), events=(event,))
