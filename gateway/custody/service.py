"""What an authority does with custody: begin, offer, answer, take back, act, and show it.

Each verb is one step inside the caller's unit of work; the caller has locked the ticket. What came
of it is returned as events, to which the rooms above react. Statements of others come in through
`receive.py`, progress through `progress.py`; `coupling.py` keeps the two levels together.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.custody import bodies, chains, guards, machine, reading, recall, store
from gateway.custody.arbiter import Arbiter
from gateway.custody.consent import Consent
from gateway.custody.coupling import Coupling
from gateway.custody.filings import Filings
from gateway.custody.forks import Forks
from gateway.custody.incarnation import Receive
from gateway.custody.letters import Letters
from gateway.custody.model import (
    OUTER_CHAIN_NUMBER,
    BecameCustodian,
    Chain,
    ChainKey,
    CustodyEvent,
    Holding,
    OfferReason,
    Split,
    Verdict,
)
from gateway.custody.ports import ContentSource
from gateway.custody.progress import Progress
from gateway.custody.receive import Receiver
from gateway.custody.restorer import Restorer
from gateway.custody.rows import invitation_of, made_of
from gateway.custody.states import Local
from gateway.custody.writer import StepWriter
from gateway.database.timers import schedule
from gateway.database.uow import UnitOfWork
from gateway.kernel.errors import (
    CasePending,
    DestinationNotJoined,
    FieldInvalid,
    ResourceNotFound,
    TransitionNotAllowed,
)
from gateway.kernel.ids import GENESIS, NATION, AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace
from gateway.trust.roster import Roster

WINDOW_TIMER = recall.WINDOW_TIMER


@dataclass(frozen=True, slots=True)
class Offered:
    """The offer is out; custody is still here."""

    key: ChainKey
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class CaseFiled:
    """A guard failed: a case was filed instead, the ticket is still here."""

    key: ChainKey
    case: str
    cause: str


OfferOutcome = Offered | CaseFiled


@dataclass(frozen=True, slots=True)
class CustodyView:
    """Where custody of a ticket stands, as one authority knows it."""

    custodian: AuthorityCode
    holding: Holding
    scope: AuthorityCode
    epoch: Epoch
    case: str
    path: tuple[str, ...]


class CustodyService:
    """The verbs of custody for the authorities of one node."""

    def __init__(
        self,
        *,
        writer: StepWriter,
        coupling: Coupling,
        progress: Progress,
        receiver: Receiver,
        filings: Filings,
        arbiter: Arbiter,
        consent: Consent,
        letters: Letters,
        forks: Forks,
        content: ContentSource,
        roster: Callable[[], Roster],
    ) -> None:
        """Make the service; `assembly.build` wires it."""
        self._writer = writer
        self._coupling = coupling
        self._filings = filings
        self.arbiter = arbiter
        self.consent = consent
        self.assume = consent.assume
        self.publish = progress.publish
        self.letters = letters
        self.stand_by = receiver.deciding.stand_by
        self.inquiring = receiver.inquiring
        self.overtaken = coupling.reconciling
        self.forks = forks
        self.receive: Receive = receiver.receive
        self.restorer: Restorer | None = None  # set by `assembly.build`
        self.kinds = receiver.kinds
        self.read_ahead = reading.read_ahead
        self.post_waiting_filings = filings.post_waiting_filings
        self._content = content
        self._roster = roster
        self.recall = recall.Recall(writer=writer, filings=filings)
        self.revoke = self.recall.revoke
        self.locks = self.recall.locks
        self.handle = self.recall.handle

    def announce(self, uow: UnitOfWork, *, authority: AuthorityCode, ticket: TicketNumber) -> None:
        """Say that a ticket number was minted in this unit, so that nobody looks for its rows."""
        uow.absent(store.CHAINS_OF_TICKET, authority, ticket)
        uow.absent(store.OFFERS_MADE_OF_TICKET, authority, ticket)
        uow.absent(store.STATEMENTS_OF_TICKET, authority, ticket)

    async def begin(
        self,
        uow: UnitOfWork,
        *,
        authority: AuthorityCode,
        ticket: TicketNumber,
        uid: str,
        now: Instant,
        split: Split | None = None,
    ) -> tuple[CustodyEvent, ...]:
        """Open the inner chain of a new ticket; a city reports it to its province."""
        await self._coupling.open_inner(
            uow, authority=authority, ticket=ticket, uid=uid, outer=None, now=now, split=split
        )
        key = ChainKey(authority, ticket, chains.province_of(authority), 1)
        return (BecameCustodian(key, GENESIS, None),)

    async def offer(
        self,
        uow: UnitOfWork,
        *,
        authority: AuthorityCode,
        ticket: TicketNumber,
        target: AuthorityCode,
        reason: OfferReason,
        rule: str,
        trace_digest: bytes,
        window_end: Instant,
        now: Instant,
    ) -> OfferOutcome:
        """Offer custody to another authority, or file the case that a guard asks for (I5).

        Within a province the offer runs in the inner chain, else in the outer one, for which the
        ticket must be home.

        Raises:
            FieldInvalid: the target is this authority, the nation, or a city of another province.
            DestinationNotJoined: the target is not in the roster.
            NotCustodian, CasePending, TransitionNotAllowed: not now.
        """
        self._check_target(authority, target)
        chain = await self._offering_chain(uow, authority, ticket, target, now=now)
        machine.require(chain, Local.OFFER)
        terms = guards.OfferTerms(
            target=target,
            reason=reason,
            rule=rule,
            trace_digest=trace_digest,
            window_end=window_end,
            header=await self._content.header(uow, authority, ticket),
        )
        cause = None if chain.case else guards.failed_guard(chain, terms)
        if chain.case or cause is not None:
            terms = replace(terms, assumption=await self.consent.of(uow, chain, target, now))
            if terms.assumption is not None:
                cause = guards.failed_guard(chain, terms)
        if cause is not None:
            _, opened = await self._filings.file_case(
                uow, chain, cause=cause, target=target, now=now
            )
            return CaseFiled(chain.key, opened.case, cause)
        return await self._send_offer(uow, chain, terms, now=now)

    async def accept(
        self,
        uow: UnitOfWork,
        *,
        authority: AuthorityCode,
        ticket: TicketNumber,
        now: Instant,
        key: ChainKey | None = None,
    ) -> tuple[CustodyEvent, ...]:
        """Accept the open invitation: this authority is the custodian now.

        Raises:
            ResourceNotFound: no invitation is open.
        """
        row = await self._invitation(uow, authority, ticket, key)
        return await self._coupling.accept(uow, row, now=now)

    async def decline(
        self,
        uow: UnitOfWork,
        *,
        authority: AuthorityCode,
        ticket: TicketNumber,
        reason: int,
        clause: str,
        proposed_owner: str,
        now: Instant,
        key: ChainKey | None = None,
    ) -> tuple[CustodyEvent, ...]:
        """Decline the open invitation with reason, clause and proposed owner.

        Raises:
            ResourceNotFound: no invitation is open.
            FieldInvalid: reason, clause or proposed owner is missing.
        """
        if not reason or not clause or not proposed_owner:
            raise FieldInvalid(
                field="reason,clause,proposed_owner", got="empty", expected="all three"
            )
        row = await self._invitation(uow, authority, ticket, key)
        invitation = invitation_of(row)
        chain = await chains.find_chain(uow, invitation.key)
        if chain is None:
            raise ResourceNotFound(kind="chain", name=f"tickets/{ticket}")
        step = machine.decline(
            chain, invitation, reason=reason, clause=clause, proposed_owner=proposed_owner
        )
        await self._writer.write(uow, step, now=now)
        return ()

    async def file_case(
        self,
        uow: UnitOfWork,
        *,
        authority: AuthorityCode,
        ticket: TicketNumber,
        cause: str,
        target: str,
        now: Instant,
    ) -> tuple[CustodyEvent, ...]:
        """File a case in the widest scope that the ticket has a chain in; the ticket stays.

        Its custodian may, and one that held it before.

        Raises:
            CasePending: a case of this chain is open.
            TransitionNotAllowed: this authority had no part in it.
        """
        held = await chains.load(uow, authority, ticket)
        chain = held.outer or held.inner
        if chain is None:
            raise ResourceNotFound(kind="ticket", name=f"tickets/{ticket}")
        if chain.case:
            raise CasePending(ticket=ticket, case=chain.case, event="file a case")
        _, opened = await self._filings.file_case(uow, chain, cause=cause, target=target, now=now)
        return (opened,)

    async def exclusive_act(
        self,
        uow: UnitOfWork,
        *,
        authority: AuthorityCode,
        ticket: TicketNumber,
        kind: str,
        digest: bytes,
        now: Instant,
        desk: str | None = None,
    ) -> None:
        """Record an act that only the custodian may do: resolve, close, refer, change the lead.

        Args:
            uow: the open unit.
            authority: who acts.
            ticket: on what.
            kind: dotted, for example `ticket.resolved`.
            digest: of the act's content.
            now: when.
            desk: the unit or desk that is responsible from now on, if it changes.

        Raises:
            NotCustodian: the ticket is not held here, freely and with force.
        """
        held = await chains.load(uow, authority, ticket)
        chain = held.acting()
        machine.require(chain, Local.EXCLUSIVE_ACT)
        if desk is not None:
            chain = replace(chain, desk=desk)
        self._writer.act(uow, chain, kind=f"act.{kind}", subject=digest, now=now)

    async def acting_term(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> tuple[ChainKey, Epoch]:
        """Return the chain and epoch at which an exclusive act of this authority would stand.

        Raises:
            NotCustodian: the ticket is not held here, freely and with force.
        """
        chain = (await chains.load(uow, authority, ticket)).acting()
        machine.require(chain, Local.EXCLUSIVE_ACT)
        return chain.key, chain.term_epoch or GENESIS

    async def care_act(
        self,
        uow: UnitOfWork,
        *,
        authority: AuthorityCode,
        ticket: TicketNumber,
        kind: str,
        digest: bytes,
        now: Instant,
    ) -> None:
        """Record an act of care: contact, note, answer. Allowed while this authority cares.

        Raises:
            NotCustodian: this authority does not care for the ticket.
        """
        held = await chains.load(uow, authority, ticket)
        caring = [chain for chain in held.chains if chain.is_caring and not chain.key.is_outer]
        chain = caring[-1] if caring else held.acting()
        machine.require(chain, Local.CARE_ACT)
        self._writer.act(uow, chain, kind=f"care.{kind}", subject=digest, now=now)

    async def view(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber
    ) -> CustodyView | None:
        """Return where custody stands in the widest scope this authority takes part in."""
        held = await chains.load(uow, authority, ticket)
        chain = held.outer or held.inner
        if chain is None:
            return None
        inner, custodian = held.open_inner, chain.custodian
        if chain.is_caring and inner is not None and inner.custodian is not None:
            custodian = inner.custodian
        holder = custodian or chain.origin
        return CustodyView(
            custodian=holder,
            holding=chain.holding,
            scope=chain.key.scope,
            epoch=chain.floor or Epoch(0, 0),
            case=held.case,
            path=await self._whole_path(uow, held, holder),
        )

    async def _whole_path(
        self, uow: UnitOfWork, held: chains.TicketChains, holder: AuthorityCode
    ) -> tuple[str, ...]:
        """Return who held the ticket, in order: before us, we, whom we handed it to, who holds."""
        rows = await uow.rows(store.OFFERS_MADE_OF_TICKET, held.authority, held.ticket)
        path: list[str] = []
        for chain in (held.outer, held.inner):
            if chain is not None:
                path += chain.path
                path += [
                    made.target
                    for made in map(made_of, rows)
                    if made.key == chain.key and made.verdict is Verdict.ACCEPTED
                ]
        return tuple(dict.fromkeys((*path, holder)))

    # --- parts --------------------------------------------------------------------------------

    def _check_target(self, authority: AuthorityCode, target: AuthorityCode) -> None:
        same_province = chains.province_of(authority) == chains.province_of(target)
        if target in (authority, NATION) or not (same_province or chains.is_province(target)):
            raise FieldInvalid(
                field="target",
                got=target,
                expected="another province, or an authority of the own province",
            )
        if not self._roster().is_joined(target):
            raise DestinationNotJoined(authority=target)

    async def _offering_chain(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        target: AuthorityCode,
        *,
        now: Instant,
    ) -> Chain:
        held = await chains.load(uow, authority, ticket)
        inner = held.acting()
        if chains.province_of(target) == chains.province_of(authority):
            return inner
        if not chains.is_province(authority):
            raise TransitionNotAllowed(
                name=f"tickets/{ticket}",
                state="inside a province",
                event=f"offer to {target}",
                allowed=f"offer to {chains.province_of(authority)} with reason OUTBOUND",
            )
        if not held.is_home:
            machine.require(inner, Local.OFFER)
            raise TransitionNotAllowed(
                name=f"tickets/{ticket}",
                state="not home",
                event=f"offer to {target}",
                allowed="wait until the ticket is home and no inner case is open",
            )
        if held.outer is not None:
            return held.outer
        return await self._coupling.open_outer(uow, held, number=OUTER_CHAIN_NUMBER, now=now)

    async def _send_offer(
        self, uow: UnitOfWork, chain: Chain, terms: guards.OfferTerms, *, now: Instant
    ) -> Offered:
        key = chain.key
        acts: tuple[bodies.Act, ...] = ()
        if terms.is_homeward(key):
            acts = await self._coupling.acts_of_term(uow, chain)
        step = machine.offer(chain, terms, acts=acts)
        block = await self._content.case_block(uow, key.authority, key.ticket)
        content = self._writer.content("case_block", block)
        [say] = step.says
        body = say.body
        if not isinstance(body, bodies.Offer):
            raise TypeError("an offer step says an Offer")
        attached = await self._coupling.records(uow, chain)
        full = replace(
            body,
            attached=attached,
            commitments=(content.commitment(),),
            citizen_act_applied=await self._content.citizen_act_applied(
                uow, key.authority, key.ticket
            ),
        )
        step = replace(step, says=(replace(say, body=full),))
        await self._writer.write(uow, step, now=now, contents=(content,))
        schedule(uow, kind=WINDOW_TIMER, key=recall.timer_key(key, say.epoch), due=terms.window_end)
        return Offered(key, say.epoch)

    async def _invitation(
        self,
        uow: UnitOfWork,
        authority: AuthorityCode,
        ticket: TicketNumber,
        key: ChainKey | None,
    ) -> store.InvitationRow:
        rows = await uow.rows(store.INVITATIONS_OF_TICKET, authority, ticket)
        wanted = [row for row in rows if key is None or invitation_of(row).key == key]
        if not wanted:
            raise ResourceNotFound(kind="invitation", name=f"tickets/{ticket}")
        return wanted[0]
