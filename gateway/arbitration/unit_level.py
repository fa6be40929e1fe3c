"""Wiring of the level UNITS: every authority of a node with tickets rules about its own units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.arbitration.cases import Cases
from gateway.arbitration.filing_units import UnitFilings, UnitRequests
from gateway.arbitration.parties import Parties
from gateway.arbitration.service import Arbitration
from gateway.arbitration.units import UnitRuler
from gateway.audit.service import AuditLog
from gateway.custody.service import CustodyService
from gateway.database.once import Once
from gateway.dispatch.assembly import DispatchRoom
from gateway.reference.calendar import Calendar
from gateway.reference.units import Units
from gateway.tickets.service import Tickets


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitLevel:
    """What rulings between units need of the rooms below, and the units in force."""

    tickets: Tickets
    custody: CustodyService
    dispatch: DispatchRoom
    units: Callable[[], Units]

    def ruler(self, cases: Cases) -> UnitRuler:
        """Return who carries rulings between units out."""
        return UnitRuler(
            cases=cases,
            rulings=self.dispatch.unit_rulings,
            acting=self.dispatch.acting,
            custody=self.custody,
            ordered=self.dispatch.ordered,
        )

    def join(
        self,
        *,
        arbitration: Arbitration,
        cases: Cases,
        parties: Parties,
        calendar: Callable[[], Calendar],
        audit: AuditLog,
        once: Once,
    ) -> UnitRequests:
        """Let dispatch file its disputes here; return what takes requests for a ruling."""
        disputes, requests = self.dispatch.disputes, self.dispatch.requests
        filings = UnitFilings(cases=cases, arbitration=arbitration, tickets=self.tickets)
        disputes.opened, disputes.ended = filings.open, filings.ended
        disputes.took, requests.failed = filings.taken, filings.declined
        disputes.unasked = filings.unasked
        return UnitRequests(
            tickets=self.tickets,
            disputes=disputes,
            cases=cases,
            parties=parties,
            calendar=calendar,
            audit=audit,
            once=once,
        )
