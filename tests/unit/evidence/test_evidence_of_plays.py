"""Whatever happened in a play of the simulation, the evidence of every authority holds.

Not only of honest endings: the files are exported in the middle of faults, rulings and lies of
peers, and each alone and all of a ticket together must hold.
"""

from __future__ import annotations

import pytest

from gateway.custody import store
from gateway.kernel.errors import ResourceNotFound
from gateway.kernel.ids import TicketNumber
from tests.simulation.play import Play
from tests.unit.evidence.evidence_files import check, export

STEPS = 250


@pytest.mark.parametrize("seed", [2, 9, 31])
async def test_every_file_of_a_play_holds(seed: int) -> None:
    play = Play(seed)
    await play.run(STEPS)
    world = play.world
    tickets = {
        row.ticket for node in world.nodes.values() for row in node.database.rows(store.CHAINS)
    }
    exported = 0
    for ticket in sorted(tickets):
        files = []
        for authority in (code for node in world.nodes.values() for code in node.hosts):
            try:
                raw = await export(world, authority, TicketNumber(ticket))
            except ResourceNotFound:
                continue
            verdict = check(raw, rosters=(world.roster,))
            assert verdict.holds, (authority, verdict.flaw)
            files.append(raw)
        together = check(*files, rosters=(world.roster,))
        assert together.holds, together.flaw
        exported += len(files)
    assert exported
