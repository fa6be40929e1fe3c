"""What the parties and the panel do between filing and ruling, and after it.

Parties speak for themselves (`parties.py`): a party of this node states its position and may object
once. The panel of the arbiter takes the case up, convenes the
conference, records its minutes and answers an objection. Every step is an audit row; words are
sealed at rest and opened where one case is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.arbitration import procedure
from gateway.arbitration.cases import Cases
from gateway.arbitration.codec import issued_to_bytes
from gateway.arbitration.copies import Copies
from gateway.arbitration.deadlines import objection_end
from gateway.arbitration.exchange import Exchange
from gateway.arbitration.model import Case, CaseKey, Entry, Party, is_unit
from gateway.arbitration.panel import check_impartial, check_panel
from gateway.arbitration.parties import Parties, require_speaker
from gateway.arbitration.procedure import OF_PANEL
from gateway.arbitration.watching import stages_of, watch
from gateway.audit.acts import act_of
from gateway.audit.service import AuditLog
from gateway.database.once import Once
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.codes import CaseEntryKind, CaseLevel
from gateway.kernel.errors import FieldInvalid, PeerNotAllowed, PeerUnreachable
from gateway.kernel.time import Instant
from gateway.reference.calendar import Calendar
from gateway.trust.call import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What a caller puts on record."""

    kind: CaseEntryKind
    proposed: Party | None
    legal_basis: str
    attendees: tuple[str, ...]
    evidence: tuple[str, ...]
    upheld: bool
    words: str
    party: Party = ""  # who speaks; empty: whoever the caller certainly speaks for


class Proceedings:
    """The proceedings at the arbiters of one node."""

    def __init__(
        self,
        *,
        database: Database,
        cases: Cases,
        copies: Copies,
        calendar: Callable[[], Calendar],
        audit: AuditLog,
        once: Once,
        parties: Parties | None = None,
    ) -> None:
        """Act with these."""
        self._parties = parties or Parties()
        self._database = database
        self._cases = cases
        self._copies = copies
        self.exchange: Exchange | None = None  # of a node that has peers
        self._calendar = calendar
        self._audit = audit
        self._once = once

    async def take_up(self, call: Call, case_id: str) -> bytes:
        """Begin the review; the answer has the case as it is then.

        Raises:
            ResourceNotFound, RoleMissing, PeerNotAllowed: the caller is not its panel.
            TransitionNotAllowed: it is under way already, or over.
        """

        async def step(uow: UnitOfWork, case: Case, now: Instant) -> Case:
            stages = stages_of(case, entered=now, calendar=self._calendar())
            changed = procedure.take_up(case, stage_due=stages)
            await self._cases.save(uow, changed)
            return changed

        return await self._as_panel(call, case_id, step, act="case.take_up")

    async def convene(self, call: Call, case_id: str) -> bytes:
        """Begin the conference; errors as in `take_up`."""

        async def step(uow: UnitOfWork, case: Case, now: Instant) -> Case:
            stages = stages_of(case, entered=now, calendar=self._calendar())
            changed = procedure.convene(case, stage_due=stages)
            await self._cases.save(uow, changed)
            return changed

        return await self._as_panel(call, case_id, step, act="case.convene")

    async def say(self, call: Call, case_id: str, saying: Saying) -> bytes:
        """Put something on record; the answer has the case without words.

        Raises:
            ResourceNotFound: no such case is visible to the caller.
            RoleMissing, PeerNotAllowed: the caller is not who may say this.
            FieldInvalid: something that this kind needs is missing, or the party is none.
            TransitionNotAllowed: the case is not open for it, or it is too late.
            QuotaExceeded: enough was said.
        """
        _check_saying(saying)

        is_panel = saying.kind in OF_PANEL

        async def step(uow: UnitOfWork, case: Case, now: Instant) -> Case:
            party = case.key.scope if is_panel else self._speaker(call, case, saying)
            entry = _entry_of(call, saying, now, party=party)
            return await self._put_on_record(uow, case, entry, now=now)

        act = f"case.{saying.kind.name.lower()}"
        if is_panel:
            return await self._as_panel(call, case_id, step, act=act)
        require_speaker(call.principal, call.method)
        async with self._database.unit() as uow:
            copy = await self._copies.find(uow, call.principal.authority, case_id)
        if copy is not None:
            return await self._send(call, self._shown(call, copy), saying, act=act)
        return await self._run(call, await self._seen(call, case_id), step, act=act)

    async def heard(self, uow: UnitOfWork, case: Case, entry: Entry, *, now: Instant) -> None:
        """Put on record what a party on another node said (`exchange.Speak`).

        Raises:
            FieldInvalid, TransitionNotAllowed, QuotaExceeded: it changes nothing.
        """
        watch(uow, await self._put_on_record(uow, case, entry, now=now))

    # --- parts --------------------------------------------------------------------------------

    async def _put_on_record(
        self, uow: UnitOfWork, case: Case, entry: Entry, *, now: Instant
    ) -> Case:
        if entry.kind not in OF_PANEL:
            procedure.check_party(case, entry.party)
        if entry.kind is CaseEntryKind.OBJECTION:
            self._check_objection(case, entry.party, now)
        stages = stages_of(case, entered=now, calendar=self._calendar())
        changed = procedure.say(case, entry, stage_due=stages)
        await self._cases.add_entry(uow, changed)
        return changed

    async def _send(self, call: Call, copy: Case, saying: Saying, *, act: str) -> bytes:
        """Send what a party says to the arbiter's node; its answer is the next case file."""
        exchange = self.exchange
        if exchange is None:
            raise PeerUnreachable(peer=f"authorities/{copy.key.scope}", got="no delivery here")

        party = self._speaker(call, copy, saying)

        async def once(uow: UnitOfWork, now: Instant) -> bytes:
            exchange.say(uow, copy, _entry_of(call, saying, now, party=party))
            self._audit.append(uow, act_of(call.principal, act, copy.name, now=now))
            return issued_to_bytes(copy, now=now)

        return await self._once.run(call, once, locks=(f"ticket/{copy.ticket}",))

    def _check_objection(self, case: Case, party: Party, now: Instant) -> None:
        ruling = case.ruling_proper
        end = objection_end(issued=ruling.issued, calendar=self._calendar()) if ruling else now
        procedure.check_objection(case, party, end=end, now=now)

    def _speaker(self, call: Call, case: Case, saying: Saying) -> Party:
        """Return for whom the caller speaks, and refuse an owner that no such case can have."""
        proposed = saying.proposed
        is_of_units = case.level is CaseLevel.UNITS
        if proposed is not None and is_unit(proposed):
            known = self._parties.find(case.key.scope, proposed) if is_of_units else None
            if known is None:
                unit = f"a unit of authority {case.key.scope}"
                expected = unit if is_of_units else "an authority"
                raise FieldInvalid(field="proposed_owner", got=proposed, expected=expected)
        return self._parties.speaker(call.principal, call.method, case, named=saying.party)

    async def _seen(self, call: Call, case_id: str) -> Case:
        async with self._database.unit() as uow:
            case = await self._cases.visible(uow, call.principal.authority, case_id)
        return self._shown(call, case)

    def _shown(self, call: Call, case: Case) -> Case:
        reader = self._parties.reader_of(call.principal)
        # Whoever is no platform is told that the role is missing; it sees the list of its tickets.
        return reader.require(case) if reader.units is not None else case

    async def _as_panel(
        self,
        call: Call,
        case_id: str,
        step: Callable[[UnitOfWork, Case, Instant], Awaitable[Case]],
        *,
        act: str,
    ) -> bytes:
        check_panel(call.principal, call.method)
        seen = await self._seen(call, case_id)
        if seen.key.scope != call.principal.authority:
            raise PeerNotAllowed(
                principal=call.principal.name,
                got=f"staff of {call.principal.authority}, a party",
                expected=f"the panel of {seen.key.scope}, the arbiter",
            )
        check_impartial(call.principal, call.method, seen)
        return await self._run(call, seen, step, act=act)

    async def _run(
        self,
        call: Call,
        seen: Case,
        step: Callable[[UnitOfWork, Case, Instant], Awaitable[Case]],
        *,
        act: str,
    ) -> bytes:
        key: CaseKey = seen.key

        async def once(uow: UnitOfWork, now: Instant) -> bytes:
            case = await self._cases.visible(uow, key.scope, key.case)
            changed = await step(uow, case, now)
            watch(uow, changed)
            self._audit.append(uow, act_of(call.principal, act, case.name, now=now))
            return issued_to_bytes(changed, now=now)

        return await self._once.run(call, once, locks=(f"ticket/{seen.ticket}",))


def _entry_of(call: Call, saying: Saying, now: Instant, *, party: Party) -> Entry:
    return Entry(
        number=0,
        kind=saying.kind,
        party=party,
        author=call.principal.name,
        said=now,
        proposed=saying.proposed,
        legal_basis=saying.legal_basis,
        attendees=saying.attendees,
        evidence=saying.evidence,
        upheld=saying.upheld if saying.kind is CaseEntryKind.ANSWER else None,
        words=saying.words,
    )


def _check_saying(saying: Saying) -> None:
    """Return if a saying has what its kind needs.

    Raises:
        FieldInvalid: it has not; a claim without clause or owner is none.
    """
    needs: dict[CaseEntryKind, tuple[str, ...]] = {
        CaseEntryKind.POSITION: ("proposed_owner", "legal_basis"),
        CaseEntryKind.OBJECTION: ("legal_basis",),
        CaseEntryKind.MINUTES: ("attendees",),
        CaseEntryKind.ANSWER: ("upheld",),
    }
    has = {
        "proposed_owner": saying.proposed is not None,
        "legal_basis": bool(saying.legal_basis.strip()),
        "attendees": bool(saying.attendees),
        "upheld": saying.upheld,
    }
    missing = [name for name in needs.get(saying.kind, ()) if not has[name]]
    if missing == ["upheld"]:
        raise FieldInvalid(
            field="upheld", got="false", expected="true; to change the ruling, rule again"
        )
    if missing:
        raise FieldInvalid(field=", ".join(missing), got="empty", expected="all of them")
