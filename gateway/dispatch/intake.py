"""Intake (接): one message becomes one ticket, in one unit of work with its first dispatch.

The natural key `(platform, external id)` guards beside the request id: the same message again is
answered with the existing ticket, another message under the same number is refused. Findings are
returned and never refuse; see `tickets/standard.py` for the one exception.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.audit.model import AuditEntry
from gateway.audit.service import AuditLog
from gateway.custody.service import CustodyService
from gateway.database.once import Once
from gateway.database.uow import UnitOfWork
from gateway.dispatch.acting import Acting
from gateway.dispatch.codec import Submission, stated_of
from gateway.dispatch.numbers import NumberMint
from gateway.dispatch.rendering import Render
from gateway.dispatch.router import Router
from gateway.kernel.codes import TicketState
from gateway.kernel.errors import FieldInvalid, ResourceExists, RoleMissing
from gateway.kernel.ids import Ids, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.telemetry.traces import ticket_span
from gateway.tickets import machine
from gateway.tickets.clocks import clocks_at_receipt
from gateway.tickets.model import Act, Clocks, Ticket
from gateway.tickets.service import Texts, Tickets
from gateway.tickets.standard import examine
from gateway.tickets.store import BY_EXTERNAL_ID
from gateway.trust.call import Call
from gateway.trust.principal import Principal, PrincipalKind, Role

CLOCK_TOLERANCE = timedelta(minutes=5)  # clocks of a platform and of the node differ by less
RECEIVED_MIN = datetime(2000, 1, 1, tzinfo=UTC)  # earlier is an empty date of some platform
STAFF_PLATFORM = "staff"  # messages that a person enters at the node itself


class Intake:
    """Takes messages for the authorities of one node."""

    def __init__(
        self,
        *,
        tickets: Tickets,
        custody: CustodyService,
        acting: Acting,
        router: Router,
        audit: AuditLog,
        once: Once,
        mint: NumberMint,
        render: Render,
        ids: Ids,
    ) -> None:
        """Take messages with these."""
        self._tickets = tickets
        self._custody = custody
        self._acting = acting
        self._router = router
        self._audit = audit
        self._once = once
        self._mint = mint
        self._render = render
        self._ids = ids

    async def create(self, call: Call, submission: Submission) -> bytes:
        """Take one message; return the serialised ticket.

        Raises:
            RoleMissing: the caller is neither a platform nor a clerk or dispatcher.
            FieldInvalid: a region that was never assigned, or a receipt in the future.
            ResourceExists: another message has this external id.
        """
        platform = platform_of(call.principal)

        async def step(uow: UnitOfWork, now: Instant) -> bytes:
            ticket = await self._existing(uow, call.principal, platform, submission)
            if ticket is None:
                ticket = await self._create(uow, call.principal, submission, now)
            return await self._render(uow, ticket, now=now)

        natural = (call.principal.authority, platform, submission.external_id)
        return await self._once.run_grouped(
            call,
            step,
            locks=("submission/" + "/".join(natural),),
            reads=((BY_EXTERNAL_ID, natural),),
        )

    async def _existing(
        self, uow: UnitOfWork, principal: Principal, platform: str, submission: Submission
    ) -> Ticket | None:
        found = await self._tickets.find_by_external_id(
            uow,
            authority=principal.authority,
            platform=platform,
            external_id=submission.external_id,
        )
        if found is None:
            return None
        if not await self._tickets.is_same_message(uow, found, submission.identity):
            raise ResourceExists(kind="ticket", name=f"{platform}/{submission.external_id}")
        return found

    async def _create(
        self,
        uow: UnitOfWork,
        principal: Principal,
        submission: Submission,
        now: Instant,
    ) -> Ticket:
        received = submission.received or now
        if not RECEIVED_MIN <= received <= now + CLOCK_TOLERANCE:
            raise FieldInvalid(
                field="received_time",
                got=received.isoformat(),
                expected=f"from {RECEIVED_MIN.date()} on and not in the future",
            )
        reference = self._router.reference
        examined = examine(
            stated_of(submission, received=received),
            regions=reference.regions,
            matters=reference.matters,
            zones=reference.zones,
            now=now,
        )
        number = await self._mint.mint(uow, authority=principal.authority, now=now)
        # Nobody knows the number before the commit: it needs no lock, and nothing has it.
        self._tickets.announce(uow, principal.authority, number)
        self._custody.announce(uow, authority=principal.authority, ticket=number)
        ticket = _ticket(
            submission, principal=principal, number=number, uid=self._ids.uuid7(now), now=now
        )
        ticket = replace(ticket, region=examined.region, findings=examined.findings)
        ticket = _with_clocks(ticket, clocks_at_receipt(ticket, reference))
        act = Act(principal.name, principal.acting_role, f"platforms/{ticket.platform}", now)
        taken = machine.receive(ticket, act)
        self._tickets.create(
            uow,
            taken,
            Texts(submission.content, submission.citizen),
            identity=submission.identity,
        )
        self._audit.append(
            uow,
            AuditEntry(
                time=now,
                principal=act.actor,
                role=act.role,
                act="ticket.create",
                subject=ticket.name,
                basis=act.basis,
            ),
        )
        with ticket_span(number, "ticket.create", authority=ticket.authority):
            await self._custody.begin(
                uow, authority=ticket.authority, ticket=number, uid=ticket.uid, now=now
            )
            # As `Reactions` does for whoever becomes the custodian, with copy and text at hand.
            return await self._acting.route(
                uow, taken.ticket, source=None, now=now, content=submission.content
            )


def platform_of(principal: Principal) -> str:
    """Return the platform that a principal hands messages in for."""
    if principal.kind is PrincipalKind.PLATFORM:
        return principal.id
    is_clerk = principal.has_role(Role.CLERK, Role.DISPATCHER)
    if principal.kind is PrincipalKind.STAFF and is_clerk:
        return STAFF_PLATFORM
    raise RoleMissing(
        principal=principal.name,
        method="CreateTicket",
        got=principal.acting_role,
        expected="platform, clerk, dispatcher",
    )


def _with_clocks(ticket: Ticket, clocks: Clocks) -> Ticket:
    return replace(
        ticket,
        dispatch_due_time=clocks.dispatch_due,
        due_time=clocks.due,
        due_provisional=clocks.provisional,
    )


def _ticket(
    submission: Submission, *, principal: Principal, number: TicketNumber, uid: str, now: Instant
) -> Ticket:
    """Return the copy of a message before it was examined and timed."""
    received = submission.received or now
    return Ticket(
        authority=principal.authority,
        number=number,
        uid=uid,
        revision=1,
        create_time=now,
        update_time=now,
        followed=False,
        origin=principal.authority,
        platform=platform_of(principal),
        external_id=submission.external_id,
        state=TicketState.RECEIVED,
        channel=submission.channel,
        type=submission.type,
        matter=submission.matter,
        urgency=submission.urgency,
        subject_kind=submission.subject_kind,
        risk_tags=submission.risk_tags,
        region="",
        anonymous=submission.anonymous,
        secrecy_required=submission.secrecy_required,
        received_time=received,
        dispatch_due_time=received,
        due_time=received,
        due_provisional=False,
        custodian=principal.authority,
    )
