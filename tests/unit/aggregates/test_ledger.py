"""The ledger holds under any interleaving of pushes, timers, crashes and failing noise."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.aggregates.model import Pushed, ReportPolicy
from gateway.aggregates.store import BUDGET_NEWEST, REPORTS_NEWEST
from gateway.database.memory import AFTER_COMMIT, BEFORE_COMMIT, MemoryDatabase
from gateway.delivery.store import OUTBOX_DUE
from gateway.kernel.errors import LubiaoError, PeerUnreachable
from gateway.trust.statements import digest
from tests.unit.aggregates.builders import AT_HUB, DAY, HEBEI, NOW, FakeNoise, Province

DAYS = (20260225, 20260226, 20260227, 20260228, 20260301)
EPSILON = 400_000


@dataclass
class Crashes:
    """Raises at the given commits, before or after they take effect."""

    plan: list[str]

    def __call__(self, point: str) -> None:
        if self.plan and self.plan[0] == point:
            self.plan.pop(0)
            raise PeerUnreachable(peer="test", got="a crash")


actions = st.lists(
    st.lists(st.one_of(st.sampled_from(DAYS), st.just("timer")), min_size=1, max_size=4),
    max_size=6,
)


@given(
    rounds=actions,
    failures=st.integers(0, 3),
    crashes=st.lists(st.sampled_from([BEFORE_COMMIT, AFTER_COMMIT]), max_size=4),
    reports_paid=st.integers(0, 6),
)
def test_no_interleaving_overspends_or_draws_a_day_twice(
    rounds: list[list[int | str]], failures: int, crashes: list[str], reports_paid: int
) -> None:
    asyncio.run(_play(rounds, failures, crashes, reports_paid))


async def _play(
    rounds: list[list[int | str]], failures: int, crashes: list[str], reports_paid: int
) -> None:
    policy = ReportPolicy(
        epsilon_micro=EPSILON,
        year_micro=reports_paid * EPSILON + EPSILON // 2,
        quarter_micro=10 * EPSILON,
    )
    database = MemoryDatabase()
    noise = FakeNoise(list(range(100)), failures)
    province = Province(database, noise, policy)
    await province.start()
    database.crash = Crashes(crashes)
    left: dict[int, set[bytes]] = {}

    async def act(what: int | str) -> None:
        try:
            if isinstance(what, str):
                province.clock.advance(DAY / 2)
                await province.timers.run_due()
                return
            outcome = await province.push(what)
        except LubiaoError:
            return  # a crash or no noise; whoever asked asks again or not
        if isinstance(outcome, Pushed):
            left.setdefault(what, set()).add(outcome.statement)

    for moves in rounds:
        await asyncio.gather(*(act(what) for what in moves))
        province = Province(database, noise, policy, province.clock)  # a restart
    await _check(database, policy, left)


async def _check(
    database: MemoryDatabase, policy: ReportPolicy, left: dict[int, set[bytes]]
) -> None:
    database.crash = lambda _point: None
    async with database.unit() as uow:
        lines = await uow.select(BUDGET_NEWEST, province=HEBEI, before=2**62, limit=1000)
        rows = await uow.select(REPORTS_NEWEST, province=HEBEI, before=2**62, limit=1000)
        sent = await uow.select(OUTBOX_DUE, node=AT_HUB, now=NOW + 999 * DAY, limit=1000)
    paid = Counter(line.day for line in lines if line.outcome == "SPENT")
    assert sum(paid.values()) * policy.epsilon_micro <= policy.year_micro
    assert set(paid.values()) <= {1}
    assert {row.day for row in rows} == set(paid)  # nothing leaves unpaid, nothing is paid for air
    assert [row.sequence for row in rows] == list(range(len(rows), 0, -1))
    digests = [digest(row.statement) for row in rows]
    assert sorted(item.statement_digest for item in sent) == sorted(digests)  # each once
    stored = {row.day: row.statement for row in rows}
    for day, statements in left.items():
        assert statements == {stored[day]}


def test_a_policy_without_a_budget_pushes_nothing() -> None:
    async def play() -> None:
        province = Province(policy=ReportPolicy(year_micro=0))
        assert not isinstance(await province.push(), Pushed)

    asyncio.run(play())
