"""Evidence files of true stories hold, alone and together, and tell who held the ticket when."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from gateway.audit.store import ENTRIES
from gateway.custody.model import OfferReason
from gateway.evidence import export as export_module
from gateway.evidence.dossier import Check
from gateway.kernel.errors import (
    BatchTooLarge,
    FieldInvalid,
    PurposeMissing,
    ResourceNotFound,
    RoleMissing,
)
from gateway.kernel.ids import NATION, TicketNumber
from gateway.kernel.time import day_of
from tests.simulation import backups
from tests.simulation.stage import Stage
from tests.simulation.test_hosted_and_split import HOSTED, SPLIT, STORIES, told
from tests.simulation.world import COPIES
from tests.unit.evidence.evidence_files import (
    ROSTER_KEY,
    check,
    export,
    seal_all,
)


async def every_side(stage: Stage, ticket: TicketNumber) -> dict[str, bytes]:
    """Return the files of everybody who has something of a ticket."""
    files: dict[str, bytes] = {}
    for authority in (*stage.authorities, NATION):
        try:
            files[authority] = await export(stage, authority, ticket)
        except ResourceNotFound:
            continue
    return files


@pytest.mark.parametrize("nodes", [HOSTED, SPLIT], ids=["hosted", "split"])
@pytest.mark.parametrize("name", STORIES)
async def test_the_files_of_a_story_hold_alone_and_together(
    name: str, nodes: dict[str, tuple[str, ...]]
) -> None:
    stage, ticket = await told(nodes, name)
    files = await every_side(stage, ticket)
    for authority, raw in files.items():
        verdict = check(raw, rosters=(stage.roster,))
        assert verdict.holds, (authority, verdict.flaw)
        assert [passed.check for passed in verdict.passed] == list(Check)
    together = check(*files.values(), roster_key=ROSTER_KEY.public)
    assert together.holds, together.flaw


async def test_the_terms_say_who_held_the_ticket() -> None:
    stage = Stage()
    ticket = await stage.create("120000")
    await stage.hand_over("120000", ticket, "130000")
    await stage.hand_over("130000", ticket, "310000")
    verdict = check(await export(stage, "310000", ticket), rosters=(stage.roster,))
    outer = [
        (str(term.epoch), term.holder, term.how, term.source)
        for term in verdict.terms
        if term.chain.scope == NATION
    ]
    assert outer == [
        ("0.0", "120000", "Genesis", None),
        ("0.1", "130000", "Offer", "120000"),
        ("0.2", "310000", "Offer", "130000"),
    ]


async def test_an_overtaken_tail_is_open_until_its_custodian_stands_down() -> None:
    stage = Stage()
    ticket = await stage.create("120000")
    await stage.hand_over("120000", ticket, "130000")
    await stage.file("120000", ticket, target="310000")
    await stage.settle()
    await stage.rule(ticket, "310000", case=stage.filed[-1].case)
    await stage.only("arbiter", "shanghai")
    await stage.only("shanghai", "arbiter")
    early = [await export(stage, code, ticket) for code in ("310000", NATION)]
    verdict = check(*early, rosters=(stage.roster,))
    assert verdict.holds, verdict.flaw
    [tail] = verdict.passed[Check.TAILS.value - 1].remarks
    assert "tail of era 0 not closed (130000 has not stood down from 0.1)" in tail.english

    await stage.settle()
    files = await every_side(stage, ticket)
    closed = check(*files.values(), rosters=(stage.roster,))
    assert closed.holds, closed.flaw
    assert not closed.passed[Check.TAILS.value - 1].remarks


async def test_evidence_outlives_a_new_key() -> None:
    stage = Stage()
    ticket = await stage.create("120000")
    await stage.offer("120000", ticket, "130000")
    await stage.settle()
    stage.rotate(stage.node_of("130000").hosts[0])
    for node in stage.nodes.values():
        node.old_roster = None
        node.start()
    await stage.accept("130000", ticket)
    await stage.settle()
    files = await every_side(stage, ticket)
    verdict = check(*files.values(), rosters=(stage.roster,))
    assert verdict.holds, verdict.flaw
    entry = stage.roster.authority("130000")
    assert entry is not None
    assert len({key.key_id for key in entry.statement_keys}) == 2


async def test_evidence_outlives_the_content() -> None:
    """I10: what remains proves who held the ticket when, not what it said."""
    stage = Stage()
    ticket = await stage.create("120000")
    await stage.hand_over("120000", ticket, "130000")
    for node in stage.nodes.values():
        async with node.database.unit() as uow:
            for copy in node.database.rows(COPIES):
                uow.delete(COPIES, copy.authority, copy.ticket)
    files = await every_side(stage, ticket)
    verdict = check(*files.values(), rosters=(stage.roster,))
    assert verdict.holds, verdict.flaw
    assert len(verdict.terms) >= 2


async def test_no_content_is_in_a_file() -> None:
    stage = Stage()
    ticket = await stage.create("120000")
    await stage.hand_over("120000", ticket, "130000")
    for raw in (await every_side(stage, ticket)).values():
        assert b"a synthetic case" not in raw
        assert "合成市民".encode() not in raw


async def test_a_period_holds_every_ticket_with_a_row_in_it() -> None:
    stage = Stage()
    today = day_of(stage.clock.now())
    first = await stage.create("120000")
    stage.clock.advance(timedelta(days=1))
    second = await stage.create("120000")
    await stage.hand_over("120000", first, "130000")
    await seal_all(stage)
    both = check(
        await export(stage, "120000", None, first=today, last=today + timedelta(days=1)),
        rosters=(stage.roster,),
    )
    assert both.holds, both.flaw
    assert {term.chain.ticket for term in both.terms} == {first, second}
    one = check(await export(stage, "120000", None, first=today, last=today))
    assert {term.chain.ticket for term in one.terms} == {first}


async def test_rows_in_many_entries_have_paths_to_each() -> None:
    stage = Stage()
    ticket = await stage.create("120000")
    for _ in range(3):
        await stage.create("120000")
        await seal_all(stage)
        await stage.change("120000", ticket)
        stage.clock.advance(timedelta(minutes=10))
    await stage.hand_over("120000", ticket, "130000")
    verdict = check(await export(stage, "120000", ticket), rosters=(stage.roster,))
    assert verdict.holds, verdict.flaw
    assert verdict.passed[Check.ENTRIES.value - 1].examined == 4


async def test_what_was_in_flight_is_no_disagreement() -> None:
    stage = Stage()
    ticket = await stage.create("120000")
    await stage.offer("120000", ticket, "130000")
    await stage.settle()
    await stage.accept("130000", ticket)
    source, target = [await export(stage, code, ticket) for code in ("120000", "130000")]
    verdict = check(source, target, rosters=(stage.roster,))
    assert verdict.holds, verdict.flaw
    remarks = [remark.english for remark in verdict.passed[Check.SIDES.value - 1].remarks]
    assert any("no answer yet" in remark for remark in remarks)


async def test_receipts_of_peers_are_in_the_file() -> None:
    stage = Stage()
    ticket = await stage.create("120000")
    await stage.hand_over("120000", ticket, "130000")
    verdict = check(await export(stage, "120000", ticket), rosters=(stage.roster,))
    assert verdict.passed[Check.RECEIPTS.value - 1].examined >= 3


async def test_an_export_leaves_an_audit_row() -> None:
    stage = Stage()
    ticket = await stage.create("120000")
    await export(stage, "120000", ticket)
    [entry] = stage.node_of("120000").database.rows(ENTRIES)
    assert (entry.act, entry.subject) == ("custody.export", f"tickets/{ticket}")


async def test_an_unknown_ticket_and_an_empty_period_are_not_found() -> None:
    stage = Stage()
    ticket = await stage.create("120000")
    with pytest.raises(ResourceNotFound):
        await export(stage, "310000", ticket)
    with pytest.raises(ResourceNotFound):
        await export(stage, "120000", None, first=date(2020, 1, 1), last=date(2020, 1, 2))


@pytest.mark.parametrize(
    ("first", "last"),
    [(None, None), (date(2026, 3, 2), date(2026, 3, 1)), (date(2020, 1, 1), date(2026, 1, 1))],
)
async def test_a_period_is_two_days_in_order_and_bounded(
    first: date | None, last: date | None
) -> None:
    with pytest.raises(FieldInvalid):
        await export(Stage(), "120000", None, first=first, last=last)


async def test_content_needs_a_purpose_a_role_and_one_ticket() -> None:
    stage = Stage()
    ticket = await stage.create("120000")
    with pytest.raises(PurposeMissing):
        await export(stage, "120000", ticket, with_content=True)
    with pytest.raises(RoleMissing):
        await export(stage, "120000", ticket, with_content=True, purpose="dispute")
    day = day_of(stage.clock.now())
    with pytest.raises(FieldInvalid):
        await export(stage, "120000", None, first=day, last=day, with_content=True, purpose="x")


async def test_without_a_roster_of_ones_own_the_verdict_says_so() -> None:
    stage = Stage()
    ticket = await stage.create("120000")
    verdict = check(await export(stage, "120000", ticket))
    assert verdict.holds
    assert "come from the files themselves" in verdict.passed[0].remarks[0].english


async def test_a_homeward_hand_over_and_an_outer_chain_are_told_apart() -> None:
    stage = Stage()
    ticket = await stage.create("131000")
    await stage.settle()
    await stage.hand_over("131000", ticket, "130000", OfferReason.OUTBOUND)
    await stage.hand_over("130000", ticket, "120000")
    verdict = check(await export(stage, "130000", ticket), rosters=(stage.roster,))
    assert {(term.chain.scope, term.holder) for term in verdict.terms} >= {
        ("130000", "131000"),
        ("130000", "130000"),
        ("100000", "120000"),
    }


async def test_a_restored_node_that_recovered_has_evidence_that_holds() -> None:
    """Rows that were written again after a restore stand for statements of the life before."""
    stage = Stage()
    tianjin = stage.node_of("120000")
    ticket = await stage.create("120000")
    backup = tianjin.database.snapshot()
    await stage.hand_over("120000", ticket, "130000")
    await backups.restore(tianjin, backup)
    await backups.recover(tianjin)
    await stage.settle()
    files = await every_side(stage, ticket)
    verdict = check(*files.values(), rosters=(stage.roster,))
    assert verdict.holds, verdict.flaw
    assert len(verdict.terms) >= 2


async def test_a_node_that_forgot_its_answer_is_convicted_by_both_files() -> None:
    stage = Stage()
    hebei = stage.node_of("130000")
    ticket = await stage.create("120000")
    await stage.offer("120000", ticket, "130000")
    await stage.settle()
    backup = hebei.database.snapshot()
    await stage.accept("130000", ticket)
    await stage.settle()
    await backups.restore(hebei, backup, forgets=True)
    await stage.decline("130000", ticket)
    files = [await export(stage, code, ticket) for code in ("120000", "130000")]
    for raw in files:
        assert check(raw, rosters=(stage.roster,)).holds
    flaw = check(*files, rosters=(stage.roster,)).flaw
    assert flaw is not None
    assert flaw.check is Check.EPOCHS
    assert "Answer 0.1 130000" in flaw.where


async def test_a_period_of_too_many_tickets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module, "TICKETS_MAX", 2)
    stage = Stage()
    for _ in range(3):
        await stage.create("120000")
    day = day_of(stage.clock.now())
    with pytest.raises(BatchTooLarge):
        await export(stage, "120000", None, first=day, last=day)
