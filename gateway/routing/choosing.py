"""The order of the questions: emergency, wherever it is, whose place, here, the list, the desk.

First answer wins. Always ends: the triage desk takes what nothing decides, and is told what the
guards said. Never silently the place's government. See docs/routing.md#decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.kernel.codes import OfferReason
from gateway.reference.responsibility import Found, NotFound, explain
from gateway.routing.actions import Merge
from gateway.routing.judging import Judge
from gateway.routing.model import (
    DESK,
    PLACE,
    RESPONSIBILITY_LIST,
    Action,
    Outcome,
    Stage,
)
from gateway.routing.outcomes import Basis, Choice, Outcomes, Refused
from gateway.routing.packs import Candidate
from gateway.routing.regions_named import Leading
from gateway.routing.selecting import held

PLACE_BASIS = "属地管理原则"
LIST_BASIS = "责任清单"
UNLISTED_REASON = "无规则或责任清单可以确定承办单位"
_UNCERTAIN = "事发地区划未定、已撤销或过于宽泛，转研判席"


@dataclass(frozen=True, slots=True)
class Choosing:
    """Makes the normal answer for one ticket."""

    outcomes: Outcomes
    judge: Judge
    leading: Leading

    def choose(self, candidates: Sequence[Candidate]) -> Choice:
        """Return the answer before any diversion; total."""
        by_stage: dict[Stage, list[Candidate]] = {}
        for candidate in candidates:
            by_stage.setdefault(candidate.stage, []).append(candidate)
        at_once, before, after = (
            by_stage.get(stage, []) for stage in (Stage.AT_ONCE, Stage.ANYWHERE, Stage.HERE)
        )
        if choice := self._by_rules(at_once):
            self._lose([*before, *after], "紧急情况已即时转接")
            return choice
        if choice := self._by_rules(before):
            self._lose(after, "先于属地判断的规则已作决定")
            return choice
        if choice := self._by_place():
            self._lose(after, "事发地未定或属其他机构，由其规则决定")
            return choice
        return self._by_rules(after) or self._by_list() or self._by_desk()

    def _by_rules(self, candidates: Iterable[Candidate]) -> Choice | None:
        won: Choice | None = None
        for candidate in candidates:
            if not self._is_meant(candidate) or not self.judge.selects(candidate):
                continue
            rule, basis = candidate.rule, Basis.of(candidate)
            if won is not None:
                reason = f"在规则 {won.rule} 之后{held(rule)}"
                self.outcomes.note(Outcome.LOST, basis, reason)
                continue
            result = self.outcomes.of(rule.action, basis)
            match result:
                case Refused(reason):
                    self.outcomes.note(Outcome.FAILED, basis, reason)
                case Choice():
                    won = result
                    self.outcomes.note(Outcome.WON, basis, f"{result.text}{held(rule)}")
                case None:
                    pass  # every unit was guarded, and each is noted
        return won

    def _is_meant(self, candidate: Candidate) -> bool:
        """Tell whether there is something to merge with; else such a rule competes with nothing."""
        is_merge = isinstance(candidate.rule.action, Merge)
        return not is_merge or bool(self.outcomes.facts.duplicate_of)

    def _lose(self, candidates: Iterable[Candidate], reason: str) -> None:
        for candidate in candidates:
            if self._is_meant(candidate):
                self.outcomes.note(Outcome.LOST, Basis.of(candidate), reason)

    def _by_place(self) -> Choice | None:
        outcomes = self.outcomes
        basis = Basis(PLACE, PLACE, PLACE_BASIS, "事发地属其他机构辖区")
        if self.leading.winner is not None:
            basis = Basis.of(self.leading.winner)
        if not outcomes.path:
            basis = Basis(PLACE, DESK, PLACE_BASIS, _UNCERTAIN)
            choice = basis.choice(Action.TRIAGE, outcomes.desk)
        else:
            home = outcomes.federation.home_of(self.leading.region)
            sent = outcomes.sent_to(home, OfferReason.PLACE, basis)
            if sent is None:
                return None
            choice = sent
        outcomes.note(Outcome.WON, basis, choice.text)
        return choice

    def _by_list(self) -> Choice | None:
        outcomes, regions = self.outcomes, self.outcomes.reference.regions
        region: str | None = self.leading.region
        while region is not None and regions.is_within(region, outcomes.authority):
            answer = outcomes.reference.responsibility.responsible_unit(
                outcomes.facts.matter,
                region=region,
                on=self.judge.moment.day,
                authorities={outcomes.authority},
            )
            entry = answer.entry_id if isinstance(answer, Found) else RESPONSIBILITY_LIST
            text = "；".join(explain(answer))
            basis = Basis(RESPONSIBILITY_LIST, entry, f"{LIST_BASIS} {entry}", "按责任清单确定")
            if isinstance(answer, NotFound):
                outcomes.note(Outcome.FAILED, basis, text)
                return None
            guard = outcomes.watch.find_objection(answer.unit, mandate="")
            if guard is None:
                helpers = outcomes.allowed(answer.assisting, basis, mandate="")
                outcomes.note(Outcome.WON, basis, text)
                return Choice(
                    action=Action.ASSIGN,
                    target=f"units/{answer.unit.unit_id}",
                    rule=RESPONSIBILITY_LIST,
                    pack=RESPONSIBILITY_LIST,
                    legal_basis=basis.legal_basis,
                    explanation=f"{basis.explanation}（{answer.unit.name}）",
                    assisting=helpers,
                )
            outcomes.object_to(guard, answer.unit, basis)
            # The unit above: from the higher of both, so that the climb ends.
            above = answer.unit.region if regions.is_within(region, answer.unit.region) else region
            region = regions.parent(above)
        return None

    def _by_desk(self) -> Choice:
        outcomes = self.outcomes
        reasons = "；".join(outcomes.lead_objections) or UNLISTED_REASON
        if outcomes.requestable:
            names = "、".join(name.removeprefix("units/") for name in outcomes.requestable)
            reasons = f"{reasons}；可商请 {names}"
        basis = Basis(DESK, DESK, "首接负责、研判派单", f"转研判席：{reasons}")
        choice = basis.choice(Action.TRIAGE, outcomes.desk)
        outcomes.note(Outcome.WON, basis, choice.text)
        return choice
