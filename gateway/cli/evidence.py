"""`lubiao custody export|verify`: who held a ticket when, in a file, and checking such files.

`verify` reads files only: no node, no database, no network. Exit codes: 0 everything holds, 1
something does not, and the first such thing is named, 2 usage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.files import check_new, receive_file, require_file
from gateway.cli.offline import Anchor, RosterKey, TrustedRoster, print_verdict, read_files
from gateway.cli.output import AsJson, beijing, pick, print_table
from gateway.evidence.dossier import EVIDENCE_BYTES_MAX, Check, Term
from gateway.evidence.verdict import Text
from gateway.evidence.verify import FILES_MAX, verify_files
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import is_ticket_number
from gateway.trust.timestamps import load_roots, stamp_judge
from hotline.custody.v1 import custody_service_pb2 as pb
from hotline.custody.v1 import custody_service_pb2_grpc as pb_grpc

app = typer.Typer()  # its commands stand among those of `lubiao custody`
EXPORT_SECONDS = 600
STEPS = {
    Check.FILE: Text("文件完整、格式已知、名册可读", "file whole, format known, rosters readable"),
    Check.SIGNATURES: Text("声明签名成立", "signatures of statements hold"),
    Check.KEYS: Text("密钥当时有效", "keys were valid at their time"),
    Check.RECORDS: Text("任期记录相接", "records of terms form chains"),
    Check.RULINGS: Text("裁定出自裁定机构且次第相接", "rulings are the arbiter's, in sequence"),
    Check.TAKEN: Text("每个裁定纪元均已承接", "each era that was used was taken"),
    Check.EPOCHS: Text("每个纪元只有一个任期、一份声明", "one term and one word an epoch"),
    Check.ROWS: Text("账本行相接且与声明一致", "ledger rows chain and agree with statements"),
    Check.PATHS: Text("默克尔路径通向已签条目", "Merkle paths lead to signed entries"),
    Check.ENTRIES: Text("机构账本条目相接", "entries of the authority's ledger chain"),
    Check.TAILS: Text("被取代任期的尾部", "tails of overtaken terms"),
    Check.RECEIPTS: Text("回执属于其声明", "receipts are of their statements"),
    Check.TIMESTAMPS: Text("时间戳", "time stamps"),
    Check.CONTENT: Text("内容与承诺相符", "content is what was promised"),
    Check.SEAL: Text("文件封印成立", "the seal over the file holds"),
    Check.SIDES: Text("各方账本一致", "the ledgers of all sides agree"),
}


@app.command()
def export(
    *,
    number: Annotated[
        str, typer.Argument(metavar="[NUMBER]", help="工单编号 / number of the ticket")
    ] = "",
    out: Annotated[Path, typer.Option("--out", "-o", help="输出文件 / file to write")],
    first: Annotated[
        str, typer.Option("--from", help="起始日，如 2026-03-01 / first day of a period")
    ] = "",
    last: Annotated[str, typer.Option("--to", help="截止日（含）/ last day, included")] = "",
    with_content: Annotated[
        bool, typer.Option(help="包含内容，须有角色与目的 / also content: needs role and purpose")
    ] = False,
    purpose: Annotated[str, typer.Option(help="查阅内容的目的 / why content is read")] = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
) -> None:
    """导出工单或一段时期的保管证据 / export the evidence of a ticket's or a period's custody."""
    if bool(number) == bool(first or last):
        raise FieldInvalid(
            field="NUMBER",
            got=number or "-",
            expected=pick("工单编号，或 --from 与 --to", "NUMBER, or --from and --to"),
        )
    if number and not is_ticket_number(number):
        raise FieldInvalid(field="NUMBER", got=number, expected=pick("工单编号", "a ticket number"))
    check_new(out, option="--out")
    request = pb.ExportCustodyRequest(
        parent=f"tickets/{number or '-'}",
        first_day=first or last,
        last_day=last or first,
        with_content=with_content,
        purpose=purpose,
    )
    if number:
        request.ClearField("first_day")
        request.ClearField("last_day")
    receive_file(
        Target.of(node, cert, host),
        out,
        lambda channel: pb_grpc.CustodyServiceStub(channel).ExportCustody(
            request, timeout=EXPORT_SECONDS
        ),
    )


@app.command()
def verify(
    *,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="证据文件，可为多个机构所导出 / evidence, of one side or several",
        ),
    ],
    roster: TrustedRoster = None,
    key: RosterKey = None,
    tsa: Annotated[
        Path | None,
        typer.Option(help="所信任的时间戳根证书（PEM）/ roots that you trust for time stamps"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """离线核对保管证据，指出第一处不成立 / check evidence offline and name the first flaw."""
    read = read_files(files, files_max=FILES_MAX, bytes_max=EVIDENCE_BYTES_MAX)
    anchor = Anchor.of(roster, key)
    if tsa is not None:
        require_file(tsa, field="--tsa")
    verdict = verify_files(
        read,
        anchor.rosters,
        roster_key=anchor.key,
        judge=stamp_judge(load_roots(tsa) if tsa is not None else ()),
    )
    print_verdict(
        verdict,
        STEPS,
        found={"terms": [_as_dict(term) for term in verdict.terms]},
        show_found=lambda: _print_terms(verdict.terms),
        as_json=as_json,
    )


# --- showing the terms --------------------------------------------------------------------------


def _print_terms(terms: tuple[Term, ...]) -> None:
    print_table(
        (
            pick("工单", "ticket"),
            pick("范围", "scope"),
            pick("链", "chain"),
            pick("纪元", "epoch"),
            pick("保管机构", "custodian"),
            pick("自", "since"),
            pick("依据", "by"),
            pick("记录", "record"),
        ),
        [
            (
                term.chain.ticket,
                term.chain.scope,
                term.chain.number,
                str(term.epoch),
                term.holder,
                beijing(term.since),
                _by(term),
                term.record.hex()[:12],
            )
            for term in terms
        ],
    )


def _by(term: Term) -> str:
    match term.how:
        case "Offer":
            return pick(f"移交自 {term.source}", f"offered by {term.source}")
        case "Ruling":
            return pick(f"第 {term.epoch.era} 号裁定", f"ruling {term.epoch.era}")
        case _:
            return pick("起始", "genesis")


def _as_dict(term: Term) -> dict[str, object]:
    return {
        "ticket": term.chain.ticket,
        "scope": term.chain.scope,
        "chain": term.chain.number,
        "epoch": str(term.epoch),
        "custodian": term.holder,
        "since": term.since.isoformat(),
        "how": term.how,
        "source": term.source,
        "record": term.record.hex(),
    }
