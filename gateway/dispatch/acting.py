"""Deciding and acting: what a custodian does with a ticket it holds, in one unit of work.

The decision is routing's; here it becomes an assignment, an offer of custody, a referral, or work
of the triage desk, together with the ledger row of the exclusive act and the news for the
followers. Nothing here fails for want of a destination: what cannot be carried out goes to the
desk, with the reason. An unknown matter is assigned by a person, and a ticket that its decision
would send straight back to where it came from goes to the desk instead of turning in a circle.
"""

from __future__ import annotations

from gateway.custody.chains import province_of
from gateway.custody.model import OfferReason, OfferSent
from gateway.custody.service import CaseFiled, CustodyService
from gateway.database.uow import UnitOfWork
from gateway.dispatch.barred import offer_bar
from gateway.dispatch.codec import (
    Content,
    content_from_bytes,
    facts_of,
    referral_to_bytes,
    shown_decision,
)
from gateway.dispatch.merging import Merging
from gateway.dispatch.plans import FALLBACKS, Offering, keep_plan, window_of
from gateway.dispatch.router import Router
from gateway.dispatch.sheet import SheetFacts, sheet_text
from gateway.dispatch.splitting import Splitting
from gateway.kernel.codes import (
    AssignmentRole,
    DispatchMode,
    EmergencyLine,
    InadmissibleReason,
    RouteDecisionAction,
)
from gateway.kernel.errors import (
    CasePending,
    DestinationNotJoined,
    FieldInvalid,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.reference.service_levels import ServiceLevel
from gateway.reference.units import desk_id
from gateway.rehearsal.history import Recorder
from gateway.routing.model import Decision
from gateway.tickets import machine
from gateway.tickets.clocks import clocks_at_dispatch, profile_of
from gateway.tickets.machine import Commission
from gateway.tickets.model import (
    ASSIGNMENTS_MAX,
    Act,
    Clocks,
    ExternalReferral,
    Ticket,
    UnitPlace,
)
from gateway.tickets.service import Tickets
from gateway.tickets.states import TICKET, Step
from gateway.trust.principal import Principal

RULE_LENGTH_MAX = 200  # bound of the standard for a rule's name
ROLE = "system"
_Action = RouteDecisionAction


class Acting:
    """Routes the tickets that the authorities of this node hold."""

    def __init__(
        self, *, tickets: Tickets, custody: CustodyService, router: Router, splitting: Splitting
    ) -> None:
        """Act with these."""
        self._splitting = splitting
        self._merging = Merging(tickets=tickets, custody=custody, splitting=splitting)
        self._tickets = tickets
        self._custody = custody
        self._router = router
        self._recorder = Recorder()

    async def route(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        *,
        source: AuthorityCode | None,
        now: Instant,
        content: bytes | None = None,
    ) -> Ticket:
        """Decide about a ticket that is held here and carry it out; return the copy.

        `content` spares opening the sealed text for who has it at hand.
        """
        if content is None:
            texts = await self._tickets.texts(uow, ticket.authority, ticket.number)
            content = texts.content
        facts = facts_of(ticket, content)
        await self._router.rules.ready()
        decision = self._router.decide(ticket.authority, facts, now=now)
        self._router.rules.hold(uow, decision)
        self._recorder.record(
            uow,
            authority=ticket.authority,
            ticket=ticket.number,
            facts=facts,
            decision=decision,
            setting=self._router.setting(ticket.authority, now=now),
        )
        ticket = machine.decided(ticket, shown_decision(decision, now=now))
        act = self.act_of(ticket.authority, _basis(decision), now)
        is_offer = decision.action is _Action.OFFER
        bar = await offer_bar(uow, ticket, decision.target) if is_offer else ""
        match decision.action:
            case _Action.ASSIGN if self._can_assign(ticket, decision):
                saved = await self._assign_by_rule(uow, ticket, act, decision)
            case _Action.OFFER if bar:
                saved = self.to_desk(uow, ticket, act, reason=bar)
            case _Action.OFFER if decision.target != f"authorities/{source}":
                saved = await self.offer(uow, ticket, act, self._offering(decision, now))
            case _Action.REFER:
                saved = await self._refer(uow, ticket, act, EmergencyLine[decision.target])
            case _Action.EXTERNAL:
                saved = await self._refer_externally(
                    uow, ticket, act, target=decision.target, content=content
                )
            case _Action.MERGE:
                saved = await self.merge(uow, ticket, act, decision.target)
            case _Action.LEGAL:
                saved = self._tell_legal_way(uow, ticket, act, decision)
            case _:
                saved = self.to_desk(uow, ticket, act, reason=_desk_reason(decision))
        if not saved.is_final:
            keep_plan(uow, saved, decision, now=now, calendar=self._router.reference.calendar)
        await self._custody.publish(uow, authority=ticket.authority, ticket=ticket.number, now=now)
        return saved

    async def answer_window(
        self, uow: UnitOfWork, authority: AuthorityCode, number: TicketNumber, now: Instant
    ) -> Instant:
        """Fix the clocks of a ticket that a person offers now; return the end of its window."""
        ticket = await self._tickets.get(uow, authority, number)
        if not ticket.followed:  # custody itself says who may offer
            machine.check_offer(ticket)
        await self._splitting.require_done(uow, ticket, "offer")
        act = self.act_of(authority, "transfer by a person", now)
        # The header of the offer carries the due time that a first dispatch fixes.
        clocks = self._clocks(ticket, now, cross_region=True)
        self._tickets.save(uow, machine.started(ticket, act, clocks=clocks))
        return self._answer_due(ticket, now, cross_region=True)

    def note_offer(
        self, uow: UnitOfWork, ticket: Ticket, event: OfferSent, *, now: Instant
    ) -> None:
        """Note that a person offered the ticket to another authority."""
        act = Act(event.actor, "dispatcher", "transfer by a person", now)
        uow.delete(FALLBACKS, ticket.authority, ticket.number)  # a rule asks nobody after a person
        clocks = self._clocks(ticket, now, cross_region=True)
        change = machine.offer(
            ticket, act, target=event.target, epoch=str(event.epoch), clocks=clocks
        )
        self._tickets.save(uow, change)

    def to_desk(self, uow: UnitOfWork, ticket: Ticket, act: Act, *, reason: str) -> Ticket:
        """Put a ticket before a person; one whose state does not allow it only keeps the note."""
        if ticket.followed or (ticket.state, Step.TRIAGE) not in TICKET:
            return self._tickets.save(
                uow, machine.note(ticket, act, "ticket.needs_person", ("reason", reason))
            )
        desk = self.desk_of(ticket.authority)
        return self._tickets.save(uow, machine.triage(ticket, act, desk=desk, reason=reason))

    def act_of(self, authority: AuthorityCode, basis: str, now: Instant) -> Act:
        """Return the act of this program for an authority."""
        return Act(Principal.system(authority, "dispatch").name, ROLE, basis, now)

    def desk_of(self, authority: AuthorityCode) -> UnitPlace:
        """Return an authority's triage desk; people work at it here, not in a platform."""
        found = self._router.reference.units.find(desk_id(authority))
        name = found.name if found is not None else "研判席"
        return UnitPlace(f"units/{desk_id(authority)}", name, "")

    def was_timed_abroad(self, ticket: Ticket) -> bool:
        """Tell whether the cross-region profile timed it: it left its province, or was to."""
        decision = ticket.decision
        if self._is_abroad(ticket) or decision is None or decision.action is not _Action.OFFER:
            return self._is_abroad(ticket)
        is_outbound = decision.offer_reason == OfferReason.OUTBOUND.name.lower()
        target = decision.target.removeprefix("authorities/")
        return is_outbound or province_of(target) != province_of(ticket.origin)

    # --- what a decision becomes --------------------------------------------------------------

    async def commission(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        act: Act,
        *,
        lead: str,
        assisting: tuple[str, ...],
        mode: DispatchMode,
        told: tuple[str, ...] = (),
    ) -> Ticket:
        """Assign to a lead unit and assisting ones; the change of lead is an exclusive act.

        Units that are `told` read along (阅知) and hold nothing.
        """
        units = (lead, *assisting)
        roles = {lead: AssignmentRole.LEAD}
        for role, named in ((AssignmentRole.ASSIST, assisting), (AssignmentRole.READ, told)):
            roles |= {unit: role for unit in named if unit not in roles}
        commissions = tuple(
            self.commission_of(ticket, unit, role=role, mode=mode, now=act.now)
            for unit, role in roles.items()
        )
        change = machine.assign(
            ticket,
            act,
            commissions=commissions,
            clocks=self._clocks(ticket, act.now, cross_region=self._is_abroad(ticket)),
        )
        await self.exclusive(
            uow,
            ticket,
            "assignment.lead",
            subject=",".join(units).encode(),
            desk=lead.removeprefix("units/"),
            now=act.now,
        )
        return self._tickets.save(uow, change)

    def commission_of(
        self, ticket: Ticket, unit: str, *, role: AssignmentRole, mode: DispatchMode, now: Instant
    ) -> Commission:
        """Return the assignment to make for a unit, with its limits from now on."""
        if role is AssignmentRole.READ:
            return Commission(place=self.place_of(unit), role=role, mode=mode)
        reference, profile = self._router.reference, self.profile_here(ticket)
        return Commission(
            place=self.place_of(unit),
            role=role,
            mode=mode,
            sign_due=profile.sign.end(now, reference.calendar).instant,
            contact_due=profile.contact.end(now, reference.calendar).instant,
        )

    def profile_here(self, ticket: Ticket) -> ServiceLevel:
        """Return the limits that this authority's own profile sets for its units."""
        return profile_of(
            ticket,
            self._router.reference,
            region=ticket.authority,
            cross_region=self._is_abroad(ticket),
        )

    async def exclusive(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        kind: str,
        *,
        subject: bytes,
        now: Instant,
        desk: str | None = None,
    ) -> None:
        """Record an act that only the custodian may do; its digest says nothing elsewhere."""
        await self._custody.exclusive_act(
            uow,
            authority=ticket.authority,
            ticket=ticket.number,
            kind=kind,
            digest=await self._tickets.fingerprint(uow, ticket, subject),
            now=now,
            desk=desk,
        )

    async def _assign_by_rule(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, decision: Decision
    ) -> Ticket:
        saved = await self.commission(
            uow,
            ticket,
            act,
            lead=decision.target,
            assisting=decision.assisting,
            mode=DispatchMode.RULE,
            told=decision.notify,
        )
        if saved.parent is not None or not (decision.help_regions or decision.split_matters):
            return saved
        parent, helpers = await self._splitting.ask_help(uow, saved, act, decision.help_regions)
        _, issues = await self._splitting.split_issues(uow, parent, act, decision.split_matters)
        for child in (*helpers, *issues):
            await self.route(uow, child, source=None, now=act.now)
        return await self._tickets.get(uow, saved.authority, saved.number)

    async def merge(self, uow: UnitOfWork, ticket: Ticket, act: Act, target: str) -> Ticket:
        """Merge into `tickets/{number}`, or put it before a person with what forbids it."""
        merged = await self._merging.merge(uow, ticket, act, target)
        if isinstance(merged, str):
            return self.to_desk(uow, ticket, act, reason=merged)
        return merged

    def _tell_legal_way(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, decision: Decision
    ) -> Ticket:
        """Have a person tell the citizen why it is not accepted, and which way is open instead.

        No rule turns anybody away: the desk answers for it, and resolves the ticket with its name.
        """
        reason = InadmissibleReason[decision.target]
        noted = self._tickets.save(
            uow, machine.note(ticket, act, "ticket.not_accepted", ("reason", reason.name))
        )
        text = f"不予受理（{reason.zh}）：请向来话人说明理由并告知法定途径后办结"
        return self.to_desk(uow, noted, act, reason=text)

    def _offering(self, decision: Decision, now: Instant) -> Offering:
        plan, calendar = decision.fallback, self._router.reference.calendar
        return Offering(
            target=AuthorityCode(decision.target.removeprefix("authorities/")),
            reason=OfferReason(int(decision.offer_reason)),
            rule=_basis(decision),
            trace_digest=decision.trace_digest,
            window_end=window_of(plan, now, calendar) if plan else None,
        )

    async def offer(self, uow: UnitOfWork, ticket: Ticket, act: Act, offering: Offering) -> Ticket:
        """Offer custody as a rule says; what custody refuses goes to the desk or makes a case."""
        target, reason = offering.target, offering.reason
        cross = reason is OfferReason.OUTBOUND or province_of(target) != province_of(
            ticket.authority
        )
        clocks = self._clocks(ticket, act.now, cross_region=cross or self._is_abroad(ticket))
        # The header of the offer carries the due time that this first dispatch fixes.
        self._tickets.save(uow, machine.started(ticket, act, clocks=clocks))
        window = offering.window_end or self._answer_due(ticket, act.now, cross_region=cross)
        try:
            await self._splitting.require_done(uow, ticket, "offer")
            outcome = await self._custody.offer(
                uow,
                authority=ticket.authority,
                ticket=ticket.number,
                target=target,
                reason=reason,
                rule=offering.rule,
                trace_digest=offering.trace_digest,
                window_end=window,
                now=act.now,
            )
        except (CasePending, DestinationNotJoined, FieldInvalid, TransitionNotAllowed) as error:
            return self.to_desk(uow, ticket, act, reason=error.reason)
        if isinstance(outcome, CaseFiled):
            opened = machine.open_case(ticket, act, case=outcome.case, cause=outcome.cause)
            return self.to_desk(
                uow, self._tickets.save(uow, opened), act, reason=f"争议 {outcome.case}"
            )
        return self._tickets.save(
            uow,
            machine.offer(ticket, act, target=target, epoch=str(outcome.epoch), clocks=clocks),
        )

    async def _refer(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, line: EmergencyLine
    ) -> Ticket:
        clocks = self._clocks(ticket, act.now, cross_region=self._is_abroad(ticket))
        change = machine.refer(ticket, act, line=line, clocks=clocks)
        await self.exclusive(
            uow, ticket, "ticket.referred", subject=line.name.encode(), now=act.now
        )
        saved = self._tickets.save(uow, change)
        await self._splitting.settled(uow, saved, act.now)
        return saved

    async def _refer_externally(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, *, target: str, content: bytes
    ) -> Ticket:
        region = target.removeprefix("authorities/") if target.startswith("authorities/") else ""
        regions = self._router.reference.regions
        name = f"{regions.name(region)}12345热线" if region else target
        referral = ExternalReferral(region, name, act.now)
        change = machine.refer_externally(
            ticket,
            act,
            referral=referral,
            desk=self.desk_of(ticket.authority),
            clocks=self._clocks(ticket, act.now, cross_region=bool(region)),
        )
        await self.exclusive(
            uow,
            ticket,
            "ticket.referred_externally",
            subject=target.encode(),
            desk=desk_id(ticket.authority),
            now=act.now,
        )
        saved = self._tickets.save(uow, change)
        sheet = self._sheet(saved, name, content_from_bytes(content), now=act.now)
        await self._tickets.write_text(uow, saved, "referral", referral_to_bytes(sheet))
        return saved

    def _can_assign(self, ticket: Ticket, decision: Decision) -> bool:
        """Tell whether a rule may assign: the matter is known, and the desk keeps room."""
        units_max = ASSIGNMENTS_MAX - len(ticket.assignments) - 1
        is_known = ticket.matter in self._router.reference.matters
        return is_known and 1 + len(decision.assisting) + len(decision.notify) <= units_max

    # --- parts --------------------------------------------------------------------------------

    def _clocks(self, ticket: Ticket, now: Instant, *, cross_region: bool) -> Clocks:
        clocks = clocks_at_dispatch(
            ticket, self._router.reference, now=now, cross_region=cross_region
        )
        if ticket.parent is None:
            return clocks
        return replace(clocks, due=min(clocks.due, ticket.due_time))  # never later than its parent

    def _answer_due(self, ticket: Ticket, now: Instant, *, cross_region: bool) -> Instant:
        reference = self._router.reference
        profile = profile_of(ticket, reference, region=ticket.authority, cross_region=cross_region)
        return profile.answer.end(now, reference.calendar).instant

    def _is_abroad(self, ticket: Ticket) -> bool:
        return province_of(ticket.authority) != province_of(ticket.origin)

    def place_of(self, name: str) -> UnitPlace:
        """Return a unit as a ticket is assigned to it."""
        unit = self._router.reference.units.get(name.removeprefix("units/"))
        return UnitPlace(name, unit.name, unit.platform or "")

    def _sheet(self, ticket: Ticket, destination: str, content: Content, *, now: Instant) -> str:
        reference = self._router.reference
        matter = reference.matters.nearest(ticket.matter)
        region = ticket.region or content.region
        facts = SheetFacts(
            destination=destination,
            authority_name=reference.regions.name(ticket.authority),
            matter_name=matter.name if matter else "未知事项",
            region_name=reference.regions.name(region) if region in reference.regions else "",
            title=content.title,
            content=content.text,
            expectation=content.expectation,
            address=content.address,
            parties=content.parties,
        )
        return sheet_text(ticket, facts, now=now)


def _basis(decision: Decision) -> str:
    return f"{decision.pack}#{decision.rule}"[:RULE_LENGTH_MAX]


def _desk_reason(decision: Decision) -> str:
    match decision.action:
        case RouteDecisionAction.ASSIGN:
            return "事项代码未知或派单次数已达上限，由人工确定承办单位"
        case RouteDecisionAction.OFFER:
            return "规则将工单退回来源机构，由人工确定"
        case _:
            return decision.explanation
