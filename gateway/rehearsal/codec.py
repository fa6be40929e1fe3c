"""Rows and bytes ↔ values of past decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.kernel.codes import DestinationCondition, RouteDecisionAction
from gateway.kernel.time import from_microseconds, to_microseconds
from gateway.rehearsal.model import Past
from gateway.rehearsal.store import DecisionRow
from gateway.routing.codec import facts_from_pb, facts_to_pb
from gateway.routing.model import DestinationState, RoutingFacts
from hotline.routing.v1 import routing_service_pb2 as routing_pb


def facts_to_bytes(facts: RoutingFacts) -> bytes:
    """Serialise facts so that equal facts give equal bytes."""
    return facts_to_pb(facts).SerializeToString(deterministic=True)


def facts_from_bytes(content: bytes) -> RoutingFacts:
    """Return the facts of a stored decision."""
    return facts_from_pb(routing_pb.RoutingFacts.FromString(content))


def states_to_json(states: Iterable[DestinationState]) -> dict[str, Any]:
    """Return how destinations stood, by target."""
    return {
        state.target: {
            "state": int(state.state),
            "load": state.open_load,
            "overdue": state.overdue_share,
            "until": to_microseconds(state.lease_until) if state.lease_until else None,
            "next": state.normal_next_hop,
        }
        for state in states
    }


def states_from_json(found: Mapping[str, Any]) -> tuple[DestinationState, ...]:
    """Return how destinations stood, in the order of their targets."""
    return tuple(
        DestinationState(
            target=target,
            state=DestinationCondition(each["state"]),
            open_load=each["load"],
            overdue_share=each["overdue"],
            lease_until=from_microseconds(each["until"]) if each["until"] else None,
            normal_next_hop=each["next"],
        )
        for target, each in sorted(found.items())
    )


def past_of(row: DecisionRow) -> Past:
    """Return a stored decision."""
    return Past(
        position=row.position,
        authority=row.authority,
        ticket=row.ticket,
        now=row.decide_time,
        setting=row.setting,
        facts=facts_from_bytes(row.facts),
        states=states_from_json(row.states),
        action=RouteDecisionAction(row.action),
        target=row.target,
        rule=row.rule,
        pack=row.pack,
        trace_digest=row.trace_digest,
    )
