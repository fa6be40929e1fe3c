"""The set of packs that a node evaluates, compiled; loading them is the room's only read.

For one authority the set is asked from the authority itself upwards: city, province, nation. A node
evaluates the nation's packs and those of authorities it hosts, nobody else's. A set is a value: its
packs never change, and `generation` names the activation that it stands for. What it remembers
(`compiled.Book`) only makes it faster.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from gateway.kernel.errors import ResourceNotFound, RulePackInvalid
from gateway.kernel.ids import NATION
from gateway.reference.regions import Regions
from gateway.routing.compiled import (
    LEAVES_MAX,
    Book,
    Candidate,
    Compiled,
    Sentry,
    compiled,
)
from gateway.routing.model import (
    Conditions,
    Finding,
    Guard,
    Moment,
    Pack,
    Reference,
    RoutingFacts,
)
from gateway.routing.parse import parse_pack
from gateway.routing.templates import templates_of

__all__ = ["Candidate", "PackSet", "refuse"]

OWNERS_MAX = 1_024  # chains of owners remembered; a node hosts some hundred authorities at most
FINDINGS_SHOWN_MAX = 50  # enough to work on; one wrong file could have thousands


class PackSet:
    """Packs by owner, in compiled form."""

    def __init__(
        self,
        packs: Iterable[Pack],
        *,
        generation: int = 0,
        forms: Mapping[str, Compiled] | None = None,
    ) -> None:
        """Put packs together; those of one owner are asked in the order of their names.

        `forms` are compiled already, by the name of their pack (`building.py`).
        """
        ordered = sorted(packs, key=lambda pack: pack.pack)
        # Smaller places first: 131000 before 130000 before 100000.
        self.packs = tuple(sorted(ordered, key=lambda pack: _depth(pack.owner), reverse=True))
        self.generation = generation
        ready = forms or {}
        self.forms = {pack.pack: ready.get(pack.pack) or compiled(pack) for pack in self.packs}
        self._by_owner: dict[str, list[Compiled]] = {}
        for pack in self.packs:
            self._by_owner.setdefault(pack.owner, []).append(self.forms[pack.pack])
        # Every owner's chain has a book of its own, one for rules and one for guards.
        self._leaves_max = LEAVES_MAX // (2 * max(1, len(self._by_owner)))
        self._owners: dict[tuple[tuple[str, ...], frozenset[str]], tuple[str, ...]] = {}
        self._of: dict[tuple[str, ...], tuple[Pack, ...]] = {}
        self._rules: dict[tuple[str, ...], Book[Candidate]] = {}
        self._guards: dict[tuple[str, ...], Book[Sentry]] = {}

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
                path.read_bytes(),
                name=path.stem,
                reference=reference,
                conditions=conditions,
                templates=templates_of(packs),  # the nation's, whose files come first
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
        self, *, authority: str, hosted: frozenset[str], regions: Regions
    ) -> tuple[str, ...]:
        """Return whose packs count for an authority: its own, its province's, the nation's.

        An authority's packs are evaluated only by the node that hosts it.
        """
        above = regions.path(authority) if authority in regions else (authority, NATION)
        key = (above, hosted)
        if (found := self._owners.get(key)) is None:
            found = tuple(code for code in above if code == NATION or code in hosted)
            if len(self._owners) >= OWNERS_MAX:
                self._owners.clear()
            self._owners[key] = found
        return found

    def of(self, owners: tuple[str, ...]) -> tuple[Pack, ...]:
        """Return the packs of the owners, in the owners' order."""
        if (found := self._of.get(owners)) is None:
            found = self._of[owners] = tuple(form.pack for form in self._forms_of(owners))
        return found

    def candidates(
        self,
        facts: RoutingFacts,
        *,
        owners: tuple[str, ...],
        region: str,
        regions: Regions,
        moment: Moment,
    ) -> list[Candidate]:
        """Return the rules that select the ticket, in order of evaluation.

        `region` is the leading one; empty when it is uncertain. All selectors are looked at but
        those that make a candidate `is_open`.
        """
        book = self._rules.get(owners)
        if book is None:
            forms = self._forms_of(owners)
            book = Book((form.rules for form in forms), leaves_max=self._leaves_max)
            self._rules[owners] = book
        return book.find(facts, region=region, regions=regions, moment=moment)

    def guards(
        self,
        facts: RoutingFacts,
        *,
        owners: tuple[str, ...],
        region: str,
        regions: Regions,
        moment: Moment,
    ) -> tuple[Guard, ...]:
        """Return the guards that watch over the ticket, the nation's first."""
        book = self._guards.get(owners)
        if book is None:
            forms = reversed(self._forms_of(owners))
            book = Book((form.guards for form in forms), leaves_max=self._leaves_max)
            self._guards[owners] = book
        sentries = book.find(facts, region=region, regions=regions, moment=moment)
        found = [sentry.guard for sentry in sentries]
        if moment.day_kind is None:
            return tuple(guard for guard in found if not guard.selectors.day_kinds)
        return tuple(found)

    def remembered(self) -> Iterator[list[object]]:
        """Yield in portions what was remembered of tickets' places; it can be made again."""
        for rules in self._rules.values():
            yield rules.remembered()
        for guards in self._guards.values():
            yield guards.remembered()

    def _forms_of(self, owners: tuple[str, ...]) -> list[Compiled]:
        return [form for owner in owners for form in self._by_owner.get(owner, ())]


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
