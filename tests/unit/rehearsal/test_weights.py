"""A month of decisions, counted for the checks."""

from __future__ import annotations

from datetime import timedelta

from gateway.database.memory import MemoryDatabase
from gateway.reference.data import ReferenceData
from gateway.rehearsal.history import History
from gateway.rehearsal.weights import weigh
from gateway.routing.packs import PackSet
from tests.unit.rehearsal.builders import LANGFANG, NOW, decided
from tests.unit.rehearsal.test_simulate import KEPT, MOVED


async def test_tickets_are_counted_by_kind_and_decisions_by_rule(
    packs: PackSet, reference: ReferenceData
) -> None:
    database = MemoryDatabase()
    await decided(database, [MOVED] * 3 + [KEPT], packs=packs, reference=reference)
    weights = await weigh(History(database), LANGFANG, now=NOW)
    assert weights is not None
    assert weights.total == 4
    assert weights.days == 21  # since the first of them, whatever was asked for
    assert weights.cells[MOVED.region, MOVED.matter, int(MOVED.type)] == 3
    assert weights.hits["lf.driving-school"] == 3
    assert await weigh(History(database), LANGFANG, now=NOW + timedelta(days=60)) is None
