"""`lubiao custody`: the ledger that proves who held a ticket when."""

from __future__ import annotations

import grpc
import typer

from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import AsJson, Exit, beijing, pick, print_json, print_table, say
from gateway.cli.ticket import CALL_SECONDS, PAGE_MAX, Number, as_dict
from gateway.kernel.codes import CustodyHolding
from hotline.custody.v1 import custody_service_pb2 as custody_pb
from hotline.custody.v1 import custody_service_pb2_grpc as custody_grpc

app = typer.Typer(no_args_is_help=True, help="保管记录 / custody")
DIGEST_SHOWN = 12  # hex digits; enough to compare by eye, --json has all


@app.command()
def show(
    *,
    number: Number,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """查看工单的保管台账 / show the ledger of a ticket; exit code 1 if there is none."""

    async def fetch(channel: grpc.aio.Channel) -> list[custody_pb.CustodyRecord]:
        stub = custody_grpc.CustodyServiceStub(channel)
        found: list[custody_pb.CustodyRecord] = []
        token = ""
        while True:
            request = custody_pb.ListCustodyRecordsRequest(
                parent=f"tickets/{number}", page_size=PAGE_MAX, page_token=token
            )
            response = await stub.ListCustodyRecords(request, timeout=CALL_SECONDS)
            found += response.records
            token = response.next_page_token
            if not token:
                return found

    records = Target.of(node, cert, host).ask(fetch)
    if as_json:
        print_json([as_dict(record) for record in records])
    else:
        _print_records(records)
    if not records:
        say(f"工单 {number} 没有保管记录。", f"Ticket {number} has no custody record.")
        raise typer.Exit(Exit.NO)


def _print_records(records: list[custody_pb.CustodyRecord]) -> None:
    print_table(
        (
            "#",
            pick("范围", "scope"),
            pick("链", "chain"),
            pick("纪元", "epoch"),
            pick("种类", "kind"),
            pick("保管状态", "holding"),
            pick("时间", "time"),
            pick("行摘要", "row digest"),
        ),
        [
            (
                record.sequence,
                record.scope,
                record.chain,
                f"{record.epoch.era}.{record.epoch.count}",
                record.kind,
                pick(CustodyHolding[record.holding].zh, record.holding),
                beijing(record.record_time),
                record.row_digest.value.hex()[:DIGEST_SHOWN],
            )
            for record in records
        ],
    )
