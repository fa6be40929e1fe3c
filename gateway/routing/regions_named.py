"""The regions that facts name beside the place: whose place leads, and who is asked for help.

A rule with `lead` puts the region of a fact (where somebody is insured, where a seller ships from)
in the place of the place; the first one that can be carried out wins. A rule with `help` names
regions whose authorities the one that assigns asks for help; all of them count. Neither is asked
about a child ticket: its place is the region that was asked for help, and help is never passed on.
See docs/routing.md#lead and #help.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.kernel.ids import NATION
from gateway.reference.regions import Regions, Resolved
from gateway.routing.judging import Judge
from gateway.routing.model import (
    PLACE,
    Help,
    Lead,
    Outcome,
    Reference,
    RegionFact,
    RoutingFacts,
    Stage,
    province_of,
)
from gateway.routing.packs import Candidate
from gateway.routing.selecting import held

HELP_REGIONS_MAX = 8  # children of one ticket
ZONE = "zone"  # rule of what the table of zones says about a place
_CHILD = "协助子单不另定主办属地、不再请求协助"


@dataclass(frozen=True, slots=True)
class Leading:
    """The region that leads, empty when it is not certain, and the winner among the rules."""

    region: str
    winner: Candidate | None = None


@dataclass(frozen=True, slots=True)
class Helpers:
    """The regions whose authorities are asked for help, and by which rules."""

    regions: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NamedRegions:
    """Answers both questions for one ticket."""

    facts: RoutingFacts
    reference: Reference
    judge: Judge
    _found: dict[RegionFact, tuple[str, ...]] = field(default_factory=dict)

    def place(self) -> str:
        """Return the region of the place: the host of its zone, or as the facts say."""
        facts, regions = self.facts, self.reference.regions
        place = self.reference.zones.locate(facts.zone, facts.region, regions=regions)
        if place != facts.region:
            reason = f"功能区 {facts.zone} 由 {place} 管辖"
            self.judge.log.note(Outcome.WON, pack=PLACE, rule=ZONE, reason=reason)
        return place

    def leading(self, candidates: Iterable[Candidate], *, place: str) -> Leading:
        """Return the region that leads: the place, unless a rule wins that says otherwise."""
        leading = Leading(place)
        for candidate in candidates:
            if candidate.stage is not Stage.LEAD:
                continue
            action = candidate.rule.action
            if not isinstance(action, Lead) or not self._selects(candidate):
                continue
            codes = self._codes(action.region)
            if leading.winner is not None:
                reason = f"在规则 {leading.winner.rule.id} 之后"
                self._note(Outcome.LOST, candidate, f"{reason}{held(candidate.rule)}")
            elif codes:
                leading = Leading(codes[0], candidate)
                reason = f"主办属地为{action.region.zh} {codes[0]}"
                self._note(Outcome.WON, candidate, f"{reason}{held(candidate.rule)}")
            else:
                self._note(Outcome.FAILED, candidate, self.nothing(action.region))
        return leading

    def helpers(self, candidates: Sequence[Candidate], *, authority: str, assigns: bool) -> Helpers:
        """Return who is asked for help by an authority that decides about the ticket."""
        asked: dict[str, None] = {}
        rules: list[str] = []
        for candidate in candidates:
            if candidate.stage is not Stage.HELP:
                continue
            action = candidate.rule.action
            if not isinstance(action, Help) or not self._selects(candidate):
                continue
            if not assigns:
                self._note(Outcome.LOST, candidate, "本机构未派单，不请求协助")
                continue
            codes = self._codes(action.region)
            own = province_of(authority)
            abroad = [code for code in codes if province_of(code) != own]
            if not codes:
                self._note(Outcome.FAILED, candidate, self.nothing(action.region))
            elif not abroad:
                self._note(Outcome.FAILED, candidate, f"{action.region.zh}在本省，由本省办理")
            else:
                asked.update(dict.fromkeys(abroad))
                rules.append(candidate.rule.id)
                reason = f"请求{action.region.zh} {'、'.join(abroad)} 协助"
                self._note(Outcome.WON, candidate, f"{reason}{held(candidate.rule)}")
        return Helpers(tuple(asked)[:HELP_REGIONS_MAX], tuple(rules))

    def _selects(self, candidate: Candidate) -> bool:
        if self.facts.parent:
            self._note(Outcome.FAILED, candidate, _CHILD)
            return False
        return self.judge.selects(candidate)

    def region_of(self, fact: RegionFact) -> str:
        """Return the region of today that a fact certainly means, or an empty text."""
        return next(iter(self._codes(fact)), "")

    def _codes(self, fact: RegionFact) -> tuple[str, ...]:
        """Return the regions of today that a fact certainly means."""
        found = self._found.get(fact)
        if found is None:
            regions, year = self.reference.regions, self.judge.moment.day.year
            codes = (_today(code, regions, year) for code in fact.codes(self.facts))
            found = self._found[fact] = tuple(code for code in codes if code)
        return found

    def nothing(self, fact: RegionFact) -> str:
        """Return why a fact means no region."""
        given = fact.codes(self.facts)
        return f"{fact.zh}不是现行区划或不能确定" if given else f"{fact.zh}未填写"

    def _note(self, outcome: Outcome, candidate: Candidate, reason: str) -> None:
        rule, pack = candidate.rule.id, candidate.pack.label
        self.judge.log.note(outcome, pack=pack, rule=rule, reason=reason)


def _today(code: str, regions: Regions, year: int) -> str:
    found = regions.resolve(code, as_of_year=year)
    return found.code if isinstance(found, Resolved) and found.code != NATION else ""
