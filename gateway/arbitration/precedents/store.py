"""Precedents and the keys of cases at rest: tables, queries, rows as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.arbitration.model import CaseKey
from gateway.arbitration.precedents.model import (
    Precedent,
    PrecedentKey,
    PrecedentState,
    Relation,
    Seat,
    SeatPart,
)
from gateway.database.table import Group, Json, Query, RowsOf, Table, load_queries
from gateway.kernel.codes import CaseRulingForm, TicketType
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant

_SQL = load_queries(Path(__file__).with_name("queries.sql"))


@dataclass(frozen=True, slots=True)
class PrecedentRow:
    """A `Precedent`, flat."""

    scope: str
    case_id: str
    ruling: int
    matter: str
    type: int
    relation: str
    levels: str
    role: str
    legal_basis: str
    state: str
    since: Instant
    expires: Instant
    applied: int
    ended: Instant | None
    ended_by: str
    facts: Json
    form: int
    parts: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseKeyRow:
    """The key that a case had a moment after its filing, and the precedent that decided it."""

    scope: str
    case_id: str
    filed: Instant
    matter: str
    type: int
    relation: str
    levels: str
    facts: Json
    precedent: str = ""


PRECEDENTS = Table("precedents", PrecedentRow, key=("scope", "case_id"))
PRECEDENTS_OF_MATTER = Group(PRECEDENTS, ("scope", "matter"))
CASE_KEYS = Table("case_keys", CaseKeyRow, key=("scope", "case_id"))


def _newest(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[PrecedentRow]:
    found = [row for row in rows(PRECEDENTS) if row.scope == given["scope"]]
    found.sort(key=lambda row: (row.since, row.case_id), reverse=True)
    return found[: given["limit"]]


def _keys_between(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[CaseKeyRow]:
    after = (given["after_time"], given["after_case"])
    found = [
        row
        for row in rows(CASE_KEYS)
        if row.scope == given["scope"]
        and row.filed < given["before"]
        and (row.filed, row.case_id) > after
    ]
    return sorted(found, key=lambda row: (row.filed, row.case_id))[: given["limit"]]


PRECEDENTS_NEWEST = Query("precedents_newest", PrecedentRow, _SQL["precedents_newest"], _newest)
KEYS_BETWEEN = Query("case_keys_between", CaseKeyRow, _SQL["case_keys_between"], _keys_between)


def precedent_of(row: PrecedentRow) -> Precedent:
    """Return the value of a row."""
    key = PrecedentKey(
        scope=row.scope,
        matter=row.matter,
        type=TicketType(row.type),
        relation=Relation(row.relation),
        levels=row.levels,
        facts=tuple(row.facts),
    )
    return Precedent(
        case=CaseKey(AuthorityCode(row.scope), row.case_id),
        ruling=row.ruling,
        key=key,
        seat=Seat.of(row.role),
        legal_basis=row.legal_basis,
        state=PrecedentState(row.state),
        since=row.since,
        expires=row.expires,
        applied=row.applied,
        ended=row.ended,
        ended_by=row.ended_by,
        form=CaseRulingForm(row.form),
        parts=tuple(SeatPart(Seat.of(word), matter) for word, matter in row.parts),
    )


def precedent_row(made: Precedent) -> PrecedentRow:
    """Return the row of a value."""
    return PrecedentRow(
        scope=made.key.scope,
        case_id=made.case.case,
        ruling=made.ruling,
        matter=made.key.matter,
        type=int(made.key.type),
        relation=made.key.relation.value,
        levels=made.key.levels,
        role=made.seat.word,
        legal_basis=made.legal_basis,
        state=made.state.value,
        since=made.since,
        expires=made.expires,
        applied=made.applied,
        ended=made.ended,
        ended_by=made.ended_by,
        facts=list(made.key.facts),
        form=int(made.form),
        parts=[(part.seat.word, part.matter) for part in made.parts],
    )


def key_row(case_id: str, key: PrecedentKey, *, filed: Instant, precedent: str = "") -> CaseKeyRow:
    """Return the row of a case's key."""
    return CaseKeyRow(
        scope=key.scope,
        case_id=case_id,
        filed=filed,
        matter=key.matter,
        type=int(key.type),
        relation=key.relation.value,
        levels=key.levels,
        facts=list(key.facts),
        precedent=precedent,
    )


def key_of_row(row: CaseKeyRow) -> PrecedentKey:
    """Return the key of a row."""
    return PrecedentKey(
        scope=row.scope,
        matter=row.matter,
        type=TicketType(row.type),
        relation=Relation(row.relation),
        levels=row.levels,
        facts=tuple(row.facts),
    )
