"""Letters of a ticket: kept with each copy, passed on, and carried out by the custodian.

An act of the citizen begins at the origin and goes to the custodian; a question begins at the
custodian and goes to the origin, its answer the other way (docs/dispatch.md#letters). Every copy on
the way keeps what passes, so each is taken once, and whoever learns of a new custodian sends all of
it again. What a ticket's state does not allow is refused for good, with the reason on the copy.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.custody.letters import Standing, a_letter, contents_of, question_of
from gateway.custody.model import Letter, LetterArrived, LetterKind, LettersSaid, ProgressArrived
from gateway.custody.service import CustodyService
from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.dispatch.splitting import Splitting
from gateway.dispatch.texts import rating_from_bytes
from gateway.kernel.codes import CitizenActKind
from gateway.kernel.errors import (
    FieldInvalid,
    ResourceNotFound,
    StatementMalformed,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.tickets import citizen, machine
from gateway.tickets.life_codec import refused_acts_from_block
from gateway.tickets.life_rows import known_code
from gateway.tickets.model import (
    QUESTIONS_MAX,
    Act,
    Change,
    CitizenAct,
    Question,
    Rating,
    Ticket,
    letter_key,
)
from gateway.tickets.service import Tickets

QUESTIONS_KEPT_MAX = 5 * QUESTIONS_MAX  # of all custodians that a ticket had; a case ends it before
_EXCLUSIVE = {
    CitizenActKind.WITHDRAW: "ticket.withdrawn",
    CitizenActKind.REOPEN: "ticket.reopened",
    CitizenActKind.RATE: "ticket.closed",
}


class Correspondence:
    """Keeps, passes on and carries out the letters of one node's tickets."""

    def __init__(
        self,
        *,
        tickets: Tickets,
        custody: CustodyService,
        acting: Acting,
        splitting: Splitting,
    ) -> None:
        """Work with these."""
        self._tickets = tickets
        self._custody = custody
        self._letters = custody.letters
        self._acting = acting
        self._splitting = splitting
        splitting.parent_went_on = self.catch_up

    # --- arriving -----------------------------------------------------------------------------

    async def told(self, uow: UnitOfWork, event: LetterArrived | LettersSaid, now: Instant) -> None:
        """Take a letter, or that some were written before this node was restored."""
        match event:
            case LetterArrived():
                await self.arrived(uow, event, now)
            case LettersSaid():
                await self.said_before(uow, event, now)

    async def arrived(self, uow: UnitOfWork, event: LetterArrived, now: Instant) -> None:
        """Take a letter: keep it if it is new, carry it out or pass it on.

        Raises:
            ResourceNotFound: it came before the ticket; it will come again.
        """
        key, letter = event.key, event.letter
        ticket = await self._tickets.find(uow, key.authority, key.ticket)
        if ticket is None:
            raise ResourceNotFound(kind="ticket", name=f"tickets/{key.ticket}")
        act = self._acting.act_of(
            key.authority, f"statements/{letter.kind.value} of {event.source}", now
        )
        match letter.kind:
            case LetterKind.ACT:
                kept = await self._keep_act(uow, ticket, act, letter)
            case LetterKind.QUESTION:
                kept = await self._keep_question(uow, ticket, act, letter)
            case LetterKind.ANSWER:
                kept = await self._keep_answer(uow, ticket, act, letter)
        if kept is None:
            return
        await self._send(uow, kept, letter, now, source=event.source)
        await self.catch_up(uow, kept, act)

    async def said_before(self, uow: UnitOfWork, event: LettersSaid, now: Instant) -> None:
        """Give no number again that was given before this node was restored."""
        key = event.key
        ticket = await self._tickets.find(uow, key.authority, key.ticket)
        if ticket is None:
            return
        changed = citizen.reserved(
            ticket,
            acts=event.acts if ticket.origin == key.authority else 0,
            questions=[
                Question(number=number, asker=key.authority, ask_time=at)
                for number, at in event.questions
            ],
            now=now,
        )
        if changed != ticket:
            self._tickets.save(uow, Change(replace(changed, revision=changed.revision + 1)))

    async def _keep_act(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, letter: Letter
    ) -> Ticket | None:
        if not citizen.is_new(ticket, letter.number):
            return None
        kind = known_code(CitizenActKind, letter.act)
        item = CitizenAct(number=letter.number, kind=kind, act_time=letter.at)
        text, rating = contents_of(letter)
        return await self.keep(uow, ticket, act, item, text=text, rating=rating)

    async def _keep_question(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, letter: Letter
    ) -> Ticket | None:
        if citizen.find_question(ticket, letter.number, letter.asker) is not None:
            return None
        if len(ticket.questions) >= QUESTIONS_KEPT_MAX:
            raise StatementMalformed(
                check=10, got="one question more", expected=f"at most {QUESTIONS_KEPT_MAX}"
            )
        question = Question(number=letter.number, asker=letter.asker, ask_time=letter.at)
        saved = self._tickets.save(uow, citizen.keep_question(ticket, act, question))
        name = letter_key("question", letter.number, letter.asker)
        await self._tickets.write_letter(uow, saved, name, contents_of(letter)[0])
        return saved

    async def _keep_answer(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, letter: Letter
    ) -> Ticket | None:
        known = citizen.find_question(ticket, letter.number, letter.asker)
        if known is not None and known.answer_time is not None:
            return None
        # A later custodian gets the answer to what an earlier one asked, and with it the question.
        question = known or Question(
            number=letter.number, asker=letter.asker, ask_time=letter.ask_time or letter.at
        )
        saved = self._tickets.save(uow, citizen.answer(ticket, act, question, at=letter.at))
        asked = question_of(letter)
        if known is None and asked:
            name = letter_key("question", letter.number, letter.asker)
            await self._tickets.write_letter(uow, saved, name, asked)
        name = letter_key("answer", letter.number, letter.asker)
        await self._tickets.write_letter(uow, saved, name, contents_of(letter)[0])
        return saved

    # --- keeping and sending ------------------------------------------------------------------

    async def keep(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        act: Act,
        item: CitizenAct,
        *,
        text: str,
        rating: bytes = b"",
    ) -> Ticket:
        """Keep an act of the citizen with its sealed text."""
        saved = self._tickets.save(uow, citizen.keep(ticket, act, item))
        if text:
            await self._tickets.write_letter(uow, saved, letter_key("act", item.number), text)
        if rating:
            name = letter_key("rating", item.number)
            await self._tickets.write_letter(uow, saved, name, rating.hex())
        return saved

    def refuse(self, uow: UnitOfWork, ticket: Ticket, act: Act, item: CitizenAct) -> Ticket:
        """Refuse an act of the citizen about a ticket that is known to be final."""
        error = TransitionNotAllowed(
            name=ticket.name,
            state=ticket.state.name,
            event=item.kind.name.lower(),
            allowed="none: it is final",
        )
        change = citizen.refuse(ticket, act, item, reason=error.reason, text=error.chinese_text())
        return self._tickets.save(uow, change)

    async def send_act(self, uow: UnitOfWork, ticket: Ticket, number: int, now: Instant) -> None:
        """Send an act that is kept here towards the custodian."""
        letters = (await self._tickets.texts(uow, ticket.authority, ticket.number)).letters
        for item in ticket.citizen_acts:
            if item.number == number:
                await self._send(uow, ticket, _act_letter(item, letters), now)

    async def send_question(
        self, uow: UnitOfWork, ticket: Ticket, question: Question, text: str
    ) -> None:
        """Send a question towards the origin."""
        letter = a_letter(
            LetterKind.QUESTION,
            question.number,
            at=question.ask_time,
            text=text,
            asker=question.asker,
        )
        await self._send(uow, ticket, letter, question.ask_time)

    async def send_answer(
        self, uow: UnitOfWork, ticket: Ticket, question: Question, now: Instant
    ) -> None:
        """Send an answer that is kept here towards the custodian."""
        letters = (await self._tickets.texts(uow, ticket.authority, ticket.number)).letters
        await self._send(uow, ticket, _answer_letter(question, letters, at=now), now)

    async def resend(self, uow: UnitOfWork, ticket: Ticket, now: Instant) -> None:
        """Send everything again: the ticket has a new custodian, who takes each once."""
        if not ticket.citizen_acts and not ticket.questions:
            return
        letters = (await self._tickets.texts(uow, ticket.authority, ticket.number)).letters
        for item in ticket.citizen_acts:
            if item.kind is not CitizenActKind.UNSPECIFIED:
                await self._send(uow, ticket, _act_letter(item, letters), now)
        for question in ticket.questions:
            if question.answer_time is not None:
                letter = _answer_letter(question, letters, at=question.answer_time)
                await self._send(uow, ticket, letter, now)

    async def _send(
        self,
        uow: UnitOfWork,
        ticket: Ticket,
        letter: Letter,
        now: Instant,
        *,
        source: AuthorityCode | None = None,
    ) -> None:
        await self._letters.post(
            uow,
            authority=ticket.authority,
            ticket=ticket.number,
            letter=letter,
            now=now,
            source=source,
        )

    # --- what the custodian does and tells ----------------------------------------------------

    async def catch_up(self, uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
        """Carry out what waited, and tell the parent of a child that ended with it."""
        saved = await self.settle(uow, ticket, act)
        if saved.is_final and not ticket.is_final:
            await self._splitting.settled(uow, saved, act.now)
        return saved

    async def settle(self, uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
        """Carry out what the citizen did, as far as custody allows now; return the copy."""
        standing = await self._letters.standing(uow, ticket.authority, ticket.number)
        if standing is Standing.ELSEWHERE:
            return ticket
        before = ticket
        is_free = standing is Standing.FREE
        may_close = not (
            citizen.has_rating_due(ticket) and await self._splitting.has_open(uow, ticket)
        )
        while item := citizen.next_due(ticket, is_free=is_free, may_close=may_close):
            ticket = await self._carry_out(uow, ticket, act, item)
        if ticket is not before:
            await self._custody.publish(
                uow, authority=ticket.authority, ticket=ticket.number, now=act.now
            )
        return ticket

    async def _carry_out(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, item: CitizenAct
    ) -> Ticket:
        try:
            if item.kind in citizen.CARE:
                return await self._care(uow, ticket, act, item)
            return await self._end_or_reopen(uow, ticket, act, item)
        except (FieldInvalid, TransitionNotAllowed) as error:
            refused = citizen.refuse(
                ticket, act, item, reason=error.reason, text=error.chinese_text()
            )
            return self._tickets.save(uow, refused)

    async def _care(self, uow: UnitOfWork, ticket: Ticket, act: Act, item: CitizenAct) -> Ticket:
        change = citizen.note_care(ticket, act, item)
        await self._custody.care_act(
            uow,
            authority=ticket.authority,
            ticket=ticket.number,
            kind=f"citizen.{item.kind.name.lower()}",
            digest=await self._tickets.fingerprint(uow, ticket, f"act {item.number}".encode()),
            now=act.now,
        )
        return self._tickets.save(uow, change)

    async def _end_or_reopen(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, item: CitizenAct
    ) -> Ticket:
        marked = citizen.applied(ticket, item)
        match item.kind:
            case CitizenActKind.WITHDRAW:
                change = machine.withdraw(marked, act)
            case CitizenActKind.REOPEN:
                change = machine.reopen(marked, act)
            case _:
                change = machine.rate(marked, act, rating=await self._rating(uow, ticket, item))
        if change.ticket.is_final:
            await self._splitting.require_done(uow, ticket, item.kind.name.lower())
        subject = f"act {item.number}".encode()
        kind = _EXCLUSIVE.get(item.kind, "ticket.closed")
        await self._acting.exclusive(uow, ticket, kind, subject=subject, now=act.now)
        saved = self._tickets.save(uow, change)
        if saved.is_final or saved.lead is not None:
            return saved
        # Who resolved it did so elsewhere, before a ruling: somebody here must take it on.
        return self._acting.to_desk(uow, saved, act, reason="重开工单，原承办单位不在本机构")

    async def _rating(self, uow: UnitOfWork, ticket: Ticket, item: CitizenAct) -> Rating:
        texts = await self._tickets.texts(uow, ticket.authority, ticket.number)
        raw = bytes.fromhex(texts.letters.get(letter_key("rating", item.number), ""))
        if not raw:
            raise FieldInvalid(field="rating", got="none", expected="what the citizen said")
        return rating_from_bytes(raw, rate_time=item.act_time)

    async def learned(
        self, uow: UnitOfWork, ticket: Ticket, event: ProgressArrived, act: Act
    ) -> Ticket:
        """Show what the custodian told about the citizen's acts that are kept here."""
        change = citizen.learned(
            ticket,
            act,
            done=event.citizen_act_applied,
            refused=refused_acts_from_block(event.state_block),
        )
        if change.ticket is ticket:
            return ticket
        raised = replace(change.ticket, revision=max(change.ticket.revision, ticket.revision + 1))
        return self._tickets.save(uow, replace(change, ticket=raised))


def _act_letter(item: CitizenAct, letters: Mapping[str, str]) -> Letter:
    return a_letter(
        LetterKind.ACT,
        item.number,
        at=item.act_time,
        text=letters.get(letter_key("act", item.number), ""),
        rating=bytes.fromhex(letters.get(letter_key("rating", item.number), "")),
        act=int(item.kind),
    )


def _answer_letter(question: Question, letters: Mapping[str, str], *, at: Instant) -> Letter:
    number, asker = question.number, question.asker
    return a_letter(
        LetterKind.ANSWER,
        number,
        at=at,
        text=letters.get(letter_key("answer", number, asker), ""),
        asker=asker,
        question=letters.get(letter_key("question", number, asker), ""),
        ask_time=question.ask_time,
    )
