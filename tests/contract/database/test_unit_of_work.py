"""What every engine must do behind `UnitOfWork`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.database.uow import Database
from gateway.kernel.errors import (
    FieldInvalid,
    InvariantViolated,
    ResourceExists,
)
from tests.contract.database import tables
from tests.contract.database.tables import (
    ALL_SAMPLES,
    NOON,
    PLAIN,
    PLAIN_BY_NUMBER,
    SAMPLES,
    Sample,
)

DDL = tables.DDL


class Refused(Exception):
    """A step gives up."""


def a_sample(number: int = 1, **changes: Any) -> Sample:
    return Sample(number=number, group=f"g{number}", **changes)


async def stored(database: Database, number: int = 1) -> Sample | None:
    async with database.unit() as uow:
        return await uow.get(PLAIN, f"g{number}", number)


# --- values -----------------------------------------------------------------------------------


async def test_every_kind_of_value_comes_back_as_it_went_in(database: Database) -> None:
    row = a_sample(
        label="路标 ' \" \\ :name $1 %s",
        is_good=False,
        content=b"\0\xff",
        later=NOON,
        body={"键": [1, 2.5, None, True, "𠀀"], "a": {}, "big": 10**30},
        extra=(),
    )
    async with database.unit() as uow:
        uow.insert(PLAIN, row)
    found = await stored(database)
    assert found == replace(row, body={**row.body, "键": (1, 2.5, None, True, "𠀀")})
    assert found is not None
    assert list(found.body) == ["a", "big", "键"]
    assert found.time.utcoffset() == NOON.utcoffset()


async def test_missing_json_differs_from_json_null(database: Database) -> None:
    async with database.unit() as uow:
        uow.insert(PLAIN, a_sample(body=None, extra=None))
    found = await stored(database)
    assert found is not None
    assert (found.body, found.extra) == (None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"number": "1"},
        {"number": True},
        {"number": 2**63},
        {"is_good": 1},
        {"is_good": None},
        {"content": "text"},
        {"time": NOON.replace(tzinfo=None)},
        {"body": {1: 2}},
        {"body": {"set": {1}}},
        {"body": float("nan")},
    ],
)
async def test_value_of_the_wrong_type_is_refused_when_staged(
    database: Database, changes: dict[str, Any]
) -> None:
    async with database.unit() as uow:
        with pytest.raises(InvariantViolated):
            uow.insert(PLAIN, replace(a_sample(), **changes))


@pytest.mark.parametrize("text", ["a\0b", "half \ud800"])
async def test_text_that_cannot_be_stored_is_a_field_error_without_the_text(
    database: Database, text: str
) -> None:
    async with database.unit() as uow:
        for changes in ({"label": text}, {"body": [text]}, {"body": {text: 1}}):
            with pytest.raises(FieldInvalid) as caught:
                uow.put(PLAIN, a_sample(**changes))
            assert text not in str(caught.value)


# --- reading what was staged ------------------------------------------------------------------


async def test_unit_reads_its_own_writes(database: Database) -> None:
    async with database.unit() as uow:
        uow.insert(PLAIN, a_sample(1))
        assert await uow.get(PLAIN, "g1", 1) == a_sample(1)
        uow.put(PLAIN, a_sample(1, label="new"))
        assert await uow.select(PLAIN_BY_NUMBER, numbers=[1]) == [a_sample(1, label="new")]
        uow.delete(PLAIN, "g1", 1)
        assert await uow.get(PLAIN, "g1", 1) is None
        assert await uow.select(PLAIN_BY_NUMBER, numbers=[1]) == []
    assert await stored(database) is None


async def test_others_see_nothing_before_the_commit_and_all_after_it(database: Database) -> None:
    async with database.unit() as uow:
        uow.insert(PLAIN, a_sample(1))
        uow.insert(PLAIN, a_sample(2))
        assert await uow.get(PLAIN, "g1", 1) is not None
        assert await stored(database) is None
    assert (await stored(database, 1), await stored(database, 2)) == (a_sample(1), a_sample(2))


async def test_open_unit_sees_what_committed_meanwhile(database: Database) -> None:
    async with database.unit() as early:
        assert await early.get(PLAIN, "g1", 1) is None
        async with database.unit() as uow:
            uow.insert(PLAIN, a_sample(1))
        assert await early.get(PLAIN, "g1", 1) == a_sample(1)


async def test_query_answers_in_its_order_and_skips_quoted_colons(database: Database) -> None:
    async with database.unit() as uow:
        for number in (3, 1, 2):
            uow.insert(PLAIN, a_sample(number, label=":text" if number == 9 else None))
        found = await uow.select(PLAIN_BY_NUMBER, numbers=(1, 3, 4))
    assert [row.number for row in found] == [1, 3]


@pytest.mark.parametrize("parameters", [{}, {"numbers": [1], "other": 1}, {"number": [1]}])
async def test_query_with_other_parameters_than_its_sql_names_is_refused(
    database: Database, parameters: dict[str, Any]
) -> None:
    async with database.unit() as uow:
        with pytest.raises(InvariantViolated):
            await uow.select(PLAIN_BY_NUMBER, **parameters)


async def test_key_with_missing_parts_is_refused(database: Database) -> None:
    async with database.unit() as uow:
        with pytest.raises(InvariantViolated):
            await uow.get(PLAIN, "g1")
        with pytest.raises(InvariantViolated):
            uow.delete(PLAIN, "g1")


# --- rolling back -----------------------------------------------------------------------------


async def test_exception_rolls_everything_back(database: Database) -> None:
    async with database.unit() as uow:
        uow.insert(PLAIN, a_sample(1))

    async def step() -> None:
        async with database.unit() as uow:
            uow.put(PLAIN, a_sample(1, label="changed"))
            uow.insert(PLAIN, a_sample(2))
            await uow.get(PLAIN, "g2", 2)
            uow.delete(PLAIN, "g1", 1)
            raise Refused

    with pytest.raises(Refused):
        await step()
    assert (await stored(database, 1), await stored(database, 2)) == (a_sample(1), None)


async def test_cancelled_unit_changes_nothing_and_frees_its_locks(database: Database) -> None:
    entered = asyncio.Event()

    async def step() -> None:
        async with database.unit() as uow:
            await uow.lock("ticket/1")
            uow.insert(PLAIN, a_sample(1))
            await uow.get(PLAIN, "g1", 1)
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(step())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.unit() as uow:
        await uow.lock("ticket/1")
        assert await uow.get(PLAIN, "g1", 1) is None


async def test_ended_unit_refuses_every_verb(database: Database) -> None:
    async with database.unit() as uow:
        pass
    for write in (uow.insert, uow.put):
        with pytest.raises(InvariantViolated):
            write(PLAIN, a_sample())
    with pytest.raises(InvariantViolated):
        uow.delete(PLAIN, "g1", 1)
    with pytest.raises(InvariantViolated):
        await uow.get(PLAIN, "g1", 1)
    with pytest.raises(InvariantViolated):
        await uow.lock("a")


# --- keys -------------------------------------------------------------------------------------


async def test_insert_of_an_existing_key_names_table_and_constraint_but_no_value(
    database: Database,
) -> None:
    async with database.unit() as uow:
        uow.insert(PLAIN, a_sample(1))
    with pytest.raises(ResourceExists) as caught:
        async with database.unit() as uow:
            uow.insert(PLAIN, a_sample(1, label="second"))
    assert caught.value.metadata == {"kind": "plain", "name": "plain_pkey"}
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert await stored(database) == a_sample(1)


@pytest.mark.parametrize(
    ("second", "constraint"),
    [
        (Sample(number=2, label="taken", group="other"), "samples_label_key"),
        (Sample(number=2, time=NOON), "samples_group_time_key"),
    ],
)
@pytest.mark.parametrize("verb", ["insert", "put"])
async def test_taken_unique_value_is_refused(
    database: Database, second: Sample, constraint: str, verb: str
) -> None:
    async with database.unit() as uow:
        uow.insert(SAMPLES, Sample(number=1, label="taken", time=NOON))
    with pytest.raises(ResourceExists) as caught:
        async with database.unit() as uow:
            getattr(uow, verb)(SAMPLES, second)
    assert caught.value.metadata == {"kind": "samples", "name": constraint}


async def test_unique_value_is_free_again_after_its_row_gave_it_up(database: Database) -> None:
    one, two = a_sample(1, label="x"), a_sample(2, label="y")
    async with database.unit() as uow:
        uow.insert(SAMPLES, one)
        uow.insert(SAMPLES, two)
    async with database.unit() as uow:
        uow.put(SAMPLES, replace(one, label="z"))
        uow.put(SAMPLES, replace(two, label="x"))
        uow.delete(SAMPLES, "g1", 1)
        uow.insert(SAMPLES, a_sample(3, label="z"))
        found = await uow.select(ALL_SAMPLES)
    assert [(row.number, row.label) for row in found] == [(2, "x"), (3, "z")]
    async with database.unit() as uow:
        uow.insert(SAMPLES, a_sample(4, label="y"))
    with pytest.raises(ResourceExists):
        async with database.unit() as uow:
            uow.insert(SAMPLES, a_sample(5, label="x"))


async def test_absent_unique_values_do_not_collide(database: Database) -> None:
    async with database.unit() as uow:
        uow.insert(SAMPLES, a_sample(1, label=None))
        uow.insert(SAMPLES, a_sample(2, label=None))
        assert len(await uow.select(ALL_SAMPLES)) == 2


async def test_unit_is_over_once_a_write_was_refused(database: Database) -> None:
    async with database.unit() as uow:
        uow.insert(PLAIN, a_sample(1))

    async def step() -> None:
        async with database.unit() as uow:
            uow.insert(PLAIN, a_sample(2))
            uow.insert(PLAIN, a_sample(1))
            with pytest.raises(ResourceExists):
                await uow.select(PLAIN_BY_NUMBER, numbers=[1])

    with pytest.raises(InvariantViolated):
        await step()
    assert await stored(database, 2) is None


async def test_two_units_cannot_both_insert_a_key(database: Database) -> None:
    async def step(label: str) -> str:
        try:
            async with database.unit() as uow:
                await uow.get(PLAIN, "g1", 1)
                uow.insert(PLAIN, a_sample(1, label=label))
        except ResourceExists:
            return "refused"
        return label

    outcomes = await asyncio.gather(step("a"), step("b"))
    found = await stored(database)
    assert found is not None
    assert set(outcomes) == {found.label, "refused"}


async def test_last_word_on_a_key_wins(database: Database) -> None:
    async with database.unit() as uow:
        uow.put(PLAIN, a_sample(1, label="a"))
        uow.put(PLAIN, a_sample(1, label="b"))
        uow.insert(PLAIN, a_sample(2, label="a"))
        uow.put(PLAIN, a_sample(2, label="b"))
        uow.put(PLAIN, a_sample(3))
        uow.delete(PLAIN, "g3", 3)
        uow.delete(PLAIN, "g4", 4)
        uow.insert(PLAIN, a_sample(4))
        uow.insert(PLAIN, a_sample(5))
        uow.delete(PLAIN, "g5", 5)
        uow.delete(PLAIN, "g5", 5)
    async with database.unit() as uow:
        found = await uow.select(PLAIN_BY_NUMBER, numbers=[1, 2, 3, 4, 5])
    assert [(row.number, row.label) for row in found] == [(1, "b"), (2, "b"), (4, None)]


async def test_insert_after_put_of_the_same_key_is_refused(database: Database) -> None:
    async def step() -> None:
        async with database.unit() as uow:
            uow.put(PLAIN, a_sample(1))
            uow.insert(PLAIN, a_sample(1))

    with pytest.raises(ResourceExists):
        await step()
