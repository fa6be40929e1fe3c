"""Golden cases: facts, and what the rules must make of them.

A case either lets the whole decision be made (`expect`: action, target, rule …) or asks the guards
about one unit (`asks`, `expect: {forbidden_by}`). `covers` names the rule or guard it is there for:
a rule must win the case (as the one that decides, leads or asks for help), or be guarded in it
(`guarded`); a guard must forbid in it. Cases are read
with the same strictness as packs. See docs/routing.md#cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from yaml.nodes import Node

from gateway.kernel.codes import (
    Channel,
    Code,
    DestinationCondition,
    NoiseSource,
    OfferReason,
    RiskTag,
    SubjectKind,
    TicketType,
    Urgency,
)
from gateway.kernel.ids import AuthorityCode, UnitId
from gateway.kernel.time import Instant
from gateway.reference.units import Unit
from gateway.routing.evaluate import decide
from gateway.routing.guards import Watch
from gateway.routing.model import (
    Action,
    Decision,
    DestinationState,
    FallbackPlan,
    Finding,
    Outcome,
    Reference,
    RoutingFacts,
    States,
    UnitKey,
)
from gateway.routing.moment import moment_of
from gateway.routing.nodes import Reader, line_of, shown
from gateway.routing.packs import PackSet

CASES_MAX = 5_000  # per file
CASE_KEYS = (
    "name",
    "covers",
    "authority",
    "hosted",
    "joined",
    "now",
    "facts",
    "states",
    "asks",
    "expect",
)
STATE_KEYS = ("target", "state", "open_load", "overdue_share", "lease_until")
FACT_KEYS = (
    "region",
    "matter",
    "type",
    "urgency",
    "channel",
    "subject_kind",
    "risk_tags",
    "reported_units",
    "zone",
    "on_boundary",
    "origin",
    "secrecy_required",
    "registration_region",
    "seller_region",
    "insured_region",
    "receiving_region",
    "agency_region",
    "passing_regions",
    "noise_source",
    "industry",
    "at_night",
    "owner_unknown",
    "parent",
    "duplicate_of",
    "other_matters",
)
TEXT_FACTS = (
    "matter",
    "zone",
    "origin",
    "registration_region",
    "seller_region",
    "insured_region",
    "receiving_region",
    "agency_region",
    "industry",
    "duplicate_of",
)
LIST_FACTS = ("reported_units", "passing_regions", "other_matters")
FLAG_FACTS = ("on_boundary", "secrecy_required", "at_night", "owner_unknown", "parent")
CODE_FACTS: Mapping[str, type[Code]] = {
    "type": TicketType,
    "urgency": Urgency,
    "channel": Channel,
    "subject_kind": SubjectKind,
    "noise_source": NoiseSource,
}
EXPECT_KEYS = (
    "action",
    "target",
    "rule",
    "offer_reason",
    "assisting",
    "guarded",
    "forbidden_by",
    "leading_region",
    "lead_rule",
    "help_regions",
    "split_matters",
    "notify",
    "fallback",
    "diverted_from",
    "identity_withheld",
    "requestable",
)
EXPECT_LISTS = (
    "assisting",
    "help_regions",
    "split_matters",
    "notify",
    "identity_withheld",
    "requestable",
)
EXPECT_EMPTY = (
    "forbidden_by",
    "help_regions",
    "leading_region",
    "lead_rule",
    "fallback",
    "diverted_from",
    "notify",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One golden case."""

    file: str
    line: int
    name: str
    covers: str
    authority: str
    hosted: frozenset[str]
    joined: frozenset[str]
    now: Instant
    facts: RoutingFacts
    states: States
    asked_unit: str
    asked_mandate: str
    asked_request: bool
    expected: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What came out of a case; `covered` are the rules that won and the guards that forbade."""

    case: Case
    got: Mapping[str, str]
    covered: frozenset[str]
    decision: Decision | None

    @property
    def ok(self) -> bool:
        """Whether everything expected came out."""
        return not self.differences()

    def differences(self) -> tuple[str, ...]:
        """Return what differs, one `key: expected …, got …` each."""
        found = [
            f"{key}: expected {wanted!r}, got {self.got.get(key, '')!r}"
            for key, wanted in self.case.expected.items()
            if self.got.get(key, "") != wanted
        ]
        if self.case.covers and self.case.covers not in self.covered and not self.case.asked_unit:
            found.append(f"covers: {self.case.covers} neither won nor forbade here")
        return tuple(found)


def parse_cases(source: bytes, *, name: str) -> tuple[tuple[Case, ...], tuple[Finding, ...]]:
    """Return the cases of a file and every problem of it; cases with problems are left out."""
    reader = Reader(name)
    top = reader.compose(source)
    if top is None:
        return (), tuple(reader.findings)
    values = reader.mapping(top, known=("defaults", "cases"), required=("cases",))
    defaults = reader.mapping(values.get("defaults"), known=("hosted", "joined", "now"))
    parser = _CaseParser(reader, defaults)
    nodes = reader.sequence(values.get("cases"), length_max=CASES_MAX)
    cases = tuple(case for node in nodes if (case := parser.parse(node)) is not None)
    return cases, tuple(reader.findings)


def run_cases(
    cases: Iterable[Case], *, packs: PackSet, reference: Reference
) -> tuple[CaseResult, ...]:
    """Return the result of each case, in order."""
    return tuple(
        _ask_guards(case, packs, reference) if case.asked_unit else _decide(case, packs, reference)
        for case in cases
    )


def uncovered(results: Iterable[CaseResult], *, packs: PackSet) -> tuple[Finding, ...]:
    """Return a finding for each rule and guard that no passing case covers."""
    covered = {result.case.covers for result in results if result.ok}
    return tuple(
        Finding(
            pack.pack,
            line,
            f"{clause_id} has no passing case",
            f"Add a case with `covers: {clause_id}`",
        )
        for pack in packs.packs
        for clause_id, line in pack.clause_lines()
        if clause_id not in covered
    )


def _decide(case: Case, packs: PackSet, reference: Reference) -> CaseResult:
    decision = decide(
        case.facts,
        authority=case.authority,
        hosted=case.hosted,
        joined=case.joined,
        packs=packs,
        reference=reference,
        now=case.now,
        states=case.states,
    )
    guarded = {step.rule for step in decision.trace if step.outcome is Outcome.GUARDED}
    expected_guarded = case.expected.get("guarded", "")
    got = {
        "action": decision.action.name.lower(),
        "target": decision.target,
        "rule": decision.rule,
        "offer_reason": _word(decision.offer_reason),
        "assisting": ",".join(decision.assisting),
        "guarded": expected_guarded if expected_guarded in guarded else "",
        "leading_region": decision.leading_region,
        "lead_rule": decision.lead_rule,
        "help_regions": ",".join(decision.help_regions),
        "split_matters": ",".join(decision.split_matters),
        "notify": ",".join(decision.notify),
        "fallback": _plan_text(decision.fallback),
        "diverted_from": decision.diverted_from,
        "identity_withheld": ",".join(decision.identity_withheld),
        "requestable": ",".join(decision.requestable),
    }
    covered = frozenset(
        {
            decision.rule,
            decision.lead_rule,
            *decision.help_rules,
            *decision.split_rules,
            *decision.objections,
            *guarded,
        }
    )
    return CaseResult(case=case, got=got, covered=covered, decision=decision)


def _ask_guards(case: Case, packs: PackSet, reference: Reference) -> CaseResult:
    owners = packs.owners(authority=case.authority, hosted=case.hosted, regions=reference.regions)
    regions, region = reference.regions, case.facts.region
    moment = moment_of(case.now, reference)
    guards = packs.guards(case.facts, owners=owners, region=region, regions=regions, moment=moment)
    watch = Watch(guards, case.facts, reference)
    key = UnitKey.parse(case.asked_unit)
    objection = None
    if key is not None:
        unit = Unit(
            unit_id=UnitId(case.asked_unit),
            name=case.asked_unit,
            region=key.region,
            level=reference.regions.level(key.region),
            kind=key.kind,
            platform=None,
            authority=AuthorityCode(case.authority),
        )
        objection = watch.find_objection(
            unit, mandate=case.asked_mandate, is_request=case.asked_request
        )
    name = objection.id if objection else ""
    return CaseResult(
        case=case, got={"forbidden_by": name}, covered=frozenset({name}), decision=None
    )


def _plan_text(plan: FallbackPlan | None) -> str:
    """Return a plan as cases write it: `4wh:units/…,authorities/…` (working hours), `24h:…`."""
    if plan is None:
        return ""
    return f"{plan.hours}{'wh' if plan.is_working else 'h'}:{','.join(plan.targets)}"


def _word(code: Code) -> str:
    return code.name.lower() if code else ""


@dataclass(frozen=True, slots=True)
class _CaseParser:
    reader: Reader
    defaults: Mapping[str, Node]

    def parse(self, node: Node) -> Case | None:
        reader = self.reader
        before = len(reader.findings)
        values = reader.mapping(
            node, known=CASE_KEYS, required=("name", "authority", "facts", "expect")
        )
        merged = {**self.defaults, **values}
        asks = reader.mapping(values.get("asks"), known=("unit", "mandate", "request"))
        asked_unit = reader.text(asks.get("unit"))
        if asked_unit and UnitKey.parse(asked_unit) is None:
            reader.note(line_of(asks["unit"]), shown(asked_unit), "Write a unit: 120101-JJ-1")
        case = Case(
            file=reader.file,
            line=line_of(node),
            name=reader.text(values.get("name")),
            covers=reader.text(values.get("covers")),
            authority=reader.text(values.get("authority")),
            hosted=frozenset(code for code, _ in reader.texts(merged.get("hosted"))),
            joined=frozenset(code for code, _ in reader.texts(merged.get("joined"))),
            now=self._now(node, merged.get("now")),
            facts=self._facts(values.get("facts")),
            states=self._states(values.get("states")),
            asked_unit=asked_unit,
            asked_mandate=reader.text(asks.get("mandate")),
            asked_request=bool(reader.flag(asks.get("request"))),
            expected=self._expected(values.get("expect")),
        )
        return case if len(reader.findings) == before else None

    def _states(self, node: Node | None) -> States:
        reader = self.reader
        found: dict[str, DestinationState] = {}
        for entry in reader.sequence(node):
            values = reader.mapping(entry, known=STATE_KEYS, required=("target", "state"))
            lease = values.get("lease_until")
            state = DestinationState(
                target=reader.text(values.get("target")),
                state=DestinationCondition(self._code(values.get("state"), DestinationCondition)),
                open_load=self._number(values.get("open_load")),
                overdue_share=self._number(values.get("overdue_share")) / 100,
                lease_until=self._now(entry, lease) if lease is not None else None,
            )
            found[state.target] = state
        return found

    def _number(self, node: Node | None) -> int:
        text = self.reader.text(node)
        if node is not None and not text.isdecimal():
            self.reader.note(line_of(node), shown(text), "Write a whole number (shares in percent)")
        return int(text) if text.isdecimal() else 0

    def _now(self, case: Node, node: Node | None) -> Instant:
        text = self.reader.text(node)
        try:
            moment = datetime.fromisoformat(text).astimezone(UTC) if _has_offset(text) else None
        except ValueError:
            moment = None
        if moment is None:
            self.reader.note(
                line_of(node or case),
                f"now {shown(text)} is no instant",
                'Write it with its offset: "2026-11-20T09:30:00+08:00"',
            )
        return moment or datetime(1970, 1, 1, tzinfo=UTC)

    def _facts(self, node: Node | None) -> RoutingFacts:
        reader = self.reader
        required = ("region", "matter", "type", "urgency")
        values = reader.mapping(node, known=FACT_KEYS, required=required)
        given: dict[str, Any] = {
            **{key: reader.text(values.get(key)) for key in TEXT_FACTS},
            **{key: bool(reader.flag(values.get(key))) for key in FLAG_FACTS},
            **{key: self._code(values.get(key), table) for key, table in CODE_FACTS.items()},
        }
        for key in LIST_FACTS:
            given[key] = tuple(text for text, _ in reader.texts(values.get(key)))
        region = values.get("region")
        given["region"] = "" if region is None or region.value == "" else reader.text(region)
        given["risk_tags"] = tuple(sorted(reader.among(values.get("risk_tags"), _members(RiskTag))))
        return RoutingFacts(**given)

    def _code(self, node: Node | None, table: type[Code]) -> int:
        text = self.reader.text(node)
        if node is None or not text or not self.reader.choice(text, line_of(node), _words(table)):
            return 0
        return int(table[text.upper()])

    def _expected(self, node: Node | None) -> dict[str, str]:
        reader = self.reader
        values = reader.mapping(node, known=EXPECT_KEYS)
        if node is not None and not values:
            reader.note(line_of(node), "nothing is expected", "Expect at least an action")
        expected: dict[str, str] = {}
        for key, value in values.items():
            if key in EXPECT_LISTS:
                expected[key] = ",".join(text for text, _ in reader.texts(value))
            elif key in EXPECT_EMPTY and value.value == "":
                expected[key] = ""
            else:
                expected[key] = reader.text(value)
        if "action" in values:
            reader.choice(expected["action"], line_of(values["action"]), _words(Action))
        if "offer_reason" in values:
            reader.choice(
                expected["offer_reason"], line_of(values["offer_reason"]), _words(OfferReason)
            )
        return expected


def _has_offset(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None


def _members(table: type[Code]) -> dict[str, Code]:
    return {member.name.lower(): member for member in table if member}


def _words(table: type[Code]) -> list[str]:
    return [member.name.lower() for member in table if member]
