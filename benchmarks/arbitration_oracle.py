"""What must hold in the world of `lubiao bench arbitration`, looked at from outside the product.

Nothing here asks the product: rows are read as they are committed, and the guards are read from the
YAML of the packs by a reader of its own, which knows only the words that those guards use and
refuses others.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from benchmarks.arbitration_nodes import StageNode
from benchmarks.arbitration_stage import reference
from benchmarks.watched import ticket_of
from gateway.custody.store import CHAINS
from gateway.kernel.codes import AssignmentRole, AssignmentState, TicketState
from gateway.kernel.data import data_path
from gateway.tickets.store import ASSIGNMENTS, TICKETS

_CARING = frozenset({"HELD", "OFFERED", "REVOKING", "YIELDING"})
GUARD_PACKS = {"100000": "100000.national", "130000": "130000.hebei"}
_FINAL = frozenset(
    map(
        int,
        (TicketState.CLOSED, TicketState.MERGED, TicketState.REFERRED, TicketState.WITHDRAWN),
    )
)


@dataclass(slots=True)
class Responsible:
    """Looks after every commit whether each changed ticket has somebody responsible."""

    nodes: Mapping[str, StageNode]
    looks: int = 0
    without: Counter[str] = field(default_factory=Counter)
    awaited: Counter[str] = field(default_factory=Counter)  # held by custody, text on its way
    _changed: set[str] = field(default_factory=set)
    _awaiting: set[str] = field(default_factory=set)

    def noted(self, table: str, row: Any | None) -> None:
        """Note a row of a ticket that changed."""
        if row is not None and table in {TICKETS.name, ASSIGNMENTS.name, CHAINS.name}:
            self._changed.add(ticket_of(row))

    def check(self) -> None:
        """Look at every ticket that the last commit changed."""
        changed, self._changed = self._changed, set()
        for ticket in changed:
            self.looks += 1
            if self.is_cared_for(ticket):
                continue
            if self._has_custodian(ticket):
                self.awaited[ticket] += 1
                self._awaiting.add(ticket)
            else:
                self.without[ticket] += 1

    def check_at_rest(self) -> None:
        """Look again, now that no envelope is on its way, at those whose text was awaited."""
        awaiting, self._awaiting = self._awaiting, set()
        for ticket in awaiting:
            if not self.is_cared_for(ticket):
                self.without[ticket] += 1

    def _has_custodian(self, ticket: str) -> bool:
        """Tell whether custody names an authority that cares, whose text is still on its way."""
        return any(
            chain.holding in _CARING
            for node in self.nodes.values()
            for chain in node.database.of_ticket(CHAINS, ticket).values()
        )

    def is_cared_for(self, ticket: str) -> bool:
        """Tell whether an authority that holds the ticket has exactly one lead at work."""
        leads: Counter[str] = Counter()
        holders: set[str] = set()
        for node in self.nodes.values():
            for copy in node.database.of_ticket(TICKETS, ticket).values():
                if not copy.followed:
                    holders.add(copy.authority)
                    if copy.state in _FINAL:
                        return True
            for item in node.database.of_ticket(ASSIGNMENTS, ticket).values():
                is_lead = item.role == int(AssignmentRole.LEAD)
                if is_lead and item.state != int(AssignmentState.REASSIGNED):
                    leads[item.authority] += 1
        return any(leads[authority] == 1 for authority in holders)


@dataclass(frozen=True, slots=True)
class PlainGuard:
    """A guard of a pack, as its YAML says it."""

    id: str
    owner: str
    matters: tuple[str, ...]
    kinds: frozenset[str]
    managements: frozenset[str]
    reported: bool
    unless: frozenset[str]

    @classmethod
    def of(cls, owner: str, entry: Mapping[str, Any]) -> PlainGuard:
        """Return the guard of an entry; a word that this reader does not know is an error."""
        forbid, when = entry.get("forbid", {}), entry.get("when", {})
        if set(forbid) - {"kinds", "managements", "reported"} or set(when) - {"matters"}:
            raise ValueError(f"the oracle cannot read guard {entry['id']}")
        return cls(
            id=str(entry["id"]),
            owner=owner,
            matters=tuple(when.get("matters", ())),
            kinds=frozenset(forbid.get("kinds", ())),
            managements=frozenset(forbid.get("managements", ())),
            reported=bool(forbid.get("reported")),
            unless=frozenset(entry.get("unless", ())),
        )

    def forbids(self, unit: str, *, matter: str, is_asked: bool) -> bool:
        """Tell whether a unit may not get a ticket of a matter; nobody is complained about here."""
        region, kind, _ = unit.removeprefix("units/").split("-")
        if self.owner != "100000" and region[:2] != self.owner[:2]:
            return False
        if self.matters and not any(_is_under(matter, each) for each in self.matters):
            return False
        known = reference().kinds.get(kind)
        is_listed = known is not None and known.management.name.lower() in self.managements
        if kind in self.kinds:
            return not ("matter-of-kind" in self.unless and _lead_kind(matter) == kind)
        return is_listed and not (is_asked and "request" in self.unless)


def guards() -> tuple[PlainGuard, ...]:
    """Return the guards of the packs that matter here, read from their YAML."""
    found: list[PlainGuard] = []
    for owner, name in GUARD_PACKS.items():
        path = data_path("routing_rules") / "packs" / f"{name}.yaml"
        entries = yaml.safe_load(path.read_text(encoding="utf-8")).get("guards", ())
        # Those without `forbid` withhold who calls, and forbid no unit.
        found += [PlainGuard.of(owner, entry) for entry in entries if "forbid" in entry]
    return tuple(found)


def broken_guards(
    known: Sequence[PlainGuard], unit: str, *, matter: str, is_asked: bool = False
) -> list[str]:
    """Return the guards that forbid a unit; the desk may have any ticket."""
    if not unit.startswith("units/") or unit.endswith("-desk"):
        return []
    return [each.id for each in known if each.forbids(unit, matter=matter, is_asked=is_asked)]


def cycles(node: StageNode, ruled: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return tickets that a unit led twice, and no ruling gave it the second time.

    `ruled` are the instants at which a ruling of a ticket was issued or taken. A unit that led at
    another authority is another one; the desk may lead as often as it must.
    """
    found: list[str] = []
    by_ticket: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for item in node.database.rows(ASSIGNMENTS):
        if item.role == int(AssignmentRole.LEAD) and not item.unit.endswith("-desk"):
            by_ticket[item.authority, item.ticket].append(item)
    for (_, ticket), items in by_ticket.items():
        had: set[str] = set()
        for item in sorted(items, key=lambda each: each.number):
            if item.unit in had and item.assign_time not in ruled.get(ticket, ()):
                found.append(ticket)
            had.add(item.unit)
    return found


def _is_under(matter: str, parent: str) -> bool:
    """Tell whether a matter is another one or below it; codes are three pairs of digits."""
    return matter.startswith(parent.removesuffix("00").removesuffix("00"))


def _lead_kind(matter: str) -> str:
    found = reference().matters.nearest(matter)
    return found.lead_kind if found is not None else ""
