"""Wiring of the views: what panels see, figures, the watch, dossiers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.arbitration.cases import Cases
from gateway.arbitration.copies import Copies
from gateway.arbitration.dossiers.export import DossierExporter
from gateway.arbitration.dossiers.kept import Kept
from gateway.arbitration.learning.assembly import Learning
from gateway.arbitration.learning.backing import Backing
from gateway.arbitration.model import Case
from gateway.arbitration.precedents.casebook import Casebook
from gateway.arbitration.sight.changes import CaseChanges
from gateway.arbitration.sight.figures_reading import THRESHOLD, FigureReader
from gateway.arbitration.sight.looks import LookQuota, Looks
from gateway.arbitration.sight.service import Sight
from gateway.arbitration.sight.servicer import Views
from gateway.arbitration.sight.trying import Trying
from gateway.audit.service import AuditLog
from gateway.database.uow import Database, UnitOfWork
from gateway.evidence.export import Exporter
from gateway.kernel.ids import Ids
from gateway.kernel.time import Clock
from gateway.reference.calendar import Calendar
from gateway.tickets.tokens import Tokens
from gateway.trust.key_ring import KeyRing


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What views rest on beside the cases; without it dossiers have neither roster nor custody.

    Attributes:
        evidence: exports the custody of a ticket.
        signed_roster: the node's roster, as it was signed.
        threshold: below it the node's releases withhold numbers.
        looks: how often one caller may look at what a panel sees; None: as usual.
    """

    evidence: Exporter | None = None
    signed_roster: Callable[[], bytes] = lambda: b""
    threshold: int = THRESHOLD
    looks: LookQuota | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What of the room the views are made of."""

    database: Database
    cases: Cases
    copies: Copies
    casebook: Casebook
    keys: KeyRing
    ids: Ids
    calendar: Callable[[], Calendar]
    audit: AuditLog
    tokens: Tokens
    clock: Clock
    machine_clock: Clock


def build_views(
    basis: Basis, *, learning: Learning, backing: Backing | None, sources: Sources | None
) -> tuple[Views, Kept]:
    """Return the views of a node, and what keeps the statements of parties for them.

    Changes of cases are noted from now on, and what authorities of this node say is signed.
    """
    given = sources or Sources()
    cases, copies = basis.cases, basis.copies
    kept = Kept(keys=basis.keys, ids=basis.ids, machine_clock=basis.machine_clock)
    changes = CaseChanges(
        database=basis.database,
        cases=cases,
        copies=copies,
        tokens=basis.tokens,
        hosted=basis.keys.codes,
        clock=basis.clock,
    )
    tell = cases.changed

    def changed(uow: UnitOfWork, case: Case) -> None:
        tell(uow, case)
        changes.note(uow, case)

    cases.changed, cases.said = changed, kept.said_here
    copies.changed = changes.note_copy

    sight = Sight(
        database=basis.database,
        cases=cases,
        casebook=basis.casebook,
        advice=learning.advice,
        audit=basis.audit,
        clock=basis.clock,
        looks=Looks(clock=basis.machine_clock, quota=given.looks),
        tickets=backing.tickets if backing is not None else None,
        hosted=backing.hosted if backing is not None else frozenset,
        trying=Trying(backing=backing, places=basis.casebook.places) if backing else None,
    )
    figures = FigureReader(
        database=basis.database,
        cases=cases,
        copies=copies,
        calendar=basis.calendar,
        audit=basis.audit,
        clock=basis.clock,
        repeats=learning.repeats,
        threshold=given.threshold,
    )
    dossiers = DossierExporter(
        database=basis.database,
        cases=cases,
        copies=copies,
        kept=kept,
        keys=basis.keys,
        ids=basis.ids,
        audit=basis.audit,
        clock=basis.clock,
        signed_roster=given.signed_roster,
        evidence=given.evidence,
    )
    return Views(sight, figures, changes, dossiers), kept
