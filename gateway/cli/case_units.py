"""`lubiao case open`: have a dispute between units of one's own authority decided.

Units are written as they are called: `130100-GA-1`, or in full `units/130100-GA-1`.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import grpc
import typer

from gateway.cli.case import print_case, request_id_for, words_given
from gateway.cli.case_parties import PARTY_HELP, party_given
from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import AsJson
from gateway.cli.ticket import CALL_SECONDS
from gateway.kernel.codes import CaseGround
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import arbitration_service_pb2_grpc as pb_grpc
from hotline.arbitration.v1 import case_pb2

app = typer.Typer()  # its command stands among those of `lubiao case`


class Ground(Enum):
    """What a dispute is about (code DG)."""

    PLACE = "place"
    FUNCTION = "function"
    LEVEL = "level"
    LINE = "line"
    OWNERSHIP = "ownership"
    NEW_BUSINESS = "new-business"
    VERTICAL = "vertical"
    LEGACY = "legacy"


@app.command(name="open")
def open_case(
    *,
    number: Annotated[
        str, typer.Argument(metavar="TICKET", help="工单编号 / number of the ticket")
    ],
    basis: Annotated[
        str, typer.Option("--basis", help="法规或目录条款 / clause of law or catalogue")
    ],
    words: Annotated[
        str, typer.Option("--words", help="理由，勿含个人信息；- 为标准输入 / why; - reads it")
    ],
    owner: Annotated[
        str, typer.Option("--owner", help="建议承办单位 / unit whose it is, as you see it")
    ] = "",
    party: Annotated[str, typer.Option("--party", help=PARTY_HELP)] = "",
    ground: Annotated[
        Ground, typer.Option("--ground", help="争议类型 / what it is about")
    ] = Ground.FUNCTION,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """提请裁定本级单位之间的争议 / have a dispute between your units decided."""
    request = pb.OpenCaseRequest(
        ticket=f"tickets/{number.removeprefix('tickets/')}",
        party=party_given(party, option="--party"),
        proposed_owner=party_given(owner, option="--owner"),
        ground=case_pb2.Case.Ground.ValueType(CaseGround[ground.name]),
        legal_basis=basis,
        words=words_given(words, option="--words"),
    )
    request.request_id = request_id_for(request)

    async def send(channel: grpc.aio.Channel) -> case_pb2.Case:
        stub = pb_grpc.ArbitrationServiceStub(channel)
        return (await stub.OpenCase(request, timeout=CALL_SECONDS)).case

    print_case(Target.of(node, cert, host).ask(send), as_json=as_json)
