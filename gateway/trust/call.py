"""A mutating request as services take it: who asks for what, under which id, with which body."""

from __future__ import annotations

from dataclasses import field

from gateway.kernel.values import dataclass
from gateway.trust.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One mutating request; `gateway.database.once` answers a repeat with the first answer."""

    principal: Principal
    method: str
    request_id: str
    body: bytes = field(repr=False)  # may hold what a citizen wrote
