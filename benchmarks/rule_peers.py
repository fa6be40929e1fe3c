"""The peers of `lubiao bench rules`, each on the fastest path that it has.

zen-engine: one first-hit decision table, asked by key through a static loader (`evaluate`; loading
a decision by hand is several times as slow), with no trace. Columns that no rule uses are left out,
narrow columns come first, region and matter are compared level by level, which is faster than by
prefix. It answers with the first rule only.

CLIPS: one rule each over one template; the Rete network compares constants by hash. A ticket is
asserted, the agenda is read (every rule that selects it, so this is also the explanation), and the
ticket is retracted; nothing is fired.

What each is asked with is made beforehand, outside the measured time, and has only the values that
some rule looks at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from benchmarks.rule_workload import FIRST_DAY, WINDOW_MINUTES, Ticket, Workload
from gateway.kernel.time import day_of
from gateway.reference.data import ReferenceData
from gateway.reference.matters import matter_path
from gateway.reference.regions import Level
from gateway.routing.model import DayKind, Rule, UnitKey

BUILD_SECONDS_MAX = 120  # of CLIPS; its network takes longer for each further rule
Input = dict[str, Any]
Engine = Callable[[Input], object]  # asked in the measured time
_LEVELS = {Level.PROVINCE: "province", Level.CITY: "city", Level.COUNTY: "county"}
_MATTERS = ("domain", "group", "matter")
_LAST_DAY = FIRST_DAY.toordinal() + WINDOW_MINUTES // (24 * 60) + 1
_FLAGS = ("reported_unit", "secrecy_required", "on_boundary")
_PLAIN = ("noise_source", "industry", "at_night", "owner_unknown", "insured_region")


def inputs_of(
    tickets: Sequence[Ticket], workload: Workload, reference: ReferenceData
) -> list[Input]:
    """Return tickets as zen is asked with them."""
    rows = [_zen_row(rule, workload, reference) for rule in workload.rules]
    used = {name for row in rows for name, cell in row.items() if cell}
    used |= set(_PLAIN) if "condition" in used else set()
    return [
        {name: value for name, value in _input(ticket, reference).items() if name in used}
        for ticket in tickets
    ]


def _input(ticket: Ticket, reference: ReferenceData) -> Input:
    facts, moment, regions = ticket.facts, ticket.moment, reference.regions
    found: Input = dict.fromkeys((*_LEVELS.values(), *_MATTERS), "")
    for code in regions.path(facts.region):
        if (name := _LEVELS.get(regions.level(code))) is not None:
            found[name] = code
    for name, code in zip(_MATTERS, reversed(matter_path(facts.matter)), strict=False):
        found[name] = code
    keys = (UnitKey.parse(name) for name in facts.reported_units)
    found |= {
        "type": facts.type,
        "urgency": facts.urgency,
        "channel": facts.channel,
        "subject_kind": facts.subject_kind,
        "risk_tags": list(facts.risk_tags),
        "zone": facts.zone,
        "reported_kinds": [key.kind for key in keys if key],
        "reported_unit": bool(facts.reported_units),
        "secrecy_required": facts.secrecy_required,
        "on_boundary": facts.on_boundary,
        "minute": moment.minute,
        "is_working": moment.day_kind is DayKind.WORKING,
        "day": moment.day.toordinal(),
    }
    return found | {name: getattr(facts, name) for name in _PLAIN}


# --- zen-engine ---------------------------------------------------------------------------------


def zen_engine(workload: Workload, reference: ReferenceData) -> Engine:
    """Return zen-engine over the rules; raise `ImportError` without the package."""
    import zen  # noqa: PLC0415 (a peer that need not be installed)

    table = _table(workload, reference)
    engine = zen.ZenEngine({"loader": {"type": "static", "content": {"rules": table}}})
    evaluate = engine.evaluate

    def ask(given: Input) -> object:
        return evaluate("rules", given)

    return ask


def rule_of_zen(answer: Any) -> str | None:
    """Return the rule that zen-engine found, or None."""
    found: str | None = answer["result"].get("rule") if answer["result"] else None
    return found


def _table(workload: Workload, reference: ReferenceData) -> Input:
    rows = [_zen_row(rule, workload, reference) for rule in workload.rules]
    used = {name for row in rows for name, cell in row.items() if cell and name != "rule"}
    order = ("county", "matter", "city", "group", "province", "domain")
    names = [name for name in order if name in used] + sorted(used - set(order))
    return {
        "nodes": [
            {"id": "in", "name": "in", "type": "inputNode"},
            {
                "id": "table",
                "name": "table",
                "type": "decisionTableNode",
                "content": {
                    "hitPolicy": "first",
                    "inputs": [
                        {"id": name, "name": name, "field": "" if name == "condition" else name}
                        for name in names
                    ],
                    "outputs": [{"id": "rule", "name": "rule", "field": "rule"}],
                    "rules": [
                        {"_id": rule.id, "rule": f'"{rule.id}"'}
                        | {name: row.get(name, "") for name in names}
                        for rule, row in zip(workload.rules, rows, strict=True)
                    ],
                },
            },
            {"id": "out", "name": "out", "type": "outputNode"},
        ],
        "edges": [
            {"id": "a", "sourceId": "in", "targetId": "table", "type": "edge"},
            {"id": "b", "sourceId": "table", "targetId": "out", "type": "edge"},
        ],
    }


def _zen_row(rule: Rule, workload: Workload, reference: ReferenceData) -> dict[str, str]:
    selectors = rule.selectors
    row = {
        _LEVELS[reference.regions.level(selectors.regions[0])]: _texts(selectors.regions),
        _MATTERS[len(matter_path(selectors.matters[0])) - 1]: _texts(selectors.matters),
        "type": _numbers(selectors.types),
        "urgency": _numbers(selectors.urgencies),
        "channel": _numbers(selectors.channels),
        "subject_kind": _numbers(selectors.subject_kinds),
        "zone": _texts(sorted(selectors.zones)),
        "minute": ", ".join(_stretch(h.start_minute, h.end_minute) for h in selectors.hours),
    }
    if selectors.risk_tags:
        row["risk_tags"] = f"some($, # in [{_numbers(selectors.risk_tags)}])"
    if selectors.reported_kinds:
        row["reported_kinds"] = f"some($, # in [{_texts(sorted(selectors.reported_kinds))}])"
    if selectors.day_kinds:
        row["is_working"] = str(DayKind.WORKING in selectors.day_kinds).lower()
    for name in _FLAGS:
        if (wanted := getattr(selectors, name)) is not None:
            row[name] = str(wanted).lower()
    if (days := _days(rule)) is not None:
        row["day"] = f"[{days[0]}..{days[1]})"
    if selectors.condition is not None:
        row["condition"] = workload.text_of(selectors.condition).zen
    return row


def _stretch(start: int, end: int) -> str:
    return f"[{start}..{end})" if start < end else f">= {start}, < {end}"


def _texts(codes: Sequence[str]) -> str:
    return ", ".join(f'"{code}"' for code in codes)


def _numbers(codes: frozenset[Any]) -> str:
    return ", ".join(str(int(code)) for code in sorted(codes))


def _days(rule: Rule) -> tuple[int, int] | None:
    """Return the days of a rule as ordinals; None when it holds through all tickets."""
    starts, ends = rule.effective_from, rule.effective_to or date.max
    if starts <= day_of(FIRST_DAY) and ends.toordinal() >= _LAST_DAY:
        return None
    return starts.toordinal(), ends.toordinal()


# --- CLIPS --------------------------------------------------------------------------------------

_TEMPLATE = """(deftemplate ticket
  (slot county (type STRING)) (slot matter (type STRING)) (slot city (type STRING))
  (slot group (type STRING)) (slot province (type STRING)) (slot domain (type STRING))
  (slot type (type INTEGER)) (slot urgency (type INTEGER)) (slot channel (type INTEGER))
  (slot subject_kind (type INTEGER)) (slot zone (type STRING)) (slot minute (type INTEGER))
  (slot day (type INTEGER)) (slot is_working (type SYMBOL)) (slot reported_unit (type SYMBOL))
  (slot secrecy_required (type SYMBOL)) (slot on_boundary (type SYMBOL))
  (slot at_night (type SYMBOL)) (slot owner_unknown (type SYMBOL)) (slot noise_source)
  (slot industry (type STRING)) (slot insured_region (type STRING))
  (multislot risk_tags) (multislot reported_kinds))"""
_SLOTS = (
    *("county", "matter", "city", "group", "province", "domain", "type", "urgency", "channel"),
    *("subject_kind", "zone", "minute", "day", "is_working", "reported_unit", "secrecy_required"),
    *("on_boundary", "risk_tags", "reported_kinds"),
)


def clips_engine(workload: Workload, reference: ReferenceData) -> Engine:
    """Return CLIPS over the rules; raise `ImportError` without the package."""
    import clips  # type: ignore[import-untyped]  # noqa: PLC0415 (an optional peer, no stubs)

    environment = clips.Environment()
    environment.build(_TEMPLATE)
    began = time.process_time()
    for number, rule in enumerate(workload.rules):
        environment.build(_defrule(number, rule, workload, reference))
        if time.process_time() - began > BUILD_SECONDS_MAX:
            raise TimeoutError(f"{number} rules took {BUILD_SECONDS_MAX} s to build")
    put = environment.find_template("ticket").assert_fact

    def ask(given: Input) -> object:
        fact = put(**given)
        found = [activation.name for activation in environment.activations()]
        fact.retract()
        return found

    return ask


def clips_inputs(inputs: Sequence[Input]) -> list[Input]:
    """Return inputs with truth as CLIPS has it: a symbol."""
    from clips import Symbol  # noqa: PLC0415 (a peer that need not be installed)

    truth = {True: Symbol("TRUE"), False: Symbol("FALSE")}
    return [
        {name: truth[value] if isinstance(value, bool) else value for name, value in each.items()}
        for each in inputs
    ]


def rules_of_clips(answer: Any, workload: Workload) -> list[str]:
    """Return the rules on the agenda, in the order of their pack."""
    return [workload.rules[number].id for number in sorted({int(name[1:]) for name in answer})]


def _defrule(number: int, rule: Rule, workload: Workload, reference: ReferenceData) -> str:
    selectors = rule.selectors
    level = _LEVELS[reference.regions.level(selectors.regions[0])]
    matter = _MATTERS[len(matter_path(selectors.matters[0])) - 1]
    slots = {
        level: "|".join(f'"{code}"' for code in selectors.regions),
        matter: "|".join(f'"{code}"' for code in selectors.matters),
        "type": _either(selectors.types),
        "urgency": _either(selectors.urgencies),
        "channel": _either(selectors.channels),
        "subject_kind": _either(selectors.subject_kinds),
        "zone": "|".join(f'"{zone}"' for zone in sorted(selectors.zones)),
    }
    for stretch in selectors.hours:
        start, end = stretch.start_minute, stretch.end_minute
        how = "and" if start < end else "or"
        slots["minute"] = f"?m&:({how} (>= ?m {start}) (< ?m {end}))"
    if (days := _days(rule)) is not None:
        slots["day"] = f"?d&:(and (>= ?d {days[0]}) (< ?d {days[1]}))"
    if selectors.day_kinds:
        slots["is_working"] = str(DayKind.WORKING in selectors.day_kinds).upper()
    for name in _FLAGS:
        if (wanted := getattr(selectors, name)) is not None:
            slots[name] = str(wanted).upper()
    if selectors.risk_tags:
        slots["risk_tags"] = f"$? {_either(selectors.risk_tags)} $?"
    if selectors.reported_kinds:
        slots["reported_kinds"] = (
            f"$? {'|'.join(map(_quoted, sorted(selectors.reported_kinds)))} $?"
        )
    pattern = " ".join(f"({name} {slots[name]})" for name in _SLOTS if slots.get(name))
    if selectors.condition is not None:
        pattern += " " + workload.text_of(selectors.condition).clips
    return f"(defrule r{number} (ticket {pattern}) =>)"


def _either(codes: frozenset[Any]) -> str:
    return "|".join(str(int(code)) for code in sorted(codes))


def _quoted(text: str) -> str:
    return f'"{text}"'
