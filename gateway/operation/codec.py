"""Between the values of operation and their messages."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.delivery.codec import duration_to_pb, instant_to_pb
from gateway.delivery.model import Breaker, Item, ItemState, Mode
from gateway.delivery.undelivered import UndeliveredRow
from gateway.kernel.time import Instant
from gateway.operation.machine import Alarm, acts_of
from gateway.operation.model import PeerView
from hotline.operation.v1alpha1 import operation_service_pb2 as pb

_MODES = {
    Mode.OPEN: pb.Peer.MODE_OPEN,
    Mode.PAUSED: pb.Peer.MODE_PAUSED,
    Mode.DRAINING: pb.Peer.MODE_DRAINING,
}
_BREAKERS = {
    Breaker.CLOSED: pb.Peer.BREAKER_CLOSED,
    Breaker.OPEN: pb.Peer.BREAKER_OPEN,
    Breaker.HALF_OPEN: pb.Peer.BREAKER_HALF_OPEN,
}
_ALARMS = {
    Alarm.NONE: pb.Peer.ALARM_NONE,
    Alarm.WARNING: pb.Peer.ALARM_WARNING,
    Alarm.OVERDUE: pb.Peer.ALARM_OVERDUE,
}
_KINDS = {
    Item.OVERDUE: pb.Undelivered.KIND_OVERDUE,
    Item.STUCK: pb.Undelivered.KIND_STUCK,
    Item.REFUSED: pb.Undelivered.KIND_REFUSED,
    Item.SET_ASIDE: pb.Undelivered.KIND_SET_ASIDE,
    Item.QUARANTINED: pb.Undelivered.KIND_QUARANTINED,
    Item.EVIDENCE: pb.Undelivered.KIND_EVIDENCE,
}
_STATES = {
    ItemState.OPEN: pb.Undelivered.STATE_OPEN,
    ItemState.ACKNOWLEDGED: pb.Undelivered.STATE_ACKNOWLEDGED,
    ItemState.RESOLVED: pb.Undelivered.STATE_RESOLVED,
    ItemState.RESENT: pb.Undelivered.STATE_RESENT,
    ItemState.DISCARDED: pb.Undelivered.STATE_DISCARDED,
}


def peer_to_pb(view: PeerView) -> pb.Peer:
    """Return a peer as a message."""
    return pb.Peer(
        name=f"peers/{view.node}",
        endpoint=view.endpoint,
        mode=_MODES[view.mode],
        mode_reason=view.mode_reason,
        mode_actor=view.mode_actor,
        mode_time=_stamp(view.mode_time),
        breaker=_BREAKERS[view.breaker],
        failures=view.failures,
        error=view.error,
        retry_time=_stamp(view.retry_at),
        waiting=view.waiting,
        oldest_age=duration_to_pb(view.oldest_age),
        alarm=_ALARMS[view.alarm],
        reach_time=_stamp(view.reached),
        hear_time=_stamp(view.heard),
        round_trip=duration_to_pb(view.round_trip or timedelta(0)),
        sent=view.sent,
        received=view.received,
        refused=view.refused,
        deferred=view.deferred,
        invalid=view.invalid,
        over_quota=view.over_quota,
        items=view.items,
    )


def undelivered_to_pb(row: UndeliveredRow) -> pb.Undelivered:
    """Return an item as a message."""
    kind, state = Item(row.kind), ItemState(row.state)
    return pb.Undelivered(
        name=f"undelivered/{row.item}",
        kind=_KINDS[kind],
        state=_STATES[state],
        node=row.node,
        source=row.source,
        target=row.target,
        ticket=row.ticket,
        statement_kind=row.statement_kind,
        statement_digest=row.statement_digest.hex(),
        reason=row.reason,
        waiting=row.waiting,
        since_time=instant_to_pb(row.since),
        create_time=instant_to_pb(row.created),
        update_time=instant_to_pb(row.changed),
        actor=row.actor,
        note=row.note,
        actions=[act.value for act in acts_of(kind, state, row.statement_kind)],
    )


def _stamp(instant: Instant | None) -> Timestamp | None:
    return None if instant is None else instant_to_pb(instant)
