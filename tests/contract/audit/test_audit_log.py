"""The audit log keeps what happened, in order, and shows when somebody changed it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.audit.model import AuditEntry
from gateway.audit.service import SEAL_INTERVAL, SEAL_TIMER, AuditLog, SealHandler, start_sealing
from gateway.audit.store import ENTRIES, SEALS
from gateway.database.memory import MemoryDatabase
from gateway.database.timers import TimerRunner
from gateway.database.uow import Database
from gateway.kernel.errors import ChainBroken, FieldInvalid, InvariantViolated
from gateway.kernel.time import ManualClock
from tests.postgres import TestServer, postgres_database

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LOG = AuditLog()


def an_entry(number: int = 1, **changes: Any) -> AuditEntry:
    entry = AuditEntry(
        time=NOW,
        principal="lubiao://120000/staff/s1",
        role="dispatcher",
        act="ticket.assign",
        subject=f"tickets/{number}",
        basis="rule noise.night",
    )
    return replace(entry, **changes)


async def appended(database: Database, *numbers: int) -> None:
    for number in numbers:
        async with database.unit() as uow:
            LOG.append(uow, an_entry(number))


async def sealed(database: Database) -> int | None:
    async with database.unit() as uow:
        seal = await LOG.seal(uow, now=NOW)
        return seal.entries if seal else None


async def verified(database: Database) -> int:
    async with database.unit() as uow:
        return await LOG.verify(uow)


async def test_entries_are_listed_in_order_and_by_pages(database: Database) -> None:
    await appended(database, 1, 2, 3)
    async with database.unit() as uow:
        LOG.append(uow, an_entry(4))
        first = await LOG.list_after(uow, limit=2)
        rest = await LOG.list_after(uow, first[-1].place, limit=10)
    assert [placed.entry for placed in first + rest] == [an_entry(1), an_entry(2), an_entry(3)]


async def test_entry_of_a_unit_that_rolled_back_never_was(database: Database) -> None:
    with pytest.raises(LookupError):
        await _failing_act(database)
    assert await sealed(database) is None


async def _failing_act(database: Database) -> None:
    async with database.unit() as uow:
        LOG.append(uow, an_entry())
        raise LookupError


async def test_seals_cover_every_entry_once(database: Database) -> None:
    assert await verified(database) == 0
    await appended(database, 1, 2)
    assert await sealed(database) == 2
    assert await sealed(database) is None
    await appended(database, 3)
    assert await sealed(database) == 1
    assert await verified(database) == 3


async def test_sealing_goes_on_by_a_timer(database: Database) -> None:
    clock = ManualClock(NOW)
    runner = TimerRunner(database=database, clock=clock, handlers={SEAL_TIMER: SealHandler(LOG)})
    async with database.unit() as uow:
        start_sealing(uow, now=NOW)
    for number in (1, 2):
        await appended(database, number)
        assert await runner.run_due() == 1
        clock.advance(SEAL_INTERVAL)
    assert await verified(database) == 2


@pytest.mark.integration
async def test_postgresql_itself_refuses_to_change_the_log(postgres_server: TestServer) -> None:
    async with postgres_database(postgres_server) as database:
        await appended(database, 1)
        await sealed(database)
        for table, key in ((ENTRIES, 1), (SEALS, 1)):
            with pytest.raises(InvariantViolated):
                await _deleted(database, table, key)
        assert await verified(database) == 1


async def _deleted(database: Database, table: Any, key: int) -> None:
    async with database.unit() as uow:
        uow.delete(table, key)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda uow, entry, seal: uow.put(ENTRIES, replace(entry, outcome="OTHER")),
        lambda uow, entry, seal: uow.put(ENTRIES, replace(entry, purpose="")),
        lambda uow, entry, seal: uow.delete(ENTRIES, entry.position),
        lambda uow, entry, seal: uow.put(SEALS, replace(seal, digest=bytes(32))),
        lambda uow, entry, seal: uow.put(SEALS, replace(seal, previous_digest=b"x" * 32)),
        lambda uow, entry, seal: uow.put(SEALS, replace(seal, entries=2)),
        lambda uow, entry, seal: uow.delete(SEALS, 1),
    ],
)
async def test_any_change_of_what_was_sealed_is_found(tamper: Any) -> None:
    database = MemoryDatabase()
    await appended(database, 1, 2, 3)
    await sealed(database)
    await appended(database, 4)
    await sealed(database)
    async with database.unit() as uow:
        tamper(uow, database.rows(ENTRIES)[1], database.rows(SEALS)[0])
    with pytest.raises(ChainBroken):
        await verified(database)


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": "because I wanted to know"},
        {"act": ""},
        {"outcome": "went well"},
        {"subject": "x" * 201},
        {"principal": ""},
    ],
)
def test_entry_takes_codes_and_names_but_no_free_text(changes: dict[str, Any]) -> None:
    with pytest.raises(FieldInvalid) as caught:
        an_entry(**changes)
    assert all(value not in str(caught.value) for value in changes.values() if value)
