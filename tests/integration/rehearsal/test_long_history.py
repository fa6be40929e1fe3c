"""A trial over 20,000 past decisions in PostgreSQL: right, in bounded memory, giving way."""

from __future__ import annotations

import asyncio
import gc
from datetime import timedelta

import psutil
import pytest

from gateway.reference.data import ReferenceData
from gateway.rehearsal.history import PAGE
from gateway.rehearsal.model import Past, Report
from gateway.rehearsal.service import Progress, Trial
from gateway.routing.packs import PackSet
from tests.postgres import TestServer, postgres_database
from tests.unit.rehearsal.builders import (
    LANGFANG,
    a_rehearsal,
    an_editor,
    decided,
    report_of,
)
from tests.unit.rehearsal.conftest import packs, reference
from tests.unit.rehearsal.test_simulate import a_draft
from tests.unit.routing.builders import a_ticket

__all__ = ["packs", "reference"]
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]
DECISIONS = 20_000
MEMORY_BYTES_MAX = 24 * 1024 * 1024  # all 20,000 decisions would be several times that
REGIONS = ("131082", "131081", "131003", "131002", "131022")
MATTERS = ("041200", "050502", "041300", "120300", "140102")


async def test_twenty_thousand_decisions_are_tried_in_bounded_memory(
    postgres_server: TestServer, packs: PackSet, reference: ReferenceData
) -> None:
    facts = [
        a_ticket(region=REGIONS[number % 5], matter=MATTERS[number // 5 % 5])
        for number in range(DECISIONS)
    ]
    async with postgres_database(postgres_server, "") as database:
        await decided(database, facts, packs=packs, reference=reference)
        rehearsal = a_rehearsal(database, packs=packs, reference=reference)
        trial = Trial(authority=LANGFANG, sources=(a_draft(),))
        before = psutil.Process().memory_info().rss
        progress: list[Progress] = []
        alive: list[int] = []
        report: Report | None = None
        async for step in rehearsal.simulate(an_editor(), trial):
            if isinstance(step, Report):
                report = step
                continue
            progress.append(step)
            if step.done % 2_000 == 0:
                alive.append(sum(isinstance(each, Past) for each in gc.get_objects()))
        grown = psutil.Process().memory_info().rss - before
        assert report is not None
        assert (report.examined, report.is_cut) == (DECISIONS, False)
        assert report.moved == sum(flow.count for flow in report.flows)
        driving = [flow for flow in report.flows if flow.after.target.endswith("-YB-1")]
        assert sum(flow.count for flow in driving) == DECISIONS // 5
        assert len(progress) >= DECISIONS // 200
        assert max(alive) <= 2 * PAGE
        assert grown < MEMORY_BYTES_MAX

        assert report.first is not None
        end = report.first + timedelta(minutes=500)
        part = Trial(authority=LANGFANG, start=report.first, end=end)
        report, _ = await report_of(rehearsal, part)
        assert report.examined == 500


async def test_a_trial_gives_way_to_others_and_can_be_cancelled(
    postgres_server: TestServer, packs: PackSet, reference: ReferenceData
) -> None:
    facts = [a_ticket(region=REGIONS[number % 5]) for number in range(2_000)]
    async with postgres_database(postgres_server, "") as database:
        await decided(database, facts, packs=packs, reference=reference)
        rehearsal = a_rehearsal(database, packs=packs, reference=reference)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def run() -> None:
            async for step in rehearsal.simulate(an_editor(), Trial(authority=LANGFANG)):
                if not isinstance(step, Report) and step.done >= 400:
                    return

        working = asyncio.create_task(others())
        await run()
        working.cancel()
        assert turns > 400 / 10
        report, _ = await report_of(rehearsal, Trial(authority=LANGFANG))
        assert report.examined == 2_000
