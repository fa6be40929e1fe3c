"""The arbitration of a simulated node: the real room, with its clocks, its statements and its edge.

Every node has one: provinces and the nation's arbiter rule, and every authority keeps the cases
that it is a party of. Who calls is told by the caller itself: the edge's certificates are others'
tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from gateway.arbitration.assembly import ArbitrationRoom, build_arbitration
from gateway.audit.service import AuditLog
from gateway.reference.calendar import Calendar
from gateway.trust.principal import Principal

if TYPE_CHECKING:
    from gateway.delivery.outbox import Outbox
    from tests.simulation.node import Node

CALENDAR = Calendar()  # Monday to Friday: the checkers count the days by themselves
SIGNIFICANT_MIN = 2  # digits of a code that name its area


def build_room(node: Node, outbox: Outbox) -> ArbitrationRoom:
    """Return the arbitration of a node over its storage."""
    return build_arbitration(
        database=node.database,
        ruler=node.arbiter,
        keys=node.keys,
        ids=node.world.ids,
        roster=node.known_roster,
        calendar=lambda: CALENDAR,
        audit=AuditLog(),
        business_clock=node.clock,
        principal_of=lambda context: cast("Principal", context),
        is_within=is_within,
        outbox=outbox,
        machine_clock=node.clock,
        incarnation=node.recovery.incarnation,
    )


def as_caller(principal: Principal) -> Any:
    """Return what stands for the context of a call by `principal`."""
    return principal


def is_within(region: str, authority: str) -> bool:
    """Tell whether a county lies in the area of an authority."""
    significant = authority.rstrip("0")
    return bool(region) and region.startswith(significant.ljust(SIGNIFICANT_MIN, "0"))
