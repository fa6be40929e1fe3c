"""Wiring of the custody room: one place for the composition root and the simulation."""

from __future__ import annotations

from collections.abc import Callable

from gateway.custody.arbiter import Arbiter
from gateway.custody.blocks import BlockOpener
from gateway.custody.consent import Consent
from gateway.custody.coupling import Coupling
from gateway.custody.desk import ArbiterDesk
from gateway.custody.filings import Filings
from gateway.custody.letters import Letters
from gateway.custody.ports import ContentSource
from gateway.custody.progress import Progress
from gateway.custody.receive import Receiver
from gateway.custody.reports import Reports
from gateway.custody.ruled import Ruled
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
    coupling = Coupling(writer=writer, opener=opener, content=content)
    filings = Filings(writer=writer, coupling=coupling, content=content, roster=roster)
    arbiter = Arbiter(writer=writer, roster=roster)
    consent = Consent(writer=writer, roster=roster)
    ruled = Ruled(writer=writer, coupling=coupling, opener=opener, content=content, roster=roster)
    ruled.go_home = arbiter.home_at_once
    arbiter.obey = ruled.apply
    consent.go_home = arbiter.home_ruling
    progress = Progress(writer=writer, coupling=coupling, opener=opener, content=content)
    letters = Letters(writer=writer, opener=opener)
    receiver = Receiver(
        writer=writer,
        coupling=coupling,
        progress=progress,
        opener=opener,
        letters=letters,
        filings=filings,
        ruled=ruled,
        arbiter=arbiter,
        reports=Reports(writer=writer, coupling=coupling, opener=opener),
        consent=consent,
        roster=roster,
    )
    return CustodyService(
        writer=writer,
        coupling=coupling,
        progress=progress,
        receiver=receiver,
        filings=filings,
        arbiter=arbiter,
        consent=consent,
        letters=letters,
        content=content,
        roster=roster,
    )


def build_arbiter(
    *,
    keys: KeyRing,
    roster: Callable[[], Roster],
    outbox: Outbox,
    ids: Ids,
    machine_clock: Clock,
) -> ArbiterDesk:
    """Return the arbiter's half of custody for a node without tickets: the nation's."""
    writer = StepWriter(
        keys=keys, roster=roster, outbox=outbox, ids=ids, machine_clock=machine_clock
    )
    arbiter = Arbiter(writer=writer, roster=roster)
    return ArbiterDesk(writer=writer, arbiter=arbiter, roster=roster)
