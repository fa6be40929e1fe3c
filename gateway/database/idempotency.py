"""Answers already given: a repeated request gets the first answer's bytes (AIP-155).

A servicer calls `find_answer` first in its unit of work and `remember` last, so the answer commits
with what the request did. The lock on the request makes two identical requests at once come one
after the other: the second one finds the answer of the first. Lock names sort `request/` before
`ticket/`, so taking this lock first keeps the order of all locks.

Answers are kept for seven days at least and are removed by `purge_all`. One is stored as it was
sent, so methods with a request id answer with names and states, never with personal fields.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from gateway.database.table import Query, RowsOf, Table, load_queries
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.errors import RequestIdReused
from gateway.kernel.time import Instant
from gateway.kernel.values import dataclass

KEPT = timedelta(days=8)  # the standard promises seven; a day covers clocks and late purges
PURGE_ROWS_MAX = 1000  # one unit of the purge stays short

_SQL = load_queries(Path(__file__).parent / "queries.sql")


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One answered request."""

    principal: str
    request_id: str
    method: str
    body_digest: bytes
    response: bytes
    created: Instant


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The key of an answered request."""

    principal: str
    request_id: str


REQUESTS = Table("requests", RequestRow, key=("principal", "request_id"))


def _before(rows: RowsOf, parameters: Mapping[str, Any]) -> Iterable[RequestKey]:
    old = [row for row in rows(REQUESTS) if row.created < parameters["cutoff"]]
    old.sort(key=lambda row: (row.created, row.principal, row.request_id))
    return [RequestKey(row.principal, row.request_id) for row in old[: parameters["limit"]]]


REQUESTS_BEFORE = Query("requests_before", RequestKey, _SQL["requests_before"], _before)


@dataclass(frozen=True, slots=True)
class Request:
    """What makes two requests the same: who asked, under which id, for what, with which body."""

    principal: str
    request_id: str
    method: str
    body_digest: bytes

    @property
    def lock(self) -> str:
        """The name under which the same request at once waits."""
        return f"request/{self.principal}/{self.request_id}"


async def find_answer(uow: UnitOfWork, request: Request) -> bytes | None:
    """Return the answer this request already got, or None; locks the request until the end.

    Raises:
        RequestIdReused: the id came before with another method or body.
    """
    await uow.lock(request.lock)
    found = await uow.get(REQUESTS, request.principal, request.request_id)
    if found is None:
        return None
    is_same_body = hmac.compare_digest(found.body_digest, request.body_digest)
    if found.method != request.method or not is_same_body:
        raise RequestIdReused(request_id=request.request_id)
    return found.response


def remember(uow: UnitOfWork, request: Request, *, response: bytes, now: Instant) -> None:
    """Stage the answer to a request that `find_answer` did not know."""
    row = RequestRow(
        principal=request.principal,
        request_id=request.request_id,
        method=request.method,
        body_digest=request.body_digest,
        response=response,
        created=now,
    )
    uow.insert(REQUESTS, row)


async def purge(uow: UnitOfWork, *, now: Instant) -> int:
    """Remove answers older than `KEPT`, `PURGE_ROWS_MAX` at most; return how many."""
    old = await uow.select(REQUESTS_BEFORE, cutoff=now - KEPT, limit=PURGE_ROWS_MAX)
    for key in old:
        uow.delete(REQUESTS, key.principal, key.request_id)
    return len(old)


async def purge_all(database: Database, *, now: Instant) -> int:
    """Remove all answers older than `KEPT`, a page in each unit; return how many."""
    removed = 0
    while True:
        async with database.unit() as uow:
            page = await purge(uow, now=now)
        removed += page
        if page < PURGE_ROWS_MAX:
            return removed
