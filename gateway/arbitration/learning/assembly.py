"""What an arbiter learns from its rulings: wiring of precedents, proposals, advice and repeats."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.arbitration.learning.advice import Advice
from gateway.arbitration.learning.backing import Backing
from gateway.arbitration.learning.codec import evidence_to_bytes
from gateway.arbitration.learning.proposals import Proposals
from gateway.arbitration.learning.repeats import Repeats
from gateway.arbitration.precedents.casebook import Casebook
from gateway.arbitration.precedents.model import Places
from gateway.audit.service import AuditLog
from gateway.database.once import Once
from gateway.database.uow import Database
from gateway.kernel.time import Clock
from gateway.tickets.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Learning:
    """What follows from rulings; the nation has no proposals, for it has no rules of a province."""

    advice: Advice
    repeats: Repeats
    proposals: Proposals | None

    async def run(self) -> None:
        """Prepare proposals, until cancelled; one process of the node does."""
        if self.proposals is not None:
            await self.proposals.run()


def build_learning(
    casebook: Casebook,
    *,
    backing: Backing | None,
    database: Database,
    once: Once,
    audit: AuditLog,
    tokens: Tokens,
    clock: Clock,
) -> Learning:
    """Return the parts, and let the casebook know of tickets, units and proposals."""
    advice = Advice(casebook=casebook, backing=backing)
    repeats = Repeats(database=database, backing=backing)
    if backing is None:
        return Learning(advice, repeats, None)
    casebook.places = Places(casebook.places.is_within, backing.unit_of)
    casebook.known = backing.known
    proposals = Proposals(
        database=database,
        backing=backing,
        once=once,
        audit=audit,
        tokens=tokens,
        clock=clock,
        encode=evidence_to_bytes,
    )
    casebook.made, casebook.over = proposals.made, proposals.over
    return Learning(advice, repeats, proposals)
