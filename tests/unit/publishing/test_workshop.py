"""Small texts are parsed in a thread, large ones in a worker process; both say the same."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.checking.check import check_pack
from gateway.checking.model import Known
from gateway.kernel.data import data_path
from gateway.kernel.errors import FieldInvalid, PeerUnreachable
from gateway.publishing.workshop import SMALL_BYTES_MAX, CheckTask, Workshop, parse_in_thread
from gateway.routing.conditions import cel_conditions
from tests.fixtures.nodes import NOW, reference
from tests.unit.publishing.builders import PACK, a_source

REFERENCE = Path(data_path("routing_rules/reference"))
MANY = tuple((f"lf.rule-{number}", "JT") for number in range(400))


@pytest.mark.slow
async def test_a_large_text_is_parsed_by_a_worker_as_in_a_thread() -> None:
    small = parse_in_thread(reference, cel_conditions())
    workshop = Workshop(REFERENCE, small=small)
    source = a_source(*MANY)
    assert len(source) > SMALL_BYTES_MAX
    task = CheckTask(
        source=source, name=PACK, now=NOW, others=((PACK, source.decode()),), known=Known()
    )
    try:
        found = await workshop.check(task)
        findings, pack = await workshop(source, PACK, {})
        wrong, none = await workshop(source.replace(b"041200", b"999999"), PACK, {})
    finally:
        workshop.close()
    _, expected = await small(source, PACK, {})
    assert not findings
    assert pack == expected
    assert none is None
    said = check_pack(
        source, name=PACK, reference=reference(), conditions=cel_conditions(), now=NOW
    )
    assert [str(each) for each in found] == [str(each) for each in said]
    assert len(wrong) == len(MANY)


@pytest.mark.slow
async def test_a_check_that_takes_too_long_ends_and_holds_up_nobody() -> None:
    small = parse_in_thread(reference, cel_conditions())
    workshop = Workshop(REFERENCE, small=small, check_seconds=0.01)
    source = a_source(*MANY)
    task = CheckTask(source=source, name=PACK, now=NOW, others=(), known=Known())
    try:
        for _ in range(2):  # the worker outlives it
            with pytest.raises(FieldInvalid):
                await workshop.check(task)
        findings, pack = await workshop(source, PACK, {})
    finally:
        workshop.close()
    assert not findings
    assert pack is not None


@pytest.mark.slow
@pytest.mark.timeout(30)
async def test_closing_ends_what_is_under_way() -> None:
    workshop = Workshop(REFERENCE, small=parse_in_thread(reference, cel_conditions()))
    source = a_source(*MANY)
    task = CheckTask(source=source, name=PACK, now=NOW, others=(), known=Known())
    await workshop.check(task)
    endless = asyncio.create_task(workshop._run("check", time.sleep, 60))
    await asyncio.sleep(0)
    workshop.close()
    with pytest.raises((PeerUnreachable, asyncio.CancelledError)):
        await endless


async def test_a_small_text_needs_no_worker() -> None:
    small = parse_in_thread(reference, cel_conditions())
    workshop = Workshop(Path("nowhere"), small=small)
    findings, pack = await workshop(a_source(("lf.test", "JT")), PACK, {})
    assert not findings
    assert pack is not None
