"""Wiring of the custody room: one place for the composition root and the simulation."""

from __future__ import annotations

from collections.abc import Callable

from gateway.custody.arbiter import Arbiter
from gateway.custody.blocks import BlockOpener
from gateway.custody.closing import Closing
from gateway.custody.consent import Consent
from gateway.custody.coupling import Coupling
from gateway.custody.deciding import Deciding
from gateway.custody.desk import ArbiterDesk
from gateway.custody.filings import Filings
from gateway.custody.forks import Forks
from gateway.custody.incarnation import Recovery
from gateway.custody.inquiring import Inquiring
from gateway.custody.letters import Letters
from gateway.custody.openings import Openings
from gateway.custody.ports import ContentSource
from gateway.custody.progress import Progress
from gateway.custody.receive import Receiver
from gateway.custody.reports import Reports
from gateway.custody.restorer import Restorer
from gateway.custody.ruled import Ruled
from gateway.custody.service import CustodyService
from gateway.custody.writer import StepWriter
from gateway.delivery.outbox import Outbox
from gateway.kernel.ids import Ids, NodeId
from gateway.kernel.time import Clock
from gateway.trust.key_ring import KeyRing
from gateway.trust.roster import Roster

HERE = NodeId("here")  # a node that was never restored needs no name to say so


def build(
    *,
    keys: KeyRing,
    roster: Callable[[], Roster],
    outbox: Outbox,
    content: ContentSource,
    ids: Ids,
    machine_clock: Clock,
    recovery: Recovery | None = None,
    openings: Openings | None = None,
) -> CustodyService:
    """Return the custody service of one node; `recovery` says whether it may sign."""
    life = recovery or Recovery(HERE)
    writer = StepWriter(
        keys=keys,
        roster=roster,
        outbox=outbox,
        ids=ids,
        machine_clock=machine_clock,
        recovery=life,
        openings=openings,
    )
    opener = BlockOpener(keys=keys)
    coupling = Coupling(writer=writer, opener=opener, content=content)
    filings = Filings(writer=writer, coupling=coupling, content=content, roster=roster)
    arbiter = Arbiter(writer=writer, roster=roster)
    consent = Consent(writer=writer, roster=roster)
    ruled = Ruled(writer=writer, coupling=coupling, opener=opener, content=content, roster=roster)
    closing = Closing(writer=writer, ruled=ruled)
    ruled.close = closing.apply
    ruled.go_home = arbiter.home_at_once
    arbiter.obey = ruled.apply
    consent.go_home = arbiter.home_ruling
    forks = Forks(writer=writer, filings=filings, go_home=arbiter.home_at_once)
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
        closing=closing,
        deciding=Deciding(writer=writer),
        inquiring=Inquiring(writer=writer, opener=opener),
        roster=roster,
    )
    service = CustodyService(
        writer=writer,
        coupling=coupling,
        progress=progress,
        receiver=receiver,
        filings=filings,
        arbiter=arbiter,
        consent=consent,
        letters=letters,
        forks=forks,
        content=content,
        roster=roster,
    )
    service.receive = life.guarded(service.receive)
    service.restorer = Restorer(
        writer=writer, arbiter=arbiter, roster=roster, levels=coupling, text=content, opener=opener
    )
    return service


def build_arbiter(
    *,
    keys: KeyRing,
    roster: Callable[[], Roster],
    outbox: Outbox,
    ids: Ids,
    machine_clock: Clock,
    recovery: Recovery | None = None,
) -> ArbiterDesk:
    """Return the arbiter's half of custody for a node without tickets: the nation's."""
    life = recovery or Recovery(HERE)
    writer = StepWriter(
        keys=keys,
        roster=roster,
        outbox=outbox,
        ids=ids,
        machine_clock=machine_clock,
        recovery=life,
    )
    arbiter = Arbiter(writer=writer, roster=roster)
    return ArbiterDesk(writer=writer, arbiter=arbiter, roster=roster, recovery=life)
