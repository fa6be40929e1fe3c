"""Wiring of the custody room: one place for the composition root and the simulation."""

from __future__ import annotations

from collections.abc import Callable

from gateway.custody.blocks import BlockOpener
from gateway.custody.coupling import Coupling
from gateway.custody.ports import ContentSource
from gateway.custody.progress import Progress
from gateway.custody.receive import Receiver
from gateway.custody.service import CustodyService
from gateway.custody.writer import StepWriter
from gateway.delivery.outbox import Outbox
from gateway.kernel.ids import Ids
from gateway.kernel.time import Clock
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import Roster


def build(
    *,
    keys: KeyRing,
    roster: Callable[[], Roster],
    outbox: Outbox,
    content: ContentSource,
    ids: Ids,
    machine_clock: Clock,
) -> CustodyService:
    """Return the custody service of one node."""
    writer = StepWriter(
        keys=keys, roster=roster, outbox=outbox, ids=ids, machine_clock=machine_clock
    )
    opener = BlockOpener(keys=keys)
    coupling = Coupling(writer=writer, opener=opener, content=content, roster=roster)
    progress = Progress(writer=writer, coupling=coupling, opener=opener, content=content)
    receiver = Receiver(
        writer=writer, coupling=coupling, progress=progress, opener=opener, roster=roster
    )
    return CustodyService(
        writer=writer,
        coupling=coupling,
        progress=progress,
        receiver=receiver,
        content=content,
        roster=roster,
    )
