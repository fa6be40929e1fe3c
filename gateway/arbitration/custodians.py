"""Rulings between authorities and between provinces: they move custody, and raise its era."""

from __future__ import annotations

from collections.abc import Callable

from gateway.arbitration.model import Case, Order, Part, Party
from gateway.arbitration.ports import RulingSigner
from gateway.custody import chains
from gateway.custody.model import ChainKey
from gateway.database.uow import UnitOfWork
from gateway.kernel.codes import CaseRulingForm, RulingKind
from gateway.kernel.errors import DestinationNotJoined, FieldInvalid
from gateway.kernel.ids import NATION, AuthorityCode, TicketNumber
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
        """Return if everybody whom an order names can take what it gives them.

        Guards forbid units, not authorities: they bind who dispatches after the ruling.

        Raises:
            FieldInvalid: one is no authority of the scope, or, of a referral out of it, no other
                province; or the earlier ticket of a merge is not held by the target.
            DestinationNotJoined: one has not joined.
        """
        if order.form is CaseRulingForm.REFER_OUT:
            self._check_outside(case.key.scope, AuthorityCode(order.target))
            return
        named = [("target", order.target), *(("mandates", party) for party in order.mandates)]
        named += [("parts", part.party) for part in order.parts]
        for field, party in named:
            self._check_inside(case.key.scope, AuthorityCode(party), field=field)
        if order.form is CaseRulingForm.MERGE:
            await self._check_earlier(uow, case, order)

    async def carry_out(self, uow: UnitOfWork, case: Case, order: Order, *, now: Instant) -> int:
        """Have the next ruling of the chain signed and sent; return its number.

        A referral out of the scope is a HOME ruling that names the province it goes to: the
        province takes the ticket home and offers it, or files, outside. So each chain keeps its
        one arbiter.
        """
        scope, target, parts = case.key.scope, AuthorityCode(order.target), order.parts
        kind, offers_allowed = order.kind, order.offers_allowed
        if order.form is CaseRulingForm.REFER_OUT:
            kind, offers_allowed = RulingKind.HOME, True
            target, parts = scope, (Part(order.target),)
        return await self._signer.rule(
            uow,
            scope=scope,
            ticket=case.ticket,
            number=case.chain,
            case=case.key.case,
            kind=kind,
            target=target,
            offers_allowed=offers_allowed,
            mandates=tuple(AuthorityCode(party) for party in order.mandates),
            legal_basis=order.legal_basis,
            reasons=order.reasons,
            now=now,
            form=order.form,
            parts=parts,
            merge_into=order.merge_into,
        )

    async def is_taken(self, uow: UnitOfWork, case: Case, order: Order) -> bool:  # noqa: ARG002 (a statement tells it)
        """Tell nothing: the target says TAKEN itself, in a statement."""
        return False

    # --- parts --------------------------------------------------------------------------------

    def _check_inside(self, scope: AuthorityCode, code: AuthorityCode, *, field: str) -> None:
        if not chains.is_in_scope(code, scope):
            raise FieldInvalid(field=field, got=code, expected=f"an authority of scope {scope}")
        if not self._roster().is_joined(code):
            raise DestinationNotJoined(authority=code)

    def _check_outside(self, scope: AuthorityCode, code: AuthorityCode) -> None:
        if not chains.is_province(code) or code in (scope, NATION):
            raise FieldInvalid(
                field="target", got=code, expected=f"another province than {scope} (REFER_OUT)"
            )
        if not self._roster().is_joined(code):
            raise DestinationNotJoined(authority=code)

    async def _check_earlier(self, uow: UnitOfWork, case: Case, order: Order) -> None:
        """Return if the target holds the earlier ticket, as far as this arbiter knows it.

        A province follows all tickets of its cities; the nation knows none, so there the target
        looks when it carries the ruling out.
        """
        scope = case.key.scope
        if scope == NATION:
            return
        inner = (await chains.load(uow, scope, TicketNumber(order.merge_into))).open_inner
        holder = None if inner is None else scope if inner.is_caring else inner.custodian
        if holder != order.target:
            raise FieldInvalid(
                field="merge_into",
                got=f"{order.merge_into} at {holder or 'nobody known'}",
                expected=f"a ticket that {order.target}, the target, holds",
            )
