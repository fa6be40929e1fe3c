"""Answers to a return that are neither yes nor no, and what units say to them.

The desk says that a person is deciding (待定), proposes another unit, or asks the unit; each once a
return, and responsibility and clocks stay. The unit that filed, or the proposed one, agrees to the
proposal; another unit says that the ticket is its own (认领). Who consents gets the lead without a
dispute, once the guards are asked.
"""

from __future__ import annotations

from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.dispatch.handling import Handling, Target, role_missing
from gateway.dispatch.returning import require_another, require_reviewer, unwatch, watch
from gateway.dispatch.returning_moves import Succession
from gateway.dispatch.router import Router
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass, replace
from gateway.tickets import requests, returns
from gateway.tickets.model import Act, Change, Ticket
from gateway.tickets.service import Tickets
from gateway.trust.call import Call
from gateway.trust.principal import PrincipalKind, Role


@dataclass(frozen=True, slots=True)
class StandBy:
    """A person is deciding; without `until` as long as one more review may take."""

    until: Instant | None = None


@dataclass(frozen=True, slots=True)
class Counter:
    """The desk proposes another unit."""

    unit: str


@dataclass(frozen=True, slots=True)
class Question:
    """The desk asks the unit."""

    text: str


Answer = StandBy | Counter | Question


class ReturnAnswers:
    """Answers returns for the authorities of one node, and takes what units say to that."""

    def __init__(
        self,
        *,
        tickets: Tickets,
        handling: Handling,
        acting: Acting,
        router: Router,
        succession: Succession,
    ) -> None:
        """Act with these."""
        self._tickets = tickets
        self._handling = handling
        self._acting = acting
        self._router = router
        self._succession = succession

    async def answer(
        self, call: Call, target: Target, *, number: int, answer: Answer, basis: str
    ) -> bytes:
        """Answer a return otherwise than by yes or no; return the serialised ticket.

        Raises:
            RoleMissing: the caller is no dispatcher or supervisor of the own staff, or filed it.
            FieldInvalid: the stand-by is too long or too short, or the unit cannot have it.
            GuardViolated: a guard forbids the proposed unit.
            CasePending: a case decides.
            TransitionNotAllowed: it is decided, or was answered so before.
        """
        require_reviewer(call)

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            require_another(call, returns.find(ticket, number).filer)
            change = await self._answered(uow, ticket, act, number=number, answer=answer)
            saved = self._tickets.save(uow, change)
            watch(uow, saved, returns.find(saved, number))
            return saved

        about = replace(target, basis=basis)
        return await self._handling.run(call, about, step, name="ticket.answer_return")

    async def agree(self, call: Call, target: Target, *, number: int, unit: str) -> bytes:
        """Agree for a unit to the desk's proposal; the lead moves; return the serialised ticket.

        Raises:
            RoleMissing: the caller does not act for that unit, or consents for it to its own wish.
            FieldInvalid: the unit neither filed nor was proposed.
            TransitionNotAllowed: nothing is proposed, or it is decided.
            NotCustodian: the ticket is not held here freely.
        """

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            self._require_unit(call, ticket, unit)
            if unit != returns.find(ticket, number).unit:
                _require_consent(call, ticket, unit)
            change = returns.agree(ticket, act, number=number, unit=unit)
            to = returns.find(ticket, number).counter_proposal
            saved = await self._succession.grant(
                uow,
                ticket,
                act,
                decided=change,
                number=number,
                to=to,
                has_consent=unit == to,
            )
            unwatch(uow, saved, number)
            return saved

        return await self._handling.run(call, target, step, name="ticket.agree_return")

    async def inform(self, call: Call, target: Target, *, number: int, text: str) -> bytes:
        """Answer the desk's question for the unit that filed; return the serialised ticket.

        Raises:
            RoleMissing: the caller does not act for that unit.
            TransitionNotAllowed: nothing is asked, or it is decided.
        """

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            self._require_unit(call, ticket, returns.find(ticket, number).unit)
            return self._tickets.save(uow, returns.inform(ticket, act, number=number, answer=text))

        return await self._handling.run(call, target, step, name="ticket.inform_return")

    async def claim(self, call: Call, target: Target, *, unit: str, clause: str) -> bytes:
        """Take a ticket for a unit that says it is its own; return the serialised ticket.

        Raises:
            RoleMissing: the caller does not act for that unit, or consents for it to its own wish.
            FieldInvalid: it is no unit of this authority.
            GuardViolated: a guard forbids it.
            CasePending: a case of authorities decides.
            TransitionNotAllowed: the lead unit has not returned it.
            NotCustodian: the ticket is not held here freely.
        """

        async def step(uow: UnitOfWork, ticket: Ticket, act: Act) -> Ticket:
            self._require_unit(call, ticket, unit)
            _require_consent(call, ticket, unit)
            change = returns.claim(ticket, act, unit=unit)
            closed = next(
                now
                for was, now in zip(ticket.returns, change.ticket.returns, strict=True)
                if was != now
            )
            saved = await self._succession.grant(
                uow, ticket, act, decided=change, number=closed.number, to=unit, has_consent=True
            )
            unwatch(uow, saved, closed.number)
            return saved

        about = replace(target, basis=clause)
        return await self._handling.run(call, about, step, name="ticket.claim")

    # --- parts --------------------------------------------------------------------------------

    async def _answered(
        self, uow: UnitOfWork, ticket: Ticket, act: Act, *, number: int, answer: Answer
    ) -> Change:
        match answer:
            case StandBy():
                until = self._until(ticket, number, answer.until)
                return returns.stand_by(ticket, act, number=number, until=until)
            case Counter():
                await self._succession.check_unit(uow, ticket, answer.unit, act.now)
                change = returns.counter(ticket, act, number=number, unit=answer.unit)
                seen = requests.read_along(change.ticket, act, self._acting.place_of(answer.unit))
                return replace(change, ticket=seen)  # who is proposed must see what it is to take
            case Question():
                return returns.ask(ticket, act, number=number, question=answer.text)

    def _until(self, ticket: Ticket, number: int, wished: Instant | None) -> Instant:
        """Return until when a person may decide: at most one more review.

        Raises:
            FieldInvalid: later than that.
        """
        due = returns.find(ticket, number).review_due_time
        review = self._acting.profile_here(ticket).return_review
        latest = review.end(due, self._router.reference.calendar).instant
        if wished is not None and wished > latest:
            raise FieldInvalid(
                field="until_time",
                got=wished.isoformat(),
                expected=f"at most one more review time: {latest.isoformat()}",
            )
        return wished or latest

    def _require_unit(self, call: Call, ticket: Ticket, name: str) -> None:
        """Return if the caller acts for a unit of the ticket's authority.

        Raises:
            FieldInvalid: it is no unit of this authority.
            RoleMissing: the caller does not act for it.
        """
        unit = self._router.reference.units.find(name.removeprefix("units/"))
        if unit is None or unit.is_desk or unit.authority != ticket.authority:
            raise FieldInvalid(
                field="unit", got=name, expected=f"a unit of authority {ticket.authority}"
            )
        principal = call.principal
        if principal.kind is PrincipalKind.PLATFORM:
            is_its_own = unit.platform == principal.id
        else:
            is_its_own = principal.has_role(Role.HANDLER)
        if not is_its_own:
            raise role_missing(call, f"the platform of {name}, or a handler for it")


def _require_consent(call: Call, ticket: Ticket, name: str) -> None:
    """Return if the caller's yes is the unit's own: nobody says it for whom he wants to have it.

    Raises:
        RoleMissing: it is hired staff, or who returned the ticket or judged a return of it.
    """
    principal = call.principal
    if principal.kind is PrincipalKind.PLATFORM:
        return
    if principal.is_outsourced or principal.name in returns.people(ticket):
        raise role_missing(
            call,
            f"the platform of {name}, or a handler for it (not outsourced) who neither returned"
            " the ticket nor judged a return of it",
        )
