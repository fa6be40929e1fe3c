"""`lubiao case verify`: checks case dossiers from files only: no node, no database, no network.

Exit codes: 0 everything holds, 1 something does not, and the first such thing is named, 2 usage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.arbitration.dossiers.model import (
    DOSSIER_BYTES_MAX,
    DOSSIERS_MAX,
    CaseCheck,
    Ruled,
)
from gateway.arbitration.dossiers.verify import verify_dossiers
from gateway.cli.offline import Anchor, RosterKey, TrustedRoster, print_verdict, read_files
from gateway.cli.output import AsJson, beijing, pick, print_table
from gateway.evidence.verdict import Text
from gateway.kernel.codes import RulingKind

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
    roster: TrustedRoster = None,
    key: RosterKey = None,
    as_json: AsJson = False,
) -> None:
    """离线核对争议案卷，指出第一处不成立 / check case dossiers offline; names the first flaw."""
    read = read_files(files, files_max=DOSSIERS_MAX, bytes_max=DOSSIER_BYTES_MAX)
    anchor = Anchor.of(roster, key)
    verdict = verify_dossiers(read, anchor.rosters, roster_key=anchor.key)
    print_verdict(
        verdict,
        STEPS,
        found={"rulings": [_as_dict(ruled) for ruled in verdict.rulings]},
        show_found=lambda: _print_rulings(verdict.rulings),
        as_json=as_json,
    )


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
                beijing(item.issued),
                beijing(item.taken) if item.taken is not None else "–",
            )
            for item in rulings
        ],
    )


def _as_dict(ruled: Ruled) -> dict[str, object]:
    return {
        "case": ruled.case_id,
        "number": ruled.number,
        "kind": ruled.kind,
        "target": ruled.target,
        "issued": ruled.issued.isoformat(),
        "taken": ruled.taken.isoformat() if ruled.taken is not None else None,
    }
