"""Tables and queries of custody. `rows.py` turns their rows into the values of `model.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.database.table import Group, Json, Query, RowsOf, Table, load_queries
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass

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
    content_due: bool
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
    stand_by_until: Instant | None
    decider: str
    asked: int
    asked_at: Instant | None
    told: Instant | None
    inquiry: bytes


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
    stand_by_until: Instant | None
    decider: str
    asked: int
    asked_at: Instant | None
    told: Instant | None
    inquiry: bytes


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
class OwnActRow:
    """An exclusive act of this authority, as its ledger has it; `sequence` is the ledger's."""

    authority: str
    ticket: str
    scope: str
    number: int
    epoch: int
    sequence: int
    kind: str
    digest: bytes


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


@dataclass(frozen=True, slots=True)
class RulingRow:
    """A ruling at the arbiter of its scope: whom it told, and whether the target took."""

    scope: str
    ticket: str
    chain: int
    number: int
    kind: int
    case_id: str
    target: str
    ticket_uid: str
    last_record: bytes
    statement_digest: bytes
    taken_digest: bytes
    told: Json
    fenced: bool
    issued: Instant


@dataclass(frozen=True, slots=True)
class RulingAnswerRow:
    """What one authority answered to a ruling."""

    scope: str
    ticket: str
    chain: int
    number: int
    authority: str
    role: int
    successor: str
    answer_digest: bytes


_CHAIN_KEY = ("authority", "ticket", "scope", "number")


@dataclass(frozen=True, slots=True)
class OpeningRow:
    """Block and salt of a commitment, sealed with the data key of the ticket's copy."""

    authority: str
    ticket: str
    statement_digest: bytes
    kind: str
    sealed: bytes


CHAINS = Table("chains", ChainRow, key=_CHAIN_KEY)
OFFERS_MADE = Table("offers_made", OfferMadeRow, key=(*_CHAIN_KEY, "epoch"))
OFFERS_ANSWERED = Table("offers_answered", OfferAnsweredRow, key=(*_CHAIN_KEY, "epoch"))
INVITATIONS = Table("invitations", InvitationRow, key=_CHAIN_KEY)
CUSTODY_ROWS = Table("custody_rows", CustodyRow, key=(*_CHAIN_KEY, "sequence"), transaction="txid")
STATEMENTS = Table("statements", StatementRow, key=("authority", "digest"))
OWN_ACTS = Table("own_acts", OwnActRow, key=(*_CHAIN_KEY, "epoch", "sequence"))
ACTS = Table("acts_recorded", ActRow, key=(*_CHAIN_KEY, "actor", "epoch", "act_row"))
RULINGS = Table("rulings", RulingRow, key=("scope", "ticket", "chain", "number"))
RULING_ANSWERS = Table(
    "ruling_answers", RulingAnswerRow, key=("scope", "ticket", "chain", "number", "authority")
)
LEDGER_ENTRIES = Table("ledger_entries", LedgerEntryRow, key=("authority", "sequence"))
OPENINGS = Table("openings", OpeningRow, key=("authority", "ticket", "statement_digest", "kind"))

# What a step reads of its ticket, again and again: read once a unit, in order of the keys.
_OF_TICKET = ("authority", "ticket")
_OF_CHAIN = ("authority", "ticket", "scope", "number")
CHAINS_OF_TICKET = Group(CHAINS, _OF_TICKET)
OFFERS_MADE_OF_TICKET = Group(OFFERS_MADE, _OF_TICKET)
OFFERS_ANSWERED_OF_TICKET = Group(OFFERS_ANSWERED, _OF_TICKET)
INVITATIONS_OF_TICKET = Group(INVITATIONS, _OF_TICKET)
STATEMENT_IDENTITY = Group(STATEMENTS, (*_OF_CHAIN, "issuer", "kind", "epoch"))
STATEMENTS_OF_KIND = Group(STATEMENTS, (*_OF_CHAIN, "kind"))
ACTS_OF_ACTOR = Group(ACTS, (*_OF_CHAIN, "actor"))
ACTS_OF_TERM = Group(OWN_ACTS, (*_OF_CHAIN, "epoch"))
# Wider groups, read ahead for a batch: what belongs to a ticket at all.
STATEMENTS_OF_TICKET = Group(STATEMENTS, _OF_TICKET)
ACTS_OF_TICKET = Group(ACTS, _OF_TICKET)
OWN_ACTS_OF_TICKET = Group(OWN_ACTS, _OF_TICKET)


# --- twins of the queries ---------------------------------------------------------------------


def _openings(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[OpeningRow]:
    found = (
        row
        for row in rows(OPENINGS)
        if row.authority == given["authority"] and row.ticket == given["ticket"]
    )
    return sorted(found, key=lambda row: (row.statement_digest, row.kind))


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


_SAID = ("authority", "ticket", "scope", "number", "issuer", "kind")


def _said(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[StatementRow]:
    found = (
        row for row in rows(STATEMENTS) if all(getattr(row, name) == given[name] for name in _SAID)
    )
    return sorted(found, key=lambda row: (row.epoch, row.recorded, row.digest))


_RULED = ("scope", "ticket", "chain")


def _rulings(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[RulingRow]:
    found = (
        row for row in rows(RULINGS) if all(getattr(row, name) == given[name] for name in _RULED)
    )
    return sorted(found, key=lambda row: row.number)


def _ruling_answers(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[RulingAnswerRow]:
    found = (
        row
        for row in rows(RULING_ANSWERS)
        if all(getattr(row, name) == given[name] for name in _RULED)
    )
    return sorted(found, key=lambda row: (row.number, row.authority))


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


CHAINS_FILING_DUE = Query("chains_filing_due", ChainRow, _SQL["chains_filing_due"], _filing_due)
INVITATIONS_OF_AUTHORITY = Query(
    "invitations_of_authority", InvitationRow, _SQL["invitations_of_authority"], _invitations
)
ROWS_OF_TICKET = Query("rows_of_ticket", CustodyRow, _SQL["rows_of_ticket"], _ledger)
STATEMENTS_SAID = Query("statements_said", StatementRow, _SQL["statements_said"], _said)
RULINGS_OF_CHAIN = Query("rulings_of_chain", RulingRow, _SQL["rulings_of_chain"], _rulings)
ANSWERS_OF_CHAIN = Query(
    "ruling_answers_of_chain",
    RulingAnswerRow,
    _SQL["ruling_answers_of_chain"],
    _ruling_answers,
)
ROWS_AFTER = Query("rows_after", CustodyRow, _SQL["rows_after"], _rows_after)
LAST_ENTRY = Query("last_entry", LedgerEntryRow, _SQL["last_entry"], _last_entry)
OPENINGS_OF_TICKET = Query("openings_of_ticket", OpeningRow, _SQL["openings_of_ticket"], _openings)
