"""What a ruling does to the tickets of an authority (docs/dispatch.md#rulings).

Its case is decided: the copy waits for it no longer. The authority is overruled: it goes on caring,
and custody refuses every exclusive act, until the target has the ticket; then custody says
Released, which ends the assignments here. Or the authority is the target: it holds the ticket
without having been asked, and dispatches it as its rules say, but never offers it on unless the
ruling allows it (`barred.py`). A target that never saw the ticket is told once its content is here.
An upheld custodian goes on: a unit that is at work stays at work, what waited is dispatched.

The form of a ruling is carried out where it took effect, out of the words that its arbiter signed
and of nothing else (`ordered.py`): others get their parts before the target dispatches its own, and
a ticket that is merged, referred out or turned to a person is not dispatched at all.
"""

from __future__ import annotations

from typing import assert_never

from gateway.custody import chains, docket
from gateway.custody.bodies import Ruling
from gateway.custody.model import (
    BecameCustodian,
    CaseRuled,
    ChainKey,
    Holding,
    Overruled,
    Released,
)
from gateway.custody.service import CustodyService
from gateway.database.uow import UnitOfWork
from gateway.dispatch import shares
from gateway.dispatch.acting import Acting
from gateway.dispatch.correspondence import Correspondence
from gateway.dispatch.ordered import SHARED, Ordered
from gateway.kernel.codes import CaseRulingForm, TicketState
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.kernel.time import Instant
from gateway.tickets import changes, machine, rulings
from gateway.tickets.model import Act, Change, Ticket
from gateway.tickets.service import Tickets

_WAITING = frozenset({TicketState.RECEIVED, TicketState.DISPATCHED})
"""States of a ticket that nobody signed for; what the desk works at stays with it."""


def is_by_ruling(epoch: Epoch) -> bool:
    """Tell whether the term of this epoch was opened by a ruling."""
    return epoch.era > 0 and epoch.count == 0


def basis_of_release(event: Released) -> str:
    """Return why the ticket went: an answer of its successor, or a ruling."""
    if is_by_ruling(event.epoch):
        return f"ruling {event.epoch.era}"
    return f"answer of {event.successor}"


class Ruled:
    """Reacts to rulings for the authorities of one node."""

    def __init__(
        self,
        *,
        tickets: Tickets,
        custody: CustodyService,
        acting: Acting,
        correspondence: Correspondence,
        ordered: Ordered,
    ) -> None:
        """React with these."""
        self._ordered = ordered
        self._tickets = tickets
        self._custody = custody
        self._acting = acting
        self._correspondence = correspondence

    async def react(self, uow: UnitOfWork, event: Overruled | CaseRuled, now: Instant) -> None:
        """Show on this authority's copy, if it has one, what a ruling said."""
        key = event.key
        ticket = await self._tickets.find(uow, key.authority, key.ticket)
        if ticket is None:
            return
        act = self._acting.act_of(key.authority, f"ruling {event.ruling}", now)
        match event:
            case Overruled():
                change = rulings.overrule(ticket, act, ruling=event.ruling, target=event.target)
            case CaseRuled():
                chain = await chains.find_chain(uow, key)
                is_open = chain is not None and bool(event.case) and chain.case == event.case
                step = rulings.order_meanwhile if is_open else rulings.close_case
                change = step(
                    ticket, act, case=event.case, ruling=event.ruling, target=event.target
                )
                if event.target == key.authority and not ticket.followed:
                    upheld = self._tickets.save(uow, change)
                    # An offer that the ruling voided may have held up what the citizen did.
                    upheld = await self._correspondence.catch_up(uow, upheld, act)
                    if not is_open:
                        await self._carry_out(uow, upheld, key, now=now)
                    return
                if event.target == key.authority:
                    change = await self._held_inside(uow, change, key, act)
            case _:
                assert_never(event)
        self._tickets.save(uow, change)

    async def taken(self, uow: UnitOfWork, event: BecameCustodian, now: Instant) -> None:
        """Hold a ticket that another held until a ruling gave it to this authority."""
        key, ruling = event.key, event.epoch.era
        before = await self._tickets.get(uow, key.authority, key.ticket)
        act = self._acting.act_of(key.authority, f"ruling {ruling}", now)
        change = rulings.take(before, act, ruling=ruling, source=str(event.source or key.scope))
        ticket = self._tickets.save(uow, change)
        ticket = await self._correspondence.catch_up(uow, ticket, act)
        await self._carry_out(uow, ticket, key, now=now)

    async def _carry_out(
        self, uow: UnitOfWork, ticket: Ticket, key: ChainKey, *, now: Instant
    ) -> None:
        """Do what the newest ruling of a chain orders, and dispatch what is this authority's."""
        order = await docket.newest_ruling(uow, key)
        form = _form_of(order)
        if order is None or not order.case or not await self._holds(uow, ticket):
            if not await self.came_home(uow, ticket, now=now):
                await self._go_on(uow, ticket, now=now)
            return
        act = self._acting.act_of(key.authority, _name_of(order), now)
        if form is None:
            reason = f"裁定形式 {order.form} 本系统尚不支持，请人工执行"
            self._acting.to_desk(uow, ticket, act, reason=reason)
        else:
            ticket = await self._ordered.carry_out(
                uow,
                ticket,
                act,
                form=form,
                parts=order.parts,
                merge_into=order.merge_into,
                reason=order.legal_basis,
                chain=f"{key.scope}-{key.number}",
            )
            if form is CaseRulingForm.UNSPECIFIED or form in SHARED:
                await self._go_on(uow, ticket, now=now)
                return
        await self._custody.publish(uow, authority=key.authority, ticket=ticket.number, now=now)

    async def came_home(self, uow: UnitOfWork, ticket: Ticket, *, now: Instant) -> bool:
        """Carry out what was ruled outside while a city held the ticket; tell if anything was."""
        outer = (await chains.load(uow, AuthorityCode(ticket.authority), ticket.number)).outer
        if outer is None or outer.holding is not Holding.HELD:
            return False
        order = await docket.newest_ruling(uow, outer.key)
        if order is None or not order.form or order.target != ticket.authority:
            return False
        authority, name = AuthorityCode(ticket.authority), _name_of(order)
        if await shares.is_begun(uow, authority, ticket.number, ruling=name):
            return False
        await self._carry_out(uow, ticket, outer.key, now=now)
        return True

    async def _held_inside(
        self, uow: UnitOfWork, change: Change, key: ChainKey, act: Act
    ) -> Change:
        """Tell a person of a province's part in a ruling whose ticket one of its cities holds.

        The province is the custodian outside, but inside it cannot act before the ticket is home
        (`came_home`). One that is to take the ticket can, as soon as it has.
        """
        order = await docket.newest_ruling(uow, key)
        held = await chains.load(uow, key.authority, key.ticket)
        inner = held.open_inner
        is_here = inner is not None and inner.is_caring
        if order is None or not order.form or is_here:
            return change
        reason = f"裁定形式 {order.form} 须由本机构执行，请先从所属机构收回工单"
        noted = machine.note(change.ticket, act, "ticket.needs_person", ("reason", reason))
        return changes.then(change, noted)

    async def _go_on(self, uow: UnitOfWork, ticket: Ticket, *, now: Instant) -> None:
        """Dispatch a ticket that nobody here works at; what is settled stays settled."""
        waits = ticket.state in _WAITING and not _has_unit(ticket)
        if not waits or not await self._holds(uow, ticket):
            await self._custody.publish(
                uow, authority=AuthorityCode(ticket.authority), ticket=ticket.number, now=now
            )
            return
        await self._acting.route(uow, ticket, source=None, now=now)

    async def _holds(self, uow: UnitOfWork, ticket: Ticket) -> bool:
        """Tell whether acts have force; what comes home for an outer ruling leaves again."""
        view = await self._custody.view(uow, AuthorityCode(ticket.authority), ticket.number)
        return view is not None and view.holding is Holding.HELD


def _name_of(order: Ruling) -> str:
    """Return what a ruling is called where it is the basis of acts."""
    return f"ruling {order.number} of case {order.case}"


def _form_of(order: Ruling | None) -> CaseRulingForm | None:
    """Return the form of a ruling; None: a code that this release does not have."""
    number = order.form if order is not None else 0
    return CaseRulingForm(number) if number in CaseRulingForm._value2member_map_ else None


def _has_unit(ticket: Ticket) -> bool:
    lead = ticket.lead
    return lead is not None and lead.is_open and not lead.is_desk
