"""Children: splitting tickets off, by a rule that asks for help or by a person.

A child gets its number, its copy and its custody in the unit of work of the split, and is then
routed like any other ticket (docs/dispatch.md#children). The same help is asked for once: a region
that a child of this ticket already asked is left out, so deciding again doubles nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from gateway.custody.model import Split
from gateway.custody.service import CustodyService
from gateway.database.uow import UnitOfWork
from gateway.dispatch.numbers import NumberMint
from gateway.dispatch.router import Router
from gateway.dispatch.texts import assist_texts, child_content, issue_texts
from gateway.kernel.codes import TicketPurpose
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.tickets import children, machine
from gateway.tickets.children import Birth, Wanted
from gateway.tickets.clocks import clocks_at_receipt
from gateway.tickets.model import CHILDREN_MAX, FINAL, Act, Change, Ticket
from gateway.tickets.service import Texts, Tickets

GoOn = Callable[[UnitOfWork, Ticket, Act], Awaitable[Ticket]]


class Splitting:
    """Makes the children of one node's tickets, and tells parents what became of them."""

    def __init__(
        self, *, tickets: Tickets, custody: CustodyService, router: Router, mint: NumberMint
    ) -> None:
        """Split with these."""
        self._tickets = tickets
        self._custody = custody
        self._router = router
        self._mint = mint
        self.parent_went_on: GoOn = _nothing_waits  # set by what carries out the citizen's acts

    async def ask_help(
        self, uow: UnitOfWork, parent: Ticket, act: Act, regions: Sequence[str]
    ) -> tuple[Ticket, tuple[Ticket, ...]]:
        """Make a child for each region that was not asked yet; return parent and new children."""
        known = await self._tickets.child_copies(uow, parent.authority, parent.number)
        asked = {each.region for each in known if each.purpose is TicketPurpose.ASSIST}
        regions_known = self._router.reference.regions
        new = [
            region
            for region in dict.fromkeys(regions)
            if region not in asked and region in regions_known
        ]
        new = new[: CHILDREN_MAX - len(known)]
        if not new or parent.parent is not None:
            return parent, ()
        texts = await self._tickets.texts(uow, parent.authority, parent.number)
        name = self._router.reference.regions.name(parent.authority)
        title, content = assist_texts(texts.content, texts.citizen, asking=name)
        wanted = [
            Wanted(
                purpose=TicketPurpose.ASSIST,
                region=region,
                matter=parent.matter,
                title=title,
                content=content,
            )
            for region in new
        ]
        return await self.split(uow, parent, act, wanted)

    async def split_issues(
        self, uow: UnitOfWork, parent: Ticket, act: Act, matters: Sequence[str]
    ) -> tuple[Ticket, tuple[Ticket, ...]]:
        """Make a child of each further matter of the message; return parent and new children.

        What is no matter of the catalogue, or was split off before, is left out.
        """
        reference = self._router.reference
        if not matters or parent.parent is not None or parent.region not in reference.regions:
            return parent, ()
        known = await self._tickets.child_copies(uow, parent.authority, parent.number)
        taken = {each.matter for each in known if each.purpose is TicketPurpose.ISSUE}
        new = [
            matter
            for matter in dict.fromkeys(matters)
            if matter in reference.matters and matter not in taken and matter != parent.matter
        ]
        new = new[: CHILDREN_MAX - len(known)]
        if not new:
            return parent, ()
        texts = await self._tickets.texts(uow, parent.authority, parent.number)
        wanted = []
        for matter in new:
            named = reference.matters.nearest(matter)
            title, content = issue_texts(texts.content, matter=named.name if named else matter)
            wanted.append(
                Wanted(
                    purpose=TicketPurpose.ISSUE,
                    region=parent.region,
                    matter=matter,
                    title=title,
                    content=content,
                )
            )
        return await self.split(uow, parent, act, wanted)

    async def split(
        self, uow: UnitOfWork, parent: Ticket, act: Act, wanted: Sequence[Wanted]
    ) -> tuple[Ticket, tuple[Ticket, ...]]:
        """Split children off; an exclusive act. Return parent and children, not yet routed.

        Raises:
            FieldInvalid: a region or matter that was never assigned.
            TransitionNotAllowed, QuotaExceeded: not this ticket, or not so many.
            NotCustodian: the ticket is not held here, freely and with force.
        """
        reference = self._router.reference
        for each in wanted:
            if each.region not in reference.regions:
                raise FieldInvalid(
                    field="children.region", got=each.region, expected="an assigned region"
                )
            if each.matter and each.matter not in reference.matters:
                raise FieldInvalid(
                    field="children.matter", got=each.matter, expected="a matter of the catalogue"
                )
        known = await self._tickets.children(uow, parent.authority, parent.number)
        children.check_split(parent, existing=len(known), wanted=len(wanted))
        subject = "/".join(f"{each.purpose.name}:{each.region}" for each in wanted)
        await self._custody.exclusive_act(
            uow,
            authority=parent.authority,
            ticket=parent.number,
            kind="ticket.split",
            digest=await self._tickets.fingerprint(uow, parent, subject.encode()),
            now=act.now,
        )
        born = [
            await self._bear(uow, parent, act, each, index=index)
            for index, each in enumerate(wanted, start=len(known) + 1)
        ]
        saved = self._tickets.save(uow, children.note_split(parent, act, born))
        return saved, tuple(born)

    async def _bear(
        self, uow: UnitOfWork, parent: Ticket, act: Act, wanted: Wanted, *, index: int
    ) -> Ticket:
        key, epoch = await self._custody.acting_term(uow, parent.authority, parent.number)
        number = await self._mint.mint(uow, authority=parent.authority, now=act.now)
        # Nobody knows the number before the commit: it needs no lock, and nothing has it.
        self._tickets.announce(uow, parent.authority, number)
        self._custody.announce(uow, authority=parent.authority, ticket=number)
        uid = children.uid_of(
            parent=parent.number,
            scope=key.scope,
            chain=key.number,
            epoch=str(epoch),
            index=index,
        )
        texts = await self._tickets.texts(uow, parent.authority, parent.number)
        child = children.child_of(parent, wanted, Birth(number=number, uid=uid, now=act.now))
        clocks = clocks_at_receipt(child, self._router.reference)
        child = replace(
            child,
            due_time=min(clocks.due, parent.due_time),
            dispatch_due_time=min(clocks.dispatch_due, parent.due_time),
            due_provisional=clocks.provisional or parent.due_provisional,
        )
        content = child_content(
            texts.content,
            title=wanted.title,
            text=wanted.content,
            region=wanted.region,
            is_help=wanted.purpose is TicketPurpose.ASSIST,
        )
        made = machine.note(child, act, "ticket.received", ("parent", parent.name))
        # A helper needs the matter, not the caller; an issue of its own is the caller's.
        caller = None if child.anonymous else texts.citizen
        self._tickets.create(uow, made, Texts(content, caller))
        await self._custody.begin(
            uow,
            authority=child.authority,
            ticket=number,
            uid=uid,
            now=act.now,
            split=Split(parent.number, epoch, index),
        )
        return made.ticket

    # --- what parents know --------------------------------------------------------------------

    async def require_done(self, uow: UnitOfWork, ticket: Ticket, event: str) -> None:
        """Return if no child of the ticket is open.

        Raises:
            TransitionNotAllowed: one is; the error names it.
        """
        if ticket.parent is None:
            known = await self._tickets.children(uow, ticket.authority, ticket.number)
            children.require_done(ticket, known, event)

    async def has_open(self, uow: UnitOfWork, ticket: Ticket) -> bool:
        """Tell whether a child of the ticket is open."""
        if ticket.parent is not None:
            return False
        known = await self._tickets.children(uow, ticket.authority, ticket.number)
        return any(child.state not in FINAL for child in known)

    async def note_kept(self, uow: UnitOfWork, parent: Ticket, act: Act) -> Ticket:
        """Tell the readers of a parent that went by a ruling which children stay here."""
        if parent.parent is not None:
            return parent
        known = await self._tickets.children(uow, parent.authority, parent.number)
        change = children.note_kept(parent, act, known)
        return self._tickets.save(uow, change) if change.events else parent

    async def settled(self, uow: UnitOfWork, child: Ticket, now: Instant) -> None:
        """Tell the parent's copy that a child is final; nothing for any other ticket.

        It is told where the child was split off, and where the parent is held since: a province
        that took its city's ticket home. The child is locked, and now its parent: never the other
        way round.
        """
        if child.parent is None or not child.is_final:
            return
        await uow.lock(f"ticket/{child.parent}")
        parent = await self._tickets.find(uow, child.authority, TicketNumber(child.parent))
        if parent is None or (parent.followed and child.origin != child.authority):
            return
        act = Act(f"lubiao://{child.authority}/system/dispatch", "system", child.name, now)
        change: Change = children.note_closed(parent, act, child)
        saved = self._tickets.save(uow, change)
        saved = await self.parent_went_on(uow, saved, act)  # a rating may have waited for it
        await self._custody.publish(
            uow, authority=AuthorityCode(saved.authority), ticket=saved.number, now=now
        )


async def _nothing_waits(_uow: UnitOfWork, ticket: Ticket, _act: Act) -> Ticket:
    """Have nobody who waits for a child."""
    return ticket
