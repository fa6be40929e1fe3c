"""The arbiter's half of a ruling: number it, sign it, send it, fence it (docs/custody.md#rulings).

A ruling goes to its target, to the parties and to the targets of earlier rulings. Each answer
names a successor whom the arbiter did not know, who gets the ruling too; so the arbiter walks the
hand-overs that were made meanwhile. Whoever answers is told the newest ruling, and TAKEN once it is
known. If somebody is silent past the window, the ruling goes to every authority of the scope:
otherwise an unwilling holder in the middle could hide it from the one it handed over to.

A ruling carries no content, so the fence is the ruling itself. It is signed once, for every
authority of the scope, and posted bit by bit. All this works without tickets and without a copy: on
the nation's arbiter node a chain row is only what the arbiter's own ledger hangs on. A province
that rules inside gives its own part the ruling by local delivery, like any hosted authority.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from gateway.custody import bodies, chains, codec, docket, evidence, proofs, rulings, store
from gateway.custody.machine import Say, Step
from gateway.custody.model import (
    RULINGS_PER_TICKET_MAX,
    CaseFiled,
    CaseOpened,
    CaseVoid,
    Chain,
    ChainKey,
    CustodyEvent,
    Holding,
    RulingTaken,
)
from gateway.custody.writer import StepWriter
from gateway.database.timers import schedule
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import Delivered
from gateway.kernel.codes import RulingKind
from gateway.kernel.errors import (
    FieldInvalid,
    NotCustodian,
    QuotaExceeded,
    ResourceNotFound,
    StatementMalformed,
    TransitionNotAllowed,
)
from gateway.kernel.ids import NATION, AuthorityCode, Epoch, TicketNumber
from gateway.kernel.time import Instant
from gateway.trust.roster import Roster

FENCE_TIMER = "custody.fence"
FENCE_WINDOW = timedelta(hours=1)  # a node that is down for a restart answers within it
AUDIENCE_MAX = 40  # the standard's bound; no scope of the country has more authorities
HOME_BASIS = "省内保管随省际裁定收回"

Events = tuple[CustodyEvent, ...]
Obey = Callable[[UnitOfWork, ChainKey, proofs.Attached, Instant], Awaitable[Events]]


@dataclass(frozen=True, slots=True)
class _Order:
    """What is ruled."""

    kind: RulingKind
    case: str
    target: AuthorityCode
    offers_allowed: bool
    mandates: tuple[AuthorityCode, ...]
    legal_basis: str


class Arbiter:
    """Rules in the scopes of one node's authorities; the `TimerHandler` of its fences."""

    def __init__(self, *, writer: StepWriter, roster: Callable[[], Roster]) -> None:
        """Make it; `assembly.build` sets `obey` where authorities of the own scope live."""
        self._writer = writer
        self._roster = roster
        self.obey: Obey | None = None

    # --- ruling -------------------------------------------------------------------------------

    async def rule(
        self,
        uow: UnitOfWork,
        *,
        scope: AuthorityCode,
        ticket: TicketNumber,
        number: int,
        case: str,
        kind: RulingKind,
        target: AuthorityCode,
        offers_allowed: bool = False,
        mandates: tuple[AuthorityCode, ...] = (),
        legal_basis: str,
        reasons: str,  # noqa: ARG002 — a ruling carries no text
        now: Instant,
    ) -> int:
        """Sign the next ruling of chain `number`, send it to everybody, and return its number.

        The ticket is locked by the caller. `reasons` stay with the case: a ruling carries no text.

        Raises:
            FieldInvalid: the target or a mandate is no authority of the scope.
            ResourceNotFound: nothing is known of such a chain here.
            TransitionNotAllowed: the roster gives this arbiter no mandate now.
            NotCustodian: a province rules inside although it does not hold the ticket outside.
            QuotaExceeded: the ticket has too many rulings; a person must look.
        """
        key = ChainKey(scope, ticket, scope, number)
        for field, code in (("target", target), *(("mandates", code) for code in mandates)):
            if not chains.is_in_scope(code, scope):
                raise FieldInvalid(field=field, got=code, expected=f"an authority of {scope}")
        held = await chains.load(uow, scope, ticket)
        chain = held.find(key)
        if chain is None or chain.closed:
            raise ResourceNotFound(kind="chain", name=f"{ticket} {scope}-{number}")
        if kind is not RulingKind.HOME:
            self._check_mandate(scope)
            _check_force(held)
        earlier = await docket.rulings_of(uow, key)
        ordinary = [row for row in earlier if row.kind != RulingKind.HOME]
        if kind is not RulingKind.HOME and len(ordinary) >= RULINGS_PER_TICKET_MAX:
            raise QuotaExceeded(
                quota=f"rulings on ticket {ticket}",
                got=len(ordinary) + 1,
                expected=RULINGS_PER_TICKET_MAX,
            )
        order = _Order(kind, case, target, offers_allowed, mandates, legal_basis)
        return await self._issue(uow, chain, order, earlier, now)

    def _check_mandate(self, scope: AuthorityCode) -> None:
        """Return if the scope's authority may rule now; HOME decides nothing, it needs no mandate.

        Raises:
            TransitionNotAllowed: its entry in the roster has no mandate now.
        """
        if not self._writer.has_mandate(scope):
            raise TransitionNotAllowed(
                name=f"authorities/{scope}",
                state="without a mandate",
                event="a ruling",
                allowed="while its entry in the roster has a mandate",
            )

    async def _issue(
        self,
        uow: UnitOfWork,
        chain: Chain,
        order: _Order,
        earlier: list[store.RulingRow],
        now: Instant,
    ) -> int:
        key = chain.key
        number = earlier[-1].number + 1 if earlier else 1
        body = bodies.Ruling(
            number=number,
            previous=earlier[-1].statement_digest if earlier else b"",
            target=order.target,
            kind=order.kind,
            offers_allowed=order.offers_allowed,
            mandates=order.mandates,
            legal_basis=order.legal_basis,
            effective=now,
            last_record=await docket.last_record(uow, chain, earlier),
            case=order.case,
            ticket_uid=await docket.uid(uow, key),
        )
        first = await self._first_told(uow, chain, order.target, earlier)
        scope = self._members(key.scope, first=first)
        say = Say("Ruling", rulings.epoch_of(number), scope, body, post_to=first)
        written = await self._writer.write(uow, Step(chain=chain, says=(say,)), now=now)
        said = await docket.said(uow, written.key, number)
        row = store.RulingRow(
            scope=key.scope,
            ticket=key.ticket,
            chain=key.number,
            number=number,
            kind=int(order.kind),
            case_id=order.case,
            target=order.target,
            ticket_uid=body.ticket_uid,
            last_record=body.last_record,
            statement_digest=said,
            taken_digest=b"",
            told=first,
            fenced=False,
            issued=now,
        )
        uow.insert(store.RULINGS, row)
        schedule(uow, kind=FENCE_TIMER, key=_timer_key(key, number), due=now + FENCE_WINDOW)
        return number

    async def home_at_once(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber, now: Instant
    ) -> Events:
        """Take the inner chain home within this very step: an outer ruling is obeyed (rule 4).

        What follows may close the chain in the same transaction, so the province's own part does
        not wait for local delivery. The rooms above are told only which cases have no object any
        more: the ticket is leaving.
        """
        number = await self.home_ruling(uow, authority, ticket, now)
        inner = (await chains.load(uow, authority, ticket)).open_inner
        if number is None or inner is None or self.obey is None:
            return ()
        signed = await self._writer.signed(
            uow, authority, await docket.said(uow, inner.key, number)
        )
        item = proofs.open_attached(signed, inner.key, roster=self._roster)
        events = await self.obey(uow, inner.key, item, now)
        return tuple(event for event in events if isinstance(event, CaseVoid))

    async def home_ruling(
        self, uow: UnitOfWork, authority: AuthorityCode, ticket: TicketNumber, now: Instant
    ) -> int | None:
        """Take the inner chain of a province home; return the ruling's number, or None if it is.

        Also for an Assumption of the province that a city leaves unanswered past its window
        (rule 2).
        """
        inner = (await chains.load(uow, authority, ticket)).open_inner
        if inner is None or not inner.key.is_home:
            return None
        if inner.holding is Holding.HELD and inner.pending_epoch is None:
            return None
        return await self.rule(
            uow,
            scope=authority,
            ticket=ticket,
            number=inner.key.number,
            case="",
            kind=RulingKind.HOME,
            target=authority,
            offers_allowed=True,
            legal_basis=HOME_BASIS,
            reasons="",
            now=now,
        )

    # --- what comes in ------------------------------------------------------------------------

    async def filed(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.CaseFiling,
        now: Instant,
    ) -> Events:
        """Take the filing of one that held the ticket and proves it; nobody else opens a case.

        Raises:
            StatementMalformed: this is not the arbiter, or the filer is not proven to have held it.
            ResourceNotFound: it came before what makes the chain known here.
        """
        source, epoch = delivered.statement.issuer, delivered.statement.epoch
        if key.authority != self._roster().arbiter_of(key.scope):
            raise StatementMalformed(
                check=10, got=f"a filing at {key.authority}", expected=f"arbiter of {key.scope}"
            )
        chain = await chains.find_chain(uow, key)
        if chain is None and not key.is_outer:
            # A province follows every inner chain, so it will know this one, if there is one.
            raise ResourceNotFound(kind="chain", name=f"{key.ticket} {key.scope}-{key.number}")
        proof = proofs.prove(body.attached, key, roster=self._roster)
        is_sound = (
            (source, epoch) in proof.terms
            and body.last_record == proof.record
            and codec.header_uid(body.header) == proof.ticket_uid
        )
        if not is_sound:
            raise StatementMalformed(
                check=9, got=f"a filing of {source} at {epoch}", expected="one that held the ticket"
            )
        await evidence.learn(uow, key, proof.attached, now, proof=proof)
        known = chain or chains.unknown_chain(key, proof.holder)
        if key.authority == NATION:
            known = _held_by(known, proof.holder, proof.epoch)
        is_own = source == key.authority
        step = Step(chain=known, records=not is_own)
        await self._writer.write(uow, step, now=now, received=delivered)
        target = AuthorityCode(body.proposed_target) if body.proposed_target else None
        path = tuple(AuthorityCode(code) for code in proof.path)
        refusers = tuple(map(AuthorityCode, body.refused_by))
        facts = (body.case, body.cause, source, target, body.header, path, proof.holder, refusers)
        filed = CaseFiled(key, *facts)
        if is_own or key.authority == NATION:
            return (filed,)
        return (CaseOpened(key, body.case, body.cause, target or source), filed)

    async def acknowledged(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        delivered: Delivered,
        body: bodies.RulingAck,
        now: Instant,
    ) -> Events:
        """Take an answer to a ruling, and answer it with the newest ruling and TAKEN.

        Raises:
            StatementMalformed: no such ruling was made, or TAKEN is not its target's.
        """
        source = delivered.statement.issuer
        if body.role is bodies.Role.TOLD:
            return ()
        row = await uow.get(store.RULINGS, key.scope, key.ticket, key.number, body.number)
        is_at = delivered.statement.epoch == rulings.epoch_of(body.number)
        is_forged = row is None or row.statement_digest != body.ruling_digest or not is_at
        if row is None or is_forged or (body.role is bodies.Role.TAKEN and source != row.target):
            raise StatementMalformed(
                check=10, got=f"an answer to ruling {body.number}", expected="one that was made"
            )
        answer = store.RulingAnswerRow(
            scope=key.scope,
            ticket=key.ticket,
            chain=key.number,
            number=row.number,
            authority=source,
            role=body.role.value,
            successor=body.successor,
            answer_digest=delivered.digest,
        )
        uow.put(store.RULING_ANSWERS, answer)
        events: Events = ()
        is_first = body.role is bodies.Role.TAKEN and not row.taken_digest
        if is_first:
            row = replace(row, taken_digest=delivered.digest)
            uow.put(store.RULINGS, row)
            events = (RulingTaken(key, row.case_id, row.number, AuthorityCode(row.target)),)
            chain = await chains.find_chain(uow, key)
            if chain is not None and key.authority == NATION:
                held = _held_by(chain, AuthorityCode(row.target), rulings.epoch_of(row.number))
                self._writer.save(uow, held)
        newest = (await docket.rulings_of(uow, key))[-1]
        if is_first and newest.number == row.number:
            await self._tell_taken(uow, key, newest, _codes(newest.told), now)
        else:
            await self._answer(uow, key, newest, source, now)
        if body.successor:
            await self._reach(uow, key, AuthorityCode(body.successor), now)
        return events

    # --- fence --------------------------------------------------------------------------------

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock of the ticket (`database.TimerHandler`)."""
        return (f"ticket/{key.split('/')[1]}",)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """End the window of a ruling: if somebody told is silent, everybody is told."""
        scope, ticket, chain, number = key.split("/")
        place = ChainKey(
            AuthorityCode(scope), TicketNumber(ticket), AuthorityCode(scope), int(chain)
        )
        rows = await docket.rulings_of(uow, place)
        if not rows or rows[-1].number != int(number) or rows[-1].fenced:
            return
        newest = rows[-1]
        answers = await uow.select(
            store.ANSWERS_OF_CHAIN, scope=scope, ticket=ticket, chain=place.number
        )
        answered = {answer.authority for answer in answers if answer.number == newest.number}
        if set(_codes(newest.told)) <= answered:
            return
        uow.put(store.RULINGS, replace(newest, fenced=True))
        for code in self._members(place.scope):
            await self._reach(uow, place, code, now)

    # --- telling ------------------------------------------------------------------------------

    async def _answer(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        newest: store.RulingRow,
        to: AuthorityCode,
        now: Instant,
    ) -> None:
        if newest.taken_digest:
            await self._tell_taken(uow, key, newest, (to,), now)
        else:
            await self._reach(uow, key, to, now)

    async def _reach(self, uow: UnitOfWork, key: ChainKey, to: AuthorityCode, now: Instant) -> None:
        """Send the newest ruling to one that was not told yet, with its TAKEN if it is known."""
        newest = (await docket.rulings_of(uow, key))[-1]
        is_member = chains.is_in_scope(to, key.scope) and self._roster().is_joined(to)
        if to in _codes(newest.told) or not is_member:
            return
        uow.put(store.RULINGS, replace(newest, told=(*newest.told, to)))
        signed = await self._writer.signed(uow, key.authority, newest.statement_digest)
        if to in statement_from_bytes(signed.statement).audience:
            await self._writer.resend(uow, key, newest.statement_digest, to=to, now=now)
        else:  # it joined after the ruling was signed
            await self._pass_on(uow, key, newest, (to,), now)
        if newest.taken_digest:
            await self._tell_taken(uow, key, newest, (to,), now)

    async def _tell_taken(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        newest: store.RulingRow,
        to: tuple[AuthorityCode, ...],
        now: Instant,
    ) -> None:
        others = tuple(code for code in self._writer.joined(to) if code != newest.target)
        await self._pass_on(uow, key, newest, others, now)

    async def _pass_on(
        self,
        uow: UnitOfWork,
        key: ChainKey,
        newest: store.RulingRow,
        to: tuple[AuthorityCode, ...],
        now: Instant,
    ) -> None:
        """Say the newest ruling and its TAKEN, attached: what others signed goes no other way."""
        chain = await chains.find_chain(uow, key)
        if chain is None or not to:
            return
        known = (newest.statement_digest, *filter(None, (newest.taken_digest,)))
        attached = tuple([await self._writer.signed(uow, key.authority, item) for item in known])
        body = bodies.RulingAck(
            number=newest.number,
            role=bodies.Role.TOLD,
            ruling_digest=newest.statement_digest,
            attached=attached,
        )
        say = Say("RulingAck", rulings.epoch_of(newest.number), to, body, records=False)
        await self._writer.write(uow, Step(chain=chain, says=(say,)), now=now)

    # --- what is known ------------------------------------------------------------------------

    async def _first_told(
        self,
        uow: UnitOfWork,
        chain: Chain,
        target: AuthorityCode,
        earlier: list[store.RulingRow],
    ) -> tuple[AuthorityCode, ...]:
        """Return whom a new ruling goes to at first: target, parties, earlier targets."""
        key = chain.key
        told: list[str] = [target, *(row.target for row in earlier), chains.begun_by(key)]
        for body, issuer in await docket.filings(uow, key):
            told += (issuer, *body.path, body.proposed_target, *body.refused_by)
            told += (statement_from_bytes(item.statement).issuer for item in body.attached)
        answers = await uow.select(
            store.ANSWERS_OF_CHAIN, scope=key.scope, ticket=key.ticket, chain=key.number
        )
        told += (answer.successor for answer in answers)
        told += (*chain.parties, *chain.path, chain.custodian or "")
        codes = dict.fromkeys(AuthorityCode(code) for code in told if code)
        inside = tuple(code for code in codes if chains.is_in_scope(code, key.scope))
        return self._writer.joined(inside)[:AUDIENCE_MAX]

    def _members(
        self, scope: AuthorityCode, *, first: tuple[AuthorityCode, ...] = ()
    ) -> tuple[AuthorityCode, ...]:
        """Return the authorities of a scope, those that are told at once before the others."""
        inside = sorted(
            code for code in self._roster().authorities if chains.is_in_scope(code, scope)
        )
        return self._writer.joined(tuple(dict.fromkeys((*first, *inside))))[:AUDIENCE_MAX]


def _held_by(chain: Chain, holder: AuthorityCode, epoch: Epoch) -> Chain:
    """Return an arbiter's row with the newest custodian that was proven to it."""
    if chain.floor is not None and epoch <= chain.floor:
        return chain
    return replace(chain, custodian=holder, floor=epoch)


def _check_force(held: chains.TicketChains) -> None:
    """Return if a province may rule inside: outer HELD, or no outer chain (rule 3).

    It must have the text, which the target inside gets from it.
    """
    if any(chain.content_due for chain in held.chains):
        raise ResourceNotFound(kind="content", name=f"tickets/{held.ticket}")
    outer = held.outer
    if held.authority != NATION and outer is not None and outer.holding is not Holding.HELD:
        raise NotCustodian(
            ticket=held.ticket,
            holding=outer.holding.value,
            event="a ruling inside",
            custodian=outer.custodian or "unknown",
        )


def _codes(told: object) -> tuple[AuthorityCode, ...]:
    return tuple(AuthorityCode(code) for code in told) if isinstance(told, tuple | list) else ()


def _timer_key(key: ChainKey, number: int) -> str:
    return f"{key.scope}/{key.ticket}/{key.number}/{number}"
