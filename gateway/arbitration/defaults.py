"""The ruling by default: for whom it is, besides what the case itself tells (`procedure.py`).

A chain may have case after case in which no panel rules. Between authorities a ticket still moves
by consent, so who got it by default may pass it on and the first receiver of the path is who had it
before: by default alone it would go in a circle for ever. So whoever had the ticket by a ruling of
an earlier case and has it no more does not get it by default again. Each ruling by default that
moves the ticket names somebody new; after them it stays where it is, and who holds it by a ruling
cannot give it on without a case. Between units nobody but the desk may bring a ruled ticket up
again; there the clock undoes no word of a panel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.arbitration import procedure
from gateway.arbitration.cases import Cases
from gateway.arbitration.model import PANEL_PROPER, Case, Order, Party
from gateway.arbitration.ports import Ruler
from gateway.arbitration.watching import CANNOT_RULE
from gateway.custody import docket
from gateway.custody.model import ChainKey
from gateway.database.uow import UnitOfWork
from gateway.kernel.codes import CaseLevel, CaseRulingForm, RulingKind
from gateway.kernel.time import Instant

DECIDE = frozenset({*PANEL_PROPER, RulingKind.DEFAULT})
"""Kinds of rulings proper; an interim order names somebody for the time being only."""


class DefaultOrders:
    """Finds what holds when nobody ruled."""

    def __init__(self, *, cases: Cases, rulers: Mapping[CaseLevel, Ruler]) -> None:
        """Read `cases`, and let `rulers` tell who holds and whom nobody may name."""
        self._cases = cases
        self._rulers = rulers

    async def order_of(self, uow: UnitOfWork, case: Case, *, now: Instant) -> Order:
        """Return what holds when nobody ruled, for whom the guards and the roster allow it."""
        ruler = self._rulers[case.level]
        holder = await ruler.holder(uow, case)
        barred, had_it = set[Party](), frozenset[Party]()
        if case.level is not CaseLevel.UNITS:
            had_it = await self._ruled_authorities(uow, case)
        elif (ruled := await self._ruled_unit(uow, case)) is not None:
            case = replace(case, path=(ruled, *case.path))
        while True:
            order = procedure.default_order(
                case,
                custodian=holder,
                may_take=lambda party: party not in barred,
                had_it=had_it,
            )
            if order.target in barred:
                return order  # nobody is left: a person must look
            try:
                await ruler.check(uow, case, order, now=now)
            except CANNOT_RULE:
                barred.add(order.target)
            else:
                return order

    # --- parts --------------------------------------------------------------------------------

    async def _ruled_authorities(self, uow: UnitOfWork, case: Case) -> frozenset[Party]:
        """Return who got the ticket by a ruling of an earlier case of the chain.

        A restored arbiter forgot its cases, and custody gets the rulings back: both count.
        """
        scope = case.key.scope
        key = ChainKey(scope, case.ticket, scope, case.chain)
        known = await self._cases.all_on(uow, scope=scope, ticket=case.ticket, chain=case.chain)
        found = {
            ruling.target
            for each in known
            if each.key != case.key
            for ruling in each.rulings
            if ruling.kind in DECIDE
            and ruling.taken is not None
            and ruling.form is not CaseRulingForm.REFER_OUT
        }
        found |= {
            row.target
            for row in await docket.rulings_of(uow, key)
            if row.case_id not in ("", case.key.case)
            and row.taken_digest
            and RulingKind(row.kind) in DECIDE
        }
        return frozenset(found)

    async def _ruled_unit(self, uow: UnitOfWork, case: Case) -> Party | None:
        """Return whom a panel gave the ticket in an earlier case of units: no clock undoes that."""
        known = await self._cases.all_on(
            uow, scope=case.key.scope, ticket=case.ticket, chain=case.chain
        )
        earlier = [item for each in known if each.key != case.key for item in each.rulings]
        taken = [item for item in earlier if item.kind in PANEL_PROPER and item.taken is not None]
        newest = max(taken, key=lambda item: item.number, default=None)
        return newest.target if newest is not None else None
