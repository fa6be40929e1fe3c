"""`lubiao case`: disputes about who handles a ticket, and the panel's rulings.

The request id of a ruling is derived from what it says, so the same command given again after a
broken connection gets the first answer and no second ruling.
"""

from __future__ import annotations

import hashlib
import sys
import uuid
from enum import Enum
from typing import Annotated

import grpc
import typer
from google.protobuf.message import Message

from gateway.cli.case_forms import (
    FACT_HELP,
    FORM_HELP,
    MERGE_HELP,
    PART_HELP,
    Form,
    parts_given,
    said_form,
    summary,
)
from gateway.cli.case_parties import party_given
from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import (
    AsJson,
    Exit,
    beijing,
    pick,
    print_fields,
    print_json,
    print_table,
    say,
)
from gateway.cli.ticket import CALL_SECONDS, PAGE_MAX, as_dict
from gateway.kernel.codes import (
    CaseEntryKind,
    CaseGround,
    CaseLevel,
    CaseState,
    Code,
    RulingKind,
    TicketType,
    Urgency,
)
from gateway.kernel.errors import FieldInvalid
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import arbitration_service_pb2_grpc as pb_grpc
from hotline.arbitration.v1 import case_pb2, precedent_pb2
from hotline.custody.v1 import custody_pb2

app = typer.Typer(no_args_is_help=True, help="争议与裁定 / disputes and rulings")
REASONS_MAX = 4000  # of the standard
STDIN = "-"
_NAMESPACE = uuid.UUID("6c756269-616f-5000-8000-000063617365")  # "lubiao", "case"
Taker = Annotated[
    str,
    typer.Option("--to", "--target", help="承接方：机构代码，或单位如 130100-GA-1 / who takes it"),
]
CaseNumber = Annotated[str, typer.Argument(metavar="CASE", help="争议编号 / number of the case")]


class Kind(Enum):
    """What a panel can rule."""

    UPHOLD = "uphold"
    REASSIGN = "reassign"
    INTERIM = "interim"


@app.command(name="list")
def list_cases(
    *,
    where: Annotated[
        str,
        typer.Option(
            "--filter", help='筛选，如 state = "FILED" AND overdue = true / AIP-160 filter'
        ),
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="最多条数 / how many at most")] = 50,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """列出争议，新的在前 / list cases, newest first."""

    async def fetch(channel: grpc.aio.Channel) -> list[case_pb2.Case]:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        found: list[case_pb2.Case] = []
        token = ""
        while len(found) < limit:
            size = min(limit - len(found), PAGE_MAX)
            request = pb.ListCasesRequest(page_size=size, page_token=token, filter=where)
            response = await stub.ListCases(request, timeout=CALL_SECONDS)
            found += response.cases
            token = response.next_page_token
            if not token:
                break
        return found

    cases = Target.of(node, cert, host).ask(fetch)
    if as_json:
        print_json([as_dict(case) for case in cases])
        return
    print_table(
        (
            pick("编号", "number"),
            pick("状态", "state"),
            pick("层级", "level"),
            pick("类型", "ground"),
            pick("触发", "cause"),
            pick("首接负责", "responsible"),
            pick("拟移交", "proposed"),
            pick("紧急程度", "urgency"),
            pick("裁定时限", "due"),
            pick("超时", "overdue"),
        ),
        [
            (
                _id(case),
                _said(CaseState(case.state)),
                _said(CaseLevel(case.level)),
                _said(CaseGround(case.ground)),
                case.cause,
                case.responsible,
                ",".join(case.proposed_targets),
                _said(Urgency(case.facts.urgency)),
                beijing(case.ruling_due_time),
                _yes(case.overdue),
            )
            for case in cases
        ],
    )


@app.command()
def show(
    *,
    number: CaseNumber,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """查看争议案卷；查看会留痕 / show a case file; the reading is recorded."""

    async def fetch(channel: grpc.aio.Channel) -> case_pb2.Case:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        request = pb.GetCaseRequest(name=case_name(number))
        return (await stub.GetCase(request, timeout=CALL_SECONDS)).case

    print_case(Target.of(node, cert, host).ask(fetch), as_json=as_json)


@app.command()
def rule(
    *,
    number: CaseNumber,
    kind: Annotated[Kind, typer.Option(help="裁定类型：维持、改派、临时指定 / what is ruled")],
    to: Taker,
    basis: Annotated[str, typer.Option(help="裁定依据 / legal basis")],
    reasons: Annotated[
        str,
        typer.Option(help="裁定理由；- 为标准输入，须加 --yes / reasons; - reads standard input"),
    ],
    mandate: Annotated[
        list[str] | None, typer.Option(help="授权对象，可多次 / mandated authority, repeatable")
    ] = None,
    allow_offers: Annotated[
        bool, typer.Option("--allow-offers", help="允许再移交 / the target may offer it on")
    ] = False,
    precedent: Annotated[
        bool,
        typer.Option("--precedent", help="作为先例，同类争议一年内照此 / holds for its key"),
    ] = False,
    fact: Annotated[list[str] | None, typer.Option(help=FACT_HELP)] = None,
    form: Annotated[Form, typer.Option(help=FORM_HELP)] = Form.ALONE,
    part: Annotated[list[str] | None, typer.Option(help=PART_HELP)] = None,
    merge_into: Annotated[str, typer.Option(help=MERGE_HELP)] = "",
    etag: Annotated[str, typer.Option(help="所见版本 / etag of the case as you saw it")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="不再确认 / do not ask")] = False,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """裁定争议，立即签署生效 / decide a case; the ruling is signed and binds at once."""
    target = Target.of(node, cert, host)
    if reasons == STDIN and not yes:
        raise FieldInvalid(
            field="--reasons",
            got=STDIN,
            expected=pick("正文，或同时给出 --yes", "a text, or --yes with it"),
        )
    text = words_given(reasons, option="--reasons")
    parts = parts_given(part)
    if not yes:
        _confirm(number, kind, to, summary(form, parts, merge_into))
    request = pb.IssueRulingRequest(
        name=case_name(number),
        kind=custody_pb2.Ruling.Kind.Value(f"KIND_{kind.name}"),
        target=party_given(to, option="--to"),
        legal_basis=basis,
        reasons=text,
        offers_allowed=allow_offers,
        mandates=mandate or (),
        etag=etag,
        sets_precedent=precedent,
        precedent_facts=fact or (),
        form=case_pb2.CaseRuling.Form.ValueType(form.code),
        parts=parts,
        merge_into=merge_into,
    )
    request.request_id = request_id_for(request)
    print_case(_issued(target, request), as_json=as_json)


def _issued(target: Target, request: pb.IssueRulingRequest) -> case_pb2.Case:
    """Send a ruling; return the case as it is afterwards."""

    async def send(channel: grpc.aio.Channel) -> case_pb2.Case:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        return (await stub.IssueRuling(request, timeout=CALL_SECONDS)).case

    return target.ask(send)


def words_given(given: str, *, option: str) -> str:
    """Return a text as given, or from standard input for `-`.

    Raises:
        FieldInvalid: it is empty or too long.
    """
    text = (sys.stdin.read(REASONS_MAX + 1) if given == STDIN else given).strip()
    if not 0 < len(text) <= REASONS_MAX:
        raise FieldInvalid(
            field=option,
            got=pick(f"{len(text)} 字", f"{len(text)} characters"),
            expected=pick(f"1 至 {REASONS_MAX} 字", f"1 to {REASONS_MAX}"),
        )
    return text


def request_id_for(request: Message) -> str:
    """Return the id of a request that says this: the same command again repeats it."""
    kind = request.DESCRIPTOR.full_name  # two commands about one case may say the same
    said = kind.encode() + request.SerializeToString(deterministic=True)
    return str(uuid.uuid5(_NAMESPACE, hashlib.sha256(said).hexdigest()))


def _confirm(number: str, kind: Kind, to: str, how: str) -> None:
    """Ask before a ruling goes out: it cannot be taken back, only overruled."""
    what = _said(RulingKind[kind.name])
    besides = f" ({how})" if how else ""
    say(
        f"裁定 {number}：{what}，由 {to} 承接{besides}。签署后不可撤回，继续？[y/N]",
        f"Rule {number}: {kind.value}, {to} takes it{besides}. It cannot be taken back. "
        "Go on? [y/N]",
    )
    if sys.stdin.readline().strip().lower() not in {"y", "yes", "是"}:
        say("未裁定。", "Nothing was ruled.")
        raise typer.Exit(Exit.NO)


def print_case(case: case_pb2.Case, *, as_json: bool) -> None:
    """Print a case file."""
    if as_json:
        print_json(as_dict(case))
        return
    facts = case.facts
    print_fields(
        {
            pick("编号", "number"): _id(case),
            pick("状态", "state"): _said(CaseState(case.state)),
            pick("版本", "etag"): case.etag,
            pick("工单", "ticket"): case.ticket,
            pick("范围", "scope"): f"{case.scope}-{case.chain}",
            pick("层级", "level"): _said(CaseLevel(case.level)),
            pick("争议类型", "ground"): _said(CaseGround(case.ground)),
            pick("触发条件", "cause"): case.cause,
            pick("提请方", "filed by"): ",".join(case.filers),
            pick("经手方", "path"): ",".join(case.path),
            pick("拟移交对象", "proposed"): ",".join(case.proposed_targets),
            pick("首接负责", "responsible"): case.responsible,
            pick("回避人员", "not on the panel"): ",".join(case.involved),
            pick("提请时间", "filed"): beijing(case.file_time),
            pick("本阶段期限", "stage ends"): beijing(case.stage_due_time),
            pick("裁定时限", "due"): beijing(case.ruling_due_time),
            pick("超时", "overdue"): _yes(case.overdue),
            pick("事项", "matter"): facts.matter,
            pick("属地", "region"): facts.region,
            pick("紧急程度", "urgency"): _said(Urgency(facts.urgency)),
            pick("诉求类型", "type"): _said(TicketType(facts.type)),
            pick("办理时限", "ticket due"): beijing(facts.due_time),
        }
    )
    for entry in case.entries:
        print_fields(_entry(entry))
    for ruling in case.rulings:
        print_fields(_ruling(ruling))
    for found in case.precedents:
        print_fields(precedent_fields(found.precedent, differs=tuple(found.differs)))


def _entry(entry: case_pb2.CaseEntry) -> dict[str, object]:
    return {
        pick("记录", "entry"): entry.number,
        pick("　类别", "  kind"): _said(CaseEntryKind(entry.kind)),
        pick("　陈述方", "  party"): entry.party,
        pick("　主张归属", "  proposed"): entry.proposed_owner,
        pick("　依据", "  basis"): entry.legal_basis,
        pick("　参会", "  attended"): ",".join(entry.attendees),
        pick("　内容", "  words"): entry.words,
        pick("　证据", "  evidence"): ",".join(entry.evidence),
        pick("　记录人", "  said by"): entry.author,
        pick("　时间", "  time"): beijing(entry.say_time),
    }


def precedent_fields(
    made: precedent_pb2.Precedent, *, differs: tuple[str, ...] = ()
) -> dict[str, object]:
    """Return a precedent as lines; `differs` names what a case differs in."""
    return {
        pick("先例", "precedent"): made.name.removeprefix("precedents/"),
        pick("　事项", "  matter"): made.matter,
        pick("　属地关系", "  relation"): made.relation,
        pick("　当事方", "  parties"): made.levels,
        pick("　要件", "  facts"): " ".join(made.facts),
        pick("　承接角色", "  role"): made.role,
        pick("　形式", "  form"): made.form,
        pick("　分工", "  parts"): ",".join(part.role for part in made.parts),
        pick("　依据", "  basis"): made.legal_basis,
        pick("　效力", "  validity"): made.validity,
        pick("　失效时间", "  expires"): beijing(made.expire_time),
        pick("　适用次数", "  applied"): made.applied,
        pick("　与本案差异", "  differs in"): ",".join(differs),
    }


def _ruling(ruling: case_pb2.CaseRuling) -> dict[str, object]:
    taken = beijing(ruling.take_time)
    return {
        pick("裁定", "ruling"): ruling.number,
        pick("　类型", "  kind"): _said(RulingKind(ruling.kind)),
        pick("　承接方", "  target"): ruling.target,
        **said_form(ruling),
        pick("　依据", "  basis"): ruling.legal_basis,
        pick("　理由", "  reasons"): ruling.reasons,
        pick("　授权对象", "  mandates"): ",".join(ruling.mandates),
        pick("　允许再移交", "  offers allowed"): _yes(ruling.offers_allowed),
        pick("　裁定人", "  ruled by"): ruling.ruler,
        pick("　时间", "  time"): beijing(ruling.issue_time),
        pick("　承接时间", "  taken"): taken,
    }


def case_name(number: str) -> str:
    """Return the resource name of a case that a person named by its number."""
    return f"cases/{number.removeprefix('cases/')}"


def _id(case: case_pb2.Case) -> str:
    return case.name.removeprefix("cases/")


def _said(code: Code) -> str:
    return pick(code.zh, code.name) if code else ""


def _yes(flag: bool) -> str:
    return pick("是", "yes") if flag else ""
