"""Carrying out the form of a ruling, once who holds the ticket is settled (docs/dispatch.md#forms).

A ruling says who leads, and by its form what else happens: others assist, must answer too, or take
an issue of their own; the ticket is merged, leaves the scope, or the citizen is told of another
way. Units of this authority get assignments; another authority gets a linked child ticket, whose
place lies in its area, so that it takes the child at once and without being asked.

Nothing here fails because of what a ruling wants: what cannot be done, and what a guard forbids, is
put before a person with the reason, for the guards of the rules bind rulings too. A ruling that
comes a second time does nothing a second time (`shares.py`), and no rule turns anybody away: of a
ruling that nobody has this duty the desk tells the citizen.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.custody.model import OfferReason, RulingPart
from gateway.custody.service import CustodyService
from gateway.database.uow import UnitOfWork
from gateway.dispatch import shares
from gateway.dispatch.acting import Acting
from gateway.dispatch.guarding import Guarding
from gateway.dispatch.plans import Offering
from gateway.dispatch.router import Router
from gateway.dispatch.splitting import Splitting
from gateway.dispatch.texts import assist_texts, issue_texts
from gateway.kernel.codes import (
    AssignmentRole,
    CaseRulingForm,
    DispatchMode,
    TicketPurpose,
    TicketState,
)
from gateway.kernel.errors import (
    FieldInvalid,
    GuardViolated,
    NotCustodian,
    QuotaExceeded,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.values import dataclass
from gateway.tickets import machine, requests
from gateway.tickets.children import Wanted
from gateway.tickets.model import FINAL, Act, Ticket
from gateway.tickets.service import Tickets

UNIT_PREFIX = "units/"
REASON_LENGTH_MAX = 200  # of the basis in a desk's note; the case file has all of it
CANNOT = (FieldInvalid, GuardViolated, QuotaExceeded, TransitionNotAllowed)
_Form = CaseRulingForm
SHARED = frozenset({_Form.LEAD_ASSIST, _Form.JOINT, _Form.SPLIT})
"""Forms of which the target leads and others have their part; it dispatches its own part itself."""
_TO_CITIZEN = {
    _Form.LEGAL: "裁定转法定途径（{}）：请向来话人说明理由并告知法定途径后办结",
    _Form.BEYOND_DUTY: "裁定超出职责范围（{}）：请向来话人说明理由后办结",
}


@dataclass(frozen=True, slots=True)
class Carried:
    """A ruling that is being carried out."""

    name: str
    chain: str
    form: CaseRulingForm


class Ordered:
    """Carries rulings out for the authorities of one node."""

    def __init__(
        self,
        *,
        tickets: Tickets,
        custody: CustodyService,
        acting: Acting,
        splitting: Splitting,
        guarding: Guarding,
        router: Router,
    ) -> None:
        """Act with these."""
        self._tickets = tickets
        self._custody = custody
        self._acting = acting
        self._splitting = splitting
        self._guarding = guarding
        self._router = router

    async def carry_out(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        act: Act,
        *,
        form: CaseRulingForm,
        parts: Sequence[RulingPart] = (),
        merge_into: str = "",
        reason: str = "",
        chain: str = "",
    ) -> Ticket:
        """Do what a ruling orders besides who holds the ticket; return the copy.

        Called for every ruling that decides, by the authority whose it is now; the ticket is
        locked. `act.basis` names the ruling: the same name again does nothing. `reason` is its
        legal basis, for the person who tells the citizen. `chain` is what it is about, empty for
        the units here: what an earlier ruling about the same ordered is waited for no longer.
        """
        ruling = Carried(act.basis, chain, form)
        done = await shares.begin(
            uow, ticket.authority, ticket.number, ruling=ruling.name, chain=chain
        )
        if form is _Form.UNSPECIFIED or ticket.is_final:
            return ticket
        if not await self._is_held(uow, ticket):
            return self._ask_person(
                uow, ticket, act, f"裁定（{form.zh}）无法执行：工单不在本机构手中"
            )
        if form in SHARED:
            for part in parts:
                if part.party not in done:
                    ticket = await self._share(uow, ticket, act, ruling=ruling, part=part)
            return ticket
        if "" in done:
            return ticket
        self._keep(uow, ticket, ruling)
        match form:
            case _Form.MERGE:
                return await self._merge(uow, ticket, act, merge_into)
            case _Form.REFER_OUT:
                return await self._refer_out(uow, ticket, act, [part.party for part in parts])
            case _Form.LEGAL | _Form.BEYOND_DUTY:
                text = _TO_CITIZEN[form].format(reason[:REASON_LENGTH_MAX] or "见裁定")
                return self._acting.to_desk(uow, ticket, act, reason=text)
            case _:
                return self._ask_person(uow, ticket, act, f"未知的裁定形式：{form.name}")

    async def require_answered(self, uow: UnitOfWork, ticket: Ticket) -> None:
        """Return if every part of a joint ruling has answered, so that the lead may too.

        Raises:
            TransitionNotAllowed: one has not; the error names its ticket.
        """
        awaited = await shares.awaited(uow, ticket.authority, ticket.number)
        if not awaited:
            return
        known = await self._tickets.children(uow, ticket.authority, ticket.number)
        for child in known:
            if child.number in awaited and child.state not in FINAL:
                raise TransitionNotAllowed(
                    name=ticket.name,
                    state=f"{ticket.state.name}, jointly with tickets/{child.number}",
                    event="resolve",
                    allowed=f"resolve after {child.custodian} has answered its part",
                )

    # --- parts of a ruling --------------------------------------------------------------------

    async def _share(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, *, ruling: Carried, part: RulingPart
    ) -> Ticket:
        """Give one other its part, in the form's way."""
        form = ruling.form
        is_assistant = form is _Form.LEAD_ASSIST and part.party.startswith(UNIT_PREFIX)
        try:
            if is_assistant:
                saved, child = await self._engage(uow, ticket, act, part.party), ""
            else:
                saved, born = await self._bear(uow, ticket, act, form=form, part=part)
                child = born.number
                await self._give(uow, born, act, part.party)
        except CANNOT as error:
            self._keep(uow, ticket, ruling, party=part.party)
            text = f"裁定（{form.zh}）中 {part.party} 的分工未能安排：{_why(error)}"
            return self._ask_person(uow, ticket, act, text)
        self._keep(uow, saved, ruling, party=part.party, child=child)
        return saved

    async def _engage(self, uow: UnitOfWork, ticket: Ticket, act: Act, unit: str) -> Ticket:
        """Have a unit of this authority assist, unless it is at work already."""
        at_work = (item for item in ticket.assignments if item.role is not AssignmentRole.READ)
        if any(item.unit == unit and item.is_open for item in at_work):
            return ticket
        await self._guarding.check_unit(uow, ticket, unit, act.now)
        commission = self._acting.commission_of(
            ticket, unit, role=AssignmentRole.ASSIST, mode=DispatchMode.RULING, now=act.now
        )
        change = machine.engage(requests.unread(ticket, unit), act, commission=commission)
        subject = unit.encode()
        await self._acting.exclusive(uow, ticket, "assignment.assist", subject=subject, now=act.now)
        return self._tickets.save(uow, change)

    async def _bear(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, *, form: CaseRulingForm, part: RulingPart
    ) -> tuple[Ticket, Ticket]:
        """Split off the child of one part; return the parent and the child, not yet given."""
        texts = await self._tickets.texts(uow, ticket.authority, ticket.number)
        reference = self._router.reference
        if form is _Form.SPLIT:
            matter = reference.matters.nearest(part.matter)
            name = matter.name if matter else part.matter
            title, content = issue_texts(texts.content, matter=name)
            purpose = TicketPurpose.ISSUE
        else:
            asking = f"{reference.regions.name(ticket.authority)}依裁定（{form.zh}）"
            title, content = assist_texts(texts.content, texts.citizen, asking=asking)
            purpose = TicketPurpose.ASSIST
        wanted = Wanted(
            purpose=purpose,
            region=self._region(ticket, part.party),
            matter=part.matter or ticket.matter,
            title=title,
            content=content,
        )
        parent, [child] = await self._splitting.split(uow, ticket, act, [wanted])
        return parent, child

    async def _give(self, uow: UnitOfWork, child: Ticket, act: Act, party: str) -> None:
        """Give a child to the party of its part; what cannot be given waits at the desk here."""
        if not party.startswith(UNIT_PREFIX):
            await self._offer(uow, child, act, AuthorityCode(party))
        else:
            try:
                await self._guarding.check_unit(uow, child, party, act.now)
                await self._acting.commission(
                    uow, child, act, lead=party, assisting=(), mode=DispatchMode.RULING
                )
            except CANNOT as error:
                text = f"裁定由 {party} 办理，未能安排：{_why(error)}"
                self._acting.to_desk(uow, child, act, reason=text)
        await self._custody.publish(
            uow, authority=child.authority, ticket=child.number, now=act.now
        )

    def _region(self, ticket: Ticket, party: str) -> str:
        """Return where a part's child lies: in its party's area, so that it takes it unasked."""
        regions = self._router.reference.regions
        area = str(ticket.authority) if party.startswith(UNIT_PREFIX) else party
        is_there = ticket.region in regions and regions.is_within(ticket.region, area)
        return ticket.region if is_there else area

    # --- rulings without parts ----------------------------------------------------------------

    async def _merge(self, uow: UnitOfWork, ticket: Ticket, act: Act, earlier: str) -> Ticket:
        """Merge into the earlier ticket; who works at this one stops first."""
        if ticket.state is TicketState.HANDLING:
            ticket = self._acting.to_desk(uow, ticket, act, reason=f"裁定并入 {earlier}")
        return await self._acting.merge(uow, ticket, act, f"tickets/{earlier}")

    async def _refer_out(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, parties: Sequence[str]
    ) -> Ticket:
        """Offer a ticket that came home to the province it was referred to, or file outside."""
        if len(parties) != 1:
            return self._ask_person(uow, ticket, act, "裁定提级但未指明去向")
        return await self._offer(uow, ticket, act, AuthorityCode(parties[0]))

    # --- shared -------------------------------------------------------------------------------

    async def _offer(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, target: AuthorityCode
    ) -> Ticket:
        """Offer as the ruling says; what custody refuses goes to the desk or makes a case."""
        offering = Offering(
            target=target, reason=OfferReason.MANUAL, rule=act.basis, trace_digest=b""
        )
        try:
            machine.check_offer(ticket)
            return await self._acting.offer(uow, ticket, act, offering)
        except CANNOT as error:
            return self._ask_person(uow, ticket, act, f"未能移交 {target}：{_why(error)}")

    async def _is_held(self, uow: UnitOfWork, ticket: Ticket) -> bool:
        """Tell whether exclusive acts are this authority's now."""
        try:
            await self._custody.acting_term(uow, ticket.authority, ticket.number)
        except (NotCustodian, ResourceNotFound, TransitionNotAllowed):
            return False
        return not ticket.followed

    def _ask_person(self, uow: UnitOfWork, ticket: Ticket, act: Act, reason: str) -> Ticket:
        """Put before a person what could not be done; a unit that is at work stays at work."""
        lead = ticket.lead
        if lead is None or lead.is_desk or not lead.is_open:
            return self._acting.to_desk(uow, ticket, act, reason=reason)
        change = machine.note(ticket, act, "ticket.needs_person", ("reason", reason))
        saved = self._tickets.save(uow, change)
        desk = self._acting.desk_of(ticket.authority)
        if any(item.unit == desk.unit and item.is_open for item in saved.assignments):
            return saved
        commission = machine.Commission(
            place=desk, role=AssignmentRole.ASSIST, mode=DispatchMode.RULING
        )
        try:
            return self._tickets.save(uow, machine.engage(saved, act, commission=commission))
        except (QuotaExceeded, TransitionNotAllowed):
            return saved  # the note is there

    def _keep(
        self, uow: UnitOfWork, ticket: Ticket, ruling: Carried, *, party: str = "", child: str = ""
    ) -> None:
        """Remember that a part of a ruling was given, to whom, with which child."""
        row = shares.ShareRow(
            authority=ticket.authority,
            ticket=ticket.number,
            ruling=ruling.name,
            chain=ruling.chain,
            party=party,
            form=int(ruling.form),
            child=child,
        )
        uow.insert(shares.SHARES, row)


def _why(error: FieldInvalid | GuardViolated | QuotaExceeded | TransitionNotAllowed) -> str:
    """Return the reason of an error for a person: its code and what it said."""
    return f"{error.reason}（{error}）"[:REASON_LENGTH_MAX]
