"""The doctor says what waits, and for whom, without asking the node."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.cli.checks import Level, Patient, check_delivery
from gateway.cli.output import Language, use_language
from gateway.database.postgres import PostgresDatabase
from gateway.delivery.model import Item
from gateway.delivery.store import CONTROLS, OUTBOX, ControlRow
from gateway.delivery.undelivered import UNDELIVERED, item_of_row
from gateway.settings import DatabaseSettings, DeliverySettings
from tests.contract.delivery.test_queries import NOW, ROW
from tests.postgres import TestServer

pytestmark = pytest.mark.integration


async def test_the_doctor_names_old_queues_pauses_and_items(postgres_server: TestServer) -> None:
    use_language(Language.EN)
    async with postgres_server.fresh_dsn() as dsn:
        settings = SimpleNamespace(
            database=DatabaseSettings(kind="postgres", dsn=dsn),
            database_path=Path(),
            delivery=DeliverySettings(),
        )
        patient = Patient(settings=cast("Any", settings), now=NOW)
        assert [finding.level for finding in await check_delivery(patient)] == [Level.OK]
        database = await PostgresDatabase.connect(dsn, connections_max=1)
        async with database.unit() as uow:
            uow.insert(OUTBOX, replace(ROW, created=NOW - timedelta(hours=3)))
            uow.insert(OUTBOX, replace(ROW, node="tianjin"))
            uow.put(CONTROLS, ControlRow("tianjin", "paused", "maintenance", "x", NOW))
            item = item_of_row(Item.STUCK, ROW, reason="KEY_UNKNOWN", now=NOW)
            uow.put(UNDELIVERED, item)
        await database.close()
        found = {each.check: each for each in await check_delivery(patient)}
    use_language(None)
    assert (found["queue hebei"].level, found["queue hebei"].action) == (
        Level.WARN,
        "lubiao peer show hebei",
    )
    assert found["queue tianjin"].level is Level.OK
    assert "maintenance" in found["peer tianjin"].text
    assert found["delivery"].action == "lubiao peer undelivered"
    assert "stuck" in found["delivery"].text
