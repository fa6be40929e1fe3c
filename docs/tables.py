"""Render the tables of the chapters from the code: `python docs/tables.py [--update]`.

A chapter holds a pair of markers, `<!-- table: custody.local -->` and `<!-- end of table -->`, and
what stands between them is made here from the very tables that the program runs on, so a chapter
cannot say something else than the code. Without `--update` it lists the chapters that are stale and
exits with 1; tests/unit/docs does the same, and `make golden` writes.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TypeVar

from gateway.arbitration.forms import FORMS, PARTS_MAX
from gateway.arbitration.states import CASE
from gateway.arbitration.states import Step as CaseStep
from gateway.custody import model as custody
from gateway.custody.states import ANSWER_ACCEPTED, ANSWER_OTHER, LOCAL, Local
from gateway.kernel.codes import (
    AssignmentState,
    CaseState,
    Code,
    ExtensionState,
    ReturnState,
    RulePackState,
    TicketState,
    UnitRequestState,
)
from gateway.publishing.states import VERSION
from gateway.publishing.states import Step as VersionStep
from gateway.routing import words
from gateway.server.access import MATRIX
from gateway.tickets.states import (
    ASSIGNMENT,
    EXTENSION,
    EXTERNAL_ANSWER,
    REQUEST,
    RETURN,
    TICKET,
    Step,
)

ROOT = Path(__file__).resolve().parents[1]

CHAPTERS = "docs/*.md"
_BLOCK = re.compile(
    r"(?P<open><!-- table: (?P<name>[a-z.-]+) -->\n).*?(?P<close>^<!-- end of table -->$)",
    re.MULTILINE | re.DOTALL,
)
State = TypeVar("State", bound=Code)
Event = TypeVar("Event", bound=Enum)
Edges = Iterable[tuple[str, str, str]]
"""(state, event, state after) of a diagram."""


def renewed(text: str) -> str:
    """Return `text` with every marked block made anew.

    Raises:
        KeyError: a marker names a table that does not exist.
    """
    return _BLOCK.sub(
        lambda match: f"{match['open']}{TABLES[match['name']]()}{match['close']}", text
    )


def chapters() -> Iterator[Path]:
    """Yield the chapters that hold marked blocks."""
    for path in sorted(ROOT.glob(CHAPTERS)):
        if _BLOCK.search(path.read_text(encoding="utf-8")):
            yield path


# --- the tables ---------------------------------------------------------------------------------


def _custody_local() -> str:
    states = list(custody.Holding)
    rows = []
    for event in Local:
        cells = [_cell(LOCAL.get((state, event)), before=state) for state in states]
        rows.append([event.value, *cells])
    return _table(["what it wants", *(state.value for state in states)], rows)


def _custody_answer() -> str:
    rows = [
        [verdict, *(_cell(table.get(state), before=state) for state in custody.Holding)]
        for verdict, table in (("ACCEPTED", ANSWER_ACCEPTED), ("any other", ANSWER_OTHER))
    ]
    return _table(["answer to the pending offer", *(s.value for s in custody.Holding)], rows)


def _custody_diagram() -> str:
    edges = [
        (before.value, event.value, after.value)
        for (before, event), after in LOCAL.items()
        if before is not after
    ]
    for label, table in (("ACCEPTED", ANSWER_ACCEPTED), ("other answer", ANSWER_OTHER)):
        edges += [(b.value, label, a.value) for b, a in table.items() if b is not a]
    edges.append(("[*]", "Genesis", custody.Holding.HELD.value))
    return _diagram(edges, start="ABSENT")


def _custody_bounds() -> str:
    whys = {
        "OFFERS_PENDING_MAX": "two outstanding offers make two custodians in two steps",
        "HOPS_FREE_MAX": "the third hand-over of an era is a case (I5)",
        "HOPS_CONSENTED_MAX": "with an Assumption of the target",
        "REFUSALS_FREE_MAX": "the second substantive refusal opens a case (I5)",
        "HOMEWARD_MAX": "homeward offers per inner era, then a case",
        "COUNTS_PER_ERA_MAX": "bounds the chain and its tables",
        "INQUIRIES_PER_OFFER_MAX": "questions about an offer, one at a time; then decide",
        "STAND_BYS_PER_OFFER_MAX": "silence must surface: an offer has two windows at most",
    }
    rows = [[f"`{name}`", str(getattr(custody, name)), why] for name, why in whys.items()]
    return _table(["bound", "value", "why"], rows)


def _ticket_table() -> str:
    return _machine(TICKET, TicketState, Step)


def _ticket_diagram() -> str:
    edges = _edges(TICKET)
    edges += [(b.name, "external answer", a.name) for b, a in EXTERNAL_ANSWER.items()]
    return _diagram(edges, start=TicketState.RECEIVED.name)


def _assignment_table() -> str:
    return _machine(ASSIGNMENT, AssignmentState, Step)


def _assignment_diagram() -> str:
    return _diagram(_edges(ASSIGNMENT), start=AssignmentState.ASSIGNED.name)


def _case_table() -> str:
    return _machine(CASE, CaseState, CaseStep)


def _case_diagram() -> str:
    return _diagram(_edges(CASE), start=CaseState.FILED.name)


def _case_forms() -> str:
    """Return what each form of a ruling needs; what a row does not have, its order must not."""

    def named(codes: Iterable[Code]) -> str:
        found = sorted(codes)
        return ", ".join(code.name for code in found if code) if len(found) < ANY else "any"

    return _table(
        ["form", "kinds", "levels", "parts", "a matter each", "earlier ticket"],
        [
            [
                f"{form.name} {form.zh}",
                named(need.kinds),
                named(need.levels),
                f"1 to {PARTS_MAX}" if need.has_parts else "–",
                "yes" if need.has_matters else "–",
                "yes" if need.has_earlier else "–",
            ]
            for form, need in FORMS.items()
        ],
    )


def _version_table() -> str:
    return _machine(VERSION, RulePackState, VersionStep)


def _version_diagram() -> str:
    return _diagram(_edges(VERSION), start=RulePackState.DRAFT.name)


def _return_diagram() -> str:
    return _diagram(_edges(RETURN), start=ReturnState.FILED.name)


def _return_table() -> str:
    return _machine(RETURN, ReturnState, Step)


def _request_diagram() -> str:
    return _diagram(_edges(REQUEST), start=UnitRequestState.ASKED.name)


def _extension_diagram() -> str:
    return _diagram(_edges(EXTENSION), start=ExtensionState.ASKED.name)


def _access_matrix() -> str:
    rows = []
    for method, access in MATRIX.items():
        roles = ", ".join(sorted(role.value for role in access.roles)) or "any"
        is_staff = any(kind.value == "staff" for kind in access.kinds)
        if not access.allows_outsourced:
            roles += "; not hired staff"
        rows.append(
            [
                f"`{method.rpartition('.')[2]}`",
                ", ".join(sorted(kind.value for kind in access.kinds)),
                access.scope.name.lower(),
                roles if is_staff else "–",
                f"{access.deadline.total_seconds():g} s",
            ]
        )
    return _table(["RPC", "callers", "belonging to", "roles of staff", "longest"], rows)


def _routing_keys() -> str:
    return _table(
        ["in", "keys"],
        [
            [str(record), " · ".join(f"`{key}` {chinese}" for key, chinese in keys.items())]
            for record, keys in words.KEYS.items()
        ],
    )


def _routing_words() -> str:
    lists = {
        "`types`": words.TYPES,
        "`channels`": words.CHANNELS,
        "`urgencies`": words.URGENCIES,
        "`subject_kinds`": words.SUBJECT_KINDS,
        "`risk_tags`": words.RISK_TAGS,
        "`day_kinds`": words.DAY_KINDS,
        "`destination`": words.CONDITIONS,
        "`line`": words.LINES,
        "`reason`": words.REASONS,
        "`to`": words.OFFER_TO,
        "`region` of `lead`, `help`": words.HELP_REGIONS,
        "`level`": words.LEVELS,
        "`managements`": words.MANAGEMENTS,
        "`unless`": words.UNLESS,
        "`withhold_identity`": words.TOLD,
        "yes or no": words.FLAGS,
        "no end": {"null": words.NOTHING},
    }
    return _table(
        ["in", "words"],
        [
            [name, " · ".join(f"`{word}` {chinese}" for word, chinese in table.items())]
            for name, table in lists.items()
        ],
    )


ANY = 3  # of levels all, and of kinds more than a panel's two rulings proper
TABLES: Mapping[str, Callable[[], str]] = {
    "access.matrix": _access_matrix,
    "assignment.diagram": _assignment_diagram,
    "assignment.steps": _assignment_table,
    "case.diagram": _case_diagram,
    "case.forms": _case_forms,
    "case.steps": _case_table,
    "custody.answer": _custody_answer,
    "custody.bounds": _custody_bounds,
    "custody.diagram": _custody_diagram,
    "custody.local": _custody_local,
    "routing.keys": _routing_keys,
    "routing.words": _routing_words,
    "extension.diagram": _extension_diagram,
    "publishing.diagram": _version_diagram,
    "publishing.steps": _version_table,
    "request.diagram": _request_diagram,
    "return.diagram": _return_diagram,
    "return.steps": _return_table,
    "ticket.diagram": _ticket_diagram,
    "ticket.steps": _ticket_table,
}


# --- rendering ----------------------------------------------------------------------------------


def _machine(
    table: Mapping[tuple[State, Event], State], states: Iterable[State], steps: Iterable[Event]
) -> str:
    used = {state for state, _ in table}
    columns = [state for state in states if state in used]
    rows = [
        [step.value, *(_cell(table.get((state, step)), before=state) for state in columns)]
        for step in steps
        if any((state, step) in table for state in columns)
    ]
    return _table(["step", *(f"{state.name} {state.zh}" for state in columns)], rows)


def _edges(table: Mapping[tuple[State, Event], State]) -> list[tuple[str, str, str]]:
    return [(b.name, step.value, a.name) for (b, step), a in table.items() if b is not a]


def _cell(after: Enum | None, *, before: Enum) -> str:
    if after is None:
        return "!"
    return "stays" if after is before else f"→ {after.name}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _diagram(edges: Edges, *, start: str) -> str:
    """Return a Mermaid state diagram, one arrow per pair of states."""
    events: dict[tuple[str, str], list[str]] = {}
    for before, event, after in edges:
        events.setdefault((before, after), []).append(event)
    arrows = [
        f"    {before} --> {after}: {', '.join(dict.fromkeys(names))}\n"
        for (before, after), names in events.items()
    ]
    return f"```mermaid\nstateDiagram-v2\n    [*] --> {start}\n{''.join(arrows)}```\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--update", action="store_true", help="write the tables")
    update = parser.parse_args(arguments).update
    stale = 0
    for path in chapters():
        before = path.read_text(encoding="utf-8")
        after = renewed(before)
        if before == after:
            continue
        if update:
            path.write_text(after, encoding="utf-8")
            continue
        stale += 1
        sys.stderr.write(f"docs/{path.name}: a table is stale; run `make golden`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
