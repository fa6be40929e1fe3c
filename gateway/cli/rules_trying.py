"""`lubiao rules simulate|diff|preview`: what would change, before anything does.

`simulate` and `preview` ask a node, which has the history; `diff` compares two packs by meaning on
this machine, and over a node's history when one is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import grpc
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.checking.model import witness_row
from gateway.checking.solver import ProcessSolver
from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import (
    AsJson,
    harmless,
    pick,
    print_json,
    print_line,
    print_table,
    say,
)
from gateway.cli.rules_files import (
    PackFile,
    ReferenceFolder,
    RulesFolder,
    base_of,
    facts_texts,
    load_reference,
    present,
    read_files,
)
from gateway.cli.ticket import as_dict
from gateway.delivery.codec import instant_to_pb
from gateway.kernel.errors import FieldInvalid, InvariantViolated, ResourceNotFound
from gateway.kernel.ids import NATION
from gateway.kernel.time import SHANGHAI
from gateway.reference.data import ReferenceData
from gateway.rehearsal.archive import pack_folder
from gateway.rehearsal.difference import Change, Difference, Move, differ
from gateway.rehearsal.model import Report
from gateway.rehearsal.page import page, shown
from gateway.rehearsal.scenes import name_of
from gateway.rehearsal.wire import report_from_pb
from gateway.routing.conditions import cel_conditions
from gateway.routing.model import Decision, Pack
from gateway.routing.packs import PackSet, refuse
from gateway.routing.parse import parse_pack
from gateway.routing.templates import templates_of
from hotline.routing.v1 import rehearsal_pb2 as pb
from hotline.routing.v1 import routing_service_pb2_grpc as routing_grpc

TRIAL_SECONDS = 600.0  # the longest that a node works on one
DAYS = 30
ROWS_SHOWN = 50  # of each table in a terminal; the page and the JSON have more
FLOW_SAMPLES_SHOWN = 3
_KEPT = (".csv", ".yaml")
Authority = Annotated[str, typer.Option(help="决定机构 / authority whose tickets are looked at")]
Html = Annotated[Path | None, typer.Option(help="另存为网页 / write a page as well")]
Days = Annotated[int, typer.Option(help="最近几天的工单 / tickets of so many days")]


def simulate(
    *,
    files: Annotated[list[Path], typer.Argument(help="草案规则包，任何格式 / drafts, any form")],
    authority: Authority,
    days: Days = DAYS,
    until: Annotated[
        str, typer.Option("--until", help="截至某日（不含）/ before this day: 2026-11-01")
    ] = "",
    on: Annotated[
        str, typer.Option("--on", help="按哪一天的规则 / rules as of this day: 2026-12-01")
    ] = "",
    in_flight: Annotated[
        bool, typer.Option("--in-flight", help="只看在途工单 / tickets in flight only")
    ] = False,
    html: Html = None,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """用历史工单试运行草案：谁多谁少 / try drafts on past tickets: who gains, who loses."""
    request = pb.SimulateRulePackRequest(
        authority=authority,
        sources=[file.source for file in read_files(files, as_json=as_json)],
        in_flight=in_flight,
        on=_day(on, option="--on"),
    )
    _limit(request, days=days, until=until)
    _show(_ask(Target.of(node, cert, host), request), html=html, as_json=as_json)


def preview(
    *,
    on: Annotated[str, typer.Option("--on", help="预演日 / the day: 2027-01-01")],
    authority: Authority,
    reference: ReferenceFolder = None,
    html: Html = None,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """预演区划调整和责任清单变更 / what a planned change moves of the tickets in flight."""
    request = pb.SimulateRulePackRequest(
        authority=authority, in_flight=True, preview_on=_day(on, option="--on")
    )
    if reference is not None:
        load_reference(reference)  # all its problems are told here, not by the node
        request.reference_archive = pack_folder(
            {
                path.relative_to(reference).as_posix(): path.read_bytes()
                for path in reference.rglob("*")
                if path.suffix in _KEPT
            }
        )
    report = _ask(Target.of(node, cert, host), request)
    _show(report, html=html, as_json=as_json, lists_all=True)


def diff(
    *,
    old: Annotated[Path, typer.Argument(help="旧版规则包，任何格式 / old version, any form")],
    new: Annotated[Path, typer.Argument(help="新版规则包 / new version")],
    rules: RulesFolder = None,
    reference: ReferenceFolder = None,
    authority: Annotated[
        str, typer.Option(help="再用该机构的历史工单比较 / and over this authority's history")
    ] = "",
    days: Days = DAYS,
    html: Html = None,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """按含义比较两版规则包：哪些工单改派 / compare by meaning: which tickets move."""
    base = base_of(rules)
    data = load_reference(reference or base / "reference")
    before, after = read_files([old, new], as_json=as_json)
    packs = _parsed([before, after], base, data)
    others = _others(base, data, owner=packs[1].owner)
    with ProcessSolver() as solver:
        found = differ(
            packs[0], packs[1], reference=data, now=present(), others=others, solver=solver
        )
    report: Report | None = None
    if authority:
        request = pb.SimulateRulePackRequest(
            authority=authority, sources=[after.source], baseline_sources=[before.source]
        )
        _limit(request, days=days, until="")
        report = report_from_pb(_ask(Target.of(node, cert, host), request))
    if as_json:
        print_json({**_difference_row(found), "history": _report_row(report)})
        return
    _print_difference(found, data)
    if report is not None:
        print_report(report)
        _write_page(report, html)


# --- asking a node ----------------------------------------------------------------------------


def _limit(request: pb.SimulateRulePackRequest, *, days: int, until: str) -> None:
    """Set the range of a request."""
    end = present()
    if until:
        day = date.fromisoformat(_day(until, option="--until"))
        end = datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)
    request.end_time.CopyFrom(instant_to_pb(end))
    request.start_time.CopyFrom(instant_to_pb(end - timedelta(days=days)))


def _day(text: str, *, option: str) -> str:
    try:
        return date.fromisoformat(text).isoformat() if text else ""
    except ValueError as error:
        raise FieldInvalid(
            field=option, got=text, expected=pick("日期，如 2026-12-01", "a day as 2026-12-01")
        ) from error


def _ask(target: Target, request: pb.SimulateRulePackRequest) -> pb.RulePackSimulation:
    """Run a trial on a node, with a bar on standard error while it runs."""

    async def run(channel: grpc.aio.Channel) -> pb.RulePackSimulation:
        stub = routing_grpc.RoutingServiceStub(channel)
        console = Console(stderr=True)
        bar = Progress(
            TextColumn(pick("试运行", "trying")),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        with bar:
            task = bar.add_task("", total=None)
            async for answer in stub.SimulateRulePack(request, timeout=TRIAL_SECONDS):
                if answer.HasField("simulation"):
                    return answer.simulation
                bar.update(task, total=answer.progress.total, completed=answer.progress.done)
        raise InvariantViolated(invariant="a trial ends with its result", got="none")

    return target.ask(run)


# --- reports ----------------------------------------------------------------------------------


def _show(
    message: pb.RulePackSimulation, *, html: Path | None, as_json: bool, lists_all: bool = False
) -> None:
    report = report_from_pb(message)
    if as_json:
        print_json(as_dict(message))
    else:
        print_report(report, lists_all=lists_all)
    _write_page(report, html)


def _write_page(report: Report, html: Path | None) -> None:
    if html is None:
        return
    html.write_text(page(report), encoding="utf-8")
    say(f"已写出 {html}。", f"Wrote {html}.")


def print_report(report: Report, *, lists_all: bool = False) -> None:
    """Print what a trial found."""
    share = f"（{report.moved / report.examined:.1%}）" if report.examined else ""
    print_line(
        pick(
            f"重新派单 {report.examined} 件，去向改变 {report.moved} 件{share}；"
            f"另有 {report.beside} 件协办或知会改变，{report.by_another_rule} 件仅依据改变。"
            f"（{report.draft}，对照 {report.baseline}，规则按 {report.on} 计）",
            f"{report.examined} tickets decided again, {report.moved} move{share}; {report.beside}"
            f" change beside, {report.by_another_rule} only their rule. ({report.draft} against"
            f" {report.baseline}, rules as of {report.on})",
        )
    )
    if report.is_cut:
        say("工单超过上限，其余未看。", "There were more than a trial takes; the rest is left out.")
    if report.missing:
        say(
            f"{report.missing} 件在途工单没有历史要素，未计入。",
            f"{report.missing} tickets in flight have no stored facts and are left out.",
        )
    if not report.moved:
        return
    samples = None if lists_all else FLOW_SAMPLES_SHOWN
    print_table(
        (
            pick("现去向", "before"),
            pick("新去向", "after"),
            pick("工单数", "tickets"),
            pick("工单", "tickets") if lists_all else pick("样例", "samples"),
        ),
        [
            (
                shown(flow.before, report),
                shown(flow.after, report),
                flow.count,
                " ".join(flow.samples[:samples]),
            )
            for flow in report.flows[:ROWS_SHOWN]
        ],
    )
    for title, balances in (
        (pick("去向", "destination"), report.balances),
        (pick("机构", "authority"), report.authorities),
    ):
        if balances:
            print_table(
                (
                    title,
                    pick("现数量", "before"),
                    pick("新数量", "after"),
                    pick("转入", "gained"),
                    pick("转出", "lost"),
                ),
                [
                    (
                        f"{report.names.get(each.target, '')} {each.target}".strip(),
                        each.before,
                        each.after,
                        each.gained,
                        each.lost,
                    )
                    for each in balances[:ROWS_SHOWN]
                ],
            )


def _report_row(report: Report | None) -> dict[str, object] | None:
    if report is None:
        return None
    return {
        "examined": report.examined,
        "moved": report.moved,
        "beside": report.beside,
        "by_another_rule": report.by_another_rule,
        "flows": [
            {
                "before": flow.before.target,
                "after": flow.after.target,
                "count": flow.count,
                "samples": flow.samples,
            }
            for flow in report.flows
        ],
    }


# --- differences ------------------------------------------------------------------------------


def _parsed(files: Sequence[PackFile], base: Path, data: ReferenceData) -> list[Pack]:
    folder = base / "packs"
    nation = PackSet.load(folder, authorities=(), reference=data, conditions=cel_conditions())
    found: list[Pack] = []
    for file in files:
        # Files of two versions need not have the pack's name, so it is taken from the text.
        result = parse_pack(
            file.source,
            name=name_of(file.source),
            reference=data,
            conditions=cel_conditions(),
            templates=templates_of(nation.packs),
        )
        refuse(result.errors)
        if result.pack is None:
            raise ResourceNotFound(kind="file", name=file.path)
        found.append(result.pack)
    if found[0].owner != found[1].owner:
        raise FieldInvalid(
            field=files[1].path,
            got=found[1].pack,
            expected=pick(f"{found[0].pack} 的版本", f"a version of {found[0].pack}"),
        )
    return found


def _others(base: Path, data: ReferenceData, *, owner: str) -> tuple[Pack, ...]:
    """Return the packs that count beside one of this owner."""
    above = data.regions.path(owner) if owner != NATION else ()
    loaded = PackSet.load(
        base / "packs", authorities=above, reference=data, conditions=cel_conditions()
    )
    return loaded.packs


def _print_difference(found: Difference, data: ReferenceData) -> None:
    if found.is_same:
        say("两版含义相同：没有工单会改派。", "Both mean the same: no ticket moves.")
        return
    for move in found.moves:
        print_line(_move_text(move))
        if move.witness is None:
            print_line(
                pick("    是否真有这样的工单：未能判定", "    whether there is one: unknown")
            )
            continue
        texts = "；".join(facts_texts(move.witness.facts, data))
        print_line(f"    {pick('例', 'example')}: {texts}")
        if move.decided_before is not None and move.decided_after is not None:
            before, after = _decided(move.decided_before), _decided(move.decided_after)
            print_line(harmless(f"    {before}  →  {after}"))
    for change in found.guards:
        guard = change.after or change.before
        word = (
            pick("新增", "new")
            if change.before is None
            else pick("删除", "gone")
            if change.after is None
            else pick("修改", "changed")
        )
        print_line(f"{pick('护栏', 'guard')} {guard.id if guard else ''} {word}")
    if found.is_cut:
        say("差异过多，只列出一部分。", "There are more differences than are listed.")


def _move_text(move: Move) -> str:
    nobody = pick("（本包无规则）", "(no rule of this pack)")
    before = move.before.id if move.before else nobody
    after = move.after.id if move.after else nobody
    if move.change is Change.REASONED:
        return pick(
            f"依据改变：{before} → {after}（去向相同）", f"Reason changes: {before} → {after}"
        )
    return pick(f"工单改派：{before} → {after}", f"Tickets move: {before} → {after}")


def _decided(decision: Decision) -> str:
    return f"{pick(decision.action.zh, decision.action.name)} {decision.target}"


def _difference_row(found: Difference) -> dict[str, object]:
    return {
        "is_same": found.is_same,
        "is_cut": found.is_cut,
        "moves": [
            {
                "before": move.before.id if move.before else None,
                "after": move.after.id if move.after else None,
                "change": move.change.value,
                "witness": witness_row(move.witness) if move.witness else None,
                "target_before": move.decided_before.target if move.decided_before else None,
                "target_after": move.decided_after.target if move.decided_after else None,
            }
            for move in found.moves
        ],
        "guards": [
            {
                "before": change.before.id if change.before else None,
                "after": change.after.id if change.after else None,
            }
            for change in found.guards
        ],
    }
