"""A repeated request gets the first answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.database import idempotency
from gateway.database.idempotency import (
    KEPT,
    Request,
    find_answer,
    purge,
    purge_all,
    remember,
)
from gateway.database.uow import Database
from gateway.kernel.errors import RequestIdReused

NOW = datetime(2026, 3, 1, tzinfo=UTC)
REQUEST = Request(
    principal="lubiao://120000/platform/p1",
    request_id="0190-1",
    method="CreateTicket",
    body_digest=b"digest",
)


async def answer(database: Database, request: Request, response: bytes) -> bytes:
    """Do what a servicer does: return the stored answer, or this one and store it."""
    async with database.unit() as uow:
        found = await find_answer(uow, request)
        if found is None:
            remember(uow, request, response=response, now=NOW)
        return response if found is None else found


async def test_repeat_gets_the_bytes_of_the_first_answer(database: Database) -> None:
    assert await answer(database, REQUEST, b"first") == b"first"
    assert await answer(database, REQUEST, b"second") == b"first"


async def test_identical_requests_at_once_are_carried_out_once(database: Database) -> None:
    answers = await asyncio.gather(
        *(answer(database, REQUEST, f"{number}".encode()) for number in range(5))
    )
    assert len(set(answers)) == 1


@pytest.mark.parametrize("changes", [{"body_digest": b"other"}, {"method": "CloseTicket"}])
async def test_same_id_for_another_request_is_refused(
    database: Database, changes: dict[str, Any]
) -> None:
    await answer(database, REQUEST, b"first")
    with pytest.raises(RequestIdReused):
        await answer(database, replace(REQUEST, **changes), b"second")


async def test_ids_of_two_callers_do_not_meet(database: Database) -> None:
    await answer(database, REQUEST, b"first")
    other = replace(REQUEST, principal="lubiao://130000/platform/p1")
    assert await answer(database, other, b"second") == b"second"


async def test_answers_are_kept_seven_days_and_then_purged(database: Database) -> None:
    await answer(database, REQUEST, b"first")
    async with database.unit() as uow:
        assert await purge(uow, now=NOW + timedelta(days=7)) == 0
        assert await purge(uow, now=NOW + KEPT + timedelta(seconds=1)) == 1
    assert await answer(database, REQUEST, b"second") == b"second"


async def test_a_purge_goes_on_until_nothing_old_is_left(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "PURGE_ROWS_MAX", 2)
    for number in range(5):
        await answer(database, replace(REQUEST, request_id=f"{number}"), b"old")

    assert await purge_all(database, now=NOW + KEPT + timedelta(seconds=1)) == 5
    assert await purge_all(database, now=NOW + KEPT + timedelta(seconds=1)) == 0
