"""`lubiao custody export|verify`: who held a ticket when, in a file, and checking such files.

`verify` reads files only: no node, no database, no network. Exit codes: 0 everything holds, 1
something does not, and the first such thing is named, 2 usage.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import grpc
import typer

from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
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
from gateway.directory.store import RosterFile
from gateway.evidence.dossier import EVIDENCE_BYTES_MAX, Check, Flaw, Passed, Term, Text, Verdict
from gateway.evidence.verify import FILES_MAX, NamedFile, verify_files
from gateway.kernel.errors import FieldInvalid, ResourceNotFound
from gateway.kernel.ids import is_ticket_number
from gateway.kernel.time import SHANGHAI
from gateway.trust.codec import roster_from_bytes, signed_roster_from_bytes
from gateway.trust.key_files import load_public_key
from gateway.trust.keys import PublicKey, Purpose
from gateway.trust.roster import Roster
from gateway.trust.roster_file import verify_roster
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
        raise FieldInvalid(field="NUMBER", got=number or "-", expected="NUMBER, or --from and --to")
    if number and not is_ticket_number(number):
        raise FieldInvalid(field="NUMBER", got=number, expected="a ticket number")
    if out.exists():
        raise FieldInvalid(field="--out", got=f"{out} exists", expected="a new file")
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
    part = out.with_name(f"{out.name}.part")

    async def receive(channel: grpc.aio.Channel) -> None:
        stub = pb_grpc.CustodyServiceStub(channel)
        with part.open("wb") as file:
            async for response in stub.ExportCustody(request, timeout=EXPORT_SECONDS):
                file.write(response.chunk)

    try:
        Target.of(node, cert, host).ask(receive)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    print_line(str(out))


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
    roster: Annotated[
        Path | None, typer.Option(help="所信任的名册 / signed roster that you trust")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="名册公钥 / public key that signs rosters")
    ] = None,
    tsa: Annotated[
        Path | None,
        typer.Option(help="所信任的时间戳根证书（PEM）/ roots that you trust for time stamps"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """离线核对保管证据，指出第一处不成立 / check evidence offline and name the first flaw."""
    if len(files) > FILES_MAX:
        raise FieldInvalid(field="FILE", got=len(files), expected=f"at most {FILES_MAX} files")
    read = [NamedFile(str(path), read_bounded(path, EVIDENCE_BYTES_MAX)) for path in files]
    roster_key = load_public_key(key, Purpose.STATEMENT) if key is not None else None
    rosters = (trusted_roster(roster, roster_key),) if roster is not None else ()
    verdict = verify_files(
        read,
        rosters,
        roster_key=roster_key,
        judge=stamp_judge(load_roots(tsa) if tsa is not None else ()),
    )
    if as_json:
        print_json(_as_dict(verdict))
    else:
        _print(verdict)
    if not verdict.holds:
        raise typer.Exit(Exit.NO)


def read_bounded(path: Path, bytes_max: int) -> bytes:
    """Return a file, or one byte more than it may have: the verifier says that it is too large.

    Raises:
        ResourceNotFound: there is no such file.
    """
    if not path.is_file():
        raise ResourceNotFound(kind="file", name=str(path))
    with path.open("rb") as file:
        return file.read(bytes_max + 1)


def trusted_roster(path: Path, key: PublicKey | None) -> Roster:
    """Return the roster in a file, once its key has signed it if one is given.

    Raises:
        ResourceNotFound: there is no such file.
        SignatureInvalid: the key did not sign it.
    """
    signed = RosterFile(path).read()
    if signed is None:
        raise ResourceNotFound(kind="file", name=str(path))
    if key is not None:
        return verify_roster(signed, key, minimum_version=0, allow_demo=True)
    return roster_from_bytes(signed_roster_from_bytes(signed)[0])


# --- showing a verdict --------------------------------------------------------------------------


def _print(verdict: Verdict) -> None:
    for passed in verdict.passed:
        title = pick(STEPS[passed.check].chinese, STEPS[passed.check].english)
        print_line(f"{passed.check.value:>2}  ✓  {title}（{passed.examined}）")
        for remark in passed.remarks:
            print_line(harmless(f"       · {pick(remark.chinese, remark.english)}"))
    if verdict.flaw is not None:
        _print_flaw(verdict.flaw)
        return
    _print_terms(verdict.terms)
    if verdict.is_anchored:
        say("全部成立。", "Everything holds.")
    else:
        say(
            "若文件自带的名册属实，则全部成立；请以 --roster 或 --key 核对。",
            "Everything holds if the rosters in the files are true: check them with --roster or"
            " --key.",
        )


def _print_flaw(flaw: Flaw) -> None:
    title = pick(STEPS[flaw.check].chinese, STEPS[flaw.check].english)
    print_line(f"{flaw.check.value:>2}  ✗  {title}")
    what = pick(flaw.what.chinese, flaw.what.english)
    print_line(harmless(f"       {flaw.where}: {what}"))
    if flaw.got:
        print_line(harmless(f"       {pick('实为', 'got')}: {flaw.got}"))
    if flaw.expected:
        print_line(harmless(f"       {pick('应为', 'expected')}: {flaw.expected}"))
    say("不成立：以上为第一处。", "It does not hold: this is the first flaw.")


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
                term.since.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S"),
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


def _as_dict(verdict: Verdict) -> dict[str, object]:
    return {
        "holds": verdict.holds,
        "anchored": verdict.is_anchored,
        "steps": [_passed(passed) for passed in verdict.passed],
        "flaw": _flaw(verdict.flaw) if verdict.flaw is not None else None,
        "terms": [
            {
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
            for term in verdict.terms
        ],
    }


def _passed(passed: Passed) -> dict[str, object]:
    return {
        "step": passed.check.value,
        "name": passed.check.name,
        "examined": passed.examined,
        "remarks": [asdict(remark) for remark in passed.remarks],
    }


def _flaw(flaw: Flaw) -> dict[str, object]:
    return {
        "step": flaw.check.value,
        "name": flaw.check.name,
        "where": flaw.where,
        "what": asdict(flaw.what),
        "got": flaw.got,
        "expected": flaw.expected,
    }
