"""Tables and queries of custody, and the one place where rows become values.

Rows are flat (an epoch is its key, an enum its name); the service works on the values of
`model.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
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
from gateway.database.table import Json, Query, RowsOf, Table, load_queries
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant

_SQL = load_queries(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True, slots=True)
class ChainRow:
    """A `Chain`, flat."""

    authority: str
    ticket: str
    scope: str
    number: int
    origin: str
    genesis_digest: bytes
    holding: str
    term_epoch: int | None
    floor_epoch: int | None
    ruling: int
    ruling_target: str | None
    ruling_statement: bytes
    offers_allowed: bool
    mandates: Json
    pending_epoch: int | None
    path: Json
    hops: int
    refusals: int
    homeward: int
    case_id: str
    desk: str | None
    chain_head: bytes
    ledger_rows: int
    record_digest: bytes
    custodian: str | None
    contact: bool
    release_due: str | None
    filing_due: bool
    closed: bool
    parties: Json
    records: Json
    update_sequence: int
    shown_epoch: int | None
    shown_sequence: int


@dataclass(frozen=True, slots=True)
class OfferMadeRow:
    """An `OfferMade`, flat."""

    authority: str
    ticket: str
    scope: str
    number: int
    epoch: int
    target: str
    homeward: bool
    statement_digest: bytes
    window_end: Instant
    verdict: str
    answer_digest: bytes
    reason: int
    clause: str
    proposed_owner: str


@dataclass(frozen=True, slots=True)
class OfferAnsweredRow:
    """An `OfferAnswered`, flat."""

    authority: str
    ticket: str
    scope: str
    number: int
    epoch: int
    source: str
    offer_digest: bytes
    verdict: str
    answer_digest: bytes


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """An `Invitation`, flat, with the case block still sealed."""

    authority: str
    ticket: str
    scope: str
    number: int
    epoch: int
    source: str
    offer_digest: bytes
    received: Instant
    window_end: Instant
    case_block: bytes


@dataclass(frozen=True, slots=True)
class CustodyRow:
    """A row of a ticket's ledger at one authority."""

    authority: str
    ticket: str
    scope: str
    number: int
    sequence: int
    txid: int
    previous_digest: bytes
    kind: str
    epoch: int
    subject_digest: bytes
    state_digest: bytes
    row_digest: bytes
    holding: str
    recorded: Instant


@dataclass(frozen=True, slots=True)
class StatementRow:
    """The exact bytes of a statement that this authority signed or took."""

    authority: str
    digest: bytes
    statement: bytes
    key_id: str
    signature: bytes
    kind: str
    issuer: str
    ticket: str
    scope: str
    number: int
    epoch: int
    recorded: Instant


@dataclass(frozen=True, slots=True)
class ActRow:
    """An exclusive act of a city that its province recorded."""

    authority: str
    ticket: str
    scope: str
    number: int
    actor: str
    act_row: int
    epoch: int
    kind: str
    digest: bytes
    has_force: bool
    recorded: Instant


@dataclass(frozen=True, slots=True)
class LedgerEntryRow:
    """One signed entry of an authority's ledger: a Merkle root over the rows since the last."""

    authority: str
    sequence: int
    previous_digest: bytes
    root: bytes
    row_count: int
    up_to_txid: int
    entry_digest: bytes
    key_id: str
    signature: bytes
    recorded: Instant


_CHAIN_KEY = ("authority", "ticket", "scope", "number")
CHAINS = Table("chains", ChainRow, key=_CHAIN_KEY)
OFFERS_MADE = Table("offers_made", OfferMadeRow, key=(*_CHAIN_KEY, "epoch"))
OFFERS_ANSWERED = Table("offers_answered", OfferAnsweredRow, key=(*_CHAIN_KEY, "epoch"))
INVITATIONS = Table("invitations", InvitationRow, key=_CHAIN_KEY)
CUSTODY_ROWS = Table("custody_rows", CustodyRow, key=(*_CHAIN_KEY, "sequence"), transaction="txid")
STATEMENTS = Table("statements", StatementRow, key=("authority", "digest"))
ACTS = Table("acts_recorded", ActRow, key=(*_CHAIN_KEY, "actor", "epoch", "act_row"))
LEDGER_ENTRIES = Table("ledger_entries", LedgerEntryRow, key=("authority", "sequence"))


# --- twins of the queries ---------------------------------------------------------------------


def _of_ticket(
    table: Table[Any], *order: str
) -> Callable[[RowsOf, Mapping[str, Any]], Iterable[Any]]:
    def twin(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[Any]:
        found = (
            row
            for row in rows(table)
            if row.authority == given["authority"] and row.ticket == given["ticket"]
        )
        return sorted(found, key=lambda row: tuple(getattr(row, name) for name in order))

    return twin


def _filing_due(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[ChainRow]:
    due = (row for row in rows(CHAINS) if row.filing_due)
    return sorted(due, key=lambda row: (row.authority, row.ticket))[: given["limit"]]


def _invitations(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[InvitationRow]:
    found = (
        row
        for row in rows(INVITATIONS)
        if row.authority == given["authority"]
        and given["ticket"] in ("", row.ticket)
        and row.ticket > given["after"]
    )
    ordered = sorted(found, key=lambda row: (row.ticket, row.scope, row.number))
    return ordered[: given["limit"]]


def _ledger(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[CustodyRow]:
    after = (given["scope"], given["number"], given["sequence"])
    found = (
        row
        for row in rows(CUSTODY_ROWS)
        if row.authority == given["authority"]
        and row.ticket == given["ticket"]
        and (row.scope, row.number, row.sequence) > after
    )
    return sorted(found, key=lambda row: (row.scope, row.number, row.sequence))[: given["limit"]]


_IDENTITY = ("authority", "ticket", "scope", "number", "issuer", "kind", "epoch")


def _identity(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[StatementRow]:
    return [
        row
        for row in rows(STATEMENTS)
        if all(getattr(row, name) == given[name] for name in _IDENTITY)
    ]


_TERM = ("authority", "ticket", "scope", "number", "epoch")


def _acts_of_term(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[CustodyRow]:
    found = (
        row
        for row in rows(CUSTODY_ROWS)
        if row.kind.startswith("act.") and all(getattr(row, name) == given[name] for name in _TERM)
    )
    return sorted(found, key=lambda row: row.sequence)


def _rows_after(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[CustodyRow]:
    found = (
        row
        for row in rows(CUSTODY_ROWS)
        if row.authority == given["authority"] and given["txid"] < row.txid < given["horizon"]
    )
    ordered = sorted(
        found, key=lambda row: (row.txid, row.ticket, row.scope, row.number, row.sequence)
    )
    return ordered[: given["limit"]]


def _last_entry(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[LedgerEntryRow]:
    found = [row for row in rows(LEDGER_ENTRIES) if row.authority == given["authority"]]
    return sorted(found, key=lambda row: -row.sequence)[:1]


CHAINS_OF_TICKET = Query(
    "chains_of_ticket", ChainRow, _SQL["chains_of_ticket"], _of_ticket(CHAINS, "scope", "number")
)
CHAINS_FILING_DUE = Query("chains_filing_due", ChainRow, _SQL["chains_filing_due"], _filing_due)
OFFERS_MADE_OF_TICKET = Query(
    "offers_made_of_ticket",
    OfferMadeRow,
    _SQL["offers_made_of_ticket"],
    _of_ticket(OFFERS_MADE, "scope", "number", "epoch"),
)
OFFERS_ANSWERED_OF_TICKET = Query(
    "offers_answered_of_ticket",
    OfferAnsweredRow,
    _SQL["offers_answered_of_ticket"],
    _of_ticket(OFFERS_ANSWERED, "scope", "number", "epoch"),
)
INVITATIONS_OF_AUTHORITY = Query(
    "invitations_of_authority", InvitationRow, _SQL["invitations_of_authority"], _invitations
)
ROWS_OF_TICKET = Query("rows_of_ticket", CustodyRow, _SQL["rows_of_ticket"], _ledger)
STATEMENT_IDENTITY = Query(
    "statement_identity", StatementRow, _SQL["statement_identity"], _identity
)
ACTS_OF_TERM = Query("acts_of_term", CustodyRow, _SQL["acts_of_term"], _acts_of_term)
ROWS_AFTER = Query("rows_after", CustodyRow, _SQL["rows_after"], _rows_after)
LAST_ENTRY = Query("last_entry", LedgerEntryRow, _SQL["last_entry"], _last_entry)


# --- rows ↔ values ----------------------------------------------------------------------------


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


def chain_of(row: ChainRow) -> Chain:
    """Return the value of a chain row."""
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
        closed=row.closed,
        parties=tuple(row.parties),
        records=tuple(row.records),
        update_sequence=row.update_sequence,
        shown_epoch=_epoch(row.shown_epoch),
        shown_sequence=row.shown_sequence,
    )


def chain_row(chain: Chain) -> ChainRow:
    """Return the row of a chain."""
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
    )
