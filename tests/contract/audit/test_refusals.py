"""Refused acts leave a row: who, what, of what, why; readings and floods do not fill the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.audit.service import AuditLog
from gateway.database.uow import Database
from gateway.kernel.errors import EtagMismatch, LubiaoError, RoleMissing, TransitionNotAllowed
from gateway.kernel.time import Instant
from gateway.server import refusals
from gateway.server.refusals import RefusalLog
from gateway.trust.principal import Principal

RULING = "/hotline.arbitration.v1.ArbitrationService/IssueRuling"
READING = "/hotline.ticket.v1.TicketService/GetTicket"
WHO = Principal.parse("lubiao://120000/staff/p1")
CASE = "cases/12010020261102000000028-100000-1-0"


class Ticking:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 21, tzinfo=UTC)

    def now(self) -> Instant:
        return self.at


def refused() -> LubiaoError:
    return RoleMissing(principal=WHO.name, method=RULING, got="clerk", expected="panel_member")


async def rows(database: Database) -> list[tuple[str, str, str, str]]:
    async with database.unit() as uow:
        placed = await AuditLog().list_after(uow, limit=1000)
    entries = [item.entry for item in placed]
    return [(entry.principal, entry.act, entry.subject, entry.outcome) for entry in entries]


async def test_a_refused_ruling_is_recorded_with_its_reason(database: Database) -> None:
    log = RefusalLog(database=database, audit=AuditLog(), clock=Ticking())
    await log.record(WHO, RULING, subject=CASE, error=refused())
    assert await rows(database) == [(WHO.name, "rpc.IssueRuling", CASE, "ROLE_MISSING")]


async def test_what_a_caller_wrote_as_a_name_is_not_kept(database: Database) -> None:
    log = RefusalLog(database=database, audit=AuditLog(), clock=Ticking())
    await log.record(WHO, RULING, subject="张三 13900000000", error=refused())
    assert [row[2] for row in await rows(database)] == ["unnamed"]


@pytest.mark.parametrize(
    ("method", "error"),
    [
        (READING, refused()),
        (RULING, EtagMismatch(name=CASE, got="1", expected="2")),
    ],
    ids=["a reading", "a conflict that the caller repeats"],
)
async def test_readings_and_conflicts_are_no_refused_acts(
    database: Database, method: str, error: LubiaoError
) -> None:
    log = RefusalLog(database=database, audit=AuditLog(), clock=Ticking())
    await log.record(WHO, method, subject=CASE, error=error)
    assert await rows(database) == []


async def test_a_flood_is_bounded_and_the_bound_ends_with_the_minute(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "ROWS_PER_MINUTE_MAX", 3)
    clock = Ticking()
    log = RefusalLog(database=database, audit=AuditLog(), clock=clock)
    error = TransitionNotAllowed(name=CASE, state="CLOSED", event="rule", allowed="none")
    for _ in range(10):
        await log.record(WHO, RULING, subject=CASE, error=error)
    assert len(await rows(database)) == 3
    clock.at += timedelta(minutes=1)
    await log.record(WHO, RULING, subject=CASE, error=error)
    assert len(await rows(database)) == 4
