"""Pack text → `Pack`: strict, and every problem at once with its line.

Unknown keys, repeated ids, a missing owner, legal basis or date, codes that the reference data does
not have, a region outside the owner's area, a condition that does not compile: each is a finding,
and a text with any error gives no pack. Nothing is guessed and nothing is skipped. The format is
described in docs/routing.md#packs and in routing_rules/schema/pack.schema.json. Keys are English;
data may be Chinese.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from yaml.nodes import MappingNode, Node

from gateway.kernel.codes import (
    Channel,
    EmergencyLine,
    NoiseSource,
    RiskTag,
    SubjectKind,
    TicketType,
    Urgency,
)
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.reference.matters import Management
from gateway.reference.regions import Level
from gateway.reference.units import UnitRef, parse_unit_ref
from gateway.routing.model import (
    Assign,
    Condition,
    ConditionFault,
    Conditions,
    External,
    Finding,
    Guard,
    Help,
    Lead,
    Offer,
    Pack,
    Refer,
    Reference,
    RegionFact,
    Rule,
    RuleAction,
    Selectors,
    Triage,
    Unless,
)
from gateway.routing.nodes import Reader, is_null, line_of, shown

RULES_MAX = 2_000  # per pack; a person must be able to review a version
GUARDS_MAX = 50  # each is asked for each unit
PAIRS_MAX = 500  # regions x matters of one rule; keeps the index small
ASSISTING_MAX = 10
CONDITION_LENGTH_MAX = 500
PACK_KEYS = ("pack", "owner", "title", "guards", "rules")
CLAUSE_KEYS = ("id", "owner", "legal_basis", "effective_from", "effective_to", "when")
CLAUSE_REQUIRED = ("id", "owner", "legal_basis", "effective_from", "effective_to", "explanation")
RULE_KEYS = (*CLAUSE_KEYS, "then", "explanation")
GUARD_KEYS = (*CLAUSE_KEYS, "forbid", "unless", "explanation")
SELECTOR_KEYS = (
    "regions",
    "matters",
    "types",
    "channels",
    "urgencies",
    "subject_kinds",
    "risk_tags",
    "zones",
    "reported_kinds",
    "reported_unit",
    "secrecy_required",
    "on_boundary",
    "if",
)
# A condition may fail to evaluate, and a guard must never let something pass for that.
GUARD_SELECTOR_KEYS = tuple(key for key in SELECTOR_KEYS if key != "if")
ACTION_KEYS = ("assign", "offer", "refer", "external", "triage", "lead", "help")
ASSIGN_KEYS = ("unit", "kind", "level", "assist", "mandate")
FORBID_KEYS = ("reported", "kinds", "managements")
LEVELS = {"province": Level.PROVINCE}
OF_PLACE = "place"
_PACK_NAME = re.compile(r"[1-9][0-9]{5}\.[a-z0-9.-]{1,53}")
_CLAUSE_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)+")
_CLAUSE_ID_LENGTH_MAX = 80


TYPES = {member.name.lower(): member for member in TicketType if member}
CHANNELS = {member.name.lower(): member for member in Channel if member}
URGENCIES = {member.name.lower(): member for member in Urgency if member}
SUBJECT_KINDS = {member.name.lower(): member for member in SubjectKind if member}
RISK_TAGS = {member.name.lower(): member for member in RiskTag if member}
NOISE_SOURCES = {member.name.lower(): member for member in NoiseSource if member}
LINES = {member.name.lower(): member for member in EmergencyLine if member}
MANAGEMENTS = {member.name.lower(): member for member in Management}
UNLESS = {member.value: member for member in Unless}
HELP_REGIONS = {member.word: member for member in RegionFact}
LEAD_REGIONS = {word: each for word, each in HELP_REGIONS.items() if each is not RegionFact.PASSING}


@dataclass(frozen=True, slots=True)
class ParseResult:
    """The pack, or None when it has errors; all findings, warnings among them."""

    pack: Pack | None
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that refuse the pack."""
        return tuple(finding for finding in self.findings if finding.is_error)


def parse_pack(
    source: bytes, *, name: str, reference: Reference, conditions: Conditions
) -> ParseResult:
    """Return the pack of a text; `name` is the file's name without its suffix."""
    reader = Reader(name)
    top = reader.compose(source)
    pack = None
    if top is not None:
        pack = _PackParser(reader, reference, conditions).parse(top, name=name, source=source)
    has_errors = any(finding.is_error for finding in reader.findings)
    return ParseResult(None if has_errors else pack, tuple(reader.findings))


@dataclass(slots=True)
class _PackParser:
    reader: Reader
    reference: Reference
    conditions: Conditions
    owner: str = ""

    def parse(self, top: MappingNode, *, name: str, source: bytes) -> Pack:
        reader = self.reader
        values = reader.mapping(top, known=PACK_KEYS, required=("pack", "owner", "title", "rules"))
        self.owner = self._owner(values.get("owner"))
        pack = reader.text(values.get("pack"), length_max=60)
        fits = pack == name and _PACK_NAME.fullmatch(pack) and pack[:6] == self.owner
        if pack and not fits:
            reader.note(
                line_of(values["pack"]),
                f"pack {shown(pack)} in file {shown(name)} of owner {shown(self.owner)}",
                "Name both {owner}.{name} in small letters, digits, dots and hyphens",
            )
        rules = reader.sequence(values.get("rules"), length_max=RULES_MAX)
        guards = reader.sequence(values.get("guards"), length_max=GUARDS_MAX)
        seen: dict[str, int] = {}
        return Pack(
            pack=pack,
            owner=AuthorityCode(self.owner),
            title=reader.text(values.get("title"), length_max=100),
            version=hashlib.sha256(source).hexdigest(),
            source=source.decode("utf-8-sig"),
            rules=tuple(rule for node in rules if (rule := self._rule(node, seen))),
            guards=tuple(guard for node in guards if (guard := self._guard(node, seen))),
        )

    def _owner(self, node: Node | None) -> str:
        owner = self.reader.text(node, length_max=6)
        region = self.reference.regions.current(owner) if owner else None
        if node is not None and owner and (region is None or region.level is Level.COUNTY):
            self.reader.note(
                line_of(node),
                f"owner {shown(owner)} is no authority",
                "Give a city, province or the nation by its code in use",
            )
            return ""
        return owner

    def _rule(self, node: Node, seen: dict[str, int]) -> Rule | None:
        required = (*CLAUSE_REQUIRED, "then")
        values = self.reader.mapping(node, known=RULE_KEYS, required=required)
        selectors = self._selectors(values.get("when"), known=SELECTOR_KEYS)
        action = self._action(values.get("then"))
        clause = self._clause(values, seen)
        if clause is None or action is None:
            return None
        return Rule(
            id=clause.id,
            owner=clause.owner,
            legal_basis=clause.legal_basis,
            effective_from=clause.effective_from,
            effective_to=clause.effective_to,
            explanation=clause.explanation,
            selectors=selectors,
            action=action,
            line=line_of(node),
        )

    def _guard(self, node: Node, seen: dict[str, int]) -> Guard | None:
        reader = self.reader
        required = (*CLAUSE_REQUIRED, "forbid")
        values = reader.mapping(node, known=GUARD_KEYS, required=required)
        selectors = self._selectors(values.get("when"), known=GUARD_SELECTOR_KEYS)
        forbid = reader.mapping(values.get("forbid"), known=FORBID_KEYS)
        if "forbid" in values and not forbid:
            reader.note(line_of(values["forbid"]), "forbids nothing", "Name what it forbids")
        if self.owner and not _may_guard(self.owner):
            reader.note(line_of(node), "a guard of a city", "Guards are national or provincial")
        kinds = self._kinds(forbid.get("kinds"))
        clause = self._clause(values, seen)
        if clause is None:
            return None
        return Guard(
            id=clause.id,
            owner=clause.owner,
            legal_basis=clause.legal_basis,
            effective_from=clause.effective_from,
            effective_to=clause.effective_to,
            explanation=clause.explanation,
            selectors=selectors,
            forbids_reported=bool(reader.flag(forbid.get("reported"))),
            forbidden_kinds=kinds,
            forbidden_managements=reader.among(forbid.get("managements"), MANAGEMENTS),
            unless=reader.among(values.get("unless"), UNLESS),
            line=line_of(node),
        )

    def _clause(self, values: Mapping[str, Node], seen: dict[str, int]) -> _Clause | None:
        reader = self.reader
        clause_id = reader.text(values.get("id"), length_max=_CLAUSE_ID_LENGTH_MAX)
        if clause_id and not _CLAUSE_ID.fullmatch(clause_id):
            reader.note(
                line_of(values["id"]),
                f"id {shown(clause_id)}",
                "Write kebab-case words joined by dots, like noise.night.construction",
            )
        elif clause_id in seen:
            reader.note(
                line_of(values["id"]),
                f"id {clause_id} is also on line {seen[clause_id]}",
                "Give every rule and guard an id of its own and never reuse one",
            )
        elif clause_id:
            seen[clause_id] = line_of(values["id"])
        owner = reader.text(values.get("owner"), length_max=100)
        basis = reader.text(values.get("legal_basis"))
        explanation = reader.text(values.get("explanation"))
        starts, ends = self._dates(values)
        if starts is None:
            return None
        return _Clause(clause_id, owner, basis, starts, ends, explanation)

    def _dates(self, values: Mapping[str, Node]) -> tuple[date | None, date | None]:
        reader = self.reader
        starts = reader.day(values.get("effective_from"))
        ends = reader.day(values.get("effective_to"))
        node = values.get("effective_from")
        if node is not None and is_null(node):
            reader.note(line_of(node), "effective_from is empty", "Give the first day it holds")
        if starts is not None and ends is not None and ends <= starts:
            reader.note(
                line_of(values["effective_to"]),
                f"it ends on {ends}, not after it begins",
                "effective_to is the first day on which it no longer holds, or null",
            )
        return starts, ends

    # --- selectors -----------------------------------------------------------------------------

    def _selectors(self, node: Node | None, *, known: tuple[str, ...]) -> Selectors:
        reader = self.reader
        values = reader.mapping(node, known=known)
        regions = tuple(
            code for code, line in reader.texts(values.get("regions")) if self._area(code, line)
        )
        matters = tuple(
            code for code, line in reader.texts(values.get("matters")) if self._matter(code, line)
        )
        if node is not None and len(regions) * len(matters) > PAIRS_MAX:
            reader.note(
                line_of(node),
                f"{len(regions)} regions x {len(matters)} matters",
                f"Stay within {PAIRS_MAX} pairs; name a region or matter above them",
            )
        return Selectors(
            regions=regions,
            matters=matters,
            types=reader.among(values.get("types"), TYPES),
            channels=reader.among(values.get("channels"), CHANNELS),
            urgencies=reader.among(values.get("urgencies"), URGENCIES),
            subject_kinds=reader.among(values.get("subject_kinds"), SUBJECT_KINDS),
            risk_tags=reader.among(values.get("risk_tags"), RISK_TAGS),
            zones=frozenset(
                zone for zone, line in reader.texts(values.get("zones")) if self._zone(zone, line)
            ),
            reported_kinds=self._kinds(values.get("reported_kinds")),
            reported_unit=reader.flag(values.get("reported_unit")),
            secrecy_required=reader.flag(values.get("secrecy_required")),
            on_boundary=reader.flag(values.get("on_boundary")),
            condition=self._condition(values.get("if")),
        )

    def _condition(self, node: Node | None) -> Condition | None:
        text = self.reader.text(node, length_max=CONDITION_LENGTH_MAX)
        if node is None or not text:
            return None
        compiled = self.conditions.compile(text)
        if not isinstance(compiled, ConditionFault):
            return compiled
        # A text in quotes begins on the node's line, one after `|` or `>` on the next.
        first = line_of(node) + (getattr(node, "style", None) in {"|", ">"})
        place = f"if, character {compiled.column}"
        if compiled.line > 1:
            place = f"if, line {compiled.line}, character {compiled.column}"
        line = first + compiled.line - 1
        self.reader.note(line, f"{place}: {compiled.problem}", compiled.advice)
        return None

    def _area(self, code: str, line: int) -> bool:
        regions = self.reference.regions
        if regions.current(code) is None:
            self.reader.note(
                line,
                f"region {shown(code)} is not in use",
                "Give a six-digit code of areacodes.csv that is in use today",
            )
            return False
        if self.owner and not regions.is_within(code, self.owner):
            self.reader.note(
                line, f"region {code} is outside {self.owner}", "Rule only over the owner's area"
            )
            return False
        return True

    def _matter(self, code: str, line: int) -> bool:
        if code in self.reference.matters:
            return True
        self.reader.note(line, f"matter {shown(code)} is not known", "Use a code of matters.csv")
        return False

    def _zone(self, zone: str, line: int) -> bool:
        if zone in self.reference.zones:
            return True
        self.reader.note(line, f"zone {shown(zone)} is not known", "Use a zone of zones.csv")
        return False

    def _kinds(self, node: Node | None) -> frozenset[str]:
        return frozenset(
            kind for kind, line in self.reader.texts(node) if self._is_kind(kind, line)
        )

    def _is_kind(self, kind: str, line: int) -> bool:
        if kind in self.reference.kinds:
            return True
        self.reader.note(line, f"kind {shown(kind)} is not known", "Use a kind of org_kinds.csv")
        return False

    # --- actions -------------------------------------------------------------------------------

    def _action(self, node: Node | None) -> RuleAction | None:
        reader = self.reader
        values = reader.mapping(node, known=ACTION_KEYS)
        if node is None:
            return None
        if len(values) != 1:
            reader.note(
                line_of(node),
                f"{len(values)} actions",
                f"Give exactly one of {', '.join(ACTION_KEYS)}",
            )
            return None
        ((key, value),) = values.items()
        match key:
            case "assign":
                return self._assign(value)
            case "offer":
                return self._offer(value)
            case "refer":
                return self._refer(value)
            case "lead":
                fact = self._region_fact(value, LEAD_REGIONS)
                return Lead(fact) if fact else None
            case "help":
                fact = self._region_fact(value, HELP_REGIONS)
                return Help(fact) if fact else None
            case "external":
                body = self._only_text(value, "body")
                return External(body) if body else None
            case _:
                question = self._only_text(value, "question")
                return Triage(question) if question else None

    def _only_text(self, node: Node, key: str) -> str:
        inner = self.reader.mapping(node, known=(key,), required=(key,))
        return self.reader.text(inner.get(key))

    def _region_fact(self, node: Node, facts: Mapping[str, RegionFact]) -> RegionFact | None:
        word = self._only_text(node, "region")
        if not word or not self.reader.choice(word, line_of(node), facts):
            return None
        return facts[word]

    def _refer(self, node: Node) -> Refer | None:
        inner = self.reader.mapping(node, known=("line",), required=("line",))
        line = self.reader.text(inner.get("line"))
        if not line or not self.reader.choice(line, line_of(inner["line"]), LINES):
            return None
        return Refer(LINES[line])

    def _offer(self, node: Node) -> Offer | None:
        inner = self.reader.mapping(node, known=("to",), required=("to",))
        to = self.reader.text(inner.get("to"))
        if not to:
            return None
        if to == OF_PLACE:
            return Offer(None)
        region = self.reference.regions.current(to)
        if region is None or region.level not in {Level.PROVINCE, Level.CITY}:
            self.reader.note(
                line_of(inner["to"]),
                f"offer to {shown(to)}",
                "Name `place`, or a province or city by its code in use",
            )
            return None
        return Offer(AuthorityCode(to))

    def _assign(self, node: Node) -> Assign | None:
        reader = self.reader
        values = reader.mapping(node, known=ASSIGN_KEYS)
        targets = [key for key in ("unit", "kind") if key in values]
        if len(targets) != 1:
            reader.note(line_of(node), f"{len(targets)} targets", "Give either unit or kind")
            return None
        target = values[targets[0]]
        lead = self._ref(reader.text(target), line_of(target), is_unit=targets == ["unit"])
        level_text = reader.text(values.get("level"))
        if level_text:
            reader.choice(level_text, line_of(values["level"]), LEVELS)
        assist = reader.sequence(values.get("assist"), length_max=ASSISTING_MAX)
        helpers = [self._ref(reader.text(each), line_of(each), is_unit=None) for each in assist]
        mandate = reader.text(values.get("mandate"))
        if lead is None:
            return None
        return Assign(
            lead=lead,
            level=LEVELS.get(level_text),
            assisting=tuple(helper for helper in helpers if helper is not None),
            mandate=mandate,
        )

    def _ref(self, text: str, line: int, *, is_unit: bool | None) -> UnitRef | None:
        if not text:
            return None
        ref = parse_unit_ref(text)
        if ref is None or (is_unit is not None and is_unit is (ref.unit_id is None)):
            self.reader.note(
                line, f"{shown(text)} is no unit or kind", "Write 131000-JT-1, JT or GY-2"
            )
            return None
        if ref.unit_id is None:
            return ref if self._is_kind(ref.kind, line) else None
        unit = self.reference.units.find(ref.unit_id)
        if unit is None or not self.reference.regions.is_within(unit.authority, self.owner):
            self.reader.note(
                line,
                f"unit {ref.unit_id} is not one of {shown(self.owner)}",
                "Use a unit of the owner or of its cities from units/*.csv",
            )
            return None
        return ref


@dataclass(frozen=True, slots=True)
class _Clause:
    """What rules and guards have in common."""

    id: str
    owner: str
    legal_basis: str
    effective_from: date
    effective_to: date | None
    explanation: str


def _may_guard(owner: str) -> bool:
    return owner == NATION or owner.endswith("0000")
