"""From an action to an outcome: which unit, which authority, or why it cannot be carried out.

`Outcomes` answers for one ticket. Guards filter every unit here, leads and assisting ones; a rule
whose every unit is guarded leaves the question open. It writes only to the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from gateway.kernel.codes import OfferReason
from gateway.kernel.ids import AuthorityCode
from gateway.reference.regions import Level
from gateway.reference.units import Unit, UnitRef, desk_id
from gateway.routing.actions import (
    Assign,
    External,
    Help,
    Lead,
    Legal,
    Merge,
    Offer,
    Refer,
    RuleAction,
    Split,
    Triage,
)
from gateway.routing.destinations import Federation, Here, Outside, Towards, Unreachable
from gateway.routing.facts import RoutingFacts
from gateway.routing.guards import Watch
from gateway.routing.model import Action, Guard, Outcome, Reference, Unless
from gateway.routing.packs import Candidate
from gateway.routing.regions_named import NamedRegions
from gateway.routing.trace import TraceLog

REQUESTABLE_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a ticket's custodian is to do; `winner` is the rule that said so, if one did."""

    action: Action
    target: str
    rule: str
    pack: str
    legal_basis: str
    explanation: str
    reason: OfferReason = OfferReason.UNSPECIFIED
    assisting: tuple[str, ...] = ()
    winner: Candidate | None = None

    @property
    def text(self) -> str:
        """How a trace names it."""
        reason = f"，原因 {self.reason.zh}" if self.reason else ""
        return f"{self.action.zh}：{self.target}{reason}"


@dataclass(frozen=True, slots=True)
class Refused:
    """An action that cannot be carried out here, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Basis:
    """In whose name a choice is made."""

    pack: str
    rule: str
    legal_basis: str
    explanation: str
    winner: Candidate | None = None

    @classmethod
    def of(cls, candidate: Candidate) -> Basis:
        """Return the basis that a rule is."""
        rule = candidate.rule
        return cls(candidate.pack.label, rule.id, rule.legal_basis, rule.explanation, candidate)

    def choice(
        self,
        action: Action,
        target: str,
        *,
        reason: OfferReason = OfferReason.UNSPECIFIED,
        assisting: tuple[str, ...] = (),
        detail: str = "",
    ) -> Choice:
        """Return a choice in this name."""
        return Choice(
            action=action,
            target=target,
            rule=self.rule,
            pack=self.pack,
            legal_basis=self.legal_basis,
            explanation=f"{self.explanation}（{detail}）" if detail else self.explanation,
            reason=reason,
            assisting=assisting,
            winner=self.winner,
        )


@dataclass(slots=True, kw_only=True)
class Outcomes:
    """The outcomes of actions for one ticket; `path` is the leading region's, from it upwards."""

    facts: RoutingFacts
    reference: Reference
    region: str
    path: tuple[str, ...]
    federation: Federation
    watch: Watch
    named: NamedRegions
    log: TraceLog
    objections: dict[str, None] = field(default_factory=dict)
    lead_objections: dict[str, None] = field(default_factory=dict)  # their explanations
    requestable: dict[str, None] = field(default_factory=dict)

    @property
    def authority(self) -> AuthorityCode:
        """The authority that decides."""
        return self.federation.authority

    @property
    def desk(self) -> str:
        """Its triage desk, as a target."""
        return f"units/{desk_id(self.authority)}"

    def of(self, action: RuleAction, basis: Basis) -> Choice | Refused | None:
        """Return what an action comes to; None when guards forbid its every unit."""
        match action:
            case Refer(line):
                return basis.choice(Action.REFER, line.name)
            case Triage(question):
                return basis.choice(Action.TRIAGE, self.desk, detail=question)
            case External(body):
                return basis.choice(Action.EXTERNAL, body)
            case Legal(reason):
                return basis.choice(Action.LEGAL, reason.name, detail=reason.zh)
            case Merge():
                return self._merge(basis)
            case Offer():
                return self._offer(action, basis)
            case Assign():
                return self._assign(action, basis)
            case Lead() | Help() | Split():
                return Refused("不决定去向")  # never among the candidates of these questions
        assert_never(action)

    def sent_to(
        self, destination: AuthorityCode, reason: OfferReason, basis: Basis
    ) -> Choice | None:
        """Return the choice that gets the ticket to an authority, None when that is here."""
        way = self.federation.way_to(destination, reason=reason)
        match way:
            case Here():
                return None
            case Towards(authority, why):
                return basis.choice(Action.OFFER, f"authorities/{authority}", reason=why)
            case Outside(authority):
                return basis.choice(Action.EXTERNAL, f"authorities/{authority}")
            case Unreachable(authority):
                detail = f"所属省级机构 {authority} 未接入"
                return basis.choice(Action.TRIAGE, self.desk, detail=detail)
        assert_never(way)

    def seek(self, ref: UnitRef, path: Sequence[str]) -> Iterator[Unit]:
        """Yield the units of this authority that `ref` means, from the place upwards."""
        units = self.reference.units
        if ref.unit_id is not None:
            named = units.find(ref.unit_id)
            if named is not None and named.authority == self.authority:
                yield named
            return
        for region in path:
            for unit in units.of_kind(region=region, kind=ref.kind):
                if ref.number in {None, unit.number} and unit.authority == self.authority:
                    yield unit
                    break  # the first of a kind stands for it in its place

    def allowed(self, helpers: Iterable[Unit], basis: Basis, *, mandate: str) -> tuple[str, ...]:
        """Return the assisting units that no guard forbids, each once, as resource names."""
        names: dict[str, None] = {}
        for helper in helpers:
            guard = self.watch.find_objection(helper, mandate=mandate)
            if guard is None:
                names[f"units/{helper.unit_id}"] = None
            else:
                self.note_guarded(guard, helper, basis)
        return tuple(names)

    def object_to(self, guard: Guard, unit: Unit, basis: Basis) -> None:
        """Note that a guard forbids a unit as lead; the desk will be told why."""
        self.lead_objections[guard.explanation] = None
        if Unless.REQUEST in guard.unless and len(self.requestable) < REQUESTABLE_MAX:
            self.requestable[f"units/{unit.unit_id}"] = None
        self.note_guarded(guard, unit, basis)

    def note_guarded(self, guard: Guard, unit: Unit, basis: Basis) -> None:
        """Note that a guard forbids a unit."""
        self.objections[guard.id] = None
        reason = f"护栏 {guard.id} 排除 {unit.unit_id}：{guard.explanation}"
        self.note(Outcome.GUARDED, basis, reason)

    def note(self, outcome: Outcome, basis: Basis, reason: str) -> None:
        """Add a step to the trace."""
        self.log.note(outcome, pack=basis.pack, rule=basis.rule, reason=reason)

    # --- actions -------------------------------------------------------------------------------

    def _merge(self, basis: Basis) -> Choice | Refused:
        if self.facts.parent:
            return Refused("协助子单不并单")
        return basis.choice(Action.MERGE, self.facts.duplicate_of)

    def _offer(self, action: Offer, basis: Basis) -> Choice | Refused:
        home_of = self.federation.home_of
        if action.fact is not None:
            if self.facts.parent:
                return Refused("协助子单不另行移交")
            region = self.named.region_of(action.fact)
            if not region:
                return Refused(self.named.nothing(action.fact))
            destination, reason = home_of(region), OfferReason.RULE
        elif action.authority is not None:
            destination, reason = action.authority, OfferReason.RULE
        elif self.path:
            destination, reason = home_of(self.region), OfferReason.PLACE
        else:
            return Refused("事发地未定，无法按属地移交")
        return self.sent_to(destination, reason, basis) or Refused("移交对象即本机构")

    def _assign(self, action: Assign, basis: Basis) -> Choice | Refused | None:
        if action.level is Level.PROVINCE:
            kept = self._keep_at_province(basis)
            if kept is not None:
                return kept
        start = self.path if action.level is None else (self.authority,)
        is_guarded = False
        for unit in self.seek(action.lead, start):
            guard = self.watch.find_objection(unit, mandate=action.mandate)
            if guard is None:
                return basis.choice(
                    Action.ASSIGN,
                    f"units/{unit.unit_id}",
                    assisting=self._helpers(action, lead=unit, basis=basis),
                    detail=_with_mandate(unit, action.mandate),
                )
            self.object_to(guard, unit, basis)
            is_guarded = True
        if is_guarded:
            return None
        return Refused(f"本机构无可派的承办单位 {action.lead}")

    def _keep_at_province(self, basis: Basis) -> Choice | Refused | None:
        """Return what a matter of the province means here; None at the province itself."""
        province = self.reference.regions.province_of(self.authority)
        if province is None or province not in self.path:
            return Refused("事发地不在本省")
        way = self.federation.way_home()
        match way:
            case Towards(authority, why):
                return basis.choice(Action.OFFER, f"authorities/{authority}", reason=why)
            case Unreachable(authority):
                return Refused(f"所属省级机构 {authority} 未接入")
            case _:
                return None

    def _helpers(self, action: Assign, *, lead: Unit, basis: Basis) -> tuple[str, ...]:
        start = self.path if action.level is None else (self.authority,)
        found: list[Unit] = []
        for ref in action.assisting:
            helper = next(self.seek(ref, start), None)
            if helper is None:
                self.note(Outcome.FAILED, basis, f"无可派的协办单位 {ref}")
            elif helper != lead:
                found.append(helper)
        return self.allowed(found, basis, mandate=action.mandate)


def _with_mandate(unit: Unit, mandate: str) -> str:
    return f"{unit.name}；授权依据：{mandate}" if mandate else unit.name
