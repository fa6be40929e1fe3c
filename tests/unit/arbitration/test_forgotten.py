"""What a restored arbiter reads back of its rulings, and how filings find their case after it."""

from __future__ import annotations

from typing import cast

import pytest

from gateway.arbitration.custodians import CustodyRuler
from gateway.arbitration.forgotten import ruling_of
from gateway.arbitration.model import Order, Part
from gateway.arbitration.ports import RulingSigner
from gateway.arbitration.store import CASES
from gateway.custody import bodies
from gateway.database.uow import UnitOfWork
from gateway.kernel.codes import CaseRulingForm, CaseState, RulingKind
from gateway.kernel.ids import AuthorityCode
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
