"""The greatest life of a node stays known, whatever two units of work learn at once."""

from __future__ import annotations

import asyncio

from gateway.database.uow import Database
from gateway.delivery.incarnations import PEER_INCARNATIONS, PeerIncarnationRow, note
from gateway.kernel.errors import IncarnationStale
from gateway.kernel.ids import NodeId

DDL = ""
NODE = NodeId("tianjin")


async def hear(database: Database, incarnation: int) -> None:
    async with database.unit() as uow:
        await note(uow, NODE, incarnation)


async def test_later_life_that_is_heard_of_at_the_same_time_is_not_forgotten(
    database: Database,
) -> None:
    async with database.unit() as uow:
        await note(uow, NODE, 2)
        later = asyncio.create_task(hear(database, 3))
        await asyncio.wait({later}, timeout=0.2)
    await later
    async with database.unit() as uow:
        assert await uow.get(PEER_INCARNATIONS, NODE) == PeerIncarnationRow(NODE, 3)


async def test_earlier_life_that_waited_for_the_later_one_is_refused(database: Database) -> None:
    async with database.unit() as uow:
        await note(uow, NODE, 3)
        earlier = asyncio.create_task(hear(database, 2))
        await asyncio.wait({earlier}, timeout=0.2)
    await asyncio.wait({earlier})
    assert isinstance(earlier.exception(), IncarnationStale)
