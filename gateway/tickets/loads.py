"""How much work lies with the units of an authority, counted in one query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.database.table import Query, RowsOf, load_queries
from gateway.kernel.codes import AssignmentRole, AssignmentState, TicketState
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass
from gateway.tickets.model import FINAL
from gateway.tickets.store import ASSIGNMENTS, TICKETS

_SQL = load_queries(Path(__file__).with_name("queries.sql"))
_OPEN = frozenset({AssignmentState.ASSIGNED, AssignmentState.SIGNED, AssignmentState.CONTACTED})
_CALM = FINAL | {TicketState.RESOLVED}


@dataclass(frozen=True, slots=True)
class UnitLoad:
    """The tickets that a unit leads and has not resolved, and how many of them are overdue."""

    unit: str
    open: int
    overdue: int


def _loads(rows: RowsOf, given: Mapping[str, Any]) -> Iterable[UnitLoad]:
    now: Instant = given["now"]
    tickets = {
        row.number: row
        for row in rows(TICKETS)
        if row.authority == given["authority"] and not row.followed and row.state not in _CALM
    }
    counted: Counter[str] = Counter()
    overdue: Counter[str] = Counter()
    for item in rows(ASSIGNMENTS):
        ticket = tickets.get(item.ticket) if item.authority == given["authority"] else None
        if ticket is None or item.role != AssignmentRole.LEAD or item.state not in _OPEN:
            continue
        counted[item.unit] += 1
        overdue[item.unit] += now > ticket.due_time
    return [UnitLoad(unit, counted[unit], overdue[unit]) for unit in sorted(counted)]


UNIT_LOADS = Query("unit_loads", UnitLoad, _SQL["unit_loads"], _loads)
