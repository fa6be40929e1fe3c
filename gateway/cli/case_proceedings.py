"""`lubiao case take-up|convene|position|minutes|object|answer`: the proceedings of a dispute.

The request id is derived from what is said, as for rulings: the same command again gets the first
answer. Words may be read from standard input with `-`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import grpc
import typer

from gateway.cli.case import (
    CaseNumber,
    case_name,
    precedent_fields,
    print_case,
    request_id_for,
    words_given,
)
from gateway.cli.case_parties import PARTY_HELP, party_given
from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import AsJson, print_fields, print_json
from gateway.cli.ticket import CALL_SECONDS, PAGE_MAX, as_dict
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import arbitration_service_pb2_grpc as pb_grpc
from hotline.arbitration.v1 import case_pb2, precedent_pb2

app = typer.Typer()  # its commands stand among those of `lubiao case`
Words = Annotated[
    str, typer.Option("--words", help="内容，勿含个人信息；- 为标准输入 / what is said; - reads it")
]
Basis = Annotated[str, typer.Option("--basis", help="法规或目录条款 / clause of law or catalogue")]
Speaker = Annotated[str, typer.Option("--party", help=PARTY_HELP)]
Evidence = Annotated[
    list[str] | None,
    typer.Option("--evidence", help="证据文件的 SHA-256，可多次 / digest of a file, repeatable"),
]


@app.command(name="take-up")
def take_up(
    *,
    number: CaseNumber,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """受理并开始复核 / take a case up for review (panel)."""
    request = pb.TakeUpCaseRequest(name=case_name(number))
    request.request_id = request_id_for(request)

    async def send(channel: grpc.aio.Channel) -> case_pb2.Case:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        return (await stub.TakeUpCase(request, timeout=CALL_SECONDS)).case

    print_case(Target.of(node, cert, host).ask(send), as_json=as_json)


@app.command()
def convene(
    *,
    number: CaseNumber,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """召开会商 / hear the parties together (panel)."""
    request = pb.ConveneCaseRequest(name=case_name(number))
    request.request_id = request_id_for(request)

    async def send(channel: grpc.aio.Channel) -> case_pb2.Case:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        return (await stub.ConveneCase(request, timeout=CALL_SECONDS)).case

    print_case(Target.of(node, cert, host).ask(send), as_json=as_json)


@app.command()
def position(
    *,
    number: CaseNumber,
    owner: Annotated[str, typer.Option("--owner", help="主张的归属方 / whose it is")],
    basis: Basis,
    words: Words,
    evidence: Evidence = None,
    party: Speaker = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """陈述意见 / state the position of a party."""
    request = pb.CreateEntryRequest(
        kind=case_pb2.CaseEntry.KIND_POSITION,
        proposed_owner=party_given(owner, option="--owner"),
        party=party_given(party, option="--party"),
        legal_basis=basis,
        evidence=evidence or (),
    )
    _say(request, number, words, Target.of(node, cert, host), as_json=as_json)


@app.command()
def minutes(
    *,
    number: CaseNumber,
    attended: Annotated[
        list[str], typer.Option("--attended", help="参会机构或部门类别，可多次 / who took part")
    ],
    words: Words,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """记录会商纪要 / record the minutes of the conference (panel)."""
    took_part = [_attendee(name) for name in attended]
    request = pb.CreateEntryRequest(kind=case_pb2.CaseEntry.KIND_MINUTES, attendees=took_part)
    _say(request, number, words, Target.of(node, cert, host), as_json=as_json)


@app.command(name="object")
def object_to(
    *,
    number: CaseNumber,
    basis: Basis,
    words: Words,
    evidence: Evidence = None,
    party: Speaker = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """对裁定提出异议，不停止执行 / object to the ruling, once; it binds meanwhile."""
    request = pb.CreateEntryRequest(
        kind=case_pb2.CaseEntry.KIND_OBJECTION,
        legal_basis=basis,
        evidence=evidence or (),
        party=party_given(party, option="--party"),
    )
    _say(request, number, words, Target.of(node, cert, host), as_json=as_json)


@app.command()
def answer(
    *,
    number: CaseNumber,
    words: Words,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """答复异议，维持裁定；改变裁定请用 rule / reject an objection; to change the ruling, rule."""
    request = pb.CreateEntryRequest(kind=case_pb2.CaseEntry.KIND_ANSWER, upheld=True)
    _say(request, number, words, Target.of(node, cert, host), as_json=as_json)


@app.command()
def precedents(
    *,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """列出本机构的先例，新的在前 / list the precedents of your scope (panel)."""
    request = pb.ListPrecedentsRequest(page_size=PAGE_MAX)

    async def fetch(channel: grpc.aio.Channel) -> list[precedent_pb2.Precedent]:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        return list((await stub.ListPrecedents(request, timeout=CALL_SECONDS)).precedents)

    found = Target.of(node, cert, host).ask(fetch)
    if as_json:
        print_json([as_dict(made) for made in found])
        return
    for made in found:
        print_fields(precedent_fields(made))


@app.command()
def revoke(
    *,
    number: Annotated[str, typer.Argument(metavar="CASE", help="先例编号 / its case's number")],
    reason: Annotated[str, typer.Option("--reason", help="撤销原因 / why")],
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """撤销先例 / end a precedent (panel)."""
    request = pb.RevokePrecedentRequest(
        name=f"precedents/{number.removeprefix('precedents/')}", reason=reason
    )
    request.request_id = request_id_for(request)

    async def send(channel: grpc.aio.Channel) -> precedent_pb2.Precedent:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        return (await stub.RevokePrecedent(request, timeout=CALL_SECONDS)).precedent

    made = Target.of(node, cert, host).ask(send)
    if as_json:
        print_json(as_dict(made))
    else:
        print_fields(precedent_fields(made))


def _attendee(name: str) -> str:
    """Return who took part: a party, or a kind of bodies as it stands."""
    return name if name.replace("_", "").isalpha() else party_given(name, option="--attended")


def _say(
    request: pb.CreateEntryRequest, number: str, words: str, target: Target, *, as_json: bool
) -> None:
    request.name = case_name(number)
    request.words = words_given(words, option="--words")
    request.request_id = request_id_for(request)
    send: Callable[[grpc.aio.Channel], Awaitable[case_pb2.Case]] = _sender(request)
    print_case(target.ask(send), as_json=as_json)


def _sender(
    request: pb.CreateEntryRequest,
) -> Callable[[grpc.aio.Channel], Awaitable[case_pb2.Case]]:
    async def send(channel: grpc.aio.Channel) -> case_pb2.Case:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        return (await stub.CreateEntry(request, timeout=CALL_SECONDS)).case

    return send
