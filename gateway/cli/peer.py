"""`lubiao peer`: how a node serves its peers, and what waits for a person."""

from __future__ import annotations

import uuid
from typing import Annotated

import grpc
import typer
from google.protobuf.duration_pb2 import Duration

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
    PeerAlarm,
    PeerBreaker,
    PeerMode,
    UndeliveredKind,
    UndeliveredState,
)
from hotline.operation.v1alpha1 import operation_service_pb2 as pb
from hotline.operation.v1alpha1 import operation_service_pb2_grpc as pb_grpc

app = typer.Typer(no_args_is_help=True, help="对端节点与待人工处理项 / peers of a node")
Peer = Annotated[str, typer.Argument(help="对端节点编号 / node id of the peer")]
Item = Annotated[str, typer.Argument(help="待处理项编号 / name of the item")]
Note = Annotated[str, typer.Option("--note", help="处理说明，勿含个人信息 / what and why")]
Reason = Annotated[str, typer.Option("--reason", help="原因，勿含个人信息 / why")]


@app.command(name="list")
def list_peers(
    *,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """列出对端节点 / list the peers; exit code 1 if one of them is alarming."""
    peers: list[pb.Peer] = []
    target = Target.of(node, cert, host)
    token = ""
    while True:
        request = pb.ListPeersRequest(page_size=PAGE_MAX, page_token=token)

        async def ask(
            channel: grpc.aio.Channel, request: pb.ListPeersRequest = request
        ) -> pb.ListPeersResponse:
            return await pb_grpc.OperationServiceStub(channel).ListPeers(
                request, timeout=CALL_SECONDS
            )

        answer = target.ask(ask)
        peers += answer.peers
        token = answer.next_page_token
        if not token:
            break
    if as_json:
        print_json([as_dict(peer) for peer in peers])
    else:
        _print_peers(peers)
    if any(peer.alarm == pb.Peer.ALARM_OVERDUE for peer in peers):
        say("有对端积压超时：lubiao peer undelivered", "Something is overdue: see undelivered.")
        raise typer.Exit(Exit.NO)


@app.command()
def show(
    *,
    peer: Peer,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """查看一个对端节点 / show one peer."""
    request = pb.GetPeerRequest(name=f"peers/{peer}")
    answer = Target.of(node, cert, host).ask(
        lambda channel: _stub(channel).GetPeer(request, timeout=CALL_SECONDS)
    )
    _print_peer(answer.peer, as_json=as_json)


@app.command()
def pause(
    *,
    peer: Peer,
    reason: Reason,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """暂停向对端发送；仍照常接收 / send nothing more; what it sends is taken as always."""
    request = pb.PausePeerRequest(name=f"peers/{peer}", reason=reason, request_id=_request_id())
    answer = Target.of(node, cert, host).ask(
        lambda channel: _stub(channel).PausePeer(request, timeout=CALL_SECONDS)
    )
    _print_peer(answer.peer, as_json=as_json)


@app.command()
def drain(
    *,
    peer: Peer,
    reason: Reason,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """发完现有积压后暂停 / send what waits now, then pause."""
    request = pb.DrainPeerRequest(name=f"peers/{peer}", reason=reason, request_id=_request_id())
    answer = Target.of(node, cert, host).ask(
        lambda channel: _stub(channel).DrainPeer(request, timeout=CALL_SECONDS)
    )
    _print_peer(answer.peer, as_json=as_json)


@app.command()
def resume(
    *,
    peer: Peer,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """恢复发送并立即尝试 / serve it again, and try it at once."""
    request = pb.ResumePeerRequest(name=f"peers/{peer}", request_id=_request_id())
    answer = Target.of(node, cert, host).ask(
        lambda channel: _stub(channel).ResumePeer(request, timeout=CALL_SECONDS)
    )
    _print_peer(answer.peer, as_json=as_json)


@app.command()
def undelivered(
    *,
    peer: Annotated[str, typer.Option("--peer", help="只看此对端 / of this peer only")] = "",
    everything: Annotated[bool, typer.Option("--all", help="含已结项 / ended ones too")] = False,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """列出无法投递、须人工处理的事项 / list what waits for a person; exit code 1 if anything."""
    items: list[pb.Undelivered] = []
    target = Target.of(node, cert, host)
    token = ""
    while True:
        request = pb.ListUndeliveredRequest(
            page_size=PAGE_MAX, page_token=token, node=peer, show_ended=everything
        )

        async def ask(
            channel: grpc.aio.Channel, request: pb.ListUndeliveredRequest = request
        ) -> pb.ListUndeliveredResponse:
            return await pb_grpc.OperationServiceStub(channel).ListUndelivered(
                request, timeout=CALL_SECONDS
            )

        answer = target.ask(ask)
        items += answer.undelivered
        token = answer.next_page_token
        if not token:
            break
    if as_json:
        print_json([as_dict(item) for item in items])
    else:
        _print_items(items)
    if any(item.state == pb.Undelivered.STATE_OPEN for item in items):
        raise typer.Exit(Exit.NO)


@app.command()
def acknowledge(
    *,
    item: Item,
    note: Note,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """标记为已知悉 / say that somebody knows and cares."""
    request = pb.AcknowledgeUndeliveredRequest(
        name=_item(item), note=note, request_id=_request_id()
    )
    answer = Target.of(node, cert, host).ask(
        lambda channel: _stub(channel).AcknowledgeUndelivered(request, timeout=CALL_SECONDS)
    )
    _print_item(answer.undelivered, as_json=as_json)


@app.command()
def resend(
    *,
    item: Item,
    note: Note,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """立即重试 / try it again at once."""
    request = pb.ResendUndeliveredRequest(name=_item(item), note=note, request_id=_request_id())
    answer = Target.of(node, cert, host).ask(
        lambda channel: _stub(channel).ResendUndelivered(request, timeout=CALL_SECONDS)
    )
    _print_item(answer.undelivered, as_json=as_json)


@app.command()
def discard(
    *,
    item: Item,
    note: Note,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """作废（涉及责任移交的声明不可作废）/ take it off the list; never what custody rests on."""
    request = pb.DiscardUndeliveredRequest(name=_item(item), note=note, request_id=_request_id())
    answer = Target.of(node, cert, host).ask(
        lambda channel: _stub(channel).DiscardUndelivered(request, timeout=CALL_SECONDS)
    )
    _print_item(answer.undelivered, as_json=as_json)


def _stub(channel: grpc.aio.Channel) -> pb_grpc.OperationServiceAsyncStub:
    return pb_grpc.OperationServiceStub(channel)


def _request_id() -> str:
    return str(uuid.uuid4())


def _item(name: str) -> str:
    return f"undelivered/{name.removeprefix('undelivered/')}"


def _print_peers(peers: list[pb.Peer]) -> None:
    print_table(
        (
            pick("对端", "peer"),
            pick("方式", "mode"),
            pick("熔断", "breaker"),
            pick("告警", "alarm"),
            pick("待投递", "waiting"),
            pick("最早", "oldest"),
            pick("最近送达", "reached"),
            pick("最近收到", "heard"),
            pick("失败", "failures"),
            pick("待处理", "items"),
        ),
        [
            (
                peer.name.removeprefix("peers/"),
                _mode(peer),
                _breaker(peer),
                _alarm(peer),
                peer.waiting,
                _span(peer.oldest_age),
                beijing(peer.reach_time),
                beijing(peer.hear_time),
                peer.failures,
                peer.items,
            )
            for peer in peers
        ],
    )


def _print_peer(peer: pb.Peer, *, as_json: bool) -> None:
    if as_json:
        print_json(as_dict(peer))
        return
    print_fields(
        {
            pick("对端", "peer"): peer.name.removeprefix("peers/"),
            pick("地址", "endpoint"): peer.endpoint,
            pick("方式", "mode"): _mode(peer),
            pick("原因", "reason"): peer.mode_reason,
            pick("操作人", "ordered by"): peer.mode_actor,
            pick("操作时间", "ordered"): beijing(peer.mode_time),
            pick("熔断", "breaker"): _breaker(peer),
            pick("连续失败", "failures in a row"): peer.failures or "",
            pick("最近错误", "last error"): peer.error,
            pick("下次尝试", "next attempt"): beijing(peer.retry_time),
            pick("告警", "alarm"): _alarm(peer),
            pick("待投递", "waiting"): str(peer.waiting),
            pick("最早待投递", "oldest"): _span(peer.oldest_age),
            pick("最近送达", "reached"): beijing(peer.reach_time),
            pick("最近收到", "heard"): beijing(peer.hear_time),
            pick("往返（毫秒）", "round trip (ms)"): _milliseconds(peer.round_trip),
            pick("发送/接收/拒收/暂缓", "sent/received/refused/deferred"): (
                f"{peer.sent}/{peer.received}/{peer.refused}/{peer.deferred}"
            ),
            pick("无效回执", "invalid receipts"): peer.invalid or "",
            pick("超限次数", "over quota"): peer.over_quota or "",
            pick("待处理项", "items"): peer.items or "",
        }
    )


def _print_items(items: list[pb.Undelivered]) -> None:
    print_table(
        (
            pick("编号", "item"),
            pick("类别", "kind"),
            pick("状态", "state"),
            pick("对端", "peer"),
            pick("声明", "statement"),
            pick("工单", "ticket"),
            pick("原因", "reason"),
            pick("数量", "waiting"),
            pick("始于", "since"),
            pick("可用操作", "actions"),
        ),
        [
            (
                item.name.removeprefix("undelivered/"),
                _kind(item),
                _state(item),
                item.node,
                item.statement_kind,
                item.ticket,
                item.reason,
                item.waiting,
                beijing(item.since_time),
                " ".join(item.actions),
            )
            for item in items
        ],
    )


def _print_item(item: pb.Undelivered, *, as_json: bool) -> None:
    if as_json:
        print_json(as_dict(item))
    else:
        _print_items([item])


def _mode(peer: pb.Peer) -> str:
    return pick(PeerMode(peer.mode).zh, PeerMode(peer.mode).name)


def _breaker(peer: pb.Peer) -> str:
    return pick(PeerBreaker(peer.breaker).zh, PeerBreaker(peer.breaker).name)


def _alarm(peer: pb.Peer) -> str:
    return pick(PeerAlarm(peer.alarm).zh, PeerAlarm(peer.alarm).name)


def _kind(item: pb.Undelivered) -> str:
    return pick(UndeliveredKind(item.kind).zh, UndeliveredKind(item.kind).name)


def _state(item: pb.Undelivered) -> str:
    return pick(UndeliveredState(item.state).zh, UndeliveredState(item.state).name)


def _span(duration: Duration) -> str:
    """Return a duration as hours, minutes and seconds, or nothing."""
    seconds = duration.seconds
    if not seconds:
        return ""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _milliseconds(duration: Duration) -> str:
    milliseconds = duration.ToTimedelta().total_seconds() * 1000
    return f"{milliseconds:.0f}" if milliseconds else ""
