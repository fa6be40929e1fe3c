"""Protobuf ↔ values of trials and replays."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.delivery.codec import instant_of_field, instant_to_pb
from gateway.kernel.codes import RouteDecisionAction
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.time import Instant
from gateway.rehearsal.model import Balance, Destination, Flow, Report
from gateway.rehearsal.replay import Replay
from gateway.rehearsal.service import Progress, Trial
from gateway.routing.codec import decision_to_pb, step_to_pb
from hotline.routing.v1 import rehearsal_pb2 as pb
from hotline.routing.v1 import routing_service_pb2 as routing_pb
from hotline.ticket.v1 import ticket_pb2

FLOWS_SENT_MAX = 1_000  # of an answer of some hundred kilobytes
RULES_SENT_MAX = 10
TICKETS = "tickets/"


def trial_from_pb(message: pb.SimulateRulePackRequest) -> Trial:
    """Return what a request wants to try."""
    return Trial(
        authority=message.authority,
        sources=tuple(message.sources),
        baseline_sources=tuple(message.baseline_sources),
        start=_instant(message, "start_time"),
        end=_instant(message, "end_time"),
        in_flight=message.in_flight,
        on=_day(message.on, field="on"),
        preview_on=_day(message.preview_on, field="preview_on"),
        reference_archive=message.reference_archive,
    )


def progress_to_pb(progress: Progress) -> pb.SimulateRulePackResponse:
    """Return the message of a progress."""
    found = pb.RehearsalProgress(done=progress.done, total=progress.total)
    return pb.SimulateRulePackResponse(progress=found)


def report_to_pb(report: Report) -> pb.SimulateRulePackResponse:
    """Return the message of a report, with its greatest flows and changes."""
    return pb.SimulateRulePackResponse(
        simulation=pb.RulePackSimulation(
            authority=report.authority,
            draft=report.draft,
            baseline=report.baseline,
            first_time=instant_to_pb(report.first) if report.first else None,
            last_time=instant_to_pb(report.last) if report.last else None,
            on=report.on.isoformat(),
            examined_count=report.examined,
            moved_count=report.moved,
            beside_count=report.beside,
            by_another_rule_count=report.by_another_rule,
            missing_count=report.missing,
            is_cut=report.is_cut,
            flows=[_flow_to_pb(flow, report) for flow in report.flows[:FLOWS_SENT_MAX]],
            balances=_balances_to_pb(report.balances[:FLOWS_SENT_MAX], report),
            authorities=_balances_to_pb(report.authorities[:FLOWS_SENT_MAX], report),
        )
    )


def report_from_pb(message: pb.RulePackSimulation) -> Report:
    """Return the report of a message."""
    flows = tuple(_flow_from_pb(flow) for flow in message.flows)
    names: dict[str, str] = {}
    for flow in message.flows:
        names |= {flow.before_target: flow.before_name, flow.after_target: flow.after_name}
    for balance in (*message.balances, *message.authorities):
        names[balance.target] = balance.name
    return Report(
        authority=message.authority,
        draft=message.draft,
        baseline=message.baseline,
        first=_stamp(message.first_time),
        last=_stamp(message.last_time),
        on=date.fromisoformat(message.on),
        examined=message.examined_count,
        moved=message.moved_count,
        beside=message.beside_count,
        by_another_rule=message.by_another_rule_count,
        missing=message.missing_count,
        is_cut=message.is_cut,
        flows=flows,
        balances=tuple(_balance_from_pb(each) for each in message.balances),
        authorities=tuple(_balance_from_pb(each) for each in message.authorities),
        names={target: name for target, name in names.items() if name},
    )


def replay_to_pb(replay: Replay) -> routing_pb.ReplayRouteResponse:
    """Return the message of a replay."""
    past, decision = replay.past, replay.decision
    return routing_pb.ReplayRouteResponse(
        decision=decision_to_pb(decision),
        trace=[step_to_pb(step) for step in decision.trace],
        stored_trace_digest=past.trace_digest,
        is_identical=replay.is_identical,
        difference=replay.difference,
        stored="|".join((past.action.name, past.target, past.pack, past.rule)),
    )


def _instant(message: pb.SimulateRulePackRequest, field: str) -> Instant | None:
    if not message.HasField(field):  # type: ignore[arg-type] # one of two names of instants
        return None
    return instant_of_field(getattr(message, field), field=field)


def _day(text: str, *, field: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise FieldInvalid(field=field, got=text, expected="a day as 2026-01-31") from error


def _stamp(stamp: Timestamp) -> Instant | None:
    return None if stamp == Timestamp() else stamp.ToDatetime(UTC)


def _flow_to_pb(flow: Flow, report: Report) -> pb.RehearsalFlow:
    rules = sorted(flow.rules.items(), key=lambda item: (-item[1], item[0]))
    return pb.RehearsalFlow(
        before_action=ticket_pb2.RouteDecision.Action.ValueType(flow.before.action),
        before_target=flow.before.target,
        before_name=report.names.get(flow.before.target, ""),
        after_action=ticket_pb2.RouteDecision.Action.ValueType(flow.after.action),
        after_target=flow.after.target,
        after_name=report.names.get(flow.after.target, ""),
        count=flow.count,
        rules=[
            pb.RehearsalRules(before=before, after=after, count=count)
            for (before, after), count in rules[:RULES_SENT_MAX]
        ],
        samples=[TICKETS + number for number in flow.samples],
    )


def _flow_from_pb(message: pb.RehearsalFlow) -> Flow:
    return Flow(
        before=Destination(RouteDecisionAction(message.before_action), message.before_target),
        after=Destination(RouteDecisionAction(message.after_action), message.after_target),
        count=message.count,
        rules={(each.before, each.after): each.count for each in message.rules},
        samples=[name.removeprefix(TICKETS) for name in message.samples],
    )


def _balances_to_pb(balances: Iterable[Balance], report: Report) -> list[pb.RehearsalBalance]:
    return [
        pb.RehearsalBalance(
            target=each.target,
            name=report.names.get(each.target, ""),
            before_count=each.before,
            after_count=each.after,
            gained_count=each.gained,
            lost_count=each.lost,
        )
        for each in balances
    ]


def _balance_from_pb(message: pb.RehearsalBalance) -> Balance:
    return Balance(
        target=message.target,
        before=message.before_count,
        after=message.after_count,
        gained=message.gained_count,
        lost=message.lost_count,
    )
