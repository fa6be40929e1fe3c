"""The arbiter's half of a ruling: number it, sign it, and take what is answered.

To whom a ruling goes, and when it is fenced, is in `telling.py` (docs/custody.md#rulings). All this
works without tickets and without a copy: on the nation's arbiter node a chain row is only what the
arbiter's own ledger hangs on. A province that rules inside gives its own part the ruling by local
delivery, like any hosted authority.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.custody import bodies, chains, codec, docket, evidence, guards, proofs, rulings, store
from gateway.custody.machine import Say, Step
from gateway.custody.model import (
    BY_CONSENT,
    RULINGS_PER_TICKET_MAX,
    CaseFiled,
    CaseOpened,
    CaseVoid,
    Chain,
    ChainKey,
    CustodyEvent,
    Holding,
    RulingPart,
    RulingTaken,
)
from gateway.custody.telling import FENCE_TIMER, FENCE_WINDOW, Telling, codes, timer_key
from gateway.custody.writer import StepWriter
from gateway.database.timers import schedule
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import Delivered
from gateway.kernel.codes import CaseRulingForm, RulingKind
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
from gateway.kernel.values import dataclass, replace
from gateway.trust.roster import Roster

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
    form: CaseRulingForm
    parts: tuple[RulingPart, ...]
    merge_into: str


class Arbiter:
    """Rules in the scopes of one node's authorities; the `TimerHandler` of its fences."""

    def __init__(self, *, writer: StepWriter, roster: Callable[[], Roster]) -> None:
        """Make it; `assembly.build` sets `obey` where authorities of the own scope live."""
        self._writer = writer
        self._roster = roster
        self._telling = Telling(writer=writer, roster=roster)
        self.locks = self._telling.locks
        self.handle = self._telling.handle
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
        form: CaseRulingForm = CaseRulingForm.UNSPECIFIED,
        parts: tuple[RulingPart, ...] = (),
        merge_into: str = "",
    ) -> int:
        """Sign the next ruling of chain `number`, send it to everybody, and return its number.

        The ticket is locked by the caller. `reasons` stay with the case: a ruling carries no text.
        A HOME ruling without a case only follows what was ruled outside: it decides nothing, so it
        needs no mandate. One with a case refers it out of the scope (`parts`: where to).

        Raises:
            FieldInvalid: target, mandate or part is no authority of the scope.
            ResourceNotFound: nothing is known of such a chain here.
            TransitionNotAllowed: the roster gives this arbiter no mandate now.
            NotCustodian: a province rules inside although it does not hold the ticket outside.
            QuotaExceeded: the ticket has too many rulings; a person must look.
        """
        key = ChainKey(scope, ticket, scope, number)
        is_out = form is CaseRulingForm.REFER_OUT
        named = [("target", target), *(("mandates", code) for code in mandates)]
        named += [] if is_out else [("parts", AuthorityCode(part.party)) for part in parts]
        for field, code in named:
            if not chains.is_in_scope(code, scope):
                raise FieldInvalid(field=field, got=code, expected=f"an authority of {scope}")
        held = await chains.load(uow, scope, ticket)
        chain = held.find(key)
        if chain is None or chain.closed:
            raise ResourceNotFound(kind="chain", name=f"{ticket} {scope}-{number}")
        decides = kind is not RulingKind.HOME or bool(case)
        if decides:
            self._check_mandate(scope)
            _check_force(held, gives=target != scope)
        earlier = await docket.rulings_of(uow, key)
        ordinary = [row for row in earlier if row.kind != RulingKind.HOME]
        if decides and len(ordinary) >= RULINGS_PER_TICKET_MAX:
            raise QuotaExceeded(
                quota=f"rulings on ticket {ticket}",
                got=len(ordinary) + 1,
                expected=RULINGS_PER_TICKET_MAX,
            )
        order = _Order(
            kind=kind,
            case=case,
            target=target,
            offers_allowed=offers_allowed,
            mandates=mandates,
            legal_basis=legal_basis,
            form=form,
            parts=parts,
            merge_into=merge_into,
        )
        return await self._issue(uow, chain, order, earlier, now)

    def _check_mandate(self, scope: AuthorityCode) -> None:
        """Return if the scope's authority may rule now.

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
            form=int(order.form),
            parts=order.parts,
            merge_into=order.merge_into,
        )
        first = await self._telling.first_told(uow, chain, order.target, earlier)
        scope = self._telling.members(key.scope, first=first)
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
        schedule(uow, kind=FENCE_TIMER, key=timer_key(key, number), due=now + FENCE_WINDOW)
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

        One with the cause `consent` ends it: the new custodian took the ticket by Assumption.

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
        if body.cause == BY_CONSENT:
            _check_consent(proof, source, body)
        await evidence.learn(uow, key, proof.attached, now, proof=proof)
        known = chain or chains.unknown_chain(key, proof.holder)
        if key.authority == NATION:
            known = _held_by(known, proof.holder, proof.epoch)
        is_own = source == key.authority
        step = Step(chain=known, records=not is_own)
        await self._writer.write(uow, step, now=now, received=delivered)
        is_settled = await docket.is_settled(uow, key, body.case)  # the two may come in any order
        void = (CaseVoid(key, body.case),) if is_settled else ()
        if body.cause == BY_CONSENT:
            return (*void, *await self._filed_since(uow, key, epoch))
        filed = _filed(key, source, body, proof)
        if is_own or key.authority == NATION:
            return (filed, *void)
        proposed = filed.proposed_target or source
        return (CaseOpened(key, body.case, body.cause, proposed), filed, *void)

    async def _filed_since(self, uow: UnitOfWork, key: ChainKey, consent: Epoch) -> Events:
        """Return what was filed after a consent and came before the word of it.

        It joined the case that the consent ends, and is a case of its own.
        """
        found: list[CustodyEvent] = []
        rulings_known = await docket.rulings_of(uow, key)
        newest = max((row.number for row in rulings_known), default=0)
        for row in await chains.of_kind(uow, key, "CaseFiling"):
            body = codec.body_from_bytes(row.kind, statement_from_bytes(row.statement).body)
            epoch = Epoch.from_key(row.epoch)
            if not isinstance(body, bodies.CaseFiling) or epoch < consent or epoch.era < newest:
                continue
            if body.cause != BY_CONSENT and not await docket.is_settled(uow, key, body.case):
                proof = proofs.prove(body.attached, key, roster=self._roster)
                found.append(_filed(key, AuthorityCode(row.issuer), body, proof))
        return tuple(found)

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
            await self._telling.tell_taken(uow, key, newest, codes(newest.told), now)
        else:
            await self._telling.answer(uow, key, newest, source, now)
        if body.successor:
            await self._telling.reach(uow, key, AuthorityCode(body.successor), now)
        return events


def _held_by(chain: Chain, holder: AuthorityCode, epoch: Epoch) -> Chain:
    """Return an arbiter's row with the newest custodian that was proven to it."""
    if chain.floor is not None and epoch <= chain.floor:
        return chain
    return replace(chain, custodian=holder, floor=epoch)


def _filed(
    key: ChainKey,
    source: AuthorityCode,
    body: bodies.CaseFiling,
    proof: proofs.Proof,
) -> CaseFiled:
    return CaseFiled(
        key,
        case=body.case,
        cause=body.cause,
        filer=source,
        proposed_target=AuthorityCode(body.proposed_target) if body.proposed_target else None,
        header=body.header,
        path=tuple(AuthorityCode(code) for code in proof.path),
        custodian=proof.holder,
        refused_by=tuple(map(AuthorityCode, body.refused_by)),
    )


def _check_consent(proof: proofs.Proof, source: AuthorityCode, body: bodies.CaseFiling) -> None:
    """Return if a case ended by consent: the newest hand-over cites it, and its target tells."""
    has_moved = len(proof.terms) > 1  # the first term of an era is nobody's consent
    offer = proof.attached[-2].body if has_moved else None
    is_ended = (
        proof.holder == source
        and isinstance(offer, bodies.Offer)
        and guards.is_consented(offer)
        and offer.case == body.case
    )
    if not is_ended:
        raise StatementMalformed(
            check=10, got=f"a consent of {source}", expected="a hand-over that cites the case"
        )


def _check_force(held: chains.TicketChains, *, gives: bool) -> None:
    """Return if a province may rule inside: outer HELD, or no outer chain (rule 3).

    To rule for another it must have the text, which that one gets from it.
    """
    if gives and any(chain.content_due for chain in held.chains):
        raise ResourceNotFound(kind="content", name=f"tickets/{held.ticket}")
    outer = held.outer
    if held.authority != NATION and outer is not None and outer.holding is not Holding.HELD:
        raise NotCustodian(
            ticket=held.ticket,
            holding=outer.holding.value,
            event="a ruling inside",
            custodian=outer.custodian or "unknown",
        )
