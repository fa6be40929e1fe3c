"""Arbitration: what the arbiter of a scope does with a case, from its filing to TAKEN.

A case comes from custody (`filed`), is ruled by a panel member of the arbiter's own staff (`rule`),
and closes when the target of the newest ruling holds the ticket (`taken`). Custody numbers, signs,
sends and fences the ruling; here is who may give it, to whom, until when, and the record of it.
What custody tells is never refused. Every ruling and every reading of a case file is an audit row
(I11). A deadline that passes raises the alarm and lets the default ruling be given
(`watching.py`); until somebody has taken the ticket the custodian goes on caring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog

from gateway.arbitration import forgotten, machine
from gateway.arbitration.cases import Cases
from gateway.arbitration.codec import filing_of, issued_to_bytes
from gateway.arbitration.copies import Copies
from gateway.arbitration.deadlines import again_due, first_due, ruling_due, stage_due
from gateway.arbitration.defaults import DefaultOrders
from gateway.arbitration.filters import parse_filter
from gateway.arbitration.model import (
    CASE_NUMBER,
    DECIDED,
    OPEN,
    Case,
    CaseKey,
    CaseRuling,
    Filing,
    Order,
    Party,
    is_later,
    is_unit,
)
from gateway.arbitration.panel import check_impartial, check_panel
from gateway.arbitration.parties import Parties
from gateway.arbitration.ports import Ruler
from gateway.arbitration.precedents.casebook import Casebook, by_precedent
from gateway.arbitration.precedents.model import Comparable, Within
from gateway.arbitration.watching import watch
from gateway.audit.acts import act_of
from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.custody.model import CaseFiled, CaseVoid, CustodyEvent, RulingTaken
from gateway.database.once import Once
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.codes import CaseLevel, CaseState
from gateway.kernel.errors import (
    EtagMismatch,
    FieldInvalid,
    PeerNotAllowed,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Clock, Instant, from_microseconds, to_microseconds
from gateway.reference.calendar import Calendar
from gateway.tickets.tokens import Tokens
from gateway.trust.call import Call
from gateway.trust.principal import Principal

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 500
log = structlog.get_logger()


class Arbitration:
    """The cases of the arbiters of one node, and who decides them."""

    def __init__(
        self,
        *,
        database: Database,
        cases: Cases,
        copies: Copies,
        rulers: Mapping[CaseLevel, Ruler],
        calendar: Callable[[], Calendar],
        audit: AuditLog,
        once: Once,
        tokens: Tokens,
        clock: Clock,
        is_within: Within,
        parties: Parties | None = None,
    ) -> None:
        """Make the service; `clock` is business time, `is_within` knows areas."""
        self.parties = parties or Parties()
        self._database = database
        self._cases = cases
        self._copies = copies
        self._rulers = rulers
        self._defaults = DefaultOrders(cases=cases, rulers=rulers)
        self._calendar = calendar
        self._audit = audit
        self._once = once
        self._tokens = tokens
        self._clock = clock
        self.casebook = Casebook(
            database=database,
            cases=cases,
            audit=audit,
            once=once,
            is_within=is_within,
            custodian=self._holder,
            decide=self._rule_by_precedent,
        )

    # --- what custody tells -------------------------------------------------------------------

    async def react(self, uow: UnitOfWork, events: Iterable[CustodyEvent], *, now: Instant) -> None:
        """Take what custody's arbiter learned; other events are none of this room's business."""
        for event in events:
            match event:
                case CaseFiled():
                    await self.filed(uow, filing_of(event), now=now)
                case RulingTaken():
                    await self.taken(
                        uow,
                        scope=event.key.scope,
                        ticket=event.key.ticket,
                        chain=event.key.number,
                        number=event.ruling,
                        now=now,
                    )
                case CaseVoid():
                    await self._voided(uow, event, now=now)
                case _:
                    pass

    async def filed(self, uow: UnitOfWork, filing: Filing, *, now: Instant) -> None:
        """Take a filing: a new case, or another party of one that is known.

        The number is minted by the filer, out of ticket, scope and chain; one that no name can
        hold, or that is of another ticket, opens nothing and is noted: else whoever files about
        one ticket could keep the case of another from being opened.
        """
        known = await self._cases.find(uow, filing.key)
        place = (filing.ticket, filing.chain)
        is_foreign = known is not None and (known.ticket, known.chain) != place
        prefix = f"{filing.ticket}-{filing.key.scope}-{filing.chain}-"
        is_own = filing.key.case.startswith(prefix)
        if is_foreign or not is_own or CASE_NUMBER.fullmatch(filing.key.case) is None:
            self._note_misnamed(uow, filing, now)
            return
        known = known or await forgotten.open_on(uow, self._cases, filing, now=now)
        if known is None:
            calendar = self._calendar()
            due = first_due(filing.facts, filed=now, calendar=calendar)
            stage = stage_due(CaseState.FILED, filing.facts, entered=now, calendar=calendar)
            case = machine.file(filing, now=now, due=due, stage_due=stage)
            self._cases.create(uow, case)
            known = await forgotten.remember(uow, self._cases, case, now=now)
            watch(uow, known)
            if known is case:  # else it was ruled before, and a restore forgot it
                self.casebook.consider(uow, case, now=now)
            self._record_filing(uow, filing, "case.filed", now)
        elif (joined := machine.join(known, filing)) is not known:
            await self._cases.save(uow, joined)
            self._record_filing(uow, filing, "case.joined", now)

    async def taken(
        self,
        uow: UnitOfWork,
        *,
        scope: AuthorityCode,
        ticket: TicketNumber,
        chain: int,
        number: int,
        now: Instant,
    ) -> None:
        """Note that the target of ruling `number` holds the ticket.

        A HOME ruling has no case, nor has one that was forgotten with it, or by it, in a restore.
        """
        case = await self._cases.find_by_ruling(
            uow, scope=scope, ticket=ticket, chain=chain, number=number
        )
        if case is not None:
            await self._take(uow, case, number=number, now=now)
        else:
            await forgotten.catch_up(
                uow, self._cases, scope=scope, ticket=ticket, chain=chain, now=now
            )

    async def declined(
        self,
        uow: UnitOfWork,
        *,
        scope: AuthorityCode,
        ticket: TicketNumber,
        chain: int,
        number: int,
        now: Instant,
    ) -> Case | None:
        """Give a case back to the panel whose ruling asked a body that will not take the ticket."""
        case = await self._cases.find_by_ruling(
            uow, scope=scope, ticket=ticket, chain=chain, number=number
        )
        if case is None:
            return None
        due = again_due(declined=now, calendar=self._calendar())
        changed = machine.decline(case, number=number, due=due)
        if changed is case:
            return None
        await self._cases.save(uow, changed)
        watch(uow, changed)
        return changed

    async def _take(self, uow: UnitOfWork, case: Case, *, number: int, now: Instant) -> Case:
        changed = machine.take(case, number=number, now=now)
        if changed is not case:
            await self._cases.save(uow, changed)
            watch(uow, changed)
        return changed

    async def _voided(self, uow: UnitOfWork, event: CaseVoid, *, now: Instant) -> None:
        """Close a case whose chain went home or closed.

        A case may have been joined under another number than its own; one that was filed later
        goes on, for it is about what came after that.
        """
        key = CaseKey(event.key.scope, event.case)
        case = await self._cases.find(uow, key) or await self._cases.open_on(
            uow, scope=key.scope, ticket=event.key.ticket, chain=event.key.number
        )
        if case is not None and not is_later(case.key.case, event.case):
            await self.void(uow, case.key, now=now)

    async def void(self, uow: UnitOfWork, key: CaseKey, *, now: Instant) -> None:
        """Close a case that nothing is left to rule in; its alarm is off."""
        case = await self._cases.find(uow, key)
        if case is None or (changed := machine.void(case, now=now)) is case:
            return
        await self._cases.save(uow, changed)
        watch(uow, changed)
        log.info("case.void", case=key.case)

    async def unasked(self, uow: UnitOfWork, key: CaseKey, *, ruling: int, now: Instant) -> None:
        """Close a case whose newest ruling asks a body that need not answer any more."""
        case = await self._cases.find(uow, key)
        newest = case.rulings[-1] if case is not None and case.rulings else None
        if newest is not None and newest.number == ruling and newest.taken is None:
            await self.void(uow, key, now=now)

    # --- reading ------------------------------------------------------------------------------

    async def get(self, principal: Principal, case_id: str) -> Case:
        """Return a case file with the reasons of its rulings; the reading is recorded.

        Raises:
            ResourceNotFound: the principal's authority is neither its arbiter nor a party.
        """
        reader = self.parties.reader_of(principal)
        async with self._database.unit() as uow:
            copy = await self._copies.find(uow, principal.authority, case_id)
            case = copy or await self._cases.visible(uow, principal.authority, case_id)
            reader.require(case)
            entry = act_of(principal, "case.read", case.name, now=self._clock.now())
            self._audit.append(uow, entry)
            return copy or await self._cases.with_reasons(uow, case)

    async def comparable(self, principal: Principal, case: Case) -> list[Comparable]:
        """Return the precedents beside a case, for the arbiter's own staff only."""
        is_confined = self.parties.reader_of(principal).is_confined
        if principal.authority != case.key.scope or is_confined:
            return []
        async with self._database.unit() as uow:
            return await self.casebook.compare(uow, case, now=self._clock.now())

    async def page(
        self, principal: Principal, *, page_size: int, page_token: str, filter_text: str
    ) -> tuple[list[Case], str]:
        """Return a page of cases, newest first, and the token of the next one."""
        authority, wanted = principal.authority, parse_filter(filter_text)
        reader = self.parties.reader_of(principal)
        size = min(page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        binding = ("cases", principal.name if reader.is_confined else authority, filter_text)
        before = None
        if page_token:
            opened = self._tokens.open(binding, page_token, field="page_token")
            before = (from_microseconds(int(opened[0])), str(opened[1]), str(opened[2]))
        now = self._clock.now()
        async with self._database.unit() as uow:
            found = [
                *await self._cases.page(
                    uow,
                    authority,
                    wanted,
                    before=before,
                    now=now,
                    limit=size + 1,
                    level=CaseLevel.UNITS if reader.is_confined else None,
                    units=reader.units,
                )
            ]
            if not reader.is_confined:
                found += await self._copies.page(
                    uow, authority, wanted, before=before, now=now, limit=size + 1
                )
            found.sort(key=_position, reverse=True)
            found = found[: size + 1]
            self._audit.append(uow, act_of(principal, "case.list", "cases/-", now=now))
        if len(found) <= size:
            return found, ""
        last = found[size - 1]
        return found[:size], self._tokens.issue(binding, *_position(last))

    # --- ruling -------------------------------------------------------------------------------

    async def rule(self, call: Call, case_id: str, order: Order, *, etag: str = "") -> bytes:
        """Decide a case; the answer has the case as it is after the ruling.

        Raises:
            ResourceNotFound: no such case is visible to the caller.
            RoleMissing: the caller is no panel member of the authority's own staff.
            PeerNotAllowed: the caller's authority is a party and not the arbiter.
            EtagMismatch: the case changed since the panel read it.
            TransitionNotAllowed: the case is not open.
            FieldInvalid: the kind or the target does not fit.
            DestinationNotJoined: the target cannot take the ticket.
        """
        principal = call.principal
        check_panel(principal, call.method)
        async with self._database.unit() as uow:
            seen = await self._cases.visible(uow, principal.authority, case_id)
        if seen.key.scope != principal.authority:
            raise PeerNotAllowed(
                principal=principal.name,
                got=f"staff of {principal.authority}, a party",
                expected=f"the panel of {seen.key.scope}, the arbiter",
            )

        async def step(uow: UnitOfWork, now: Instant) -> bytes:
            case = await self._cases.visible(uow, seen.key.scope, seen.key.case)
            check_impartial(principal, call.method, case)
            if etag and etag != case.etag:
                raise EtagMismatch(name=case.name, got=etag, expected=case.etag)
            case = await self._rule(uow, principal, case, order, now=now)
            return issued_to_bytes(case, now=now)

        return await self._once.run(call, step, locks=(f"ticket/{seen.ticket}",))

    async def rule_by_default(self, uow: UnitOfWork, case: Case, *, now: Instant) -> None:
        """Give the ruling that holds because nobody ruled in time; the ticket is locked.

        Raises:
            TransitionNotAllowed, ResourceNotFound, NotCustodian, QuotaExceeded, FieldInvalid,
            DestinationNotJoined: it cannot be given; a person must look.
        """
        known = await forgotten.remember(uow, self._cases, case, now=now)
        if known is not case:
            watch(uow, known)
            return
        order = await self._defaults.order_of(uow, case, now=now)
        system = Principal.system(case.key.scope, "arbitration")
        await self._rule(uow, system, case, order, now=now, by_default=True)

    async def _rule_by_precedent(
        self, uow: UnitOfWork, case: Case, order: Order, *, now: Instant
    ) -> None:
        await self._rule(uow, by_precedent(case.key.scope), case, order, now=now)

    async def _rule(
        self,
        uow: UnitOfWork,
        principal: Principal,
        case: Case,
        order: Order,
        *,
        now: Instant,
        by_default: bool = False,
    ) -> Case:
        ruler = self._rulers[case.level]
        holder = await ruler.holder(uow, case)
        after = machine.require(case, order, custodian=holder, by_default=by_default)
        await ruler.check(uow, case, order, now=now)
        number = await ruler.carry_out(uow, case, order, now=now)
        ruling = CaseRuling(
            number=number,
            kind=order.kind,
            target=order.target,
            legal_basis=order.legal_basis,
            offers_allowed=order.offers_allowed,
            mandates=order.mandates,
            ruler=principal.name,
            issued=now,
            reasons=order.reasons,
            form=order.form,
            parts=order.parts,
            merge_into=order.merge_into,
        )
        is_open = after in OPEN
        due = ruling_due(filed=case.filed, calendar=self._calendar()) if is_open else None
        changed = machine.rule(case, ruling, after=after, due=due)
        await self._cases.add_ruling(uow, changed, ruling)
        watch(uow, changed)
        await self._overtake(uow, changed, now=now)
        if await ruler.is_taken(uow, changed, order):
            changed = await self._take(uow, changed, number=number, now=now)
        if order.sets_precedent:
            await self.casebook.set(uow, case, ruling, now=now, named=order.precedent_facts)
        elif case.ruling_proper is not None:
            await self.casebook.drop(uow, case, now=now)
        entry = act_of(principal, "case.rule", case.name, now=now, basis=order.legal_basis)
        self._audit.append(uow, entry)
        log.info("case.ruled", case=case.key.case, ruling=number, kind=order.kind.name)
        return changed

    async def _overtake(self, uow: UnitOfWork, ruled: Case, *, now: Instant) -> None:
        """Close what earlier cases of the chain ruled: nobody takes by an older ruling any more."""
        for case in await self._cases.all_on(
            uow, scope=ruled.key.scope, ticket=ruled.ticket, chain=ruled.chain
        ):
            if case.key != ruled.key and case.state in DECIDED:
                changed = machine.void(case, now=now)
                await self._cases.save(uow, changed)
                watch(uow, changed)

    async def _holder(self, uow: UnitOfWork, case: Case) -> Party:
        return await self._rulers[case.level].holder(uow, case)

    # --- parts --------------------------------------------------------------------------------

    def _note_misnamed(self, uow: UnitOfWork, filing: Filing, now: Instant) -> None:
        log.warning("case.misnamed", ticket=filing.ticket, filer=filing.filer)
        reason = FieldInvalid.reason
        self._record_filing(uow, filing, "case.misnamed", now, outcome=reason)

    def _record_filing(
        self, uow: UnitOfWork, filing: Filing, act: str, now: Instant, *, outcome: str = "DONE"
    ) -> None:
        entry = AuditEntry(
            time=now,
            principal=filing.filer if is_unit(filing.filer) else f"authorities/{filing.filer}",
            role="party",
            act=act,
            subject=filing.key.name,
            basis=f"tickets/{filing.ticket}",
            outcome=outcome,
        )
        self._audit.append(uow, entry)


def _position(case: Case) -> tuple[int, str, str]:
    """Return where a case stands in a list."""
    return (to_microseconds(case.filed), str(case.key.scope), case.key.case)
