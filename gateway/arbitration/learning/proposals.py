"""Rules that rulings propose: written, tried on the past, checked; a person accepts or declines.

A ruling that sets a precedent leaves a proposal in its own unit of work (`made`). It is prepared a
moment later and outside of it, because a trial takes its time: the rule is put into the pack of the
ruling authority that is in force, past decisions of this node are decided again with it, and the
checker reads it. What cannot be a rule stays as a record with the reason.

Accepting makes a *draft* in the publishing room, nothing more: from there on it is checked,
approved by a second person, signed and published like any other, and only then decides anything.
Whoever ruled does not accept: a panel makes no rules. If the pack has changed since the trial, it
is tried again before anybody can accept. A proposal whose precedent ended is withdrawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from gateway.arbitration.learning.backing import Backing
from gateway.arbitration.learning.placing import Place, facts_of_key, own_packs, place_for
from gateway.arbitration.learning.proposing import Obstacle, Proposed, Ruled, propose
from gateway.arbitration.learning.store import (
    PAST,
    PROPOSALS,
    PROPOSALS_NEWEST,
    PROPOSALS_OF_CASE,
    PROPOSALS_WAITING,
    UNDECIDED,
    ProposalRow,
    ProposalState,
)
from gateway.arbitration.model import Case, CaseRuling
from gateway.arbitration.precedents.model import Precedent
from gateway.arbitration.precedents.store import PRECEDENTS, precedent_of
from gateway.audit.acts import act_of
from gateway.audit.service import AuditLog
from gateway.checking.model import Finding
from gateway.database.once import Once
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.codes import CaseLevel
from gateway.kernel.errors import (
    EtagMismatch,
    FieldInvalid,
    LubiaoError,
    ResourceNotFound,
    RoleMissing,
    RulePackInvalid,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Clock, Instant, day_of, from_microseconds, to_microseconds
from gateway.kernel.waking import Waking
from gateway.publishing.drafts import lock_of
from gateway.rehearsal.model import Report
from gateway.rehearsal.service import Trial
from gateway.routing.model import Pack
from gateway.tickets.tokens import Tokens
from gateway.trust.call import Call
from gateway.trust.principal import Principal, Role

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 200
AT_ONCE = 10  # prepared in a row before the next look
LOOK = timedelta(seconds=30)  # for what another process of the node left to prepare
TRIED_MAX = 20_000  # past decisions of an authority; a trial of so many takes some seconds
AUTHORITIES_MAX = 32  # of one node that a province's rule is tried on
OBSTACLE_MAX = 400
FINDINGS_MAX = 200  # kept with a proposal; the draft's own check tells all
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a proposal rests on: the trials of all whom it concerns, and the findings."""

    reports: tuple[Report, ...] = ()
    findings: tuple[Finding, ...] = ()


Encode = Callable[[Evidence], bytes]
Answer = Callable[[ProposalRow], bytes]


class Proposals:
    """The proposals of the arbiters of one node."""

    def __init__(
        self,
        *,
        database: Database,
        backing: Backing,
        once: Once,
        audit: AuditLog,
        tokens: Tokens,
        clock: Clock,
        encode: Encode,
    ) -> None:
        """Act with these; `clock` is business time, `encode` serialises evidence."""
        self._database = database
        self._backing = backing
        self._once = once
        self._audit = audit
        self._tokens = tokens
        self._clock = clock
        self._encode = encode
        self._waking = Waking(look=LOOK)

    # --- made and ended with precedents -------------------------------------------------------

    def made(self, uow: UnitOfWork, case: Case, ruling: CaseRuling, precedent: Precedent) -> None:
        """Propose a rule for what a ruling said; it is prepared soon."""
        row = ProposalRow(
            scope=case.key.scope,
            proposal=f"{case.key.case}.{ruling.number}",
            case_id=case.key.case,
            ruling=ruling.number,
            ruler=ruling.ruler,
            state=ProposalState.PREPARING.value,
            revision=1,
            made=precedent.since,
            changed=precedent.since,
            key={
                "level": int(case.level),
                "region": case.facts.region,
                "target": ruling.target,
                "ticket": case.ticket,
            },
        )
        uow.put(PROPOSALS, row)
        uow.after_commit(self._waking.wake)

    async def over(self, uow: UnitOfWork, ended: Precedent, now: Instant) -> None:
        """Withdraw what nobody decided when its precedent ends."""
        for row in await uow.rows(PROPOSALS_OF_CASE, ended.case.scope, ended.case.case):
            if ProposalState(row.state) in UNDECIDED:
                uow.put(PROPOSALS, _changed(row, ProposalState.WITHDRAWN, now))

    # --- prepared -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Prepare what waits, until cancelled; one process of the node does."""
        await self._waking.run(
            self.prepare, failed=lambda error: log.warning("proposals.failed", reason=error.reason)
        )

    async def prepare(self) -> int:
        """Prepare the oldest proposals that wait; return how many there were."""
        async with self._database.unit() as uow:
            waiting = await uow.select(PROPOSALS_WAITING, limit=AT_ONCE)
        for place in waiting:
            try:
                await self._prepare(place.scope, place.proposal)
            except LubiaoError as error:  # the rules are not known now: at the next look
                log.warning("proposal.waits", proposal=place.proposal, reason=error.reason)
        return len(waiting)

    async def _prepare(self, scope: str, proposal: str) -> None:
        async with self._database.unit() as uow:
            row = await uow.get(PROPOSALS, scope, proposal)
            if row is None:
                return
            known = await uow.get(PRECEDENTS, scope, row.case_id)
        if known is None:
            return
        await self._backing.rules.ready()
        ruled = self._ruled(row, precedent_of(known))
        place = await self._place(row, ruled)
        found = propose(ruled, pack=place.pack, source=place.source, before=place.before)
        key = {**row.key, "before": place.before}
        row = replace(row, pack=place.pack, base=place.version, key=key)
        if isinstance(found, Obstacle):
            await self._prepared(row, Evidence(), obstacle=found.reason)
            return
        row = replace(row, rule=found.rule, text=found.text)
        try:
            evidence = await self._tried(scope, ruled.level, found)
        except (FieldInvalid, RulePackInvalid) as error:  # the pack does not load with it
            await self._prepared(row, Evidence(), obstacle=error.chinese_text())
            return
        errors = sum(finding.is_error for finding in evidence.findings)
        obstacle = f"规则包加入该规则后有 {errors} 处错误" if errors else ""
        await self._prepared(row, evidence, obstacle=obstacle)

    async def _prepared(self, row: ProposalRow, evidence: Evidence, *, obstacle: str) -> None:
        """Keep what was found, unless the proposal was withdrawn meanwhile."""
        async with self._database.unit() as uow:
            await uow.lock(_lock(row.scope))
            kept = await uow.get(PROPOSALS, row.scope, row.proposal)
            if kept is None or kept.state != ProposalState.PREPARING.value:
                return
            now = self._clock.now()
            state = ProposalState.IMPOSSIBLE if obstacle else ProposalState.OPEN
            ready = replace(
                _changed(row, state, now),
                revision=kept.revision + 1,
                examined=sum(report.examined for report in evidence.reports),
                moved=sum(report.moved for report in evidence.reports),
                evidence=self._encode(evidence),
                obstacle=obstacle[:OBSTACLE_MAX],
            )
            uow.put(PROPOSALS, ready)
            self._record(uow, _system(row.scope), f"proposal.{state.value}", ready, now=now)
        log.info("proposal.prepared", proposal=row.proposal, state=state.value)

    async def _tried(self, scope: str, level: CaseLevel, found: Proposed) -> Evidence:
        """Decide the past again with the rule, and read what the checker says of the pack."""
        findings = await self._backing.check(found.source, found.pack)
        reports: list[Report] = []
        for authority in self._concerned(scope, level):
            start, end = await self._past(authority)
            trial = Trial(authority=authority, sources=(found.source,), start=start, end=end)
            report = await self._report(scope, trial)
            if report is not None:
                reports.append(report)
        # What is about the rule, or about one that it hides, first: the pack had findings before.
        about = sorted(findings, key=lambda each: (not _names(each, found.rule), not each.is_error))
        return Evidence(tuple(reports), tuple(about[:FINDINGS_MAX]))

    async def _report(self, scope: str, trial: Trial) -> Report | None:
        found: Report | None = None
        async for step in self._backing.rehearsal.simulate(_system(scope), trial):
            if isinstance(step, Report):
                found = step
        return found

    def _concerned(self, scope: str, level: CaseLevel) -> Sequence[str]:
        """Return the authorities of this node for which a pack of the scope counts."""
        if level is CaseLevel.UNITS:
            return (scope,)
        regions = self._backing.reference().regions
        inside = [code for code in self._backing.hosted() if regions.is_within(code, scope)]
        return sorted(inside)[:AUTHORITIES_MAX]

    async def _past(self, authority: str) -> tuple[Instant, Instant]:
        """Return the stretch of the past that is tried: a month, or less of a great history."""
        end = self._clock.now()
        count = await self._backing.history.count(authority, start=end - PAST, end=end)
        share = min(1.0, TRIED_MAX / count) if count else 1.0
        return end - PAST * share, end

    async def _place(self, row: ProposalRow, ruled: Ruled) -> Place:
        """Return where the rule stands: before the one that decides the disputed ticket now."""
        facts = facts_of_key(ruled.precedent.key, region=ruled.region)
        if "ticket" in row.key:
            scope, ticket = AuthorityCode(row.scope), TicketNumber(row.key["ticket"])
            async with self._database.unit() as uow:
                facts = await self._backing.facts_of(uow, scope, ticket) or facts
        return place_for(self._backing, row.scope, facts, now=self._clock.now())

    def _place_tried(self, row: ProposalRow) -> Place | None:
        """Return where the rule stood when it was tried; None: it must be tried again.

        The pack has changed since, or an earlier version put the rule elsewhere.
        """
        if "before" not in row.key:
            return None
        own = own_packs(self._backing, row.scope)
        base = next((pack for pack in own if pack.pack == row.pack), None)
        place = Place(row.scope, base, row.key["before"])
        return None if place.version != row.base or (base is None and own) else place

    def _ruled(self, row: ProposalRow, precedent: Precedent) -> Ruled:
        return Ruled(
            precedent=precedent,
            level=CaseLevel(row.key["level"]),
            region=row.key["region"],
            target=row.key["target"],
            today=day_of(precedent.since),
            has_finer=self._backing.has_finer(precedent.key.matter),
        )

    # --- people -------------------------------------------------------------------------------

    async def page(
        self, principal: Principal, *, page_size: int, page_token: str, state: str
    ) -> tuple[list[ProposalRow], str]:
        """Return a page of the caller's authority, newest first, and the token of the next."""
        size = min(page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        binding = ("proposals", principal.authority, state)
        before, last = None, ""
        if page_token:
            opened = self._tokens.open(binding, page_token, field="page_token")
            before, last = from_microseconds(int(opened[0])), str(opened[1])
        async with self._database.unit() as uow:
            found = await uow.select(
                PROPOSALS_NEWEST,
                scope=principal.authority,
                state=state,
                before_time=before,
                before_proposal=last,
                limit=size + 1,
            )
        if len(found) <= size:
            return list(found), ""
        row = found[size - 1]
        return list(found[:size]), self._tokens.issue(
            binding, to_microseconds(row.made), row.proposal
        )

    async def get(self, principal: Principal, proposal: str) -> ProposalRow:
        """Return a proposal of the caller's authority.

        Raises:
            ResourceNotFound: there is none.
        """
        async with self._database.unit() as uow:
            return await self._visible(uow, principal, proposal)

    async def accept(self, call: Call, proposal: str, *, etag: str, answer: Answer) -> bytes:
        """Make a draft out of a proposal; its editor is whoever accepts.

        Raises:
            ResourceNotFound: the caller's authority has none of this name.
            RoleMissing: the caller is no rule editor of the own staff, or ruled in the case.
            TransitionNotAllowed: it is not open, or its precedent has expired.
            EtagMismatch: it, or the pack, changed since it was read; it is tried again.
        """
        _check_steward(call, Role.RULE_EDITOR)
        row = await self.get(call.principal, proposal)
        if call.principal.name == row.ruler:
            raise RoleMissing(
                principal=call.principal.name,
                method=call.method,
                got="the panel member who ruled",
                expected="another person of the rule staff",
            )
        draft: Pack | None = None
        if row.state == ProposalState.OPEN.value:
            _check_etag(row, etag)
            draft = await self._draft(call, row)

        async def step(uow: UnitOfWork, now: Instant) -> bytes:
            kept = await self._visible(uow, call.principal, proposal)
            _check_open(kept, "accept")
            if draft is None or kept.revision != row.revision:  # tried again meanwhile
                raise EtagMismatch(name=row.name, got=row.etag, expected=kept.etag)
            version = await self._backing.drafts.keep(uow, call.principal, draft, now=now)
            accepted = _changed(replace(kept, version=version.name), ProposalState.ACCEPTED, now)
            return answer(self._decided(uow, call, accepted))

        locks = (_lock(row.scope), *((lock_of(draft.pack),) if draft is not None else ()))
        return await self._once.run(call, step, locks=locks)

    async def decline(self, call: Call, proposal: str, *, reason: str, answer: Answer) -> bytes:
        """Say why a proposal shall be no rule.

        Raises:
            ResourceNotFound: the caller's authority has none of this name.
            RoleMissing: the caller is none of the rule staff.
            TransitionNotAllowed: it is not open.
        """
        _check_steward(call, Role.RULE_EDITOR, Role.RULE_APPROVER)
        scope = call.principal.authority

        async def step(uow: UnitOfWork, now: Instant) -> bytes:
            kept = await self._visible(uow, call.principal, proposal)
            _check_open(kept, "decline")
            declined = _changed(replace(kept, reason=reason), ProposalState.DECLINED, now)
            return answer(self._decided(uow, call, declined))

        return await self._once.run(call, step, locks=(_lock(scope),))

    async def _draft(self, call: Call, row: ProposalRow) -> Pack:
        """Return what becomes the draft of a proposal: the pack that it was tried with, parsed.

        Raises:
            EtagMismatch: another version of the pack is in force meanwhile.
        """
        await self._backing.rules.ready()
        place, found = self._place_tried(row), None
        if place is not None:
            async with self._database.unit() as uow:
                known = await uow.get(PRECEDENTS, row.scope, row.case_id)
            if known is not None:
                precedent = precedent_of(known)
                if precedent.expires <= self._clock.now():
                    raise TransitionNotAllowed(
                        name=row.name,
                        state="of an expired precedent",
                        event="accept",
                        allowed="none",
                    )
                ruled = self._ruled(row, precedent)
                found = propose(ruled, pack=row.pack, source=place.source, before=place.before)
        if not isinstance(found, Proposed):
            await self._again(row)
            raise EtagMismatch(name=row.name, got=row.etag, expected=str(row.revision + 1))
        return await self._backing.drafts.parsed(call.principal, pack=row.pack, source=found.source)

    async def _again(self, row: ProposalRow) -> None:
        """Let a proposal be tried anew: the rules are others than those it was tried with."""
        async with self._database.unit() as uow:
            await uow.lock(_lock(row.scope))
            kept = await uow.get(PROPOSALS, row.scope, row.proposal)
            if kept is not None and kept.state == ProposalState.OPEN.value:
                now = self._clock.now()
                uow.put(PROPOSALS, _changed(kept, ProposalState.PREPARING, now))
                uow.after_commit(self._waking.wake)

    # --- parts --------------------------------------------------------------------------------

    async def _visible(self, uow: UnitOfWork, principal: Principal, proposal: str) -> ProposalRow:
        row = await uow.get(PROPOSALS, principal.authority, proposal)
        if row is None:
            raise ResourceNotFound(kind="proposal", name=f"proposals/{proposal}")
        return row

    def _decided(self, uow: UnitOfWork, call: Call, row: ProposalRow) -> ProposalRow:
        decided = replace(row, decided_by=call.principal.name)
        uow.put(PROPOSALS, decided)
        self._record(uow, call.principal, f"proposal.{row.state}", decided, now=row.changed)
        return decided

    def _record(
        self, uow: UnitOfWork, principal: Principal, act: str, row: ProposalRow, *, now: Instant
    ) -> None:
        basis = row.version or f"ruling {row.ruling}"  # reasons stand with the proposal
        self._audit.append(uow, act_of(principal, act, row.name, now=now, basis=basis))


def _names(finding: Finding, rule: str) -> bool:
    return finding.rule == rule or any(place.rule == rule for place in finding.related)


def _changed(row: ProposalRow, state: ProposalState, now: Instant) -> ProposalRow:
    return replace(row, state=state.value, revision=row.revision + 1, changed=now)


def _check_open(row: ProposalRow, event: str) -> None:
    if row.state == ProposalState.OPEN.value:
        return
    raise TransitionNotAllowed(
        name=row.name,
        state=row.state,
        event=event,
        allowed="none",
        hint=row.obstacle or "list proposals with `lubiao case proposals`",
    )


def _check_etag(row: ProposalRow, etag: str) -> None:
    if etag and etag != row.etag:
        raise EtagMismatch(name=row.name, got=etag, expected=row.etag)


def _check_steward(call: Call, *roles: Role) -> None:
    principal = call.principal
    if principal.has_role(*roles) and not principal.is_outsourced:
        return
    held = ", ".join(sorted(role.value for role in principal.roles)) or principal.kind.value
    raise RoleMissing(
        principal=principal.name,
        method=call.method,
        got=f"{held}, outsourced" if principal.is_outsourced else held,
        expected=" or ".join(role.value for role in roles),
    )


def _lock(scope: str) -> str:
    return f"precedents/{scope}"  # a precedent that ends takes its proposal along


def _system(scope: str) -> Principal:
    return Principal.system(AuthorityCode(scope), "proposals")
