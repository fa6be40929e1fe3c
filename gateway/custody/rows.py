"""Rows ↔ values of custody: the one place where flat columns become what they mean.

Rows are flat (an epoch is its key, an enum its name); services work on the values of `model.py`.
A step asks for the same chain a dozen times, and a row never changes: the value of a row *object*
is remembered for a while, also of one that was just made of its value.
"""

from __future__ import annotations

from typing import Any

from gateway.custody.model import (
    Chain,
    ChainKey,
    Holding,
    Invitation,
    OfferAnswered,
    OfferMade,
    Verdict,
)
from gateway.custody.store import ChainRow, InvitationRow, OfferAnsweredRow, OfferMadeRow
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber

CHAINS_REMEMBERED_MAX = 512  # of one unit of work; a row and its value are about 3 kB
# By the identity of the row, which is kept beside its value: so no other row has that identity.
_chains: dict[int, tuple[ChainRow, Chain]] = {}


def chain_of(row: ChainRow) -> Chain:
    """Return the value of a chain row."""
    known = _chains.get(id(row))
    return known[1] if known is not None else _remembered(row, _chain_of(row))


def chain_row(chain: Chain) -> ChainRow:
    """Return the row of a chain."""
    row = _chain_row(chain)
    _remembered(row, chain)
    return row


def _remembered(row: ChainRow, chain: Chain) -> Chain:
    if len(_chains) >= CHAINS_REMEMBERED_MAX:
        del _chains[next(iter(_chains))]  # the oldest
    _chains[id(row)] = (row, chain)
    return chain


def _chain_of(row: ChainRow) -> Chain:
    return Chain(
        key=_key(row),
        origin=AuthorityCode(row.origin),
        genesis_digest=row.genesis_digest,
        holding=Holding(row.holding),
        term_epoch=_epoch(row.term_epoch),
        floor=_epoch(row.floor_epoch),
        ruling=row.ruling,
        ruling_target=_code(row.ruling_target),
        ruling_statement=row.ruling_statement,
        offers_allowed=row.offers_allowed,
        mandates=tuple(row.mandates),
        pending_epoch=_epoch(row.pending_epoch),
        path=tuple(row.path),
        hops=row.hops,
        refusals=row.refusals,
        homeward=row.homeward,
        case=row.case_id,
        desk=row.desk,
        chain_head=row.chain_head,
        rows=row.ledger_rows,
        record_digest=row.record_digest,
        custodian=_code(row.custodian),
        contact=row.contact,
        release_due=_code(row.release_due),
        filing_due=row.filing_due,
        content_due=row.content_due,
        closed=row.closed,
        parties=tuple(row.parties),
        records=tuple(row.records),
        update_sequence=row.update_sequence,
        shown_epoch=_epoch(row.shown_epoch),
        shown_sequence=row.shown_sequence,
    )


def _chain_row(chain: Chain) -> ChainRow:
    return ChainRow(
        authority=chain.key.authority,
        ticket=chain.key.ticket,
        scope=chain.key.scope,
        number=chain.key.number,
        origin=chain.origin,
        genesis_digest=chain.genesis_digest,
        holding=chain.holding.value,
        term_epoch=chain.term_epoch.key() if chain.term_epoch else None,
        floor_epoch=chain.floor.key() if chain.floor else None,
        ruling=chain.ruling,
        ruling_target=chain.ruling_target,
        ruling_statement=chain.ruling_statement,
        offers_allowed=chain.offers_allowed,
        mandates=chain.mandates,
        pending_epoch=chain.pending_epoch.key() if chain.pending_epoch else None,
        path=chain.path,
        hops=chain.hops,
        refusals=chain.refusals,
        homeward=chain.homeward,
        case_id=chain.case,
        desk=chain.desk,
        chain_head=chain.chain_head,
        ledger_rows=chain.rows,
        record_digest=chain.record_digest,
        custodian=chain.custodian,
        contact=chain.contact,
        release_due=chain.release_due,
        filing_due=chain.filing_due,
        content_due=chain.content_due,
        closed=chain.closed,
        parties=chain.parties,
        records=chain.records,
        update_sequence=chain.update_sequence,
        shown_epoch=chain.shown_epoch.key() if chain.shown_epoch else None,
        shown_sequence=chain.shown_sequence,
    )


def made_of(row: OfferMadeRow) -> OfferMade:
    """Return the value of an offer made."""
    return OfferMade(
        key=_key(row),
        epoch=Epoch.from_key(row.epoch),
        target=AuthorityCode(row.target),
        homeward=row.homeward,
        statement_digest=row.statement_digest,
        window_end=row.window_end,
        verdict=Verdict(row.verdict),
        answer_digest=row.answer_digest,
        reason=row.reason,
        clause=row.clause,
        proposed_owner=row.proposed_owner,
        stand_by_until=row.stand_by_until,
        decider=row.decider,
        asked=row.asked,
        asked_at=row.asked_at,
        told=row.told,
        sealed=row.inquiry,
    )


def made_row(made: OfferMade) -> OfferMadeRow:
    """Return the row of an offer made."""
    return OfferMadeRow(
        authority=made.key.authority,
        ticket=made.key.ticket,
        scope=made.key.scope,
        number=made.key.number,
        epoch=made.epoch.key(),
        target=made.target,
        homeward=made.homeward,
        statement_digest=made.statement_digest,
        window_end=made.window_end,
        verdict=made.verdict.value,
        answer_digest=made.answer_digest,
        reason=made.reason,
        clause=made.clause,
        proposed_owner=made.proposed_owner,
        stand_by_until=made.stand_by_until,
        decider=made.decider,
        asked=made.asked,
        asked_at=made.asked_at,
        told=made.told,
        inquiry=made.sealed,
    )


def answered_of(row: OfferAnsweredRow) -> OfferAnswered:
    """Return the value of an offer answered."""
    return OfferAnswered(
        key=_key(row),
        epoch=Epoch.from_key(row.epoch),
        source=AuthorityCode(row.source),
        offer_digest=row.offer_digest,
        verdict=Verdict(row.verdict),
        answer_digest=row.answer_digest,
    )


def answered_row(answered: OfferAnswered) -> OfferAnsweredRow:
    """Return the row of an offer answered."""
    return OfferAnsweredRow(
        authority=answered.key.authority,
        ticket=answered.key.ticket,
        scope=answered.key.scope,
        number=answered.key.number,
        epoch=answered.epoch.key(),
        source=answered.source,
        offer_digest=answered.offer_digest,
        verdict=answered.verdict.value,
        answer_digest=answered.answer_digest,
    )


def invitation_of(row: InvitationRow) -> Invitation:
    """Return the value of an invitation."""
    return Invitation(
        key=_key(row),
        epoch=Epoch.from_key(row.epoch),
        source=AuthorityCode(row.source),
        offer_digest=row.offer_digest,
        received=row.received,
        window_end=row.window_end,
        stand_by_until=row.stand_by_until,
        decider=row.decider,
        asked=row.asked,
        asked_at=row.asked_at,
        told=row.told,
        sealed=row.inquiry,
    )


def invitation_row(invitation: Invitation, *, case_block: bytes) -> InvitationRow:
    """Return the row of an invitation with the block that is still sealed."""
    return InvitationRow(
        authority=invitation.key.authority,
        ticket=invitation.key.ticket,
        scope=invitation.key.scope,
        number=invitation.key.number,
        epoch=invitation.epoch.key(),
        source=invitation.source,
        offer_digest=invitation.offer_digest,
        received=invitation.received,
        window_end=invitation.window_end,
        case_block=case_block,
        stand_by_until=invitation.stand_by_until,
        decider=invitation.decider,
        asked=invitation.asked,
        asked_at=invitation.asked_at,
        told=invitation.told,
        inquiry=invitation.sealed,
    )


def _key(row: Any) -> ChainKey:
    return ChainKey(
        AuthorityCode(row.authority),
        TicketNumber(row.ticket),
        AuthorityCode(row.scope),
        row.number,
    )


def _epoch(key: int | None) -> Epoch | None:
    return None if key is None else Epoch.from_key(key)


def _code(text: str | None) -> AuthorityCode | None:
    return None if text is None else AuthorityCode(text)
