"""How a dispute of units becomes a case: dispatch files it, or somebody asks for a ruling.

The case is the authority's own: scope its code, chain 0. One is open at most for a ticket; its
number is minted here, and goes up with every further one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gateway.arbitration import procedure
from gateway.arbitration.cases import Cases
from gateway.arbitration.codec import issued_to_bytes
from gateway.arbitration.grounds import DISCLAIMED, REQUEST, ground_for
from gateway.arbitration.model import CaseKey, Entry, Filing, Party, TicketFacts
from gateway.arbitration.parties import Parties
from gateway.arbitration.service import Arbitration
from gateway.arbitration.watching import stages_of, watch
from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.database.once import Once
from gateway.database.uow import UnitOfWork
from gateway.dispatch.disputes import Disputes, UnitDispute, path_of
from gateway.kernel.codes import CaseEntryKind, CaseGround, CaseLevel
from gateway.kernel.errors import CasePending, FieldInvalid, NotCustodian, TransitionNotAllowed
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.reference.calendar import Calendar
from gateway.reference.units import desk_id
from gateway.tickets import machine
from gateway.tickets.disputes import is_by_ruled_rule
from gateway.tickets.model import Act, Ticket, UnitRequest
from gateway.tickets.service import Scope, Tickets
from gateway.trust.call import Call
from gateway.trust.principal import PrincipalKind

CHAIN = 0  # of no chain of custody: the authority holds the ticket before and after


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """That a dispute of units be decided, by whom and why."""

    ticket: TicketNumber
    party: Party
    proposed: Party
    ground: CaseGround | None
    legal_basis: str
    words: str


class UnitFilings:
    """Files disputes of the units of this node's authorities."""

    def __init__(self, *, cases: Cases, arbitration: Arbitration, tickets: Tickets) -> None:
        """File with `arbitration`."""
        self._tickets = tickets
        self._cases = cases
        self._arbitration = arbitration

    async def open(self, uow: UnitOfWork, dispute: UnitDispute, now: Instant) -> str:
        """Open the case of a dispute, or join the open one; return its number."""
        scope, ticket = dispute.authority, dispute.ticket
        known = await self._cases.open_on(uow, scope=scope, ticket=ticket, chain=CHAIN)
        if known is None:
            earlier = await self._cases.all_on(uow, scope=scope, ticket=ticket, chain=CHAIN)
            case = f"{ticket}-{scope}-{CHAIN}-{len(earlier)}"
        else:
            case = known.key.case
        filing = Filing(
            key=CaseKey(scope, case),
            ticket=ticket,
            chain=CHAIN,
            cause=dispute.cause,
            filer=dispute.filer,
            proposed_target=None,
            path=dispute.path,
            facts=TicketFacts(
                matter=dispute.matter,
                region=dispute.region,
                urgency=dispute.urgency,
                type=dispute.type,
                due_time=dispute.due_time,
            ),
            custodian=dispute.holder,
            refused_by=dispute.proposed,
            level=CaseLevel.UNITS,
            ground=dispute.ground or ground_for(dispute.cause, dispute.reason, CaseLevel.UNITS),
            involved=dispute.involved,
        )
        await self._arbitration.filed(uow, filing, now=now)
        return case

    async def ended(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,  # noqa: ARG002 (a case of units is never joined under another number)
        case: str,
        now: Instant,
    ) -> None:
        """Close a case whose ticket left, ended, or is led by another unit by consent."""
        await self._arbitration.void(uow, CaseKey(authority, case), now=now)

    async def unasked(
        self, uow: UnitOfWork, authority: AuthorityCode, case: str, ruling: int, now: Instant
    ) -> None:
        """Close a case whose ruling asks a body of which nobody needs an answer any more."""
        await self._arbitration.unasked(uow, CaseKey(authority, case), ruling=ruling, now=now)

    async def taken(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        ruling: int,
        now: Instant,
    ) -> None:
        """Note that a body that was asked leads now."""
        await self._arbitration.taken(
            uow, scope=authority, ticket=ticket, chain=CHAIN, number=ruling, now=now
        )

    async def declined(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, request: UnitRequest
    ) -> Ticket:
        """Let the panel rule otherwise about a body that declined or said nothing."""
        case = await self._arbitration.declined(
            uow,
            scope=AuthorityCode(ticket.authority),
            ticket=ticket.number,
            chain=CHAIN,
            number=request.ruling,
            now=act.now,
        )
        if case is None or ticket.case:
            return ticket
        again = machine.open_case(ticket, act, case=case.key.case, cause=DISCLAIMED)
        return self._tickets.save(uow, again)


class UnitRequests:
    """Takes requests for a ruling between units (提请裁定)."""

    def __init__(
        self,
        *,
        tickets: Tickets,
        disputes: Disputes,
        cases: Cases,
        parties: Parties,
        calendar: Callable[[], Calendar],
        audit: AuditLog,
        once: Once,
    ) -> None:
        """Act with these."""
        self._tickets = tickets
        self._disputes = disputes
        self._cases = cases
        self._parties = parties
        self._calendar = calendar
        self._audit = audit
        self._once = once

    async def open(self, call: Call, wish: Wish) -> bytes:
        """Open a case because a unit of the ticket, or the desk, asks for a ruling.

        What it says is the first position on record.

        Raises:
            ResourceNotFound: there is no such ticket for this caller.
            RoleMissing: the caller speaks for no unit of the ticket and not for the desk.
            FieldInvalid: the proposed owner is no unit here, or the very holder.
            CasePending: a case of the ticket is open.
            NotCustodian, TransitionNotAllowed: it is offered away, held elsewhere, or settled; or a
                unit asks again about what was ruled.
        """
        step = partial(self._open, call, wish)
        return await self._once.run(call, step, locks=(f"ticket/{wish.ticket}",))

    async def _open(self, call: Call, wish: Wish, uow: UnitOfWork, now: Instant) -> bytes:
        principal = call.principal
        ticket = await self._tickets.get_visible(uow, Scope.of(principal), wish.ticket)
        party = self._party(call, ticket, wish.party)
        await self._check(uow, ticket, wish)
        await self._require_new(uow, ticket, party)
        act = Act(principal.name, principal.acting_role, wish.legal_basis[:200], now)
        disputed = await self._disputes.open(
            uow,
            ticket,
            act,
            cause=REQUEST,
            filer=party,
            proposed=(wish.proposed,) if wish.proposed else (),
            reason=None,
            ground=wish.ground,
        )
        key = CaseKey(AuthorityCode(ticket.authority), disputed.case)
        case = await self._cases.visible(uow, key.scope, key.case)
        entry = Entry(
            number=0,
            kind=CaseEntryKind.POSITION,
            party=party,
            author=principal.name,
            said=now,
            proposed=wish.proposed or None,
            legal_basis=wish.legal_basis,
            words=wish.words,
        )
        stages = stages_of(case, entered=now, calendar=self._calendar())
        stated = procedure.say(case, entry, stage_due=stages)
        await self._cases.add_entry(uow, stated)
        watch(uow, stated)
        self._audit.append(
            uow,
            AuditEntry(
                time=now,
                principal=principal.name,
                role=principal.acting_role,
                act="case.open",
                subject=case.name,
                basis=act.basis,
            ),
        )
        return issued_to_bytes(stated, now=now)

    def _party(self, call: Call, ticket: Ticket, named: Party) -> Party:
        """Return the unit, or the desk, for which the caller asks."""
        desk = f"units/{desk_id(ticket.authority)}"
        is_staff = call.principal.kind is PrincipalKind.STAFF
        at_work = tuple(item.unit for item in ticket.assignments if item.is_standing)
        among = tuple(dict.fromkeys((*path_of(ticket), *at_work, desk)))
        party = self._parties.unit_speaking(
            call.principal,
            call.method,
            scope=AuthorityCode(ticket.authority),
            named=named or (desk if is_staff else ""),
            among=among,
        )
        if party not in among:
            expected = f"one of {', '.join(among)}"
            raise FieldInvalid(field="party", got=party, expected=expected)
        return party

    async def _require_new(self, uow: UnitOfWork, ticket: Ticket, party: Party) -> None:
        """Return if a unit asks about what was not ruled: new facts are the desk's to bring."""
        scope = AuthorityCode(ticket.authority)
        known = await self._cases.all_on(uow, scope=scope, ticket=ticket.number, chain=CHAIN)
        ruled = next((case for case in known if case.ruling_proper is not None), None)
        lead = ticket.lead
        bar = f"ruled in {ruled.name}" if ruled is not None else ""
        if lead is not None and is_by_ruled_rule(ticket, lead):
            bar = bar or f"with {lead.unit} by a rule that a ruling made"
        if bar and party != f"units/{desk_id(scope)}":
            raise TransitionNotAllowed(
                name=ticket.name,
                state=bar,
                event="open a case",
                allowed="object to the ruling, once; with new facts the desk opens a case",
            )

    async def _check(self, uow: UnitOfWork, ticket: Ticket, wish: Wish) -> None:
        scope, holder = AuthorityCode(ticket.authority), self._disputes.holder_of(ticket)
        if wish.proposed and (
            self._parties.find(scope, wish.proposed) is None or wish.proposed == holder
        ):
            raise FieldInvalid(
                field="proposed_owner",
                got=wish.proposed,
                expected=f"a unit of authority {scope} other than {holder}",
            )
        if ticket.case:
            raise CasePending(ticket=ticket.number, case=ticket.case, event="open a case")
        if await self._disputes.may_open(uow, ticket):
            return
        if not ticket.followed and await self._disputes.is_held(uow, ticket):
            raise TransitionNotAllowed(
                name=ticket.name,
                state=ticket.state.name,
                event="open a case",
                allowed="none: it is settled",
            )
        raise NotCustodian(
            ticket=ticket.number,
            holding="FOLLOWED" if ticket.followed else "OFFERED",
            event="open a case of units",
            custodian=ticket.custodian or scope,
        )
