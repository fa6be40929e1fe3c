"""The set of packs that a node evaluates, indexed by owner; loading them is the room's only read.

For one authority the set is asked from the authority itself upwards: city, province, nation. A node
evaluates the nation's packs and those of authorities it hosts, nobody else's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from gateway.kernel.errors import ResourceNotFound, RulePackInvalid
from gateway.kernel.ids import NATION
from gateway.reference.regions import Regions
from gateway.routing.index import RuleIndex
from gateway.routing.model import (
    Conditions,
    Finding,
    Guard,
    Pack,
    Reference,
    RoutingFacts,
    Rule,
    is_effective,
)
from gateway.routing.parse import parse_pack

FINDINGS_SHOWN_MAX = 50  # enough to work on; one wrong file could have thousands


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule that selects the ticket, with its pack."""

    pack: Pack
    rule: Rule


class PackSet:
    """Packs by owner, each with its index."""

    def __init__(self, packs: Iterable[Pack]) -> None:
        """Index the packs; those of one owner are asked in the order of their names."""
        ordered = sorted(packs, key=lambda pack: pack.pack)
        # Smaller places first: 131000 before 130000 before 100000.
        self.packs = tuple(sorted(ordered, key=lambda pack: _depth(pack.owner), reverse=True))
        self._by_owner: dict[str, list[tuple[Pack, RuleIndex]]] = {}
        for pack in self.packs:
            indexed = (pack, RuleIndex(pack.rules))
            self._by_owner.setdefault(pack.owner, []).append(indexed)

    @classmethod
    def load(
        cls,
        directory: Path,
        *,
        authorities: Collection[str],
        reference: Reference,
        conditions: Conditions,
    ) -> PackSet:
        """Load the nation's packs and those of `authorities`; raise `RulePackInvalid` for all."""
        wanted = {NATION, *authorities}
        packs: list[Pack] = []
        findings: list[Finding] = []
        for path in sorted(directory.glob("*.yaml")):
            if path.name.partition(".")[0] not in wanted:
                continue
            result = parse_pack(
                path.read_bytes(), name=path.stem, reference=reference, conditions=conditions
            )
            findings += result.errors
            if result.pack is not None:
                packs.append(result.pack)
        refuse([*findings, *_repeated_ids(packs)])
        return cls(packs)

    def find(self, pack: str) -> Pack | None:
        """Return a pack by its name, or None."""
        return next((found for found in self.packs if found.pack == pack), None)

    def get(self, pack: str) -> Pack:
        """Return a pack by its name; raise `ResourceNotFound` if this node has none."""
        if (found := self.find(pack)) is None:
            raise ResourceNotFound(kind="rulePack", name=pack)
        return found

    def owners(
        self, *, authority: str, hosted: Collection[str], regions: Regions
    ) -> tuple[str, ...]:
        """Return whose packs count for an authority: its own, its province's, the nation's.

        An authority's packs are evaluated only by the node that hosts it.
        """
        above = regions.path(authority) if authority in regions else (authority, NATION)
        return tuple(code for code in above if code == NATION or code in hosted)

    def of(self, owners: Iterable[str]) -> tuple[Pack, ...]:
        """Return the packs of the owners, in the owners' order."""
        return tuple(pack for owner in owners for pack, _ in self._by_owner.get(owner, ()))

    def candidates(
        self,
        facts: RoutingFacts,
        *,
        owners: Iterable[str],
        region_path: tuple[str, ...],
        on: date,
    ) -> tuple[Candidate, ...]:
        """Return the rules that select the ticket, in order of evaluation."""
        return tuple(
            Candidate(pack, rule)
            for owner in owners
            for pack, index in self._by_owner.get(owner, ())
            for rule in index.candidates(facts, region_path=region_path, on=on)
        )

    def guards(self, *, owners: Iterable[str], on: date) -> tuple[Guard, ...]:
        """Return the guards in force, the nation's first."""
        packs = reversed(self.of(owners))
        return tuple(guard for pack in packs for guard in pack.guards if is_effective(guard, on))


def refuse(findings: Iterable[Finding]) -> None:
    """Raise `RulePackInvalid` at the first error, with all of them in its hint; else return."""
    errors = [finding for finding in findings if finding.is_error]
    if not errors:
        return
    first = errors[0]
    raise RulePackInvalid(
        pack=first.pack,
        location=f"line {first.line}",
        got=first.problem,
        expected=first.advice,
        count=len(errors),
        hint=" | ".join(str(finding) for finding in errors[:FINDINGS_SHOWN_MAX]),
    )


def _repeated_ids(packs: Iterable[Pack]) -> tuple[Finding, ...]:
    """Return a finding for each rule or guard whose id another pack uses too."""
    seen: dict[str, str] = {}
    found: list[Finding] = []
    for pack in packs:
        for clause_id, line in pack.clause_lines():
            if clause_id in seen:
                problem = f"id {clause_id} is also in {seen[clause_id]}"
                found.append(Finding(pack.pack, line, problem, "Give it an id of its own"))
            seen.setdefault(clause_id, pack.pack)
    return tuple(found)


def _depth(owner: str) -> int:
    """Return 0 for the nation, 1 for a province, 2 for a city."""
    if owner == NATION:
        return 0
    return 1 if owner.endswith("0000") else 2
