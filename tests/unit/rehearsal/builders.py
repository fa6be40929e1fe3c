"""Builders: a node's rehearsal over a database, with synthetic past decisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from gateway.database.uow import Database
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant, ManualClock
from gateway.reference.data import ReferenceData
from gateway.rehearsal.history import History, Recorder
from gateway.rehearsal.model import Report, Setting
from gateway.rehearsal.service import Progress, Rehearsal, Trial, no_source
from gateway.routing.conditions import cel_conditions
from gateway.routing.evaluate import decide
from gateway.routing.model import RoutingFacts
from gateway.routing.packs import PackSet
from gateway.trust.principal import Principal, PrincipalKind, Role

LANGFANG = "131000"
HOSTED = frozenset({"130000", "131000"})
JOINED = frozenset({"120000", "130000", "131000"})
NOW = datetime(2026, 11, 20, 1, 30, tzinfo=UTC)
UNITS_AT_ONCE = 1_000  # rows of one unit of work


def an_editor(authority: str = LANGFANG) -> Principal:
    return Principal(
        AuthorityCode(authority), PrincipalKind.STAFF, "s1", frozenset({Role.RULE_EDITOR})
    )


def a_rehearsal(
    database: Database, *, packs: PackSet, reference: ReferenceData, now: Instant = NOW
) -> Rehearsal:
    return Rehearsal(
        history=History(database),
        packs=lambda: packs,
        reference=lambda: reference,
        hosted=lambda: HOSTED,
        joined=lambda: JOINED,
        conditions=cel_conditions(),
        clock=ManualClock(now),
        find_source=no_source,
    )


async def decided(
    database: Database,
    facts: Sequence[RoutingFacts],
    *,
    packs: PackSet,
    reference: ReferenceData,
    first: Instant = NOW - timedelta(days=20),
    step: timedelta = timedelta(minutes=1),
    authority: str = LANGFANG,
) -> list[str]:
    """Decide about each ticket and store it as dispatch does; return the numbers."""
    recorder, numbers = Recorder(), []
    owners = packs.owners(authority=authority, hosted=HOSTED, regions=reference.regions)
    versions = tuple(f"{pack.pack}@{pack.version}" for pack in packs.of(owners))
    setting = Setting(HOSTED, JOINED, versions, reference.version)
    for begin in range(0, len(facts), UNITS_AT_ONCE):
        async with database.unit() as uow:
            for position, each in enumerate(facts[begin : begin + UNITS_AT_ONCE], begin):
                number = f"{authority}26{position:08}"
                now = first + position * step
                decision = decide(
                    each,
                    authority=authority,
                    hosted=HOSTED,
                    joined=JOINED,
                    packs=packs,
                    reference=reference,
                    now=now,
                )
                recorder.record(
                    uow,
                    authority=AuthorityCode(authority),
                    ticket=TicketNumber(number),
                    facts=each,
                    decision=decision,
                    setting=setting,
                )
                numbers.append(number)
    return numbers


async def report_of(
    rehearsal: Rehearsal, trial: Trial, *, principal: Principal | None = None
) -> tuple[Report, list[Progress]]:
    """Run a trial to its end."""
    progress: list[Progress] = []
    report: Report | None = None
    async for step in rehearsal.simulate(principal or an_editor(), trial):
        if isinstance(step, Report):
            report = step
        else:
            progress.append(step)
    assert report is not None
    return report, progress
