"""What dispatch does when custody says that something happened (docs/dispatch.md#reactions).

Events come from this authority's own steps and from statements of others; both take the same path.
A reaction never refuses: a statement that custody took must not be undone because of a ticket's
state here, so what does not fit becomes a note for a person.

An invitation is accepted by a rule when the place is this authority's, or when one of its own
cities hands a ticket home. It is declined by a rule only when it rests on the place and the place
is certainly elsewhere. Anything else waits for a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from google.protobuf.message import DecodeError

from gateway.audit.service import AuditLog
from gateway.custody.model import (
    BecameCustodian,
    CaseFiled,
    CaseOpened,
    CaseRuled,
    CaseVoid,
    ChainKey,
    ContentArrived,
    CustodyEvent,
    IdentityArrived,
    Inquired,
    Invited,
    LetterArrived,
    LettersSaid,
    OfferReason,
    OfferReturned,
    OfferSent,
    Overruled,
    ProgressArrived,
    Released,
    RulingTaken,
    StoodBy,
)
from gateway.custody.service import CustodyService
from gateway.custody.transfers import React
from gateway.database.uow import UnitOfWork
from gateway.delivery.model import Delivered
from gateway.delivery.ports import StatementHandler
from gateway.dispatch.acting import Acting
from gateway.dispatch.codec import (
    arrival_from_bytes,
    citizen_from_identity,
    header_of_offer,
)
from gateway.dispatch.correspondence import Correspondence
from gateway.dispatch.fallbacks import Fallbacks
from gateway.dispatch.ordered import Ordered
from gateway.dispatch.router import Router
from gateway.dispatch.ruled import Ruled, basis_of_release, is_by_ruling
from gateway.dispatch.splitting import Splitting
from gateway.kernel.codes import ReturnReason, TicketState
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.tickets import citizen, machine
from gateway.tickets.attachments import Attachments
from gateway.tickets.clocks import clocks_at_receipt
from gateway.tickets.codec import told_from_bytes
from gateway.tickets.model import Change, Ticket
from gateway.tickets.service import Texts, Tickets

WRONG_REGION_CLAUSE = "属地管理原则"


class Reactions:
    """Reacts for the authorities of one node."""

    def __init__(
        self,
        *,
        tickets: Tickets,
        attachments: Attachments,
        custody: CustodyService,
        acting: Acting,
        correspondence: Correspondence,
        splitting: Splitting,
        router: Router,
        fallbacks: Fallbacks,
        ordered: Ordered,
        audit: AuditLog,
    ) -> None:
        """React with these."""
        self._fallbacks = fallbacks
        self._correspondence = correspondence
        self._splitting = splitting
        self._audit = audit
        self._tickets = tickets
        self._attachments = attachments
        self._custody = custody
        self._acting = acting
        self._router = router
        self._ruled = Ruled(
            tickets=tickets,
            custody=custody,
            acting=acting,
            correspondence=correspondence,
            ordered=ordered,
        )
        self.arbitration: React | None = None  # of a node that rules in a scope

    def handlers(self) -> dict[str, StatementHandler]:
        """Return the handler of every statement kind of custody, for `Inbox.register`."""
        return dict.fromkeys(self._custody.kinds, self.handle)

    async def handle(self, uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        """Take a verified statement: custody first, then what follows from it."""
        statement = delivered.statement
        events = await self._custody.receive(uow, delivered, now)
        self._audit.statement_taken(
            uow,
            issuer=statement.issuer,
            kind=statement.kind,
            subject=f"tickets/{statement.ticket}",
            statement_id=statement.statement_id,
            now=now,
        )
        offer = statement.body if statement.kind == "Offer" else b""
        await self.react(uow, events, now=now, offer=offer)

    async def read_ahead(self, uow: UnitOfWork, batch: Sequence[Delivered]) -> None:
        """Read what the statements of a batch are about in a few queries, for `Inbox.register`."""
        hosted = self._router.hosted
        places: set[tuple[str, str]] = {(item.target, item.statement.ticket) for item in batch}
        for item in batch:
            if item.statement.kind == "Offer":
                city = _city_of_offer(item.statement.body)
                if city in hosted:
                    places.add((city, item.statement.ticket))
        found = await self._custody.read_ahead(uow, batch, sorted(places), hosted=hosted)
        await self._tickets.read_ahead(uow, found)

    async def react(
        self,
        uow: UnitOfWork,
        events: Iterable[CustodyEvent],
        *,
        now: Instant,
        offer: bytes = b"",
    ) -> None:
        """React to events in their order; `offer` is the body that an invitation came in."""
        for event in events:
            match event:
                case Invited():
                    await self._invited(uow, event, offer, now)
                case ContentArrived():
                    await self._content_arrived(uow, event, now)
                case BecameCustodian():
                    await self._became_custodian(uow, event, now)
                case Released():
                    await self._released(uow, event, now)
                case IdentityArrived():
                    await self._identity_arrived(uow, event)
                case ProgressArrived():
                    await self._progress_arrived(uow, event, now)
                case LetterArrived() | LettersSaid():
                    await self._correspondence.told(uow, event, now)
                case OfferSent() | StoodBy() | Inquired() | OfferReturned() | CaseOpened():
                    await self._about_offer(uow, event, now)
                case _:
                    await self._about_ruling(uow, event, now)

    async def _about_ruling(
        self,
        uow: UnitOfWork,
        event: Overruled | CaseRuled | CaseFiled | RulingTaken | CaseVoid,
        now: Instant,
    ) -> None:
        match event:
            case Overruled() | CaseRuled():
                await self._ruled.react(uow, event, now)
            case CaseFiled() | RulingTaken() | CaseVoid():
                if self.arbitration is not None:
                    await self.arbitration(uow, (event,), now=now)
            case _:
                assert_never(event)

    async def _about_offer(
        self,
        uow: UnitOfWork,
        event: OfferSent | StoodBy | Inquired | OfferReturned | CaseOpened,
        now: Instant,
    ) -> None:
        match event:
            case OfferSent():
                await self._offer_sent(uow, event, now)
            case StoodBy():
                await self._stood_by(uow, event, now)
            case Inquired():
                await self._inquired(uow, event, now)
            case OfferReturned():
                await self._offer_returned(uow, event, now)
            case CaseOpened():
                await self._case_opened(uow, event, now)
            case _:
                assert_never(event)

    # --- custody comes ------------------------------------------------------------------------

    async def _invited(self, uow: UnitOfWork, event: Invited, offer: bytes, now: Instant) -> None:
        key, regions = event.key, self._router.reference.regions
        region, reason = header_of_offer(offer)
        if event.homeward or regions.is_within(region, key.authority):
            accepted = await self._custody.accept(
                uow, authority=key.authority, ticket=key.ticket, now=now, key=key
            )
            await self.react(uow, accepted, now=now)
            return
        owner = self._owner_elsewhere(region, key)
        if owner is None or reason != OfferReason.PLACE.value:
            return  # a person accepts or declines (`lubiao custody show`)
        declined = await self._custody.decline(
            uow,
            authority=key.authority,
            ticket=key.ticket,
            reason=int(ReturnReason.WRONG_REGION),
            clause=WRONG_REGION_CLAUSE,
            proposed_owner=owner,
            now=now,
            key=key,
        )
        await self.react(uow, declined, now=now)

    def _owner_elsewhere(self, region: str, key: ChainKey) -> str | None:
        """Return whose place it certainly is, when it is certainly not this authority's."""
        regions = self._router.reference.regions
        if regions.current(region) is None or regions.is_within(key.authority, region):
            return None
        return regions.province_of(region)

    async def _content_arrived(self, uow: UnitOfWork, event: ContentArrived, now: Instant) -> None:
        key = event.key
        custodian = event.source if event.followed else key.authority
        arrival = arrival_from_bytes(
            event.header,
            event.case_block,
            authority=key.authority,
            number=key.ticket,
            followed=event.followed,
            custodian=custodian,
            now=now,
        )
        if not event.followed:
            await self._attachments.want(
                uow, key.authority, key.ticket, arrival.content, source=event.source, now=now
            )
        known = await self._tickets.find(uow, key.authority, key.ticket)
        if known is not None:
            await self._tickets.write_text(uow, known, "content", arrival.content)
            done = citizen.taken_as_done(known, event.citizen_act_applied, now)
            if known.followed and arrival.ticket.due_time != known.due_time:
                # As it was extended or counted again there: nothing to count here any more.
                due = arrival.ticket.due_time
                done = replace(done, due_time=due, due_provisional=False)
            if done is not known:
                self._tickets.save(uow, Change(replace(done, revision=done.revision + 1)))
            return
        clocks = clocks_at_receipt(arrival.ticket, self._router.reference)
        ticket = replace(arrival.ticket, dispatch_due_time=clocks.dispatch_due)
        ticket = citizen.taken_as_done(ticket, event.citizen_act_applied, now)
        act = self._acting.act_of(key.authority, f"statement of {event.source}", now)
        change = machine.receive(ticket, act, kind="ticket.arrived")
        self._tickets.create(uow, change, Texts(arrival.content))

    async def _became_custodian(
        self, uow: UnitOfWork, event: BecameCustodian, now: Instant
    ) -> None:
        key = event.key
        if is_by_ruling(event.epoch):
            await self._ruled.taken(uow, event, now)
            return
        ticket = await self._tickets.get(uow, key.authority, key.ticket)
        if event.source is not None:
            act = self._acting.act_of(key.authority, f"transfer of {event.source}", now)
            change = machine.take_over(ticket, act, source=event.source, epoch=str(event.epoch))
            ticket = self._tickets.save(uow, change)
            ticket = await self._correspondence.catch_up(uow, ticket, act)
        if ticket.is_final or ticket.state is TicketState.RESOLVED:
            await self._publish(uow, ticket, now)
            return
        if not await self._ruled.came_home(uow, ticket, now=now):
            await self._acting.route(uow, ticket, source=event.source, now=now)

    async def _identity_arrived(self, uow: UnitOfWork, event: IdentityArrived) -> None:
        """Keep who calls; custody tells only one that may (docs/custody.md#scopes, rule 6)."""
        key = event.key
        ticket = await self._tickets.find(uow, key.authority, key.ticket)
        if ticket is not None:
            citizen = citizen_from_identity(event.identity_block)
            await self._tickets.write_text(uow, ticket, "citizen", citizen)

    # --- custody goes -------------------------------------------------------------------------

    async def _released(self, uow: UnitOfWork, event: Released, now: Instant) -> None:
        key = event.key
        ticket = await self._tickets.find(uow, key.authority, key.ticket)
        if ticket is None:
            return  # overruled again before the content of the ruled ticket arrived
        act = self._acting.act_of(key.authority, basis_of_release(event), now)
        change = machine.release(ticket, act, successor=event.successor, epoch=str(event.epoch))
        released = self._tickets.save(uow, change)
        released = await self._splitting.note_kept(uow, released, act)
        await self._correspondence.resend(uow, released, now)

    async def _offer_sent(self, uow: UnitOfWork, event: OfferSent, now: Instant) -> None:
        ticket = await self._tickets.get(uow, event.key.authority, event.key.ticket)
        self._acting.note_offer(uow, ticket, event, now=now)

    async def _stood_by(self, uow: UnitOfWork, event: StoodBy, now: Instant) -> None:
        """Note that a person decides there, for whoever wonders; nothing else changes."""
        ticket = await self._tickets.get(uow, event.key.authority, event.key.ticket)
        act = self._acting.act_of(event.key.authority, f"answer of {event.target}", now)
        facts = (
            ("target", str(event.target)),
            ("decider", event.decider),
            ("window_end", event.end.isoformat()),
        )
        self._tickets.save(uow, machine.note(ticket, act, "transfer.stood_by", *facts))

    async def _inquired(self, uow: UnitOfWork, event: Inquired, now: Instant) -> None:
        """Note that the desk is asked something about an offer (`lubiao custody question`)."""
        ticket = await self._tickets.get(uow, event.key.authority, event.key.ticket)
        act = self._acting.act_of(event.key.authority, f"question of {event.target}", now)
        facts = (("target", str(event.target)), ("number", str(event.number)))
        self._tickets.save(uow, machine.note(ticket, act, "transfer.asked", *facts))

    async def _offer_returned(self, uow: UnitOfWork, event: OfferReturned, now: Instant) -> None:
        key = event.key
        ticket = await self._tickets.get(uow, key.authority, key.ticket)
        act = self._acting.act_of(key.authority, f"answer of {event.target}", now)
        facts = (
            ("target", str(event.target)),
            ("verdict", event.verdict.value),
            ("reason", _reason(event.reason)),
            ("proposed_owner", event.proposed_owner),
        )
        ticket = self._tickets.save(uow, machine.note(ticket, act, "transfer.returned", *facts))
        ticket = await self._correspondence.catch_up(uow, ticket, act)
        asked = await self._fallbacks.came_back(uow, ticket, now=now)
        reason = f"移交 {event.target} 未被接收（{event.verdict.value}）"
        ticket = asked or self._acting.to_desk(uow, ticket, act, reason=reason)
        await self._publish(uow, ticket, now)

    async def _case_opened(self, uow: UnitOfWork, event: CaseOpened, now: Instant) -> None:
        key = event.key
        ticket = await self._tickets.find(uow, key.authority, key.ticket)
        if ticket is None or ticket.is_final:
            return
        act = self._acting.act_of(key.authority, f"case {event.case}", now)
        change = machine.open_case(ticket, act, case=event.case, cause=event.cause)
        ticket = self._tickets.save(uow, change)
        if not ticket.followed:
            reason = f"争议 {event.case}（{event.cause}），等待裁定"
            ticket = self._acting.to_desk(uow, ticket, act, reason=reason)
            await self._publish(uow, ticket, now)

    # --- following ----------------------------------------------------------------------------

    async def _progress_arrived(
        self, uow: UnitOfWork, event: ProgressArrived, now: Instant
    ) -> None:
        key = event.key
        ticket = await self._tickets.find(uow, key.authority, key.ticket)
        if ticket is None or not ticket.followed:
            return  # older news about a ticket that came here meanwhile
        told, resolution = told_from_bytes(event.state, event.custodian, event.state_block)
        act = self._acting.act_of(key.authority, f"update of {event.custodian}", now)
        before = ticket
        ticket = self._tickets.save(uow, machine.follow(ticket, act, told=told))
        if resolution is not None:
            await self._tickets.write_text(uow, ticket, "resolution", resolution)
        ticket = await self._correspondence.learned(uow, ticket, event, act)
        if ticket.custodian != before.custodian:
            await self._correspondence.resend(uow, ticket, now)
        if ticket.is_final and not before.is_final:
            await self._splitting.settled(uow, ticket, now)
        await self._publish(uow, ticket, now)

    async def _publish(self, uow: UnitOfWork, ticket: Ticket, now: Instant) -> None:
        await self._custody.publish(
            uow,
            authority=AuthorityCode(ticket.authority),
            ticket=ticket.number,
            now=now,
        )


def _city_of_offer(offer: bytes) -> str:
    """Return the city of the place of a ticket, or nothing: the offer is judged elsewhere."""
    try:
        region, _ = header_of_offer(offer)
    except DecodeError:
        return ""
    return f"{region[:4]}00"


def _reason(number: int) -> str:
    return ReturnReason(number).name if number in ReturnReason._value2member_map_ else str(number)
