"""Proposals at rest: a table, its queries, rows as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from gateway.database.table import Group, Json, Query, RowsOf, Table, load_queries
from gateway.kernel.time import Instant

_SQL = load_queries(Path(__file__).with_name("queries.sql"))
PAST = timedelta(days=30)  # a month of decisions is tried: enough to see what a rule moves


class ProposalState(Enum):
    """Where a proposal stands; the value is the word at rest."""

    PREPARING = "preparing"
    OPEN = "open"
    IMPOSSIBLE = "impossible"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


UNDECIDED = frozenset({ProposalState.PREPARING, ProposalState.OPEN, ProposalState.IMPOSSIBLE})
"""Nobody has said anything about these; they end with their precedent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRow:
    """A rule that a ruling proposes.

    `key` is what was disputed: level, region, target. `evidence` is a `ProposalEvidence`.
    """

    scope: str
    proposal: str
    case_id: str
    ruling: int
    ruler: str
    state: str
    revision: int
    made: Instant
    changed: Instant
    key: Json
    pack: str = ""
    base: str = ""
    rule: str = ""
    text: str = ""
    examined: int = 0
    moved: int = 0
    evidence: bytes = b""
    obstacle: str = ""
    version: str = ""
    decided_by: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        """The resource name."""
        return f"proposals/{self.proposal}"

    @property
    def etag(self) -> str:
        """The mark that changes with every change."""
        return str(self.revision)


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """The key of a proposal that is not prepared yet."""

    scope: str
    proposal: str


PROPOSALS = Table("rule_proposals", ProposalRow, key=("scope", "proposal"))
PROPOSALS_OF_CASE = Group(PROPOSALS, ("scope", "case_id"))


def _newest(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[ProposalRow]:
    before = (given["before_time"], given["before_proposal"])
    found = [
        row
        for row in rows(PROPOSALS)
        if row.scope == given["scope"]
        and given["state"] in ("", row.state)
        and (before[0] is None or (row.made, row.proposal) < before)
    ]
    found.sort(key=lambda row: (row.made, row.proposal), reverse=True)
    return found[: given["limit"]]


def _waiting(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[WaitingRow]:
    found = [row for row in rows(PROPOSALS) if row.state == ProposalState.PREPARING.value]
    found.sort(key=lambda row: (row.made, row.scope, row.proposal))
    return [WaitingRow(row.scope, row.proposal) for row in found[: given["limit"]]]


PROPOSALS_NEWEST = Query("proposals_newest", ProposalRow, _SQL["proposals_newest"], _newest)
PROPOSALS_WAITING = Query("proposals_waiting", WaitingRow, _SQL["proposals_waiting"], _waiting)
