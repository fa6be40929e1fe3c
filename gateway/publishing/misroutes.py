"""Misroute reports: whoever got a ticket wrongly tells the owner of the rule, who must answer.

A report names the rule and version of a decision and a coded reason, never a text. It is kept by
the reporter and goes as a signed statement to the owner, who has a number of working days; both
sides count them by the calendar. What is not answered in time is escalated: a line in the audit, a
mark in the list, a metric. The answer goes back the same way. Conditions that fail when they are
evaluated reach the owner as reports too, many failures as one (docs/publishing.md#misroutes).

Who cannot be told (the nation, whose rules have no desk on any node yet; a node of an earlier
release) is not: the report stays with the reporter, whose own staff may answer it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.custody.store import STATEMENTS_OF_TICKET
from gateway.database.once import Once
from gateway.database.timers import schedule
from gateway.database.uow import UnitOfWork
from gateway.delivery.codec import instant_from_pb, statement_from_bytes
from gateway.delivery.model import Delivered
from gateway.delivery.outbox import Outbox
from gateway.delivery.ports import StatementHandler
from gateway.kernel.codes import MisrouteReason, MisrouteResolution, MisrouteState
from gateway.kernel.errors import (
    FieldInvalid,
    ResourceNotFound,
    StatementMalformed,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode, Ids, TicketNumber
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import replace
from gateway.publishing import codec
from gateway.publishing.model import Misroute, RuleCount, is_published_name, owner_of
from gateway.publishing.signing import NO_TICKET, Signer
from gateway.publishing.store import (
    FAILURES,
    FAILURES_UNREPORTED,
    MISROUTE_COUNTS,
    MISROUTES,
    MISROUTES_OLDEST,
    MISROUTES_WAITING,
    FailureRow,
    Waiting,
    misroute_of,
    misroute_row,
)
from gateway.reference.calendar import Calendar
from gateway.tickets.service import Scope, Tickets
from gateway.trust.call import Call
from gateway.trust.principal import Principal
from hotline.custody.v1 import custody_pb2
from hotline.routing.v1 import publication_pb2 as pb

DUE_TIMER = "misroute.due"
ANSWER_WORKING_DAYS = 5  # as long as a unit has for an ordinary return
COUNTS_MAX = 200
FAILURES_AT_ONCE = 100
FRAME_CHECK = 7
_BEGINNING = (datetime(1900, 1, 1, tzinfo=UTC), "")  # no report says that it is older
Answer = Callable[[Misroute, Instant], bytes]
Told = Callable[[MisrouteReason, MisrouteResolution | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What somebody says about the decision on a ticket."""

    ticket: TicketNumber
    reason: MisrouteReason
    rule: str = ""
    pack: str = ""
    proposed_target: str = ""
    is_about_offer: bool = False


class Misroutes:
    """Reports of and to the authorities of one node."""

    def __init__(
        self,
        *,
        tickets: Tickets,
        signer: Signer,
        outbox: Outbox,
        once: Once,
        audit: AuditLog,
        ids: Ids,
        clock: Clock,
        calendar: Callable[[], Calendar],
        takes: Callable[[str], bool],
        working_days: int = ANSWER_WORKING_DAYS,
    ) -> None:
        """Report with these.

        Args:
            tickets: whose decisions reports are about.
            signer: signs reports and answers.
            outbox: carries them.
            once: answers a repeated request with the first answer.
            audit: takes an entry for every act.
            ids: mints the names of reports.
            clock: business time.
            calendar: the working days.
            takes: tells whether an authority can be told; who cannot is answered for here.
            working_days: the owner's time to answer.
        """
        self._tickets = tickets
        self._signer = signer
        self._outbox = outbox
        self._once = once
        self._audit = audit
        self._ids = ids
        self._clock = clock
        self._calendar = calendar
        self._takes = takes
        self._working_days = working_days
        # Told each report that comes to an owner here, and each answer that one gives.
        self.told: Told = lambda _reason, _resolution: None

    def handlers(self) -> dict[str, StatementHandler]:
        """Return the handlers by kind, for `Inbox.register`."""
        return {codec.REPORT: self._take_report, codec.ANSWER: self._take_answer}

    # --- reporting ------------------------------------------------------------------------------

    async def report(self, call: Call, complaint: Complaint, *, answer: Answer) -> bytes:
        """Report that a ticket came wrongly.

        Raises:
            ResourceNotFound: the caller sees no such ticket, or no offer brought it.
            FieldInvalid: nothing says which rule is meant.
        """
        principal = call.principal

        async def step(uow: UnitOfWork, now: Instant) -> bytes:
            pack, rule, decider = await self._blamed(uow, principal, complaint)
            name, _, version = pack.partition("@")
            misroute = self._open(
                reporter=principal.authority,
                decider=decider,
                pack=name,
                version=version,
                rule=rule,
                complaint=complaint,
                now=now,
            )
            self._file(uow, misroute, now=now)
            self._record(uow, principal, "misroute.report", misroute, now=now)
            return answer(misroute, now)

        return await self._once.run(call, step, locks=(f"ticket/{complaint.ticket}",))

    async def report_failures(self, uow: UnitOfWork, *, now: Instant) -> int:
        """Report what failed since the last time, one report a rule and version; return how many.

        A rule about which a report is open gets no second one; its failures are counted on.
        """
        rows = await uow.select(FAILURES_UNREPORTED, limit=FAILURES_AT_ONCE)
        for row in rows:
            uow.put(FAILURES, replace(row, reported=row.occurrences))
            if not row.reported:
                self._report_failure(uow, row, now=now)
        return len(rows)

    def _report_failure(self, uow: UnitOfWork, row: FailureRow, *, now: Instant) -> None:
        complaint = Complaint(
            ticket=TicketNumber(""), reason=MisrouteReason.CONDITION_FAILED, rule=row.rule
        )
        misroute = self._open(
            reporter=row.authority,
            decider=row.authority,
            pack=row.pack,
            version=row.version,
            rule=row.rule,
            complaint=complaint,
            now=now,
            occurrences=row.occurrences,
        )
        self._file(uow, misroute, now=now)
        system = Principal.system(row.authority, "rules")
        self._record(uow, system, "misroute.report", misroute, now=now)

    # --- answering ------------------------------------------------------------------------------

    async def answer(
        self,
        call: Call,
        *,
        misroute: str,
        resolution: MisrouteResolution,
        version: str,
        answer: Answer,
    ) -> bytes:
        """Answer a report about one of the caller's rules.

        Raises:
            ResourceNotFound: there is no such report to the caller's authority.
            TransitionNotAllowed: it was answered.
        """
        principal = call.principal

        async def step(uow: UnitOfWork, now: Instant) -> bytes:
            row = await uow.get(MISROUTES, principal.authority, misroute)
            if row is None:
                raise ResourceNotFound(kind="misroute", name=f"misroutes/{misroute}")
            before = misroute_of(row)
            is_ours = before.owner == principal.authority or not self._takes(before.owner)
            if before.state is not MisrouteState.OPEN or not is_ours:
                raise TransitionNotAllowed(
                    name=before.name,
                    state=before.state.name if is_ours else f"waiting for {before.owner}",
                    event="AnswerMisroute",
                    allowed="nothing",
                )
            after = replace(
                before,
                state=MisrouteState.ANSWERED,
                resolution=resolution,
                resolution_version=version,
                answered=now,
                answerer=principal.name,
            )
            uow.put(MISROUTES, misroute_row(after))
            if before.reporter != principal.authority and self._takes(before.reporter):
                self._post(
                    uow,
                    codec.ANSWER,
                    codec.answer_to_bytes(after, answered=now),
                    source=principal.authority,
                    target=before.reporter,
                    now=now,
                )
            self._record(uow, principal, "misroute.answer", after, now=now)
            uow.after_commit(lambda: self.told(after.reason, resolution))
            return answer(after, now)

        return await self._once.run(call, step, locks=(f"misroute/{misroute}",))

    # --- looking --------------------------------------------------------------------------------

    async def oldest(
        self,
        uow: UnitOfWork,
        *,
        authority: str,
        after: tuple[Instant, str] = _BEGINNING,
        answered: bool,
        overdue: bool,
        limit: int,
    ) -> list[Misroute]:
        """Return reports of and to an authority, the oldest first."""
        rows = await uow.select(
            MISROUTES_OLDEST,
            authority=authority,
            after_time=after[0],
            after_misroute=after[1],
            answered=answered,
            overdue=overdue,
            now=self._clock.now(),
            limit=limit,
        )
        return [misroute_of(row) for row in rows]

    async def counts(self, uow: UnitOfWork, *, authority: str) -> list[RuleCount]:
        """Return what was reported about the rules of an authority, most reported first."""
        now = self._clock.now()
        return await uow.select(MISROUTE_COUNTS, authority=authority, now=now, limit=COUNTS_MAX)

    async def waiting(self, uow: UnitOfWork) -> Waiting:
        """Return how many reports wait for an answer of this node, and how many too long."""
        [found] = await uow.select(MISROUTES_WAITING, now=self._clock.now())
        return found

    # --- the due time: a `TimerHandler` for `DUE_TIMER` -------------------------------------------

    def locks(self, key: str) -> tuple[str, ...]:
        """Return the lock of the report whose due time came."""
        return (f"misroute/{key.partition('/')[2]}",)

    async def handle(self, uow: UnitOfWork, *, key: str, now: Instant) -> None:
        """Escalate a report without an answer: an audit entry, and a mark in every list."""
        authority, _, name = key.partition("/")
        row = await uow.get(MISROUTES, authority, name)
        if row is None or row.state != MisrouteState.OPEN or row.escalated:
            return
        uow.put(MISROUTES, replace(row, escalated=True))
        system = Principal.system(authority, "rules")
        self._record(uow, system, "misroute.overdue", misroute_of(row), now=now)

    # --- statements -----------------------------------------------------------------------------

    async def _take_report(self, uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        """Take a report about a rule of an authority that lives here (7): of its own issuer."""
        statement = delivered.statement
        message = codec.parsed(statement.body, pb.MisrouteReport())
        pack, _, version = message.pack.partition("@")
        is_others = is_published_name(pack) and owner_of(pack) != delivered.target
        if statement.ticket or is_others:
            raise StatementMalformed(
                check=FRAME_CHECK,
                got=f"a report about a pack of {owner_of(pack)}",
                expected=f"one about a pack of {delivered.target}, in a statement about no ticket",
            )
        if await uow.get(MISROUTES, delivered.target, message.misroute) is not None:
            return  # the same report in another statement
        misroute = Misroute(
            authority=delivered.target,
            misroute=message.misroute,
            reporter=statement.issuer,
            owner=delivered.target,
            pack=pack,
            version=version,
            rule=message.rule,
            ticket=message.ticket,
            reason=codec.reason_of(message),
            proposed_target=message.proposed_target,
            occurrences=message.occurrences,
            state=MisrouteState.OPEN,
            resolution=MisrouteResolution.UNSPECIFIED,
            resolution_version="",
            reported=min(instant_from_pb(message.report_time), now),
            due=self._due(now),
            escalated=False,
            answered=None,
            answerer="",
        )
        self._keep(uow, misroute)
        uow.after_commit(lambda: self.told(misroute.reason, None))
        self._taken(uow, delivered, misroute.name, now)

    async def _take_answer(self, uow: UnitOfWork, delivered: Delivered, now: Instant) -> None:
        """Take the owner's answer to a report of an authority that lives here."""
        statement = delivered.statement
        message = codec.parsed(statement.body, pb.MisrouteAnswer())
        row = await uow.get(MISROUTES, delivered.target, message.misroute)
        if row is None or row.owner != statement.issuer or statement.ticket:
            raise StatementMalformed(
                check=FRAME_CHECK,
                got=f"an answer of {statement.issuer}",
                expected="an answer of the rule's owner to a report that was made here",
            )
        after = replace(
            misroute_of(row),
            state=MisrouteState.ANSWERED,
            resolution=codec.resolution_of(message),
            resolution_version=message.version,
            answered=instant_from_pb(message.answer_time),
        )
        uow.put(MISROUTES, misroute_row(after))
        self._taken(uow, delivered, after.name, now)

    # --- parts ----------------------------------------------------------------------------------

    async def _blamed(
        self, uow: UnitOfWork, principal: Principal, complaint: Complaint
    ) -> tuple[str, str, str]:
        """Return pack and rule that a complaint is about, and the authority that decided."""
        scope, number = Scope.of(principal), complaint.ticket
        ticket = await self._tickets.get_visible(uow, scope, number)
        decider = str(principal.authority)
        if complaint.rule and complaint.pack:
            return complaint.pack, complaint.rule, decider
        if complaint.is_about_offer:
            decider, named = await _offered(uow, principal.authority, number)
            pack, _, rule = named.partition("#")
        else:
            decision = ticket.decision
            pack, rule = (decision.pack, decision.rule) if decision is not None else ("", "")
        if not pack or not rule:
            raise FieldInvalid(
                field="rule",
                got="nothing",
                expected="rule and pack, because no decision of a rule brought the ticket here",
            )
        return pack, rule, decider

    def _open(
        self,
        *,
        reporter: str,
        decider: str,
        pack: str,
        version: str,
        rule: str,
        complaint: Complaint,
        now: Instant,
        occurrences: int = 1,
    ) -> Misroute:
        # The list, the desk and the place belong to whoever decided by them.
        owner = owner_of(pack) if is_published_name(pack) else decider
        return Misroute(
            authority=reporter,
            misroute=self._ids.uuid7(now),
            reporter=reporter,
            owner=owner,
            pack=pack,
            version=version,
            rule=rule,
            ticket=complaint.ticket,
            reason=complaint.reason,
            proposed_target=complaint.proposed_target,
            occurrences=occurrences,
            state=MisrouteState.OPEN,
            resolution=MisrouteResolution.UNSPECIFIED,
            resolution_version="",
            reported=now,
            due=self._due(now),
            escalated=False,
            answered=None,
            answerer="",
        )

    def _file(self, uow: UnitOfWork, misroute: Misroute, *, now: Instant) -> None:
        """Keep a report here, and tell the owner if that is somebody else who can be told."""
        self._keep(uow, misroute)
        if misroute.owner == misroute.reporter:
            uow.after_commit(lambda: self.told(misroute.reason, None))
        elif self._takes(misroute.owner):
            body = codec.report_to_bytes(misroute)
            source, target = misroute.reporter, misroute.owner
            self._post(uow, codec.REPORT, body, source=source, target=target, now=now)

    def _keep(self, uow: UnitOfWork, misroute: Misroute) -> None:
        uow.insert(MISROUTES, misroute_row(misroute))
        key = f"{misroute.authority}/{misroute.misroute}"
        schedule(uow, kind=DUE_TIMER, key=key, due=misroute.due)

    def _due(self, now: Instant) -> Instant:
        return self._calendar().add_working_days(now, self._working_days).instant

    def _post(
        self, uow: UnitOfWork, kind: str, body: bytes, *, source: str, target: str, now: Instant
    ) -> None:
        signed = self._signer.sign(kind, body, issuer=source, audience=(target,), now=now)
        self._outbox.post(
            uow,
            source=AuthorityCode(source),
            target=AuthorityCode(target),
            ticket=NO_TICKET,
            kind=kind,
            signed=signed,
            blocks=(),
            now=now,
        )

    def _record(
        self, uow: UnitOfWork, actor: Principal, act: str, misroute: Misroute, *, now: Instant
    ) -> None:
        entry = AuditEntry(
            time=now,
            principal=actor.name,
            role=actor.acting_role,
            act=act,
            subject=misroute.name,
            basis=f"{misroute.pack}/{misroute.rule}"[:200],
        )
        self._audit.append(uow, entry)

    def _taken(self, uow: UnitOfWork, delivered: Delivered, subject: str, now: Instant) -> None:
        statement = delivered.statement
        self._audit.statement_taken(
            uow,
            issuer=statement.issuer,
            kind=statement.kind,
            subject=subject,
            statement_id=statement.statement_id,
            now=now,
        )


async def _offered(uow: UnitOfWork, authority: str, number: str) -> tuple[str, str]:
    """Return who made the newest offer of another authority, and its rule, `{pack}#{rule}`."""
    rows = [
        row
        for row in await uow.rows(STATEMENTS_OF_TICKET, authority, number)
        if row.kind == "Offer" and row.issuer != authority
    ]
    if not rows:
        raise ResourceNotFound(kind="offer", name=f"tickets/{number}")
    newest = max(rows, key=lambda row: (row.recorded, row.epoch))
    body = statement_from_bytes(newest.statement).body
    return newest.issuer, custody_pb2.Offer.FromString(body).rule
