"""Leases on both engines: exactly one holder, taken over within five seconds, fenced by the clock.

One manual clock is the database's, another each process's own; nobody waits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from gateway.database.leases import (
    HEARTBEAT,
    LEASE,
    LEASES_ALL,
    WORKERS_ALL,
    Leases,
    database_now,
)
from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.errors import PeerUnreachable

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
PROMISED = timedelta(seconds=5)
PEERS = tuple(f"pump/{name}" for name in ("anhui", "beijing", "fujian", "gansu", "hainan"))


@dataclass
class Time:
    """The time that passes, and how far the machine's clock of the database is off."""

    passed: timedelta = timedelta(0)
    off: timedelta = timedelta(0)

    def advance(self, step: timedelta) -> None:
        self.passed += step

    def monotonic(self) -> float:
        return self.passed.total_seconds()

    async def database(self, _uow: UnitOfWork) -> datetime:
        return NOW + self.passed + self.off


@dataclass
class Slow:
    """A database whose next commit is held up by something."""

    database: Database
    before_commit: Callable[[], Awaitable[None]] | None = None

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[UnitOfWork]:
        async with self.database.unit() as uow:
            yield uow
            pause, self.before_commit = self.before_commit, None
            if pause is not None:
                await pause()


@dataclass
class Node:
    """Several processes on one database."""

    database: Database
    time: Time = field(default_factory=Time)
    wanted: Sequence[str] = PEERS
    gained: list[tuple[str, str]] = field(default_factory=list)

    def process(self, holder: str, database: Database | None = None) -> Leases:
        leases = Leases(
            database=database or self.database,
            holder=holder,
            wanted=lambda: self.wanted,
            now=self.time.database,
            monotonic=self.time.monotonic,
        )
        leases.gained = lambda name: self.gained.append((holder, name))
        return leases

    async def beat(self, *processes: Leases, times: int = 1) -> None:
        for _ in range(times):
            for process in processes:
                await process.beat()
            self.time.advance(HEARTBEAT)

    def held(self, process: Leases) -> set[str]:
        return {name for name in self.wanted if process.holds(name)}


async def test_a_process_alone_holds_everything(database: Database) -> None:
    node = Node(database)
    one = node.process("one")
    assert node.held(one) == set()

    await node.beat(one)

    assert node.held(one) == set(PEERS)
    assert sorted(node.gained) == [("one", name) for name in PEERS]


async def test_processes_share_evenly_and_hold_nothing_twice(database: Database) -> None:
    node = Node(database)
    one, two = node.process("one"), node.process("two")

    await node.beat(one, two, times=3)

    first, second = node.held(one), node.held(two)
    assert first | second == set(PEERS)
    assert not first & second
    assert sorted(map(len, (first, second))) == [2, 3]


async def test_what_a_dead_process_held_is_taken_over_within_five_seconds(
    database: Database,
) -> None:
    node = Node(database)
    one, two = node.process("one"), node.process("two")
    await node.beat(one, two, times=3)
    await node.beat(one)  # as late as can be: it dies right after its heartbeat
    died = node.time.passed - HEARTBEAT

    while node.held(two) != set(PEERS):
        await node.beat(two)
        assert node.time.passed - died <= PROMISED

    async with database.unit() as uow:
        assert [row.holder for row in await uow.select(WORKERS_ALL)] == ["two"]


async def test_a_paused_process_stops_believing_before_another_may_begin(
    database: Database,
) -> None:
    node = Node(database)
    one, two = node.process("one"), node.process("two")
    await node.beat(one, two, times=3)
    tick = timedelta(milliseconds=100)

    while node.held(two) != set(PEERS):
        await two.beat()
        assert not node.held(one) & node.held(two)
        node.time.advance(tick)
    await one.beat()  # it wakes up

    assert not node.held(one) & node.held(two)
    await node.beat(two, one, times=2)
    assert node.held(one)


async def test_a_clock_of_the_database_that_jumps_ahead_makes_nobody_dead(
    database: Database,
) -> None:
    node = Node(database)
    one, two = node.process("one"), node.process("two")
    await node.beat(one, two, times=3)
    before = node.held(one), node.held(two)

    node.time.off = timedelta(minutes=5)
    await two.beat()

    assert not node.held(one) & node.held(two)
    await node.beat(one, two)
    assert (node.held(one), node.held(two)) == before


async def test_a_clock_of_the_database_that_is_set_back_holds_up_no_take_over(
    database: Database,
) -> None:
    node = Node(database)
    one, two = node.process("one"), node.process("two")
    await node.beat(one, two, times=3)
    await node.beat(one)
    died = node.time.passed - HEARTBEAT
    node.time.off = -timedelta(minutes=5)

    while node.held(two) != set(PEERS):
        await node.beat(two)
        assert node.time.passed - died <= PROMISED


async def test_a_heartbeat_that_was_committed_too_late_extends_nothing(
    database: Database,
) -> None:
    node = Node(database)
    one = node.process("one")
    await node.beat(one)
    slow = node.time.database

    async def paused(uow: UnitOfWork) -> datetime:
        seen = await slow(uow)
        node.time.advance(LEASE)  # asleep between its reading and its commit
        return seen

    one._now = paused
    await one.beat()

    assert node.held(one) == set()
    one._now = slow
    await one.beat()
    assert node.held(one) == set(PEERS)


async def test_who_renews_while_another_takes_over_believes_nothing_that_is_no_longer_true(
    database: Database,
) -> None:
    node, slow = Node(database), Slow(database)
    one, two = node.process("one", slow), node.process("two")
    await node.beat(one, two, times=3)
    await two.beat()
    node.time.advance(LEASE - HEARTBEAT - timedelta(milliseconds=100))

    async def overtaken() -> None:  # it has read that it lives; until it says so again, it dies
        node.time.advance(timedelta(milliseconds=200))
        await two.beat()

    slow.before_commit = overtaken
    await one.beat()

    assert node.held(two)
    assert not node.held(one) & node.held(two)


async def test_a_clean_end_gives_everything_to_the_others_at_once(database: Database) -> None:
    node = Node(database)
    one, two = node.process("one"), node.process("two")
    await node.beat(one, two, times=3)

    await one.give_up()
    assert node.held(one) == set()
    await node.beat(two)

    assert node.held(two) == set(PEERS)


async def test_a_name_that_nobody_wants_any_more_is_given_up(database: Database) -> None:
    node = Node(database)
    one = node.process("one")
    await node.beat(one)

    node.wanted = PEERS[1:]
    await node.beat(one)

    assert not one.holds(PEERS[0])
    async with database.unit() as uow:
        assert [row.name for row in await uow.select(LEASES_ALL)] == list(PEERS[1:])


async def test_the_database_says_what_time_it_is(database: Database) -> None:
    async with database.unit() as uow:
        found = await database_now(uow)

    assert abs(found - datetime.now(UTC)) < timedelta(minutes=1)


async def test_a_process_without_a_database_holds_nothing_for_long() -> None:
    class Away:
        def unit(self) -> UnitOfWork:
            raise PeerUnreachable(peer="postgresql", got="away")

    time = Time()
    lost = Leases(
        database=Away(),  # type: ignore[arg-type] # it never opens a unit
        holder="one",
        wanted=lambda: PEERS,
        now=time.database,
        monotonic=time.monotonic,
    )

    with pytest.raises(PeerUnreachable):
        await lost.beat()

    assert not any(map(lost.holds, PEERS))
