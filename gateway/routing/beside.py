"""What goes with a decision: who is told, what is split off, who is next, who may not know.

`notify` and `unless_accepted_within` belong to the rule that decides; rules with `split` are asked
beside an assignment, like `help`; guards say from whom it is withheld who calls. See
docs/routing.md#beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.routing.judging import Judge
from gateway.routing.model import Action, FallbackPlan, Outcome, Stage, Told
from gateway.routing.outcomes import Basis, Choice, Outcomes, Refused
from gateway.routing.packs import Candidate

SPLIT_MATTERS_MAX = 8  # children of one ticket
GUARD = "guard"  # pack of the steps that a guard itself makes
_CAN_WAIT = frozenset({Action.ASSIGN, Action.OFFER})


@dataclass(frozen=True, slots=True)
class SplitOff:
    """Further matters that become child tickets, and by which rule."""

    matters: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """Answers for one ticket after its destination is known."""

    outcomes: Outcomes
    judge: Judge

    def notified(self, choice: Choice) -> tuple[str, ...]:
        """Return the units that the deciding rule tells, without those that act anyway."""
        if choice.winner is None:
            return ()
        outcomes, basis = self.outcomes, Basis.of(choice.winner)
        names: dict[str, None] = {}
        for ref in choice.winner.rule.notify:
            path = outcomes.path or (outcomes.authority,)
            unit = next(outcomes.seek(ref, path), None)
            if unit is None:
                outcomes.note(Outcome.FAILED, basis, f"无可知会的单位 {ref}")
                continue
            guard = outcomes.watch.find_objection_to_telling(unit)
            if guard is not None:
                outcomes.note_guarded(guard, unit, basis)
                continue
            name = f"units/{unit.unit_id}"
            if name != choice.target and name not in choice.assisting:
                names[name] = None
        return tuple(names)

    def fallback(self, choice: Choice) -> FallbackPlan | None:
        """Return whom to ask when nobody accepts in time, as far as guards and data allow now."""
        rule = choice.winner.rule if choice.winner else None
        if rule is None or rule.fallback is None or choice.action not in _CAN_WAIT:
            return None
        outcomes, basis = self.outcomes, Basis.of(choice.winner) if choice.winner else None
        targets: dict[str, None] = {}
        for target in rule.fallback.targets:
            result = outcomes.of(target, basis) if basis else None
            match result:
                case Refused(reason) if basis:
                    outcomes.note(Outcome.FAILED, basis, f"逾期去向不可用：{reason}")
                case Choice() if result.action in _CAN_WAIT and result.target != choice.target:
                    targets[result.target] = None
                case _:
                    pass  # guarded, which is noted, or nobody new to ask
        return FallbackPlan(rule.fallback.hours, rule.fallback.is_working, tuple(targets))

    def split(self, candidates: Iterable[Candidate], *, assigns: bool) -> SplitOff:
        """Return the further matters that become child tickets."""
        facts, outcomes = self.outcomes.facts, self.outcomes
        others = dict.fromkeys(code for code in facts.other_matters if code != facts.matter)
        found = SplitOff()
        for candidate in candidates:
            if candidate.stage is not Stage.SPLIT or not others:
                continue
            basis = Basis.of(candidate)
            if facts.parent:
                outcomes.note(Outcome.FAILED, basis, "协助子单不再拆单")
            elif not self.judge.selects(candidate):
                continue
            elif not assigns:
                outcomes.note(Outcome.LOST, basis, "本机构未派单，不拆单")
            elif found.rules:
                outcomes.note(Outcome.LOST, basis, f"在规则 {found.rules[0]} 之后")
            else:
                found = SplitOff(tuple(others)[:SPLIT_MATTERS_MAX], (candidate.rule.id,))
                outcomes.note(Outcome.WON, basis, f"拆出事项 {'、'.join(found.matters)}")
        return found

    def withheld(
        self, choice: Choice, *, notified: Sequence[str], helping: Sequence[str]
    ) -> tuple[str, ...]:
        """Return who of those that are told may not learn who calls, and note which guard says."""
        told = {
            Told.ASSISTING: choice.assisting,
            Told.HELPING: tuple(f"regions/{code}" for code in helping),
            Told.NOTIFIED: notified,
        }
        names: dict[str, None] = {}
        for guard in self.outcomes.watch.guards:
            kinds = guard.withholds_identity
            own = kinds and [name for kind in told if kind in kinds for name in told[kind]]
            if own:
                names.update(dict.fromkeys(own))
                reason = f"不向 {'、'.join(own)} 提供身份信息：{guard.explanation}"
                self.outcomes.log.note(Outcome.GUARDED, pack=GUARD, rule=guard.id, reason=reason)
        return tuple(names)
