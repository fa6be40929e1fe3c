"""Rule packs of any form on this machine: read whole or refused with everything that is wrong.

Shared by the commands under `lubiao rules`. A finding names the line of a YAML file or the cell of
a sheet, and shows its witness: a ticket in which the fault is seen.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.checking.model import Finding
from gateway.cli.output import Exit, pick, print_json, print_line, say
from gateway.kernel.codes import Channel, Code, RiskTag, SubjectKind, TicketType, Urgency
from gateway.kernel.data import data_path
from gateway.kernel.errors import ResourceNotFound
from gateway.kernel.time import SHANGHAI, Instant
from gateway.reference.data import ReferenceData
from gateway.rehearsal.scenes import name_of
from gateway.routing.facts import RoutingFacts
from gateway.routing.model import Finding as RoutingFinding
from gateway.routing.model import Witness
from gateway.sheets.convert import YAML, read_pack, read_source
from gateway.sheets.model import Cell, SheetFinding

RULES = "routing_rules"  # of the release
WARNINGS_SHOWN = 3  # of one kind about one pack; a young pack has dozens of gaps
ReferenceFolder = Annotated[
    Path | None, typer.Option("--reference", help="基础数据目录 / folder of reference data")
]
RulesFolder = Annotated[
    Path | None,
    typer.Option("--rules", help="规则目录，含 packs、cases、reference / folder with all of them"),
]


@dataclass(frozen=True, slots=True)
class PackFile:
    """A pack's text, its name, and the cells of its lines when it came from sheets."""

    path: Path
    source: bytes
    name: str
    cells: Mapping[int, Cell]

    def place(self, line: int) -> str:
        """Return where a line is, for people: a cell or a line."""
        cell = self.cells.get(line)
        if cell is not None:
            return str(cell)
        return f"{self.path.name}:{line}" if line else self.path.name


def present() -> Instant:
    """Return the instant of a command."""
    return datetime.now(UTC)


def load_reference(folder: Path) -> ReferenceData:
    """Return the reference data of a folder that must be there."""
    if not folder.is_dir():
        raise ResourceNotFound(kind="file", name=folder)
    return ReferenceData.load(folder)


def base_of(rules: Path | None) -> Path:
    """Return the folder of one's own rules, or the release's."""
    return rules or data_path(RULES)


def read_files(paths: Sequence[Path], *, as_json: bool = False) -> list[PackFile]:
    """Return the packs of files of any form; print all problems of sheets and exit 1 for any."""
    found: list[PackFile] = []
    problems: list[SheetFinding] = []
    for path in paths:
        if path.suffix.lower() in YAML:
            # Its bytes are its version; what is wrong with it is told with everything else.
            found.append(PackFile(path, read_source(path), path.stem, {}))
            continue
        pack = read_pack(path)
        problems += [each for each in pack.findings if each.is_error]
        found.append(PackFile(path, pack.source, name_of(pack.source), pack.cells))
    if problems:
        print_sheet_findings(problems, as_json=as_json)
        raise typer.Exit(Exit.NO)
    return found


# --- findings ---------------------------------------------------------------------------------


def print_sheet_findings(findings: Sequence[SheetFinding], *, as_json: bool) -> None:
    """Print what is wrong with sheets, by cell."""
    if as_json:
        print_json(
            [
                {
                    "sheet": each.cell.sheet,
                    "cell": each.cell.name,
                    "problem": each.problem_zh,
                    "advice": each.advice_zh,
                    "problem_en": each.problem,
                    "advice_en": each.advice,
                    "is_error": each.is_error,
                }
                for each in findings
            ]
        )
        return
    for each in findings:
        text = pick(f"{each.problem_zh}。{each.advice_zh}。", f"{each.problem}. {each.advice}.")
        print_line(f"{_mark(is_error=each.is_error)} {each.cell}: {text}")


def print_findings(
    findings: Iterable[Finding],
    *,
    files: Mapping[str, PackFile],
    reference: ReferenceData,
    shows_all: bool = False,
) -> None:
    """Print what a check has to say: the code, all lines involved, a witness, what to do.

    Of warnings of one kind about one pack only the first ones are shown unless `shows_all`.
    """
    seen: Counter[tuple[str, str]] = Counter()
    for each in findings:
        if not each.is_error:
            seen[each.pack, each.code.value] += 1
        if each.is_error or shows_all or seen[each.pack, each.code.value] <= WARNINGS_SHOWN:
            _print_finding(each, files.get(each.pack), reference)
    for (pack, code), count in seen.items():
        hidden = 0 if shows_all else count - WARNINGS_SHOWN
        if hidden > 0:
            say(
                f"{pack} 另有 {hidden} 条同类提醒 [{code}]，用 --all 全部列出。",
                f"{pack}: {hidden} more warnings [{code}]; --all lists them.",
            )


def _print_finding(each: Finding, file: PackFile | None, reference: ReferenceData) -> None:
    places = [file.place(line) if file else f"{each.pack}:{line}" for line in each.lines]
    text = pick(f"{each.zh}。{each.advice_zh}。", f"{each.en}. {each.advice_en}.")
    print_line(f"{_mark(is_error=each.is_error)} {places[0]} [{each.code.value}] {text}")
    others = [
        f"{place.pack}:{place.line} {place.rule}".rstrip()
        for place in each.related
        if (place.pack, place.line) != (each.pack, each.line)
    ]
    if others:
        print_line(f"    {pick('相关', 'related')}: {', '.join(others)}")
    if each.tickets:
        print_line(f"    {pick('近期工单', 'recent tickets')}: {each.tickets}")
    if each.witness is not None:
        print_line(f"    {pick('例', 'example')}: {witness_text(each.witness, reference)}")
    elif each.no_witness:
        print_line(f"    {pick('无例', 'no example')}: {each.no_witness}")


def print_routing_findings(findings: Iterable[RoutingFinding]) -> None:
    """Print what loading or running cases has to say."""
    for each in findings:
        english = f"{each.problem}. {each.advice}."
        text = pick(f"{each.problem_zh}。{each.advice_zh}。", english)
        if not each.problem_zh:
            text = english
        print_line(f"{_mark(is_error=each.is_error)} {each.pack}:{each.line}: {text}")


def _mark(*, is_error: bool) -> str:
    return pick("错误", "error") if is_error else pick("提醒", "warning")


# --- witnesses --------------------------------------------------------------------------------


def witness_text(witness: Witness, reference: ReferenceData) -> str:
    """Return a ticket in words: who decides, when, and every fact that is not the usual one."""
    local = witness.now.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M")
    parts = [f"{witness.authority} {local}", *facts_texts(witness.facts, reference)]
    return "；".join(parts)


def facts_texts(facts: RoutingFacts, reference: ReferenceData) -> list[str]:
    """Return the facts of a ticket in words, names beside codes."""
    region = reference.regions.name(facts.region) if facts.region in reference.regions else ""
    matter = reference.matters.nearest(facts.matter)
    found = [
        f"{pick('区划', 'region')} {facts.region or '—'} {region}".rstrip(),
        f"{pick('事项', 'matter')} {facts.matter or '—'} {matter.name if matter else ''}".rstrip(),
    ]
    codes: list[Code] = [
        TicketType(facts.type),
        Urgency(facts.urgency),
        Channel(facts.channel),
        SubjectKind(facts.subject_kind),
        *(RiskTag(tag) for tag in facts.risk_tags),
    ]
    found += [pick(code.zh, code.name.lower()) for code in codes if code]
    seen = {"region", "matter", "type", "urgency", "channel", "subject_kind", "risk_tags"}
    for name in RoutingFacts.__dataclass_fields__:
        value = getattr(facts, name)
        if name not in seen and value:
            found.append(name if value is True else f"{name}={_plain(value)}")
    return found


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(str(each) for each in value)
    return json.dumps(value, ensure_ascii=False).strip('"')
