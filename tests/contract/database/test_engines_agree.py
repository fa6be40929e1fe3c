"""Both engines do the same with any sequence of units, whatever they raise or read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.database.memory import MemoryDatabase
from gateway.database.postgres import PostgresDatabase
from gateway.database.table import Group
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.errors import LubiaoError
from tests.contract.database import tables
from tests.contract.database.tables import (
    ALL_LETTERS,
    ALL_SAMPLES,
    BY_LABEL,
    LETTERS,
    LETTERS_BY_TEXT,
    NOON,
    PLAIN,
    PLAIN_BY_NUMBER,
    SAMPLES,
    Letter,
    Sample,
)
from tests.postgres import TestServer, postgres_database


@dataclass(frozen=True)
class Act:
    """One verb with its arguments."""

    verb: str
    table: str
    number: int
    label: str | None


class Refused(Exception):
    """A unit is left by an exception."""


def refuse() -> None:
    raise Refused


TABLES: dict[str, Any] = {"samples": SAMPLES, "plain": PLAIN, "letters": LETTERS}
QUERIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "samples": (ALL_SAMPLES, {}),
    "plain": (PLAIN_BY_NUMBER, {"numbers": [0, 1, 2]}),
    "letters": (ALL_LETTERS, {}),
}
GROUPS: dict[str, Any] = {
    "samples": Group(SAMPLES, ("label",)),
    "plain": BY_LABEL,
    "letters": LETTERS_BY_TEXT,
}
acts = st.builds(
    Act,
    verb=st.sampled_from(
        ["insert", "put", "put", "delete", "get", "select", "rows", "prefetch", "lock"]
    ),
    table=st.sampled_from(list(TABLES)),
    number=st.integers(0, 2),
    label=st.sampled_from([None, "a", "b"]),
)
units = st.tuples(st.lists(acts, max_size=8), st.booleans())


def a_row(act: Act) -> Any:
    if act.table == "letters":
        return Letter(name=str(act.number), text=act.label or "")
    body = {"label": act.label, "list": [act.number]}
    row = Sample(number=act.number, group=f"g{act.number}", label=act.label, body=body)
    return replace(row, later=NOON if act.label else None)


def key_of(act: Act) -> tuple[Any, ...]:
    return (str(act.number),) if act.table == "letters" else (f"g{act.number}", act.number)


async def done(uow: UnitOfWork, act: Act) -> Any:
    table = TABLES[act.table]
    match act.verb:
        case "insert":
            uow.insert(table, a_row(act))
        case "put":
            uow.put(table, a_row(act))
        case "delete":
            uow.delete(table, *key_of(act))
        case "get":
            return await uow.get(table, *key_of(act))
        case "rows":
            return await uow.rows(GROUPS[act.table], act.label or "")
        case "prefetch":
            await uow.prefetch(table, [key_of(act)])
            await uow.prefetch(GROUPS[act.table], [("a",), ("b",), ("",)])
        case "lock":
            await uow.lock(f"lock/{act.number}")
        case _:
            query, parameters = QUERIES[act.table]
            return await uow.select(query, **parameters)
    return None


async def tried(uow: UnitOfWork, steps: list[Act]) -> list[Any]:
    """Do an attempt that fails after its last act, then the same acts in one that does not."""
    heard: list[Any] = []
    with suppress(Refused):
        async with uow.attempt():
            heard.extend([await done(uow, act) for act in steps])
            refuse()
    async with uow.attempt():
        heard.extend([await done(uow, act) for act in steps])
    return heard


async def story(database: Database, program: list[tuple[list[Act], bool]]) -> list[Any]:
    """Return all that a program of units reads and raises, and what remains at its end."""
    heard: list[Any] = []
    for steps, is_kept in program:
        try:
            async with database.unit() as uow:
                heard.extend(await tried(uow, steps[:-3]))
                heard.extend([await done(uow, act) for act in steps[-3:]])
                if not is_kept:
                    refuse()
        except Refused:
            heard.append("rolled back")
        except LubiaoError as error:
            heard.append(error.reason)  # which of two violations is named is anybody's guess
    async with database.unit() as uow:
        for query, parameters in QUERIES.values():
            heard.append(without_numbers(await uow.select(query, **parameters)))
    return heard


def without_numbers(rows: list[Any]) -> list[Any]:
    return [replace(row, position=0) if isinstance(row, Letter) else row for row in rows]


@pytest.fixture
async def postgres(postgres_server: TestServer) -> AsyncIterator[PostgresDatabase]:
    async with postgres_database(postgres_server, tables.DDL) as database:
        yield database


async def emptied(database: PostgresDatabase) -> PostgresDatabase:
    async with database.unit() as uow:
        for name, (query, parameters) in QUERIES.items():
            for row in await uow.select(query, **parameters):
                uow.delete(TABLES[name], *TABLES[name].key_of(row))
    return database


def comparable(heard: list[Any]) -> list[Any]:
    """Leave out generated numbers: sequences do not begin anew with each example."""
    kept: list[Any] = []
    for one in heard:
        if isinstance(one, list):
            kept.append(without_numbers(one))
        elif isinstance(one, Letter):
            kept.append(replace(one, position=0))
        else:
            kept.append(one)
    return kept


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(program=st.lists(units, max_size=5))
async def test_engines_agree_on_any_program(
    postgres: PostgresDatabase, program: list[tuple[list[Act], bool]]
) -> None:
    expected = await story(await emptied(postgres), program)
    assert comparable(await story(MemoryDatabase(), program)) == comparable(expected)
