"""How disputes and the rules that came out of them are told. The cases are made up."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.cli.demo import proposed
from gateway.cli.demo.disputes import CaseFile, newest_by_ticket, short, told
from gateway.cli.output import Language

FILED = datetime(2026, 12, 31, 15, 55, tzinfo=UTC)
FILE = CaseFile(
    ticket="32020020261231000010015",
    state="CLOSED",
    cause="hops",
    ruling="UPHOLD",
    target="units/320213-CG-1",
    case="c",
    scope="320200",
    level="UNITS",
    form="LEAD_ASSIST",
    parts=("units/320213-GY-1",),
    interim="units/320213-CG-1",
    positions=2,
    filed=FILED,
    named=FILED + timedelta(minutes=61),
    ruled=FILED + timedelta(hours=2, minutes=5),
)
NAMES = {"320200": "无锡", "320213-CG-1": "梁溪城管", "320213-GY-1": "梁溪供水"}


@pytest.fixture(autouse=True)
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.output._Speech.language", Language.ZH)


def test_dispute_is_told_with_who_ruled_for_whom_and_how_long_it_took() -> None:
    text = "\n".join(told(FILE, NAMES))

    assert "临时指定 梁溪城管，提请后 1 小时 1 分" in text
    assert "无锡裁定维持·主办协办：梁溪城管承办，梁溪供水协办；" in text
    assert "提请后 2 小时 5 分裁定，已结案" in text
    assert short(FILE, NAMES) == "已结案：无锡裁定维持·主办协办，2 小时 5 分"


def test_hours_until_somebody_is_named_are_counted_up() -> None:
    assert FILE.facts["within_hours"] == 2
    exactly = CaseFile("t", "FILED", "path", filed=FILED, named=FILED + timedelta(hours=1))
    assert exactly.facts["within_hours"] == 1
    assert CaseFile("t", "FILED", "path", filed=FILED).facts["within_hours"] is None


def test_newest_dispute_of_a_ticket_is_shown() -> None:
    later = CaseFile(FILE.ticket, "FILED", "ruled", filed=FILED + timedelta(days=1))

    assert newest_by_ticket([later, FILE]) == {FILE.ticket: later}


def test_rule_is_told_with_its_trial_its_state_and_its_text() -> None:
    rule = proposed.ProposedRule(
        case="c",
        rule="ruling.c.r1",
        pack="310000.shanghai",
        text="  - id: ruling.c.r1",
        state="ACCEPTED",
        version="ACTIVE",
        examined=9,
        moved=1,
    )

    first, *text = proposed.told(rule)

    assert "回放 9 件既往派单，1 件改派；生效中" in first
    assert text == ["      - id: ruling.c.r1"]
    assert proposed.body(rule)["state"] == "ACTIVE"
