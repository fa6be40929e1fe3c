"""The decision: total, pure, and the same for the same inputs (invariant I8).

First *which region leads* (regions_named.py): the place, its zone's host, or what a rule with
`lead` says. From then on that region stands for the place. Then, first answer wins:

1. *Wherever it is*: rules that hand to an emergency line, keep a matter at the province, or send it
   to the place by rule (`Stage.ANYWHERE`); packs city → province → nation, first match first.
2. *Whose place is it*: another authority's → offer, or external referral when it has not joined;
   uncertain → triage.
3. *Here*: all other rules, packs city → province → nation.
4. *The responsibility list*, and when a guard forbids its unit, the unit above.
5. *The triage desk*. Never silently the place's government.

Beside an assignment, rules with `help` say which regions are asked for help.

A rule whose outcome cannot be carried out (no such unit here) or that a guard forbids leaves the
question open, and the next one is asked. Guards filter every unit, assisting ones too.
See docs/routing.md#decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import assert_never

from gateway.kernel.codes import OfferReason
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.kernel.time import Instant, day_of, to_microseconds
from gateway.kernel.values import replace
from gateway.reference.regions import Level, Regions
from gateway.reference.responsibility import Found, NotFound, explain
from gateway.reference.units import Unit, UnitRef, desk_id
from gateway.routing.destinations import Federation, Here, Outside, Towards, Unreachable
from gateway.routing.guards import Watch
from gateway.routing.model import (
    DESK,
    PLACE,
    RESPONSIBILITY_LIST,
    Action,
    Assign,
    Decision,
    External,
    Guard,
    Help,
    Lead,
    Offer,
    Outcome,
    Refer,
    Reference,
    RoutingFacts,
    Stage,
    Triage,
)
from gateway.routing.packs import Candidate, PackSet
from gateway.routing.regions_named import Leading, NamedRegions
from gateway.routing.selecting import held, unmet
from gateway.routing.trace import TraceLog, canonical_bytes, trace_digest

PLACE_BASIS = "属地管理原则"
LIST_BASIS = "责任清单"
UNLISTED_REASON = "无规则或责任清单可以确定承办单位"


def decide(
    facts: RoutingFacts,
    *,
    authority: str,
    hosted: frozenset[str],
    joined: frozenset[str],
    packs: PackSet,
    reference: Reference,
    now: Instant,
) -> Decision:
    """Return where the ticket goes; total: falls back to the authority's triage desk.

    `hosted` are the authorities of this node (their packs are evaluated), `joined` those of the
    federation that can take an offer.
    """
    regions, day = reference.regions, day_of(now)
    owners = packs.owners(authority=authority, hosted=hosted, regions=regions)
    log = TraceLog()
    named = NamedRegions(facts, reference, day.year, log)
    leading, path, candidates = _leading(named, packs, owners=owners, on=day)
    guards = packs.guards(owners=owners, on=day)
    evaluation = _Evaluation(
        facts=facts,
        reference=reference,
        leading=leading,
        path=path,
        federation=Federation(
            authority=AuthorityCode(authority), taking_part=joined | hosted, regions=regions
        ),
        watch=Watch.over(guards, replace(facts, region=leading.region), reference),
        now=now,
        log=log,
    )
    choice = evaluation.choose(candidates)
    helpers = named.helpers(candidates, authority=authority, assigns=choice.action is Action.ASSIGN)
    lead_rule = leading.winner.rule.id if leading.winner else ""
    steps = log.finish()
    content = canonical_bytes(
        facts=facts,
        authority=authority,
        packs=packs.of(owners),
        reference_version=reference.version,
        now=now,
        result=(choice.action.name, choice.target, choice.reason.name, *choice.assisting),
        leading=(leading.region, lead_rule),
        help_regions=helpers.regions,
        steps=steps,
    )
    return Decision(
        action=choice.action,
        target=choice.target,
        rule=choice.rule,
        pack=choice.pack,
        legal_basis=choice.legal_basis,
        explanation=choice.explanation,
        offer_reason=choice.reason,
        assisting=choice.assisting,
        objections=tuple(evaluation.objections),
        trace=steps,
        trace_digest=trace_digest(content),
        reference_version=reference.version,
        decide_time_microseconds=to_microseconds(now),
        leading_region=leading.region if path else "",
        lead_rule=lead_rule,
        help_regions=helpers.regions,
        help_rules=helpers.rules,
    )


def find_guard(
    facts: RoutingFacts,
    unit: Unit,
    *,
    owners: Sequence[str],
    packs: PackSet,
    reference: Reference,
    now: Instant,
    mandate: str = "",
) -> Guard | None:
    """Return the guard that forbids a unit that a person chose, or None.

    Guards watch over the leading region here as they do in a decision.
    """
    day = day_of(now)
    leading = _leading(
        NamedRegions(facts, reference, day.year, TraceLog()), packs, owners=owners, on=day
    )[0]
    guards = packs.guards(owners=owners, on=day)
    watch = Watch.over(guards, replace(facts, region=leading.region), reference)
    return watch.find_objection(unit, mandate=mandate)


def _leading(
    named: NamedRegions, packs: PackSet, *, owners: Sequence[str], on: date
) -> tuple[Leading, tuple[str, ...], tuple[Candidate, ...]]:
    """Return the region that leads, its path, and the rules that select the ticket there."""
    facts, regions, place = named.facts, named.reference.regions, named.place()
    path = _path(place, regions)
    candidates = packs.candidates(facts, owners=owners, region_path=path, on=on)
    leading = named.leading(candidates, place=place)
    if leading.region != place:
        path = _path(leading.region, regions)
        candidates = packs.candidates(facts, owners=owners, region_path=path, on=on)
    return leading, path, candidates


def _path(region: str, regions: Regions) -> tuple[str, ...]:
    """Return a region and what is above it; nothing when it is uncertain or the whole nation."""
    known = region != NATION and regions.current(region) is not None
    return regions.path(region) if known else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    action: Action
    target: str
    rule: str
    pack: str
    legal_basis: str
    explanation: str
    reason: OfferReason = OfferReason.UNSPECIFIED
    assisting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Refused:
    """A rule that selects the ticket and cannot be carried out."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Basis:
    """In whose name a choice is made."""

    pack: str
    rule: str
    legal_basis: str
    explanation: str

    @classmethod
    def of(cls, candidate: Candidate) -> _Basis:
        rule = candidate.rule
        return cls(candidate.pack.label, rule.id, rule.legal_basis, rule.explanation)

    def choice(
        self,
        action: Action,
        target: str,
        *,
        reason: OfferReason = OfferReason.UNSPECIFIED,
        assisting: tuple[str, ...] = (),
        detail: str = "",
    ) -> _Choice:
        return _Choice(
            action=action,
            target=target,
            rule=self.rule,
            pack=self.pack,
            legal_basis=self.legal_basis,
            explanation=f"{self.explanation}（{detail}）" if detail else self.explanation,
            reason=reason,
            assisting=assisting,
        )


@dataclass(slots=True, kw_only=True)
class _Evaluation:
    """One decision in the making; the log is its only state. `path` is the leading region's."""

    facts: RoutingFacts
    reference: Reference
    leading: Leading
    path: tuple[str, ...]
    federation: Federation
    watch: Watch
    now: Instant
    log: TraceLog
    objections: dict[str, None] = field(default_factory=dict)
    lead_objections: dict[str, None] = field(default_factory=dict)

    @property
    def authority(self) -> AuthorityCode:
        return self.federation.authority

    @property
    def desk(self) -> str:
        return f"units/{desk_id(self.authority)}"

    def choose(self, candidates: Sequence[Candidate]) -> _Choice:
        before = [each for each in candidates if each.rule.stage is Stage.ANYWHERE]
        after = [each for each in candidates if each.rule.stage is Stage.HERE]
        if choice := self._by_rules(before):
            self._lose(after, "先于属地判断的规则已作决定")
            return choice
        if choice := self._by_place():
            self._lose(after, "事发地未定或属其他机构，由其规则决定")
            return choice
        return self._by_rules(after) or self._by_list() or self._by_desk()

    # --- rules ---------------------------------------------------------------------------------

    def _by_rules(self, candidates: Iterable[Candidate]) -> _Choice | None:
        won: _Choice | None = None
        for candidate in candidates:
            rule, basis = candidate.rule, _Basis.of(candidate)
            if missing := unmet(rule.selectors, self.facts):
                self._note(Outcome.FAILED, basis, f"条件不符：{'、'.join(missing)}")
            elif won is not None:
                self._note(Outcome.LOST, basis, f"在规则 {won.rule} 之后{held(rule)}")
            else:
                result = self._carry_out(candidate, basis)
                match result:
                    case _Refused(reason):
                        self._note(Outcome.FAILED, basis, reason)
                    case _Choice():
                        won = result
                        self._note(Outcome.WON, basis, f"{_outcome_text(result)}{held(rule)}")
                    case None:
                        pass  # every unit was guarded, and each is noted
        return won

    def _lose(self, candidates: Iterable[Candidate], reason: str) -> None:
        for candidate in candidates:
            self._note(Outcome.LOST, _Basis.of(candidate), reason)

    def _carry_out(self, candidate: Candidate, basis: _Basis) -> _Choice | _Refused | None:
        action = candidate.rule.action
        match action:
            case Refer(line):
                return basis.choice(Action.REFER, line.name)
            case Triage(question):
                return basis.choice(Action.TRIAGE, self.desk, detail=question)
            case External(body):
                return basis.choice(Action.EXTERNAL, body)
            case Offer(authority):
                return self._offer(authority, basis)
            case Assign():
                return self._assign(action, basis)
            case Lead() | Help():
                return _Refused("不决定去向")  # never among the candidates of these questions
        assert_never(action)

    def _offer(self, authority: AuthorityCode | None, basis: _Basis) -> _Choice | _Refused:
        if authority is not None:
            destination, reason = authority, OfferReason.RULE
        elif self.path:
            destination, reason = self.federation.home_of(self.leading.region), OfferReason.PLACE
        else:
            return _Refused("事发地未定，无法按属地移交")
        return self._send(destination, reason, basis) or _Refused("移交对象即本机构")

    def _send(
        self, destination: AuthorityCode, reason: OfferReason, basis: _Basis
    ) -> _Choice | None:
        """Return the choice that gets the ticket to `destination`, None when that is here."""
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

    def _assign(self, action: Assign, basis: _Basis) -> _Choice | _Refused | None:
        if action.level is Level.PROVINCE:
            kept = self._keep_at_province(basis)
            if kept is not None:
                return kept
        start = self.path if action.level is None else (self.authority,)
        is_guarded = False
        for unit in self._seek(action.lead, start):
            guard = self.watch.find_objection(unit, mandate=action.mandate)
            if guard is None:
                return basis.choice(
                    Action.ASSIGN,
                    f"units/{unit.unit_id}",
                    assisting=self._helpers(action, lead=unit, basis=basis),
                    detail=_with_mandate(unit, action.mandate),
                )
            self._object(guard, unit, basis)
            is_guarded = True
        if is_guarded:
            return None
        return _Refused(f"本机构无可派的承办单位 {action.lead}")

    def _keep_at_province(self, basis: _Basis) -> _Choice | _Refused | None:
        """Return what a matter of the province means here; None at the province itself."""
        province = self.reference.regions.province_of(self.authority)
        if province is None or province not in self.path:
            return _Refused("事发地不在本省")
        way = self.federation.way_home()
        match way:
            case Towards(authority, why):
                return basis.choice(Action.OFFER, f"authorities/{authority}", reason=why)
            case Unreachable(authority):
                return _Refused(f"所属省级机构 {authority} 未接入")
            case _:
                return None

    def _seek(self, ref: UnitRef, path: Sequence[str]) -> Iterator[Unit]:
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

    def _helpers(self, action: Assign, *, lead: Unit, basis: _Basis) -> tuple[str, ...]:
        start = self.path if action.level is None else (self.authority,)
        found: list[Unit] = []
        for ref in action.assisting:
            helper = next(self._seek(ref, start), None)
            if helper is None:
                self._note(Outcome.FAILED, basis, f"无可派的协办单位 {ref}")
            elif helper != lead:
                found.append(helper)
        return self._allowed(found, basis, mandate=action.mandate)

    # --- the place, the list, the desk ---------------------------------------------------------

    def _by_place(self) -> _Choice | None:
        basis = _Basis(PLACE, PLACE, PLACE_BASIS, "事发地属其他机构辖区")
        if self.leading.winner is not None:
            basis = _Basis.of(self.leading.winner)
        if not self.path:
            basis = _Basis(PLACE, DESK, PLACE_BASIS, "事发地区划未定、已撤销或过于宽泛，转研判席")
            choice = basis.choice(Action.TRIAGE, self.desk)
        else:
            home = self.federation.home_of(self.leading.region)
            sent = self._send(home, OfferReason.PLACE, basis)
            if sent is None:
                return None
            choice = sent
        self._note(Outcome.WON, basis, _outcome_text(choice))
        return choice

    def _by_list(self) -> _Choice | None:
        regions = self.reference.regions
        region: str | None = self.leading.region
        while region is not None and regions.is_within(region, self.authority):
            answer = self.reference.responsibility.responsible_unit(
                self.facts.matter, region=region, on=day_of(self.now), authorities={self.authority}
            )
            entry = answer.entry_id if isinstance(answer, Found) else RESPONSIBILITY_LIST
            text = "；".join(explain(answer))
            basis = _Basis(RESPONSIBILITY_LIST, entry, f"{LIST_BASIS} {entry}", "按责任清单确定")
            if isinstance(answer, NotFound):
                self._note(Outcome.FAILED, basis, text)
                return None
            guard = self.watch.find_objection(answer.unit, mandate="")
            if guard is None:
                helpers = self._allowed(answer.assisting, basis, mandate="")
                self._note(Outcome.WON, basis, text)
                return _Choice(
                    action=Action.ASSIGN,
                    target=f"units/{answer.unit.unit_id}",
                    rule=RESPONSIBILITY_LIST,
                    pack=RESPONSIBILITY_LIST,
                    legal_basis=basis.legal_basis,
                    explanation=f"{basis.explanation}（{answer.unit.name}）",
                    assisting=helpers,
                )
            self._object(guard, answer.unit, basis)
            # The unit above: from the higher of both, so that the climb ends.
            above = answer.unit.region if regions.is_within(region, answer.unit.region) else region
            region = regions.parent(above)
        return None

    def _by_desk(self) -> _Choice:
        reasons = "；".join(self.lead_objections) or UNLISTED_REASON
        basis = _Basis(DESK, DESK, "首接负责、研判派单", f"转研判席：{reasons}")
        choice = basis.choice(Action.TRIAGE, self.desk)
        self._note(Outcome.WON, basis, _outcome_text(choice))
        return choice

    # --- notes ---------------------------------------------------------------------------------

    def _allowed(self, helpers: Iterable[Unit], basis: _Basis, *, mandate: str) -> tuple[str, ...]:
        """Return the assisting units that no guard forbids, each once, as resource names."""
        names: dict[str, None] = {}
        for helper in helpers:
            guard = self.watch.find_objection(helper, mandate=mandate)
            if guard is None:
                names[f"units/{helper.unit_id}"] = None
            else:
                self._note_guarded(guard, helper, basis)
        return tuple(names)

    def _object(self, guard: Guard, unit: Unit, basis: _Basis) -> None:
        """Note that a guard forbids a unit as lead; the desk will be told why."""
        self.lead_objections[guard.explanation] = None
        self._note_guarded(guard, unit, basis)

    def _note_guarded(self, guard: Guard, unit: Unit, basis: _Basis) -> None:
        self.objections[guard.id] = None
        reason = f"护栏 {guard.id} 排除 {unit.unit_id}：{guard.explanation}"
        self._note(Outcome.GUARDED, basis, reason)

    def _note(self, outcome: Outcome, basis: _Basis, reason: str) -> None:
        self.log.note(outcome, pack=basis.pack, rule=basis.rule, reason=reason)


def _with_mandate(unit: Unit, mandate: str) -> str:
    return f"{unit.name}；授权依据：{mandate}" if mandate else unit.name


def _outcome_text(choice: _Choice) -> str:
    reason = f"，原因 {choice.reason.zh}" if choice.reason else ""
    return f"{choice.action.zh}：{choice.target}{reason}"
