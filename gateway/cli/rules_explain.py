"""`lubiao rules explain`: why a ticket goes where it goes, in plain words.

Either a ticket that might be, from its facts, or one that was decided (`--ticket`): then the node
decides it again with the rules of that moment, and says whether the traces are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
import yaml
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError

from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import AsJson, Exit, beijing, pick, print_json, print_line, say
from gateway.cli.ticket import CALL_SECONDS, as_dict
from gateway.kernel.codes import RouteDecisionAction
from gateway.kernel.errors import FieldInvalid, ResourceNotFound
from hotline.routing.v1 import routing_service_pb2 as routing_pb
from hotline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from hotline.ticket.v1 import ticket_pb2 as ticket_pb

_OUTCOMES = {
    "won": ("采用", "won"),
    "lost": ("未采用", "lost"),
    "guarded": ("被护栏排除", "guarded"),
    "failed": ("不适用", "does not apply"),
}


def explain(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(help="派单要素 JSON 或 YAML / facts of a ticket, JSON or YAML"),
    ] = None,
    fact: Annotated[
        list[str] | None,
        typer.Option(
            help="单个要素，优先于文件 / one fact, before the file's: "
            "--fact region=131082 --fact type=complaint --fact at_night=true"
        ),
    ] = None,
    authority: Annotated[str, typer.Option(help="决定机构 / authority that decides")] = "",
    ticket: Annotated[
        str, typer.Option(help="已派工单编号：按当时规则重演 / a ticket: decide it again as then")
    ] = "",
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """说明工单会派往何处及原因 / tell where such a ticket would go, and why."""
    target = Target.of(node, cert, host)
    if ticket:
        _explain_ticket(target, ticket, as_json=as_json)
        return
    if not authority:
        raise FieldInvalid(
            field="--authority",
            got=pick("未给出", "nothing"),
            expected=pick("机构代码，或 --ticket", "an authority, or --ticket"),
        )
    facts = read_facts(file, fact or [])
    request = routing_pb.ExplainRouteRequest(authority=authority, facts=facts)

    async def ask(channel: grpc.aio.Channel) -> routing_pb.ExplainRouteResponse:
        stub = routing_grpc.RoutingServiceStub(channel)
        return await stub.ExplainRoute(request, timeout=CALL_SECONDS)

    answer = target.ask(ask)
    if as_json:
        print_json(as_dict(answer))
        return
    print_reasons(answer.decision, answer.trace)


def _explain_ticket(target: Target, ticket: str, *, as_json: bool) -> None:
    name = ticket if ticket.startswith("tickets/") else f"tickets/{ticket}"
    request = routing_pb.ReplayRouteRequest(ticket=name)

    async def ask(channel: grpc.aio.Channel) -> routing_pb.ReplayRouteResponse:
        stub = routing_grpc.RoutingServiceStub(channel)
        return await stub.ReplayRoute(request, timeout=CALL_SECONDS)

    answer = target.ask(ask)
    if as_json:
        print_json(as_dict(answer))
    else:
        then = beijing(answer.decision.decide_time)
        print_line(pick(f"{name}：{then} 的派单决定", f"{name}: decided on {then} (Beijing time)"))
        print_reasons(answer.decision, answer.trace)
        digest = answer.stored_trace_digest.hex()[:16]
        if answer.is_identical:
            print_line(
                pick(
                    f"已按当时的规则重演，轨迹逐字节一致（{digest}…）。",
                    f"Decided again as then: the trace is the same, byte for byte ({digest}…).",
                )
            )
    if not answer.is_identical:
        say(
            f"重演结果与当时的轨迹不一致：{answer.difference}。当时的决定：{answer.stored}",
            f"Not the trace of then: {answer.difference}. Decided then: {answer.stored}",
        )
        raise typer.Exit(Exit.NO)


def print_reasons(decision: ticket_pb.RouteDecision, trace: Iterable[routing_pb.TraceStep]) -> None:
    """Print a decision in plain words: where to, by which rule, on which basis, and the losers."""
    action = RouteDecisionAction(decision.action)
    reason = f"（{decision.offer_reason}）" if decision.offer_reason else ""
    print_line(f"{pick(action.zh, action.name)} → {decision.target}{reason}")
    for label, value in (
        (pick("依据规则", "rule"), f"{decision.rule}（{decision.pack}）"),
        (pick("法律依据", "legal basis"), decision.legal_basis),
        (pick("理由", "reason"), decision.explanation),
        (pick("主办属地", "leading region"), decision.leading_region),
        (pick("协办单位", "assisting"), "、".join(decision.assisting)),
        (pick("协助地", "asked for help"), "、".join(decision.help_regions)),
        (pick("知会", "told"), "、".join(decision.notify)),
        (pick("拆单事项", "split off"), "、".join(decision.split_matters)),
        (pick("原去向", "diverted from"), decision.diverted_from),
        (pick("不提供身份", "identity withheld from"), "、".join(decision.identity_withheld)),
        (pick("逾期未接", "unless accepted"), _fallback(decision)),
    ):
        if value:
            print_line(f"{label}：{value}")
    losers = [step for step in trace if step.outcome != "won"]
    if losers:
        print_line(pick("其他规则为何没有采用：", "Why the other rules did not decide:"))
    for step in losers:
        zh, en = _OUTCOMES.get(step.outcome, (step.outcome, step.outcome))
        name = f"{step.rule}（{step.pack}）" if step.rule else ""
        print_line(f"  · {name} {pick(zh, en)}：{step.reason}".replace("  ：", "  "))


def _fallback(decision: ticket_pb.RouteDecision) -> str:
    if not decision.HasField("fallback"):
        return ""
    plan = decision.fallback
    hours = pick(
        f"{plan.hours} {'工作小时' if plan.working else '小时'}后",
        f"after {plan.hours} {'working hours' if plan.working else 'hours'}",
    )
    return f"{hours} → {'、'.join(plan.targets)}"


def read_facts(file: Path | None, options: Sequence[str]) -> routing_pb.RoutingFacts:
    """Return the facts of a file and of `name=value` options, which come first.

    Codes may be written as in packs (`complaint`) or as in the standard
    (`TICKET_TYPE_COMPLAINT`), lists in options with commas.
    """
    values = {} if file is None else _facts_of_file(file)
    for option in options:
        name, equals, value = option.partition("=")
        field = routing_pb.RoutingFacts.DESCRIPTOR.fields_by_name.get(name)
        if not equals or field is None:
            known = ", ".join(routing_pb.RoutingFacts.DESCRIPTOR.fields_by_name)
            raise FieldInvalid(
                field="--fact",
                got=option,
                expected=pick(f"名称=值，名称为 {known}", f"name=value, of {known}"),
            )
        values[name] = _plain(field, value)
    try:
        return ParseDict(
            {name: _with_codes(name, value) for name, value in values.items()},
            routing_pb.RoutingFacts(),
        )
    except (ParseError, AttributeError, TypeError) as error:
        raise FieldInvalid(
            field=file or "--fact",
            got=str(error).partition("\n")[0],
            expected=pick("标准的 RoutingFacts", "RoutingFacts of the standard"),
        ) from error


def _facts_of_file(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(_bytes(file))
    except yaml.YAMLError as error:
        values = str(error).partition("\n")[0]
    if not isinstance(values, dict):
        raise FieldInvalid(
            field=file, got=str(values)[:80], expected=pick("要素的映射", "a mapping of facts")
        )
    return {str(name): value for name, value in values.items()}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResourceNotFound(kind="file", name=path) from error


def _plain(field: FieldDescriptor, text: str) -> Any:
    if field.is_repeated:
        return [each for each in text.split(",") if each]
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get(text, text)
    return text


def _with_codes(name: str, value: Any) -> Any:
    """Return a value with the short words of packs turned into names of the standard."""
    field = routing_pb.RoutingFacts.DESCRIPTOR.fields_by_name.get(name)
    if field is None or field.enum_type is None:
        return value
    if isinstance(value, list):
        return [_with_codes(name, each) for each in value]
    prefix = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
    longer = f"{prefix}{str(value).upper()}"
    return longer if longer in field.enum_type.values_by_name else value
