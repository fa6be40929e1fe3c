"""Filings, cases and orders of two made-up disputes in Hebei and between provinces."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gateway.arbitration import machine
from gateway.arbitration.model import (
    Case,
    CaseKey,
    CaseRuling,
    Filing,
    Order,
    RulingDue,
    TicketFacts,
)
from gateway.kernel.codes import RulingKind, TicketType, Urgency
from gateway.kernel.ids import AuthorityCode, TicketNumber

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)  # a Monday, 10:00 in Shanghai
NATION, HEBEI, TIANJIN = (AuthorityCode(code) for code in ("100000", "130000", "120000"))
SHIJIAZHUANG, BAODING, LANGFANG = (AuthorityCode(code) for code in ("130100", "130600", "131000"))
TICKET = TicketNumber("13010020260302000000013")
FACTS = TicketFacts(
    matter="041200",
    region="131082",
    urgency=Urgency.NORMAL,
    type=TicketType.COMPLAINT,
    due_time=datetime(2026, 3, 20, 9, 30, tzinfo=UTC),
)


def a_filing(**changes: Any) -> Filing:
    """Return the filing of 石家庄, which held the ticket after 保定 and may not offer it again."""
    filing = Filing(
        key=CaseKey(HEBEI, f"{TICKET}-130000-1-0"),
        ticket=TICKET,
        chain=1,
        cause="path",
        filer=SHIJIAZHUANG,
        proposed_target=BAODING,
        path=(BAODING, SHIJIAZHUANG),
        facts=FACTS,
    )
    return replace(filing, **changes)


def a_case(**changes: Any) -> Case:
    """Return the case of `a_filing`."""
    return replace(machine.file(a_filing(), now=NOW, due=RulingDue(NOW)), **changes)


def an_order(
    kind: RulingKind = RulingKind.REASSIGN, target: str = LANGFANG, **changes: Any
) -> Order:
    """Return an order of the panel."""
    order = Order(
        kind=kind,
        target=AuthorityCode(target),
        legal_basis="属地管理原则（测试）",
        reasons="事发地在该市辖区内（测试）。",
    )
    return replace(order, **changes)


def a_ruling(number: int = 1, order: Order | None = None, **changes: Any) -> CaseRuling:
    """Return what an order becomes once custody has numbered it."""
    given = order or an_order()
    ruling = CaseRuling(
        number=number,
        kind=given.kind,
        target=given.target,
        legal_basis=given.legal_basis,
        offers_allowed=given.offers_allowed,
        mandates=given.mandates,
        ruler="lubiao://130000/staff/panel1",
        issued=NOW,
        reasons=given.reasons,
    )
    return replace(ruling, **changes)
