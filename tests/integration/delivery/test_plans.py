"""What the pump and the monitor ask costs the same over a long queue as over a short one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from gateway.database.statements import HORIZON_SQL
from gateway.database.table import Query, bind_names
from gateway.delivery.store import (
    OUTBOX_DUE,
    OUTBOX_NEXT,
    OUTBOX_NODES,
    OUTBOX_OLDEST,
    OUTBOX_QUEUES,
)
from tests.postgres import TestServer

pytestmark = pytest.mark.integration
ROWS = 30_000
NOW = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
FILL = f"""
INSERT INTO outbox (node, source, target, ticket, kind, statement_digest, envelope, created,
                    not_before)
SELECT 'n' || (n % 3), '120000', '130000', 't' || n, 'Offer', '\\x00', '\\x00',
       '2026-03-01T00:00:00Z'::timestamptz + n * interval '1 millisecond',
       CASE WHEN n % 10 = 0 THEN '2999-01-01T00:00:00Z'::timestamptz
            ELSE '2026-03-01T00:00:00Z'::timestamptz + n * interval '1 millisecond' END
FROM generate_series(1, {ROWS}) n
"""
LATER, START = NOW + timedelta(days=1), datetime(1970, 1, 1, tzinfo=UTC)
ASKED: tuple[tuple[Query[Any], dict[str, Any]], ...] = (
    (OUTBOX_DUE, {"node": "n1", "now": NOW, "limit": 100}),
    (
        OUTBOX_NEXT,
        {
            "node": "n1",
            "now": NOW,
            "until": LATER,
            "after_time": START,
            "after_position": 0,
            "limit": 100,
            "bytes": 28_000_000,
        },
    ),
    (OUTBOX_NODES, {}),
    (OUTBOX_QUEUES, {"bound": 300}),
    (OUTBOX_OLDEST, {"node": "n1", "limit": 20}),
)


async def test_no_question_about_the_outbox_reads_the_queue(postgres_server: TestServer) -> None:
    async with postgres_server.fresh_dsn() as dsn:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(FILL)
            await connection.execute("ANALYZE outbox")
            for query, given in ASKED:
                bound = bind_names(query.sql, horizon=HORIZON_SQL)
                explained = await connection.fetch(
                    f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {bound.text}",
                    *(given[name] for name in bound.names),
                )
                plan = explained[0][0]
                assert _rows_read(plan) <= 1000, (query.name, plan)
        finally:
            await connection.close()


def _rows_read(plan: str) -> int:
    """Return the most rows that any step gave or threw away."""
    steps = [json.loads(plan)[0]["Plan"]]
    most = 0
    while steps:
        step = steps.pop()
        steps += step.get("Plans", [])
        most = max(most, step["Actual Rows"] + step.get("Rows Removed by Filter", 0))
    return int(most)
