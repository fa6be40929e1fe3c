"""Everything there is to say about a pack, or about all packs that a node knows, at once.

Pure: texts and values in, findings out; behind `lubiao rules check`, the publication of a pack and
the benchmark. Nothing stops at the first problem. See docs/checking.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from gateway.checking.borders import Borders
from gateway.checking.boxes import Box
from gateway.checking.cover import No
from gateway.checking.gaps import Gaps
from gateway.checking.grounds import Terrain
from gateway.checking.model import Check, Finding, Findings, History, Known, Place
from gateway.checking.outcomes import Outcomes
from gateway.checking.solving import NoSolver, Solver
from gateway.checking.space import Land
from gateway.checking.within import Book
from gateway.kernel.ids import NATION
from gateway.kernel.time import Instant, day_of
from gateway.routing.cases import CaseResult, parse_cases, run_cases, uncovered
from gateway.routing.model import Conditions, Pack, Reference
from gateway.routing.model import Finding as RoutingFinding
from gateway.routing.packs import PackSet
from gateway.routing.parse import parse_pack
from gateway.routing.templates import templates_of

__all__ = ["check_all", "check_cases", "check_pack", "check_packs"]

HISTORY_DAYS_MIN = 28  # before a rule that nobody needed is worth a word


def check_pack(
    source: bytes,
    *,
    name: str,
    reference: Reference,
    conditions: Conditions,
    now: Instant,
    packs: Iterable[Pack] = (),
    history: History | None = None,
    solver: Solver | None = None,
    known: Known | None = None,
) -> tuple[Finding, ...]:
    """Return everything there is to say about a pack's text, in the order of its lines.

    `packs` are all others that the node knows, its own and those of its peers' summaries; one of
    the same name is replaced by this one.
    """
    return check_packs(
        {name: source},
        reference=reference,
        conditions=conditions,
        now=now,
        packs=packs,
        history=history,
        solver=solver,
        known=known,
    )


def check_packs(
    sources: Mapping[str, bytes],
    *,
    reference: Reference,
    conditions: Conditions,
    now: Instant,
    packs: Iterable[Pack] = (),
    history: History | None = None,
    solver: Solver | None = None,
    known: Known | None = None,
) -> tuple[Finding, ...]:
    """Return everything there is to say about the texts of packs (by name), checked together."""
    others = {pack.pack: pack for pack in packs}
    found: list[Finding] = []
    drafts: dict[str, Pack] = {}
    # The nation's first: their templates are used below.
    for name in sorted(sources):
        result = parse_pack(
            sources[name],
            name=name,
            reference=reference,
            conditions=conditions,
            templates=templates_of(p for p in {**others, **drafts}.values() if p.owner == NATION),
        )
        found += [_carried_over(finding) for finding in result.findings]
        if result.pack is not None:
            drafts[result.pack.pack] = result.pack
    if drafts:
        whole = _Whole(
            {**others, **drafts}.values(),
            reference=reference,
            now=now,
            history=history,
            solver=solver,
            known=known,
        )
        own = frozenset(pack.owner for pack in drafts.values())
        found += [each for each in whole.findings(own) if _concerns(each, drafts)]
    return tuple(sorted(found, key=lambda each: (each.pack, each.line, each.code.value)))


def check_all(
    packs: PackSet | Iterable[Pack],
    *,
    reference: Reference,
    now: Instant,
    history: History | None = None,
    solver: Solver | None = None,
    known: Known | None = None,
) -> Findings:
    """Return everything there is to say about packs together, from their compiled form."""
    whole = _Whole(packs, reference=reference, now=now, history=history, solver=solver, known=known)
    found = sorted(whole.findings(None), key=lambda each: (each.pack, each.line, each.code.value))
    return Findings(items=tuple(found), rules=sum(len(pack.rules) for pack in whole.packs))


def check_cases(
    sources: Mapping[str, bytes], *, packs: PackSet, reference: Reference
) -> tuple[tuple[CaseResult, ...], tuple[RoutingFinding, ...]]:
    """Run all case files (`name: bytes`); return the results, and findings on files and cover."""
    results: list[CaseResult] = []
    findings: list[RoutingFinding] = []
    for name, source in sorted(sources.items()):
        cases, problems = parse_cases(source, name=name)
        findings += problems
        results += run_cases(cases, packs=packs, reference=reference)
    findings += uncovered(results, packs=packs)
    return tuple(results), tuple(findings)


class _Whole:
    """One check of packs together."""

    def __init__(
        self,
        packs: PackSet | Iterable[Pack],
        *,
        reference: Reference,
        now: Instant,
        history: History | None,
        solver: Solver | None,
        known: Known | None,
    ) -> None:
        self.set = packs if isinstance(packs, PackSet) else PackSet(packs)
        self.packs = self.set.packs
        self._now, self._history = now, history
        self._solver, self._known = solver or NoSolver(), known or Known()
        self._land = Land(reference)
        by_owner: dict[str, list[Pack]] = {}
        for pack in self.packs:
            by_owner.setdefault(pack.owner, []).append(pack)
        self._by_owner = by_owner
        self._joined = frozenset({*by_owner, *self._known.joined} - {NATION})

    def findings(self, owners: frozenset[str] | None) -> Iterator[Finding]:
        """Yield all findings; with `owners` only those that these may want to hear."""
        yield from self._repeated()
        books = {owner: self._book(owner) for owner in self._by_owner}
        for owner, book in books.items():
            if owners is None or owner in owners:
                yield from self._of_owner(owner, book)
        borders = Borders(self.set, books, self._land, self._known, self._now, self._solver)
        yield from borders.findings(owners)

    def _book(self, owner: str) -> Book:
        return Book(
            self._by_owner[owner],
            land=self._land,
            now=self._now,
            solver=self._solver,
            above=self._above(owner),
        )

    def _above(self, owner: str) -> list[Pack]:
        """Return the packs that the owner's node asks after the owner's: province, nation."""
        if owner == NATION:
            return []
        hosted = self._known.hosted
        path = self._land.regions.path(owner)[1:]
        codes = [c for c in path if c == NATION or (owner in hosted and c in hosted)]
        return [pack for code in codes for pack in self._by_owner.get(code, ())]

    def _of_owner(self, owner: str, book: Book) -> Iterator[Finding]:
        hidden: set[str] = set()
        for finding in book.findings():
            hidden.add(finding.rule)
            yield finding
        chain = [*self._by_owner[owner], *self._above(owner)]
        guards = [(pack, guard) for pack in reversed(chain) for guard in pack.guards]
        yield from Outcomes(book, self._land, self._known, guards).findings()
        if owner != NATION:
            terrain = Terrain(
                book.owner,
                space=book.space,
                land=self._land,
                packs=chain,
                joined=self._joined,
                hosted=self._known.hosted if owner in self._known.hosted else frozenset({owner}),
                now=self._now,
            )
            yield from Gaps(book, self._land, terrain, self._history).findings()
        if self._history is not None:
            yield from _never_hit(book, self._history, self._now)

    def _repeated(self) -> Iterator[Finding]:
        seen: dict[str, str] = {}
        for pack in self.packs:
            for clause_id, line in pack.clause_lines():
                if clause_id in seen:
                    yield Finding(
                        code=Check.REPEATED_ID,
                        pack=pack.pack,
                        line=line,
                        rule=clause_id,
                        is_error=True,
                        values=(seen[clause_id],),
                        no_witness="与工单无关",
                    )
                seen.setdefault(clause_id, pack.pack)


def _never_hit(book: Book, history: History, now: Instant) -> Iterator[Finding]:
    """Yield a finding for each rule that held all the time and decided nothing."""
    if history.days < HISTORY_DAYS_MIN or not history.total:
        return
    today = day_of(now)
    for question in book.questions:
        for number, clause in enumerate(question.clauses):
            rule, area = clause.rule, question.areas[number]
            is_over = rule.effective_to is not None and rule.effective_to <= today
            is_young = (today - rule.effective_from).days < history.days
            if is_over or is_young or history.hits.get(rule.id) or not all(area.masks):
                continue
            example = book.concrete.settle(Box.of(area))
            if not isinstance(example, No):
                yield clause.finding(
                    Check.NEVER_HIT, str(history.days), str(history.total), witness=example
                )


def _carried_over(finding: RoutingFinding) -> Finding:
    """Return a finding of the parser as one of this room."""
    problem, advice = _zh(finding)
    return Finding(
        code=Check.PACK_INVALID,
        pack=finding.pack,
        line=finding.line,
        is_error=finding.is_error,
        values=(problem, advice, finding.problem, finding.advice),
        related=tuple(Place(finding.pack, line) for line in finding.lines),
        witness=finding.witness,
        no_witness="" if finding.witness else "规则包尚不能读取",
        detail=finding.code,
    )


def _zh(finding: RoutingFinding) -> tuple[str, str]:
    return finding.problem_zh or finding.problem, finding.advice_zh or finding.advice


def _concerns(finding: Finding, packs: Collection[str]) -> bool:
    """Tell whether a finding is about one of some packs, as its own or as one of several."""
    return finding.pack in packs or any(place.pack in packs for place in finding.related)
