"""What a restored arbiter reads back of its rulings, and how filings find their case after it."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import pytest

from gateway.arbitration.custodians import CustodyRuler
from gateway.arbitration.forgotten import ruling_of
from gateway.arbitration.model import Order, Part
from gateway.arbitration.ports import RulingSigner
from gateway.arbitration.store import CASES, RULINGS
from gateway.custody import bodies
from gateway.database.uow import UnitOfWork
from gateway.kernel.codes import CaseRulingForm, CaseState, RulingKind
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.trust.roster import Roster
from tests.simulation.stage import Stage
from tests.unit.arbitration.builders import (
    BAODING,
    HEBEI,
    NATION,
    NOW,
    SHIJIAZHUANG,
    TIANJIN,
    a_case,
)

FORM = CaseRulingForm
SHANGHAI = "310000"
EARLIER = "13000020260301000010004"


class Pen:
    """Signs nothing and keeps what it was to sign."""

    def __init__(self) -> None:
        self.body: bodies.Ruling | None = None

    async def rule(self, _uow: UnitOfWork, **given: object) -> int:
        names = ("target", "kind", "offers_allowed", "mandates", "legal_basis", "case", "parts")
        told = {name: given[name] for name in (*names, "merge_into")}
        rest = {"previous": b"", "effective": NOW, "last_record": b"", "ticket_uid": ""}
        form = int(cast("CaseRulingForm", given["form"]))
        self.body = bodies.Ruling(number=3, form=form, **told, **rest)  # type: ignore[arg-type] # by name
        return 3


@pytest.mark.parametrize(
    "order",
    [
        {"form": FORM.UNSPECIFIED},
        {"form": FORM.JOINT, "parts": (Part(SHIJIAZHUANG),)},
        {"form": FORM.SPLIT, "parts": (Part(SHIJIAZHUANG, "041200"),)},
        {"form": FORM.MERGE, "merge_into": EARLIER},
        {"form": FORM.REFER_OUT, "target": "120000"},
    ],
    ids=lambda order: order["form"].name,
)
async def test_a_ruling_reads_back_as_it_was_ordered(order: dict[str, object]) -> None:
    given: dict[str, object] = {
        "kind": RulingKind.REASSIGN,
        "target": BAODING,
        "legal_basis": "依据（测试）",
        "reasons": "理由（测试）",
    }
    asked = Order(**(given | order))  # type: ignore[arg-type] # by name
    pen, roster = Pen(), cast("Roster", None)
    ruler = CustodyRuler(signer=cast("RulingSigner", pen), roster=lambda: roster)
    await ruler.carry_out(cast("UnitOfWork", None), a_case(), asked, now=NOW)
    assert pen.body is not None
    read = ruling_of(pen.body, scope=AuthorityCode(HEBEI), issued=NOW)
    for name in ("kind", "target", "form", "parts", "merge_into", "offers_allowed", "legal_basis"):
        assert getattr(read, name) == getattr(asked, name), name


class Panels(Stage):
    """A stage whose arbiters have real cases; a test rules past them, as one that forgot it did."""

    has_panels = True


def _cases(stage: Stage) -> dict[str, CaseState]:
    rows = stage.node_of(NATION).database.rows(CASES)
    return {row.case_id.rpartition("-")[2]: CaseState(row.state) for row in rows}


async def test_a_later_dispute_joins_no_case_whose_ruling_was_forgotten() -> None:
    """Else nobody rules in it: who has to wait for its ruling waits for ever."""
    stage = Panels()
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(HEBEI, ticket)
    await stage.settle()
    assert _cases(stage) == {"0": CaseState.FILED}
    await stage.rule(ticket, TIANJIN, case=f"{ticket}-{NATION}-1-0")
    await stage.settle()
    await stage.file(TIANJIN, ticket)
    await stage.settle()
    assert _cases(stage) == {"0": CaseState.CLOSED, "1": CaseState.FILED}


async def test_a_case_filed_after_a_consent_is_opened_though_it_came_before_the_word_of_it() -> (
    None
):
    stage = Panels()
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(HEBEI, ticket)
    await stage.assume(TIANJIN, ticket)
    await stage.settle()
    await stage.offer(HEBEI, ticket, TIANJIN)
    await stage.only("hebei")
    [consent] = await stage.hold_back("tianjin", "CaseFiling")
    await stage.file(TIANJIN, ticket)
    await stage.settle()
    assert _cases(stage) == {"0": CaseState.FILED}, "it joined the one that is open"
    await stage.let_go("tianjin", [consent])
    await stage.settle()
    assert _cases(stage) == {"0": CaseState.WITHDRAWN, "0.2": CaseState.FILED}


async def _ruled_by_the_clock(stage: Stage) -> TicketNumber:
    """Return a ticket whose case the clock ruled, of which nobody has heard yet."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(HEBEI, ticket)
    await stage.settle()
    for _ in range(2):  # it is urgent: the clock first names somebody for the time being
        stage.clock.advance(timedelta(days=5))
        await stage.timers()
    await stage.hold_back("arbiter", "Ruling")
    assert _cases(stage) == {"0": CaseState.RULED}
    return ticket


async def test_a_case_closes_when_its_forgotten_ruling_is_taken() -> None:
    """A restored arbiter knew the first ruling of the case, and not the one that was taken."""
    stage = Panels()
    ticket = await _ruled_by_the_clock(stage)
    case = f"{ticket}-{NATION}-1-0"
    assert await stage.rule(ticket, SHANGHAI, case=case) == 3
    await stage.settle()
    assert _cases(stage) == {"0": CaseState.CLOSED}
    rulings = stage.node_of(NATION).database.rows(RULINGS)
    assert {row.number: row.target for row in rulings}[3] == SHANGHAI


async def test_a_case_closes_when_a_ruling_of_a_forgotten_case_is_taken() -> None:
    stage = Panels()
    ticket = await _ruled_by_the_clock(stage)
    await stage.rule(ticket, SHANGHAI, case=f"{ticket}-{NATION}-1-1")
    await stage.settle()
    assert _cases(stage) == {"0": CaseState.CLOSED}


async def test_a_closed_case_has_the_ruling_that_answered_a_forgotten_objection() -> None:
    stage = Panels()
    ticket = await _ruled_by_the_clock(stage)
    await stage.rule(ticket, HEBEI, case=f"{ticket}-{NATION}-1-0")
    await stage.settle()
    assert _cases(stage) == {"0": CaseState.CLOSED}
    await stage.rule(ticket, SHANGHAI, case=f"{ticket}-{NATION}-1-0")
    await stage.settle()
    assert _cases(stage) == {"0": CaseState.CLOSED}
    [row] = stage.node_of(NATION).database.rows(CASES)
    rulings = stage.node_of(NATION).database.rows(RULINGS)
    assert (row.responsible, max(item.number for item in rulings)) == (SHANGHAI, 4)


async def test_a_filing_that_comes_again_opens_no_dispute_that_is_over() -> None:
    """Its case was forgotten, and is known by its ruling before its filing is returned."""
    stage = Panels()
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(HEBEI, ticket)
    filing = await stage.hold_back("hebei", "CaseFiling")
    await stage.file(TIANJIN, ticket)
    await stage.settle()
    case = f"{ticket}-{NATION}-1-0"
    async with stage.node_of(NATION).database.unit() as uow:
        uow.delete(CASES, NATION, case)
    await stage.rule(ticket, SHANGHAI, case=case)
    await stage.settle()
    await stage.let_go("hebei", filing)
    await stage.settle()
    assert _cases(stage) == {"0": CaseState.CLOSED}
