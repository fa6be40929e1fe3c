"""Rulings between authorities and between provinces: they move custody, and raise its era."""

from __future__ import annotations

from collections.abc import Callable

from gateway.arbitration.model import Case, Order, Party
from gateway.arbitration.ports import RulingSigner
from gateway.custody import chains
from gateway.custody.model import ChainKey
from gateway.database.uow import UnitOfWork
from gateway.kernel.errors import DestinationNotJoined, FieldInvalid
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.kernel.time import Instant
from gateway.trust.roster import Roster


class CustodyRuler:
    """The `Ruler` of the levels AUTHORITIES and PROVINCES."""

    def __init__(self, *, signer: RulingSigner, roster: Callable[[], Roster]) -> None:
        """Let `signer` number, sign, send and fence what is ruled."""
        self._signer = signer
        self._roster = roster

    async def holder(self, uow: UnitOfWork, case: Case) -> Party:
        """Return the custodian in the case's scope, as the arbiter knows."""
        scope = case.key.scope
        chain = await chains.find_chain(uow, ChainKey(scope, case.ticket, scope, case.chain))
        if chain is None:
            return case.responsible
        holder = scope if chain.is_caring else chain.custodian
        if holder is None:
            return case.responsible
        return chains.province_of(holder) if scope == NATION else holder

    async def check(self, uow: UnitOfWork, case: Case, order: Order, *, now: Instant) -> None:  # noqa: ARG002 (guards forbid units, not authorities)
        """Return if target and mandates are authorities of the scope that have joined.

        Raises:
            FieldInvalid: one is no authority of the scope.
            DestinationNotJoined: one has not joined.
        """
        scope = case.key.scope
        for field, party in (("target", order.target), *(("mandates", m) for m in order.mandates)):
            code = AuthorityCode(party)
            if not chains.is_in_scope(code, scope):
                raise FieldInvalid(field=field, got=code, expected=f"an authority of scope {scope}")
            if not self._roster().is_joined(code):
                raise DestinationNotJoined(authority=code)

    async def carry_out(self, uow: UnitOfWork, case: Case, order: Order, *, now: Instant) -> int:
        """Have the next ruling of the chain signed and sent; return its number."""
        return await self._signer.rule(
            uow,
            scope=case.key.scope,
            ticket=case.ticket,
            number=case.chain,
            case=case.key.case,
            kind=order.kind,
            target=AuthorityCode(order.target),
            offers_allowed=order.offers_allowed,
            mandates=tuple(AuthorityCode(party) for party in order.mandates),
            legal_basis=order.legal_basis,
            reasons=order.reasons,
            now=now,
        )
