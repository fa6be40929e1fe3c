"""`lubiao case verify`: checks case dossiers from files only: no node, no database, no network.

Exit codes: 0 everything holds, 1 something does not, and the first such thing is named, 2 usage.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gateway.arbitration.dossiers.model import (
    DOSSIER_BYTES_MAX,
    DOSSIERS_MAX,
    CaseCheck,
    CaseFlaw,
    CasePassed,
    CaseVerdict,
    Ruled,
)
from gateway.arbitration.dossiers.verify import verify_dossiers
from gateway.cli.evidence import read_bounded, trusted_roster
from gateway.cli.output import (
    AsJson,
    Exit,
    harmless,
    pick,
    print_json,
    print_line,
    print_table,
    say,
)
from gateway.evidence.dossier import Text
from gateway.evidence.verify import NamedFile
from gateway.kernel.codes import RulingKind
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.time import SHANGHAI, Instant
from gateway.trust.key_files import load_public_key
from gateway.trust.keys import Purpose

app = typer.Typer()  # its command stands among those of `lubiao case`
STEPS = {
    CaseCheck.FILE: Text(
        "文件完整、格式已知、名册可读", "file whole, format known, rosters readable"
    ),
    CaseCheck.CASE: Text("案卷由其裁定机构签名", "the case is signed by its arbiter"),
    CaseCheck.KEYS: Text("密钥当时有效", "keys were valid at their time"),
    CaseCheck.ARBITER: Text("裁定机构有权裁定此类争议", "the arbiter may rule in such a dispute"),
    CaseCheck.COURSE: Text("案卷经过合于程序", "the record tells a course that could be"),
    CaseCheck.ENTRIES: Text("陈述与异议由各方签名", "positions and objections are their parties'"),
    CaseCheck.CUSTODY: Text("保管证据成立（16 步）", "the evidence of custody holds (16 steps)"),
    CaseCheck.RULINGS: Text("裁定与已签声明一致、不缺不多", "rulings are those that were signed"),
    CaseCheck.TERM: Text("裁定在任期之内", "rulings are within the arbiter's term"),
    CaseCheck.TAKEN: Text("承接由承接方签名", "who took the ticket said so"),
    CaseCheck.WORDS: Text("内容与承诺相符", "words are what was promised"),
    CaseCheck.SEAL: Text("文件封印成立", "the seal over the file holds"),
    CaseCheck.SIDES: Text("各方案卷逐字节一致", "all sides have the same bytes"),
}


@app.command()
def verify(
    *,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="案卷文件，可为各方所导出 / dossiers, of any side"),
    ],
    roster: Annotated[
        Path | None, typer.Option(help="所信任的名册 / signed roster that you trust")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="名册公钥 / public key that signs rosters")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """离线核对争议案卷，指出第一处不成立 / check case dossiers offline; names the first flaw."""
    if len(files) > DOSSIERS_MAX:
        raise FieldInvalid(field="FILE", got=len(files), expected=f"at most {DOSSIERS_MAX} files")
    read = [NamedFile(str(path), read_bounded(path, DOSSIER_BYTES_MAX)) for path in files]
    roster_key = load_public_key(key, Purpose.STATEMENT) if key is not None else None
    rosters = (trusted_roster(roster, roster_key),) if roster is not None else ()
    verdict = verify_dossiers(read, rosters, roster_key=roster_key)
    if as_json:
        print_json(_as_dict(verdict))
    else:
        _print(verdict)
    if not verdict.holds:
        raise typer.Exit(Exit.NO)


def _print(verdict: CaseVerdict) -> None:
    for passed in verdict.passed:
        title = pick(STEPS[passed.check].chinese, STEPS[passed.check].english)
        print_line(f"{passed.check.value:>2}  ✓  {title}（{passed.examined}）")
        for remark in passed.remarks:
            print_line(harmless(f"       · {pick(remark.chinese, remark.english)}"))
    if verdict.flaw is not None:
        _print_flaw(verdict.flaw)
        return
    _print_rulings(verdict.rulings)
    if verdict.is_anchored:
        say("全部成立。", "Everything holds.")
    else:
        say(
            "若文件自带的名册属实，则全部成立；请以 --roster 或 --key 核对。",
            "Everything holds if the rosters in the files are true: check them with --roster or"
            " --key.",
        )


def _print_flaw(flaw: CaseFlaw) -> None:
    title = pick(STEPS[flaw.check].chinese, STEPS[flaw.check].english)
    print_line(f"{flaw.check.value:>2}  ✗  {title}")
    print_line(harmless(f"       {flaw.where}: {pick(flaw.what.chinese, flaw.what.english)}"))
    if flaw.got:
        print_line(harmless(f"       {pick('实为', 'got')}: {flaw.got}"))
    if flaw.expected:
        print_line(harmless(f"       {pick('应为', 'expected')}: {flaw.expected}"))
    say("不成立：以上为第一处。", "It does not hold: this is the first flaw.")


def _print_rulings(rulings: tuple[Ruled, ...]) -> None:
    print_table(
        (
            pick("争议", "case"),
            pick("裁定", "ruling"),
            pick("类型", "kind"),
            pick("承接方", "target"),
            pick("裁定时间", "ruled"),
            pick("承接时间", "taken"),
        ),
        [
            (
                item.case_id,
                item.number,
                pick(RulingKind[item.kind].zh, item.kind),
                item.target,
                _shown(item.issued),
                _shown(item.taken) if item.taken is not None else "–",
            )
            for item in rulings
        ],
    )


def _shown(moment: Instant) -> str:
    return moment.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")


def _as_dict(verdict: CaseVerdict) -> dict[str, object]:
    return {
        "holds": verdict.holds,
        "anchored": verdict.is_anchored,
        "steps": [_passed(passed) for passed in verdict.passed],
        "flaw": _flaw(verdict.flaw) if verdict.flaw is not None else None,
        "rulings": [
            {
                "case": item.case_id,
                "number": item.number,
                "kind": item.kind,
                "target": item.target,
                "issued": item.issued.isoformat(),
                "taken": item.taken.isoformat() if item.taken is not None else None,
            }
            for item in verdict.rulings
        ],
    }


def _passed(passed: CasePassed) -> dict[str, object]:
    return {
        "step": passed.check.value,
        "name": passed.check.name,
        "examined": passed.examined,
        "remarks": [asdict(remark) for remark in passed.remarks],
    }


def _flaw(flaw: CaseFlaw) -> dict[str, object]:
    return {
        "step": flaw.check.value,
        "name": flaw.check.name,
        "where": flaw.where,
        "what": asdict(flaw.what),
        "got": flaw.got,
        "expected": flaw.expected,
    }
