"""The decision as docs/routing.md tells it, by reading every rule: slow, plain, and no shared code.

Takes from the gateway only values (rules, facts) and the reference data's own answers (which region
lies in which, whom the responsibility list names).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from gateway.reference.data import ReferenceData
from gateway.reference.regions import Level, Resolved
from gateway.reference.responsibility import Found
from gateway.reference.units import Unit, UnitRef
from gateway.routing.model import (
    Assign,
    DayKind,
    DestinationState,
    External,
    Guard,
    Help,
    Lead,
    Legal,
    Merge,
    Offer,
    Pack,
    Refer,
    RegionFact,
    RoutingFacts,
    Rule,
    RuleAction,
    Selectors,
    Split,
    Told,
    Triage,
    Unless,
)

NATION = "100000"


@dataclass
class Answer:
    """What came out, in plain words."""

    action: str
    target: str
    rule: str
    assisting: tuple[str, ...] = ()
    winner: Rule | None = None
    leading: str = ""
    lead_rule: str = ""
    helping: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()
    fallback: tuple[Any, ...] | None = None
    diverted_from: str = ""
    withheld: tuple[str, ...] = ()


@dataclass
class Naive:
    """One ticket before one authority."""

    facts: RoutingFacts
    authority: str
    hosted: frozenset[str]
    joined: frozenset[str]
    packs: Sequence[Pack]
    reference: ReferenceData
    now: datetime
    states: Mapping[str, DestinationState]
    region: str = ""
    guards: list[Guard] = field(default_factory=list)

    # --- who is asked, and what selects --------------------------------------------------------

    @property
    def local(self) -> datetime:
        return self.now + timedelta(hours=8)

    def owners(self) -> list[str]:
        above = [self.authority]
        if not self.authority.endswith("0000"):
            above.append(self.authority[:2] + "0000")
        return [code for code in [*above, NATION] if code == NATION or code in self.hosted]

    def clauses(self, kind: str) -> Iterator[Any]:
        for owner in self.owners():
            for pack in sorted(self.packs, key=lambda pack: pack.pack):
                if pack.owner == owner:
                    yield from (each for each in getattr(pack, kind) if self.is_in_force(each))

    def is_in_force(self, clause: Rule | Guard) -> bool:
        day, ends = self.local.date(), clause.effective_to
        return clause.effective_from <= day and (ends is None or day < ends)

    def lies_in(self, region: str, area: str) -> bool:
        return self.known(region) and self.reference.regions.is_within(region, area)

    def known(self, region: str) -> bool:
        return region != NATION and self.reference.regions.current(region) is not None

    def selects(self, wanted: Selectors, state: DestinationState | None = None) -> bool:
        facts = self.facts
        if wanted.regions and not any(self.lies_in(self.region, area) for area in wanted.regions):
            return False
        code = facts.matter
        above = {code, code[:4] + "00", code[:2] + "0000"}
        if wanted.matters and not above & set(wanted.matters):
            return False
        for allowed, value in (
            (wanted.types, facts.type),
            (wanted.channels, facts.channel),
            (wanted.urgencies, facts.urgency),
            (wanted.subject_kinds, facts.subject_kind),
            (wanted.zones, facts.zone),
        ):
            if allowed and value not in allowed:
                return False
        if wanted.risk_tags and not set(wanted.risk_tags) & set(facts.risk_tags):
            return False
        kinds = {name.split("-")[1] for name in facts.reported_units if name.count("-") == 2}
        if wanted.reported_kinds and not kinds & wanted.reported_kinds:
            return False
        for flag, got in (
            (wanted.reported_unit, bool(facts.reported_units)),
            (wanted.secrecy_required, facts.secrecy_required),
            (wanted.on_boundary, facts.on_boundary),
        ):
            if flag is not None and flag != got:
                return False
        return self.selects_moment(wanted) and self.selects_state(wanted, state)

    def selects_moment(self, wanted: Selectors) -> bool:
        minute = self.local.hour * 60 + self.local.minute
        if wanted.hours and not any(
            (each.start_minute <= minute < each.end_minute)
            if each.start_minute < each.end_minute
            else not (each.end_minute <= minute < each.start_minute)
            for each in wanted.hours
        ):
            return False
        day, calendar = self.local.date(), self.reference.calendar
        kind = DayKind.WORKING if calendar.is_working_day(day) else DayKind.REST
        return not wanted.day_kinds or (calendar.is_known(day) and kind in wanted.day_kinds)

    def selects_state(self, wanted: Selectors, state: DestinationState | None) -> bool:
        if wanted.destinations and (state is None or state.state not in wanted.destinations):
            return False
        condition = wanted.condition
        return condition is None or condition.test(self.facts, state).holds

    def state(self, target: str) -> DestinationState:
        found = self.states.get(target, DestinationState(target=target))
        if found.lease_until is not None and found.lease_until <= self.now:
            return DestinationState(
                target=target, open_load=found.open_load, overdue_share=found.overdue_share
            )
        return found

    # --- guards --------------------------------------------------------------------------------

    def reported(self, unit: Unit) -> bool:
        for name in self.facts.reported_units:
            parts = name.removeprefix("units/").split("-")
            is_same = len(parts) == 3 and (unit.kind, str(unit.number)) == (parts[1], parts[2])
            if is_same and self.reference.regions.is_within(unit.region, parts[0]):
                return True
        return False

    def forbids(self, guard: Guard, unit: Unit, mandate: str) -> bool:
        if guard.forbids_reported and self.reported(unit):
            return True
        listed = unit.kind in guard.forbidden_kinds or (
            self.reference.kinds[unit.kind].management in guard.forbidden_managements
        )
        matter = self.reference.matters.nearest(self.facts.matter)
        excused = (Unless.MANDATE in guard.unless and bool(mandate)) or (
            Unless.MATTER_OF_KIND in guard.unless
            and matter is not None
            and matter.lead_kind == unit.kind
        )
        return listed and not excused

    def may(self, unit: Unit, mandate: str = "") -> bool:
        return not any(self.forbids(guard, unit, mandate) for guard in self.guards)

    # --- where a ticket may go -----------------------------------------------------------------

    def home_of(self, region: str) -> str:
        regions = self.reference.regions
        level = regions.level(region)
        if level is Level.PROVINCE or region[:2] in {"11", "12", "31", "50"}:
            return region[:2] + "0000"
        return next(
            code for code in regions.path(region) if regions.level(code) is not Level.COUNTY
        )

    def sent(self, to: str, rule: str, winner: Rule | None) -> Answer | None:
        takes_part = self.joined | self.hosted
        own, other = self.authority[:2] + "0000", to[:2] + "0000"
        if to == self.authority:
            return None
        if self.authority != own:  # a city hands to its province what is not its province's cities'
            inside = own == other and to != own and to in takes_part
            target = to if inside else own
            if target in takes_part:
                return Answer("OFFER", f"authorities/{target}", rule, winner=winner)
            return Answer("TRIAGE", f"units/{self.authority}-desk", rule, winner=winner)
        if own == other:
            return (
                Answer("OFFER", f"authorities/{to}", rule, winner=winner)
                if to in takes_part
                else None
            )
        action = "OFFER" if other in takes_part else "EXTERNAL"
        return Answer(action, f"authorities/{other}", rule, winner=winner)

    def seek(self, ref: UnitRef, at_authority: bool) -> list[Unit]:
        units = self.reference.units
        if ref.unit_id is not None:
            named = units.find(ref.unit_id)
            return [named] if named is not None and named.authority == self.authority else []
        path = self.reference.regions.path(self.region) if self.known(self.region) else ()
        found: list[Unit] = []
        for region in [self.authority] if at_authority else path:
            here = [
                unit
                for unit in units.of_kind(region=region, kind=ref.kind)
                if unit.authority == self.authority and ref.number in {None, unit.number}
            ]
            found += here[:1]
        return found

    def regions_of(self, fact: RegionFact) -> list[str]:
        codes = fact.codes(self.facts)
        found = [self.reference.regions.resolve(code, as_of_year=self.local.year) for code in codes]
        return [each.code for each in found if isinstance(each, Resolved) and each.code != NATION]

    def outcome(self, action: RuleAction, rule: Rule) -> Answer | None:
        desk = f"units/{self.authority}-desk"
        match action:
            case Refer(line):
                return Answer("REFER", line.name, rule.id, winner=rule)
            case Triage():
                return Answer("TRIAGE", desk, rule.id, winner=rule)
            case External(body):
                return Answer("EXTERNAL", body, rule.id, winner=rule)
            case Legal(reason):
                return Answer("LEGAL", reason.name, rule.id, winner=rule)
            case Merge():
                target = "" if self.facts.parent else self.facts.duplicate_of
                return Answer("MERGE", target, rule.id, winner=rule) if target else None
            case Offer():
                return self.offered(action, rule)
            case Assign():
                return self.assigned(action, rule)
            case Lead() | Help() | Split():
                raise AssertionError(action)

    def offered(self, action: Offer, rule: Rule) -> Answer | None:
        if action.fact is not None:
            codes = [] if self.facts.parent else self.regions_of(action.fact)
            return self.sent(self.home_of(codes[0]), rule.id, rule) if codes else None
        if action.authority is not None:
            return self.sent(action.authority, rule.id, rule)
        if not self.known(self.region):
            return None
        return self.sent(self.home_of(self.region), rule.id, rule)

    def assigned(self, action: Assign, rule: Rule) -> Answer | None:
        at_authority = action.level is Level.PROVINCE
        province = self.authority[:2] + "0000"
        if at_authority:
            if not self.lies_in(self.region, province):
                return None
            if self.authority != province:
                if province not in self.joined | self.hosted:
                    return None
                return Answer("OFFER", f"authorities/{province}", rule.id, winner=rule)
        for unit in self.seek(action.lead, at_authority):
            if self.may(unit, action.mandate):
                helpers = [self.seek(ref, at_authority)[:1] for ref in action.assisting]
                assisting = [
                    f"units/{each.unit_id}"
                    for found in helpers
                    for each in found
                    if each != unit and self.may(each, action.mandate)
                ]
                target = f"units/{unit.unit_id}"
                once = tuple(dict.fromkeys(assisting))
                return Answer("ASSIGN", target, rule.id, once, winner=rule)
        return None

    # --- the decision --------------------------------------------------------------------------

    def decide(self) -> Answer:
        facts, zones = self.facts, self.reference.zones
        self.region = zones.locate(facts.zone, facts.region, regions=self.reference.regions)
        lead_rule = ""
        for rule in self.clauses("rules"):
            if not isinstance(rule.action, Lead) or facts.parent:
                continue
            codes = self.regions_of(rule.action.region)
            if codes and self.selects(rule.selectors):
                self.region, lead_rule = codes[0], rule.id
                break
        self.guards = [
            guard
            for owner in reversed(self.owners())
            for pack in self.packs
            if pack.owner == owner
            for guard in pack.guards
            if self.is_in_force(guard) and self.selects(guard.selectors)
        ]
        rules = list(self.clauses("rules"))
        answer = self.divert(self.normal(rules, lead_rule), rules)
        answer.leading = self.region if self.known(self.region) else ""
        answer.lead_rule = lead_rule
        self.beside(answer, rules)
        return answer

    def normal(self, rules: list[Rule], lead_rule: str) -> Answer:
        plain = [each for each in rules if not each.selectors.names_destination]
        at_once = [each for each in plain if isinstance(each.action, Refer)]
        anywhere = [
            each
            for each in plain
            if isinstance(each.action, Merge | Legal)
            or each.action == Offer(None)
            or (isinstance(each.action, Assign) and each.action.level is not None)
        ]
        here = [
            each
            for each in plain
            if not isinstance(each.action, Refer | Lead | Help | Split) and each not in anywhere
        ]
        desk = f"units/{self.authority}-desk"
        if answer := self.first(at_once) or self.first(anywhere):
            return answer
        if not self.known(self.region):
            return Answer("TRIAGE", desk, "desk")
        if answer := self.sent(self.home_of(self.region), lead_rule or "place", None):
            return answer
        return self.first(here) or self.listed() or Answer("TRIAGE", desk, "desk")

    def first(self, rules: list[Rule]) -> Answer | None:
        for rule in rules:
            if self.selects(rule.selectors) and (answer := self.outcome(rule.action, rule)):
                return answer
        return None

    def listed(self) -> Answer | None:
        region: str | None = self.region
        regions = self.reference.regions
        while region is not None and regions.is_within(region, self.authority):
            found = self.reference.responsibility.responsible_unit(
                self.facts.matter,
                region=region,
                on=self.local.date(),
                authorities={self.authority},
            )
            if not isinstance(found, Found):
                return None
            if self.may(found.unit):
                assisting = [f"units/{each.unit_id}" for each in found.assisting if self.may(each)]
                target = f"units/{found.unit.unit_id}"
                once = tuple(dict.fromkeys(assisting))
                return Answer("ASSIGN", target, "responsibility-list", once)
            higher = found.unit.region
            region = regions.parent(higher if regions.is_within(region, higher) else region)
        return None

    def divert(self, normal: Answer, rules: list[Rule]) -> Answer:
        if normal.action not in {"ASSIGN", "OFFER"}:
            return normal
        state = self.state(normal.target)
        for rule in rules:
            if not rule.selectors.names_destination or not self.selects(rule.selectors, state):
                continue
            answer = self.outcome(rule.action, rule)
            if answer is None or answer.target == normal.target:
                continue
            if answer.action in {"ASSIGN", "OFFER"}:
                there = self.state(answer.target).state
                if there > 1 and there >= state.state:
                    continue  # it stands no better
            answer.diverted_from = normal.target
            return answer
        return normal

    def beside(self, answer: Answer, rules: list[Rule]) -> None:
        if answer.winner is not None:
            answer.notify = self.told(answer, answer.winner)
            answer.fallback = self.next(answer, answer.winner)
        if answer.action == "ASSIGN" and not self.facts.parent:
            chosen = [rule for rule in rules if self.selects(rule.selectors)]
            asked = [
                code
                for rule in chosen
                if isinstance(rule.action, Help)
                for code in self.regions_of(rule.action.region)
                if code[:2] != self.authority[:2]
            ]
            answer.helping = tuple(dict.fromkeys(asked))[:8]
            others = [code for code in self.facts.other_matters if code != self.facts.matter]
            if any(isinstance(rule.action, Split) for rule in chosen):
                answer.split = tuple(dict.fromkeys(others))[:8]
        names: dict[str, None] = {}
        for guard in self.guards:
            for kind, those in (
                (Told.ASSISTING, answer.assisting),
                (Told.HELPING, tuple(f"regions/{code}" for code in answer.helping)),
                (Told.NOTIFIED, answer.notify),
            ):
                if kind in guard.withholds_identity:
                    names.update(dict.fromkeys(those))
        answer.withheld = tuple(names)

    def told(self, answer: Answer, winner: Rule) -> tuple[str, ...]:
        names: dict[str, None] = {}
        is_watched = any(guard.forbids_reported for guard in self.guards)
        for ref in winner.notify:
            for unit in self.seek(ref, not self.known(self.region))[:1]:
                name = f"units/{unit.unit_id}"
                is_free = not (is_watched and self.reported(unit))
                if is_free and name not in {answer.target, *answer.assisting}:
                    names[name] = None
        return tuple(names)

    def next(self, answer: Answer, winner: Rule) -> tuple[Any, ...] | None:
        plan, waiting = winner.fallback, {"ASSIGN", "OFFER"}
        if plan is None or answer.action not in waiting:
            return None
        nexts = [self.outcome(target, winner) for target in plan.targets]
        targets = [each.target for each in nexts if each is not None and each.action in waiting]
        others = [target for target in targets if target != answer.target]
        return (plan.hours, plan.is_working, tuple(dict.fromkeys(others)))
