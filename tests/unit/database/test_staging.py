"""Batches hold nothing whose order would matter within one statement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.database.staging import Staging
from gateway.database.statements import write_statement
from gateway.database.table import Table


@dataclass(frozen=True)
class Pair:
    key: int
    value: int


PLAIN = Table("plain", Pair, key=("key",))
UNIQUE = Table("strict", Pair, key=("key",), unique=(("value",),))
acts = st.tuples(
    st.sampled_from([PLAIN, UNIQUE]),
    st.sampled_from(["insert", "put", "delete"]),
    st.integers(0, 3),
    st.integers(0, 3),
)


def staged(program: list[Any]) -> Staging:
    staging = Staging()
    for table, verb, key, value in program:
        if verb == "delete":
            staging.delete(table, (key,))
        else:
            getattr(staging, verb)(table, Pair(key, value))
    return staging


@given(st.lists(acts, max_size=12))
def test_no_batch_touches_a_key_in_two_ways(program: list[Any]) -> None:
    for batch in staged(program).take():
        for part in batch.values():
            inserted = {row.key for row in part.inserts}
            put = {key for (key,) in part.puts}
            deleted = {key for (key,) in part.deletes}
            assert not inserted & put
            assert not inserted & deleted
            assert not put & deleted
            if part.table.unique:
                assert sum(map(bool, (inserted, put, deleted))) <= 1


@given(st.lists(acts, max_size=12))
def test_last_word_on_every_key_is_what_remains(program: list[Any]) -> None:
    expected: dict[Any, int | None] = {}
    for table, verb, key, value in program:
        expected[table.name, key] = None if verb == "delete" else value
    result: dict[Any, int | None] = {}
    for batch in staged(program).take():
        for name, part in batch.items():
            result |= {(name, key): None for (key,) in part.deletes}
            result |= {(name, row.key): row.value for row in part.puts.values()}
            result |= {(name, row.key): row.value for row in part.inserts}
    assert result == expected


def test_unit_that_writes_several_tables_sends_one_statement() -> None:
    program = [(PLAIN, "insert", 1, 1), (UNIQUE, "put", 1, 1), (PLAIN, "delete", 2, 0)]
    (batch,) = staged(program).take()
    statement, arrays = write_statement(batch)
    assert statement == (
        'WITH s0 AS (INSERT INTO "plain" ("key", "value") SELECT u."key", u."value" '
        'FROM unnest($1::bigint[], $2::bigint[]) AS u("key", "value")), '
        's1 AS (DELETE FROM "plain" USING unnest($3::bigint[]) AS u("key") '
        'WHERE "plain"."key" = u."key"), '
        's2 AS (INSERT INTO "strict" ("key", "value") SELECT u."key", u."value" '
        'FROM unnest($4::bigint[], $5::bigint[]) AS u("key", "value") '
        'ON CONFLICT ("key") DO UPDATE SET "value" = EXCLUDED."value") SELECT'
    )
    assert arrays == [[1], [1], [2], [1], [1]]
