"""kill -9 of gateways and databases at chosen and at random instants."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.e2e.harness import Harness, running

SETTLE_SECONDS = 150.0
RANDOM_KILLS_FEW = 4
RANDOM_KILLS = 24
KILLS_AT_WORK_MIN = 20
SEED = 20261102
CUSTODIANS = ("tianjin", "hebei")
NODES = (*CUSTODIANS, "national-directory", "national-arbiter")  # of the small world
PROVINCES = ("120000", "130000", "310000", "320000")
EVERY_NODE = (*NODES, "shanghai", "jiangsu")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("node", "point"),
    [
        ("tianjin", "commit.before:6"),  # nothing of the step may exist
        ("tianjin", "commit.after:6"),  # committed, not sent
        ("tianjin", "send.before:1"),  # the offer lies in the outbox
        ("hebei", "receipt.before:1"),  # the peer has it, the sender does not know
    ],
)
async def test_gateway_that_dies_at_a_crash_point_loses_and_doubles_nothing(
    tmp_path: Path, node: str, point: str
) -> None:
    async with running(tmp_path, crashpoints={node: point}) as harness:
        verdict = await harness.until_settled(seconds=SETTLE_SECONDS)

        assert node in harness.deaths, f"{point} was never reached"
        assert verdict.is_good, harness.explain(verdict)


@pytest.mark.timeout(300)
async def test_node_whose_gateway_and_database_are_killed_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, tickets=6) as harness:
        await asyncio.sleep(1)  # the first tickets are on their way
        harness.kill("hebei", gateway=False, database=True)
        await asyncio.sleep(1)
        harness.kill("tianjin", gateway=True, database=True)
        harness.revive()
        verdict = await harness.until_settled(seconds=SETTLE_SECONDS)

        assert verdict.is_good, harness.explain(verdict)


@pytest.mark.timeout(300)
async def test_a_few_kills_at_random_instants_lose_and_double_nothing(tmp_path: Path) -> None:
    seed = random.randrange(10**6)  # another one in every run; a failure names it
    async with running(tmp_path, tickets=20) as harness:
        kills_at_work = await _kill_at_random(harness, random.Random(seed), kills=RANDOM_KILLS_FEW)
        verdict = await harness.until_settled(seconds=SETTLE_SECONDS)

        assert kills_at_work, f"seed {seed}: every kill met a federation without work"
        assert verdict.is_good, f"seed {seed}: {harness.explain(verdict)}"


@pytest.mark.chaos
@pytest.mark.timeout(1800)
async def test_kills_at_random_instants_lose_and_double_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, tickets=300) as harness:
        kills_at_work = await _kill_at_random(harness, random.Random(SEED), kills=RANDOM_KILLS)
        verdict = await harness.until_settled(seconds=900)

        assert kills_at_work >= KILLS_AT_WORK_MIN, "most kills met a federation without work"
        assert verdict.is_good, harness.explain(verdict)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("node", CUSTODIANS)
@pytest.mark.parametrize(
    "point", ["commit.before", "commit.after", "send.before", "receipt.before"]
)
@pytest.mark.parametrize("reach", [1, 2, 9])
async def test_every_crash_point_of_every_node_loses_and_doubles_nothing(
    tmp_path: Path, node: str, point: str, reach: int
) -> None:
    async with running(tmp_path, crashpoints={node: f"{point}:{reach}"}) as harness:
        verdict = await harness.until_settled(seconds=SETTLE_SECONDS)

        assert verdict.is_good, harness.explain(verdict)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("node", EVERY_NODE)
@pytest.mark.parametrize("part", ["gateway", "database"])
async def test_any_one_process_of_any_node_may_die_and_every_case_ends_as_its_row_says(
    tmp_path: Path, node: str, part: str
) -> None:
    async with running(tmp_path, authorities=PROVINCES) as harness:
        await asyncio.sleep(random.uniform(1, 12))
        harness.kill(node, gateway=part == "gateway", database=part == "database")
        verdict = await harness.until_settled(seconds=600)

        assert verdict.is_good, harness.explain(verdict)


async def _kill_at_random(harness: Harness, chance: random.Random, *, kills: int) -> int:
    """Kill gateways, databases or both of random nodes; return how many kills met work."""
    kills_at_work = 0
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0.2, 3.0))
        gateway, database = chance.choice([(True, False), (False, True), (True, True)])
        kills_at_work += not await harness.is_settled()
        harness.kill(chance.choice(NODES), gateway=gateway, database=database)
        harness.revive()
    return kills_at_work
