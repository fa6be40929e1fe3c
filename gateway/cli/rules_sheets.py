"""`lubiao rules convert`: a rule pack between YAML and decision tables, without loss."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import AsJson, Exit, say
from gateway.cli.rules_files import print_sheet_findings
from gateway.kernel.errors import ResourceExists
from gateway.routing.document import load_document
from gateway.sheets.convert import FORMS, FORMS_ENGLISH, read_pack, write_pack


def convert(
    *,
    source: Annotated[Path, typer.Argument(metavar="IN", help=f"{FORMS} / {FORMS_ENGLISH}")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="按扩展名 / by its extension")],
    as_json: AsJson = False,
) -> None:
    """规则包与决策表互换 / convert a pack between YAML, XLSX and CSV, without loss."""
    if target.exists():
        raise ResourceExists(kind="file", name=target)
    pack = read_pack(source)
    if as_json or pack.findings:
        print_sheet_findings(pack.findings, as_json=as_json)
    if not pack.is_right:
        say("有错误，没有写出任何文件。", "There are errors; nothing was written.")
        raise typer.Exit(Exit.NO)
    document = load_document(pack.source)
    write_pack(document, target)
    if not as_json:
        count = len(document.content.get("rules") or [])  # type: ignore[arg-type] # a list
        say(
            f"已写出 {target}：{count} 条规则。YAML 注释不会带过去，其余内容不变。",
            f"Wrote {target}: {count} rules. Comments of YAML are left out, nothing else.",
        )
