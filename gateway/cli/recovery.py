"""`lubiao recovery` and `lubiao custody heads`: the life of a node, and the ledgers of others.

These look into the node's own database, as the doctor does: whoever recovers a node sits beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from gateway.cli.node import Directory
from gateway.cli.output import AsJson, Exit, pick, print_fields, print_json, print_table, say
from gateway.config import load_settings
from gateway.custody import recovery_store as store
from gateway.custody.confirming import RecoveryView, confirm, view
from gateway.custody.incarnation import FileWitness, Mode
from gateway.database.embedded import EmbeddedPostgres
from gateway.database.postgres import PostgresDatabase
from gateway.database.uow import Database
from gateway.kernel.errors import PeerUnreachable, ResourceNotFound
from gateway.kernel.ids import NodeId
from gateway.kernel.time import SystemClock
from gateway.settings import Settings

app = typer.Typer(no_args_is_help=True, help="由备份恢复节点 / a node restored from a backup")
Result = TypeVar("Result")
_CLOCK = SystemClock()
CONNECTIONS = 2


def with_database(settings: Settings, work: Callable[[Database], Awaitable[Result]]) -> Result:
    """Do something in a node's database, which runs.

    Raises:
        PeerUnreachable: it does not run; `serve` starts an embedded one.
    """
    dsn = settings.database.dsn
    if settings.database.kind == "embedded":
        server = EmbeddedPostgres(settings.database_path)
        if server.pid() is None:
            raise PeerUnreachable(
                peer="postgresql", got="not running", hint="lubiao serve DIR starts it"
            )
        dsn = server.dsn()

    async def run() -> Result:
        database = await PostgresDatabase.connect(dsn, connections_max=CONNECTIONS)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


@app.command()
def begin(*, directory: Directory) -> None:
    """声明数据库由旧备份恢复，下次启动时进入恢复 / say that the database is an older backup."""
    settings = load_settings(directory)
    FileWitness(settings.directory_path).ask_for_recovery()
    say(
        f"已记录。请启动（或重启）节点：lubiao serve {directory}",
        f"Noted. Start the node, or start it again: lubiao serve {directory}",
    )


@app.command()
def show(*, directory: Directory, as_json: AsJson = False) -> None:
    """查看恢复进度；恢复中退出码为 1 / show where recovery stands; exit code 1 while it lasts."""
    found = _view(load_settings(directory))
    state = found.state
    if as_json:
        print_json(_as_dict(found))
    else:
        fields = {
            pick("节点", "node"): state.node,
            pick("化身号", "incarnation"): state.incarnation,
            pick("状态", "mode"): _mode(Mode(state.mode)),
            pick("确认人", "confirmed by"): state.confirmed_by or "—",
        }
        print_fields(fields)
        print_table(
            (pick("对端", "peer"), pick("已返还", "returned"), pick("声明数", "statements"), ""),
            [
                (
                    peer.node,
                    pick("是", "yes") if peer.complete else pick("否", "no"),
                    peer.statements,
                    pick(f"由 {peer.waived_by} 免除", f"waived by {peer.waived_by}")
                    if peer.waived_by
                    else "",
                )
                for peer in found.peers
            ],
        )
        print_table(
            (pick("工单", "ticket"), pick("机构", "authority"), pick("事项", "what"), ""),
            [(item.ticket, item.authority, item.what, item.detail) for item in found.items],
        )
    if Mode(state.mode) is not Mode.SERVING:
        raise typer.Exit(Exit.NO)


@app.command("confirm")
def confirm_command(
    *,
    directory: Directory,
    by: Annotated[str, typer.Option(help="确认人姓名 / who confirms")],
    without: Annotated[
        list[str] | None,
        typer.Option(help="无法联系的对端节点，可多次 / a peer that cannot answer, repeatable"),
    ] = None,
) -> None:
    """由人确认，节点随后应用返还内容并恢复服务 / let the node go on; a person's decision."""
    settings = load_settings(directory)

    async def work(database: Database) -> None:
        async with database.unit() as uow:
            await confirm(
                uow,
                NodeId(settings.node_id),
                by=by,
                without=tuple(without or ()),
                now=_CLOCK.now(),
            )

    with_database(settings, work)
    say("已确认，节点将应用返还的声明并恢复服务。", "Confirmed; the node applies and then serves.")


def heads(
    *,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="节点目录 / folder of the node")],
    as_json: AsJson = False,
) -> None:
    """查看各方台账头及异常；有异常退出码为 1 / ledger heads known of others, and what is wrong."""
    known, findings = with_database(load_settings(directory), _heads)
    if as_json:
        print_json(
            {
                "heads": [_head(row) for row in known],
                "findings": [_finding(row) for row in findings],
            }
        )
    else:
        columns = (
            pick("机构", "authority"),
            pick("节点", "node"),
            pick("序号", "sequence"),
            pick("化身号", "incarnation"),
            pick("摘要", "digest"),
            pick("查于", "checked"),
        )
        print_table(columns, [tuple(_head(row).values()) for row in known])
        if findings:
            what = (
                pick("机构", "authority"),
                pick("异常", "finding"),
                pick("序号", "sequence"),
                pick("说明", "detail"),
                pick("发现于", "found"),
            )
            print_table(what, [tuple(_finding(row).values()) for row in findings])
    if findings:
        raise typer.Exit(Exit.NO)


async def _heads(
    database: Database,
) -> tuple[list[store.PeerHeadRow], list[store.HeadFindingRow]]:
    async with database.unit() as uow:
        return await uow.select(store.HEADS), await uow.select(store.HEAD_FINDINGS)


def _view(settings: Settings) -> RecoveryView:
    async def work(database: Database) -> RecoveryView | None:
        async with database.unit() as uow:
            return await view(uow, NodeId(settings.node_id))

    found = with_database(settings, work)
    if found is None:
        raise ResourceNotFound(kind="node", name=f"nodes/{settings.node_id}")
    return found


def _mode(mode: Mode) -> str:
    return {
        Mode.SERVING: pick("正常服务", "serving"),
        Mode.RECOVERING: pick(
            "恢复中，等待对端返还与人工确认", "recovering: waits for peers, a person"
        ),
        Mode.APPLYING: pick("正在应用返还的声明", "applying what was returned"),
    }[mode]


def _as_dict(found: RecoveryView) -> dict[str, object]:
    return {
        "node": found.state.node,
        "incarnation": found.state.incarnation,
        "mode": found.state.mode,
        "confirmed_by": found.state.confirmed_by,
        "missing": list(found.missing),
        "peers": [
            {
                "node": peer.node,
                "complete": peer.complete,
                "statements": peer.statements,
                "waived_by": peer.waived_by,
            }
            for peer in found.peers
        ],
        "items": [
            {
                "authority": item.authority,
                "ticket": item.ticket,
                "what": item.what,
                "detail": item.detail,
            }
            for item in found.items
        ],
    }


def _head(row: store.PeerHeadRow) -> dict[str, object]:
    return {
        "authority": row.authority,
        "node": row.node,
        "sequence": row.sequence,
        "incarnation": row.incarnation,
        "digest": row.entry_digest.hex()[:16],
        "checked": row.checked.isoformat(timespec="seconds"),
    }


def _finding(row: store.HeadFindingRow) -> dict[str, object]:
    return {
        "authority": row.authority,
        "kind": row.kind,
        "sequence": row.sequence,
        "detail": row.detail,
        "found": row.found.isoformat(timespec="seconds"),
    }
