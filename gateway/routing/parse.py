"""Pack text → `Pack`: strict, and every problem at once with its line.

`document.py` reads the form in either language; here the values are held against the reference data
(scope.py), conditions are compiled, and rules and guards are made. Each problem is a finding, and a
text with any error gives no pack. Nothing is guessed and nothing is skipped. What is used of a
template becomes an ordinary rule after those written out. The format is described in
docs/routing.md#packs and in routing_rules/schema/pack.schema.json.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from gateway.kernel.ids import NATION, AuthorityCode
from gateway.reference.matters import Management
from gateway.reference.regions import Level
from gateway.routing.actions import (
    Assign,
    External,
    Help,
    Lead,
    Offer,
    RuleAction,
    Split,
    Triage,
)
from gateway.routing.document import Document, Part, load_document
from gateway.routing.facts import Conditions
from gateway.routing.model import (
    Finding,
    Guard,
    Pack,
    Reference,
    Rule,
    Selectors,
    Template,
    Told,
    Unless,
)
from gateway.routing.nodes import Reader, shown
from gateway.routing.parse_then import action_of, fallback_of, refs_of
from gateway.routing.parse_when import selectors_of
from gateway.routing.scope import Scope
from gateway.routing.templates import example_of, rule_of_use, template_of

_UNLESS = {member.value: member for member in Unless}
_TOLD = {member.value: member for member in Told}
NO_TEMPLATES: Mapping[str, Template] = {}


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
    source: bytes,
    *,
    name: str,
    reference: Reference,
    conditions: Conditions,
    templates: Mapping[str, Template] = NO_TEMPLATES,
) -> ParseResult:
    """Return the pack of a text.

    `name` is the file's name without its suffix, `templates` those of the national pack by id.
    """
    document = load_document(source, name=name)
    notes = Reader(name, list(document.findings))
    pack = None
    if document.content:
        scope = Scope(notes, reference, conditions, _owner_of(document, reference, notes))
        pack = _PackParser(scope, dict(templates)).parse(document, name=name, source=source)
    findings = tuple(sorted(notes.findings, key=lambda finding: finding.line))
    has_errors = any(finding.is_error for finding in findings)
    return ParseResult(None if has_errors else pack, findings)


def _owner_of(document: Document, reference: Reference, notes: Reader) -> str:
    owner = document.top.text("owner")
    region = reference.regions.current(owner) if owner else None
    if owner and (region is None or region.level is Level.COUNTY):
        notes.note(
            document.line("owner"),
            f"owner {shown(owner)} is no authority",
            "Give a city, province or the nation by its code in use",
            zh=(f"负责单位 {shown(owner)} 不是热线机构", "用现行的省、市代码，或全国 100000"),
            code="unknown-authority",
        )
        return ""
    return owner


@dataclass(frozen=True, slots=True)
class _PackParser:
    scope: Scope
    templates: dict[str, Template]
    seen: dict[str, int] = field(default_factory=dict)  # ids with their lines

    def parse(self, document: Document, *, name: str, source: bytes) -> Pack:
        top = document.top
        self._check_name(top, name)
        templates = [each for part in top.parts("templates") if (each := self._template(part))]
        self.templates.update({template.id: template for template in templates})
        guards = [guard for part in top.parts("guards") if (guard := self._guard(part))]
        rules = [rule for part in top.parts("rules") if (rule := self._rule(part))]
        rules += [rule for part in top.parts("use") if (rule := self._used(part))]
        return Pack(
            pack=top.text("pack"),
            owner=AuthorityCode(self.scope.owner),
            title=top.text("title"),
            version=hashlib.sha256(source).hexdigest(),
            source=source.decode("utf-8-sig"),
            rules=tuple(rules),
            guards=tuple(guards),
            templates=tuple(templates),
        )

    def _check_name(self, top: Part, name: str) -> None:
        pack, owner = top.text("pack"), self.scope.owner
        if pack and not (pack == name and pack[:6] == owner):
            self.scope.note(
                top.line_of("pack"),
                f"pack {shown(pack)} in file {shown(name)} of owner {shown(owner)}",
                "Name both {owner}.{name} in small letters, digits, dots and hyphens",
                f"规则包 {shown(pack)}、文件 {shown(name)} 与负责单位 {shown(owner)} 不一致|"
                "两者都写成“负责单位代码.名称”，用小写字母、数字、点和连字符",
                code="name",
            )

    # --- clauses -------------------------------------------------------------------------------

    def _rule(self, part: Part, *, template: str = "") -> Rule | None:
        scope = self.scope
        selectors = selectors_of(part.part("when"), scope)
        action = action_of(part.part("then"), scope)
        notify = refs_of(part, "notify", scope)
        fallback = fallback_of(part.part("unless_accepted_within"), scope)
        clause = self._clause(part)
        if action is None:
            return None
        self._check_fit(part, selectors, action)
        if clause is None:
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
            notify=notify,
            fallback=fallback,
            template=template,
            line=part.line,
        )

    def _check_fit(self, part: Part, selectors: Selectors, action: RuleAction) -> None:
        """Note what an action cannot go with."""
        line = part.line_of("then")
        if selectors.names_destination and not isinstance(
            action, Assign | Offer | External | Triage
        ):
            self.scope.note(
                line,
                "a diversion that sends nowhere",
                "With the state of the destination use assign, offer, external or triage",
                "按去向状态分流的规则没有新的去向|此时只能用派单、移交、外部转送、研判",
                code="action",
            )
        if "notify" in part.values and isinstance(action, Lead | Help | Split):
            self.scope.note(
                part.line_of("notify"),
                "notify beside an action that does not decide",
                "Put `notify` at the rule that decides",
                "不决定去向的规则不能带“知会”|写在决定去向的规则上",
                code="action",
            )
        if "unless_accepted_within" in part.values and not isinstance(action, Assign | Offer):
            self.scope.note(
                part.line_of("unless_accepted_within"),
                "nobody is asked to accept",
                "Use `unless_accepted_within` with assign or offer",
                "该处理没有接收方|“逾期未接”只用于派单和移交",
                code="action",
            )

    def _used(self, part: Part) -> Rule | None:
        rule = rule_of_use(part, self.templates, self.scope)
        return self._rule(rule, template=part.text("template")) if rule is not None else None

    def _template(self, part: Part) -> Template | None:
        scope = self.scope
        if scope.owner and scope.owner != NATION:
            scope.note(
                part.line,
                "a template outside the national pack",
                "Write a rule, or ask the nation for a template",
                "只有国家规则包可以定义模板|写成规则，或向国家规则管理方提出",
                code="template",
            )
        template = template_of(part, scope)
        if template is None:
            return None
        self._claim_id(part)
        if (example := example_of(template, part, scope)) is not None:
            aside = _PackParser(scope, {})  # its id is nobody's
            aside._rule(example)
        return template

    def _guard(self, part: Part) -> Guard | None:
        scope = self.scope
        selectors = selectors_of(part.part("when"), scope)
        if scope.owner and not _may_guard(scope.owner):
            scope.note(
                part.line,
                "a guard of a city",
                "Guards are national or provincial",
                "市级不能设护栏|护栏由国家或省级设定",
                code="guard",
            )
        forbid = part.part("forbid")
        kinds = (
            frozenset(scope.kept(forbid.texts("kinds"), scope.is_kind)) if forbid else frozenset()
        )
        managements = (
            frozenset(Management[word.upper()] for word, _ in forbid.texts("managements"))
            if forbid
            else frozenset()
        )
        reported = bool(forbid and forbid.flag("reported"))
        withheld = frozenset(_TOLD[word] for word, _ in part.texts("withhold_identity"))
        if forbid and forbid.values and not (kinds or managements or reported):
            scope.note(
                part.line_of("forbid"),
                "forbids nothing",
                "Name what it forbids",
                "没有禁止任何单位|写明禁止谁",
                code="guard",
            )
        clause = self._clause(part)
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
            forbids_reported=reported,
            forbidden_kinds=kinds,
            forbidden_managements=managements,
            unless=frozenset(_UNLESS[word] for word, _ in part.texts("unless")),
            withholds_identity=withheld,
            line=part.line,
        )

    def _clause(self, part: Part) -> _Clause | None:
        self._claim_id(part)
        starts, ends = _day(part, "effective_from"), _day(part, "effective_to")
        if starts is not None and ends is not None and ends <= starts:
            self.scope.note(
                part.line_of("effective_to"),
                f"it ends on {ends}, not after it begins",
                "effective_to is the first day on which it no longer holds, or null",
                f"失效日期 {ends} 不晚于生效日期|失效日期是不再有效的第一天，长期有效写“无”",
                code="dates",
            )
        if starts is None:
            return None
        return _Clause(
            part.text("id"),
            part.text("owner"),
            part.text("legal_basis"),
            part.text("explanation"),
            starts,
            ends,
        )

    def _claim_id(self, part: Part) -> None:
        """Note an id that is there before."""
        clause_id = part.text("id")
        if clause_id in self.seen:
            self.scope.note(
                part.line_of("id"),
                f"id {clause_id} is also on line {self.seen[clause_id]}",
                "Give every rule and guard an id of its own and never reuse one",
                f"编号 {clause_id} 在第 {self.seen[clause_id]} 行已用|编号唯一，永不重用",
                code="repeated-id",
            )
        elif clause_id:
            self.seen[clause_id] = part.line_of("id")


@dataclass(frozen=True, slots=True)
class _Clause:
    """What rules and guards have in common."""

    id: str
    owner: str
    legal_basis: str
    explanation: str
    effective_from: date
    effective_to: date | None


def _day(part: Part, key: str) -> date | None:
    text = part.text(key)
    return date.fromisoformat(text) if text else None


def _may_guard(owner: str) -> bool:
    return owner == NATION or owner.endswith("0000")
