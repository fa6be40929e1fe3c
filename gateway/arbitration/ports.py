"""What arbitration needs of the rooms below: somebody who signs and fences a ruling."""

from __future__ import annotations

from typing import Protocol

from gateway.database.uow import UnitOfWork
from gateway.kernel.codes import RulingKind
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant


class Ruler(Protocol):
    """The arbiter's half of custody (docs/custody.md#rulings)."""

    async def rule(
        self,
        uow: UnitOfWork,
        *,
        scope: AuthorityCode,
        ticket: TicketNumber,
        number: int,
        case: str,
        kind: RulingKind,
        target: AuthorityCode,
        offers_allowed: bool,
        mandates: tuple[AuthorityCode, ...],
        legal_basis: str,
        reasons: str,
        now: Instant,
    ) -> int:
        """Sign the next ruling of chain `number` and send it to everybody; return its number."""
        ...
