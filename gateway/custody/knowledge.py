"""What is known of a chain besides its row and its authority's own words (`reestablish.Known`).

Of what others said only that counts which proves itself: an Offer that rests on a term, a ruling of
the scope's arbiter.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from gateway.custody import chains, proofs, store
from gateway.custody.bodies import Answer, Offer, Ruling, RulingAck
from gateway.custody.coupling import desk_of
from gateway.custody.model import ChainKey, Verdict
from gateway.custody.ports import ContentSource
from gateway.custody.reestablish import Fact, Known
from gateway.custody.returned import fact_of
from gateway.custody.rows import invitation_of, made_of
from gateway.custody.writer import StepWriter
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import SignedBytes
from gateway.kernel.errors import LubiaoError, ResourceNotFound
from gateway.trust.roster import Roster

_log = structlog.get_logger()


class Knowledge:
    """Gathers what is known of a chain for its re-establishing."""

    def __init__(
        self, *, writer: StepWriter, roster: Callable[[], Roster], text: ContentSource | None
    ) -> None:
        """Make it; an arbiter without tickets has no text."""
        self._writer = writer
        self._roster = roster
        self._content = text

    async def of(self, uow: UnitOfWork, key: ChainKey, facts: list[Fact]) -> Known:
        """Return what the facts about one chain, and the backup, say besides its row."""
        offers = {
            fact.digest: fact
            for fact in (*facts, *await self._invited(uow, key, facts))
            if isinstance(fact.body, Offer) and fact.issuer != key.authority
        }
        attempts = {found: self._proven(key, fact) for found, fact in offers.items()}
        proven = {found: proof for found, proof in attempts.items() if proof is not None}
        offers = {found: fact for found, fact in offers.items() if found in proven}
        made = await uow.rows(store.OFFERS_MADE_OF_TICKET, key.authority, key.ticket)
        row = await uow.get(store.INVITATIONS, key.authority, key.ticket, key.scope, key.number)
        return Known(
            offers=offers,
            homeward={found: proof.homeward for found, proof in proven.items()},
            before={found: proof.digests() for found, proof in proven.items()},
            eras={
                found: (proof.ruling.digest, proof.ruling.body)
                for found, proof in proven.items()
                if proof.ruling is not None and isinstance(proof.ruling.body, Ruling)
            },
            rulings=await self._named(uow, key, facts),
            made=tuple(offer for offer in map(made_of, made) if offer.key == key),
            invitation=invitation_of(row) if row else None,
            has_copy=await self._has_copy(uow, key),
            desk=desk_of(key.authority),
            followers=self._writer.joined(chains.followers_of(key)),
            accepted=frozenset(fact.epoch for fact in facts if _is_acceptance(fact, key)),
        )

    async def _named(
        self, uow: UnitOfWork, key: ChainKey, facts: list[Fact]
    ) -> dict[bytes, tuple[SignedBytes, Ruling]]:
        """Return the rulings that answers name: what was verified, here or before the backup.

        Never as it is attached: who passes a ruling on could put another signature to it.
        """
        here = {fact.digest: fact for fact in facts}
        rulings: dict[bytes, tuple[SignedBytes, Ruling]] = {}
        for named in {f.body.ruling_digest for f in facts if isinstance(f.body, RulingAck)}:
            fact = here.get(named)
            if fact is None:
                row = await uow.get(store.STATEMENTS, key.authority, named)
                if row is None:
                    continue
                fact = fact_of(SignedBytes(row.statement, row.key_id, row.signature), row.digest)
            is_arbiters = fact.issuer == self._roster().arbiter_of(key.scope)
            if is_arbiters and isinstance(fact.body, Ruling):
                rulings[named] = (fact.signed, fact.body)
        return rulings

    async def _invited(self, uow: UnitOfWork, key: ChainKey, facts: list[Fact]) -> list[Fact]:
        """Return the Offers of the backup that one of our own new answers names."""
        found = []
        for fact in facts:
            if not isinstance(fact.body, Answer):
                continue
            row = await uow.get(store.STATEMENTS, key.authority, fact.body.offer_digest)
            if row is not None and row.kind == "Offer":
                signed = SignedBytes(row.statement, row.key_id, row.signature)
                found.append(fact_of(signed, row.digest))
        return found

    def _proven(self, key: ChainKey, offer: Fact) -> proofs.Proof | None:
        """Return what an Offer rests on; None if that is nothing.

        Whoever signs an Offer of his own can attach what he likes to it.
        """
        attached = offer.body.attached if isinstance(offer.body, Offer) else ()
        try:
            return proofs.prove(attached, key, roster=self._roster)
        except LubiaoError as error:
            _log.warning("recovery.offer_unproven", issuer=offer.issuer, reason=error.reason)
            return None

    async def _has_copy(self, uow: UnitOfWork, key: ChainKey) -> bool:
        if self._content is None:
            return False
        try:
            await self._content.header(uow, key.authority, key.ticket)
        except ResourceNotFound:
            return False
        return True


def _is_acceptance(fact: Fact, key: ChainKey) -> bool:
    is_accepted = isinstance(fact.body, Answer) and fact.body.verdict is Verdict.ACCEPTED
    return is_accepted and fact.issuer != key.authority and key.authority in fact.audience
