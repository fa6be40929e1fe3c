"""Stand-by between authorities: a person decides, custody stays, the window moves once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.custody import bodies, stand_by, store
from gateway.custody.model import Chain, ChainKey, Holding, Verdict
from gateway.custody.rows import invitation_of
from gateway.delivery.codec import instant_from_pb, instant_to_pb
from gateway.delivery.model import Outcome
from gateway.kernel.codes import RulingKind
from gateway.kernel.errors import FieldInvalid, ResourceNotFound, TransitionNotAllowed
from gateway.kernel.ids import NATION, AuthorityCode, Epoch, TicketNumber
from gateway.trust.statements import digest
from tests.simulation.node import LATER_KINDS
from tests.simulation.stage import WINDOW, Stage
from tests.unit.custody.builders import HOUR, NOW, a_chain, an_offer_made
from tests.unit.custody.stories import BAODING, HEBEI, SHANGHAI, SHIJIAZHUANG, TIANJIN, a_stage
from tests.unit.custody.stories import refused as is_refused

SECOND = timedelta(seconds=1)
FIRST = Epoch(0, 1)


async def offered(stage: Stage, *, at: str = TIANJIN, to: str = HEBEI) -> TicketNumber:
    """Return a ticket that waits for the answer of another authority."""
    ticket = await stage.create(at)
    await stage.offer(at, ticket, to)
    await stage.settle()
    return ticket


def custody_of(stage: Stage, *authorities: str, ticket: str) -> list[Chain]:
    """Return what custody is at some authorities, without their ledgers."""
    rows = [stage.chain(authority, ticket) for authority in authorities]
    return [replace(row, chain_head=b"", rows=0) for row in rows]


async def after_a_window(stage: Stage, windows: float) -> None:
    """Let time pass, and every timer ring that is due."""
    stage.clock.advance(windows * WINDOW + SECOND)
    await stage.timers()
    await stage.settle()


# --- what it is for ---------------------------------------------------------------------------


async def test_a_person_who_decides_late_costs_no_epoch_and_no_second_offer() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    await stage.stand_by(HEBEI, ticket, windows=1.5)
    await stage.settle()
    await after_a_window(stage, 1)
    assert not stage.said(TIANJIN, "Revoke")
    assert stage.chain(TIANJIN, ticket).holding is Holding.OFFERED
    await stage.accept(HEBEI, ticket)
    await stage.settle()
    held = stage.chain(HEBEI, ticket)
    assert (held.holding, held.term_epoch) == (Holding.HELD, FIRST)


async def test_nothing_of_custody_changes_and_no_answer_is_given() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    before = custody_of(stage, TIANJIN, HEBEI, ticket=ticket)
    await stage.stand_by(HEBEI, ticket)
    await stage.settle()
    assert custody_of(stage, TIANJIN, HEBEI, ticket=ticket) == before
    made = stage.offer_made(TIANJIN, ticket)
    assert (made.verdict, made.decider) == (Verdict.PENDING, "dispatcher")
    assert not stage.said(HEBEI, "Answer")


async def test_between_a_province_and_its_city_it_is_the_same() -> None:
    stage = a_stage()
    ticket = await offered(stage, at=SHIJIAZHUANG, to=BAODING)
    await stage.stand_by(BAODING, ticket)
    await stage.settle()
    made = stage.offer_made(SHIJIAZHUANG, ticket)
    assert made.stand_by_until == made.window_end + WINDOW


async def test_both_sides_keep_the_row_and_the_exact_bytes() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    await stage.stand_by(HEBEI, ticket)
    await stage.settle()
    [said] = stage.said(HEBEI, "StandBy")
    rows = [
        row.authority
        for node in stage.nodes.values()
        for row in node.database.rows(store.CUSTODY_ROWS)
        if row.subject_digest == said.digest
    ]
    assert sorted(rows) == [TIANJIN, HEBEI]


# --- the bound --------------------------------------------------------------------------------


@pytest.mark.parametrize("windows", [None, 1.5, 50])
async def test_a_window_lasts_at_most_one_more_of_its_length(windows: float | None) -> None:
    stage = a_stage()
    ticket = await offered(stage)
    await stage.stand_by(HEBEI, ticket, windows=windows)
    await stage.settle()
    made = stage.offer_made(TIANJIN, ticket)
    expected = WINDOW / 2 if windows == 1.5 else WINDOW
    assert made.stand_by_until == made.window_end + expected
    [row] = stage.node_of(HEBEI).database.rows(store.INVITATIONS)
    assert invitation_of(row).stand_by_until == made.stand_by_until, "both sides say the same"
    await after_a_window(stage, 2)
    assert len(stage.said(TIANJIN, "Revoke")) == 1
    assert stage.chain(TIANJIN, ticket).holding is Holding.HELD


async def test_the_window_after_the_recall_is_as_long_as_the_first_one() -> None:
    stage = Stage()
    ticket = await offered(stage)
    await stage.stand_by(HEBEI, ticket)
    await stage.settle()
    stage.clock.advance(2 * WINDOW + SECOND)
    await stage.timers()  # asked back, and nobody hears it
    assert stage.chain(TIANJIN, ticket).holding is Holding.REVOKING
    stage.clock.advance(WINDOW - SECOND)
    await stage.timers()
    assert not stage.chain(TIANJIN, ticket).case
    stage.clock.advance(2 * SECOND)
    await stage.timers()
    assert stage.chain(TIANJIN, ticket).case


async def test_the_bound_is_read_from_the_offer_and_from_no_clock_of_the_other_side() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    stage.node_of(HEBEI).clock.skew = timedelta(minutes=5)
    await stage.stand_by(HEBEI, ticket)
    await stage.settle()
    made = stage.offer_made(TIANJIN, ticket)
    assert made.stand_by_until == made.window_end + WINDOW


def test_no_time_that_is_said_makes_a_window_shorter() -> None:
    made = an_offer_made(stand_by_until=NOW)
    assert stand_by.moved_end(made) == made.window_end
    early = stand_by.latest_end(offered=NOW, window_end=NOW)
    assert early == NOW + stand_by.SILENCE_MIN, "a window of no length still has a bound"


# --- once, and in time ------------------------------------------------------------------------


async def test_it_is_said_once_for_each_offer() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    await stage.stand_by(HEBEI, ticket)
    with pytest.raises(TransitionNotAllowed, match="stood by already"):
        await stage.stand_by(HEBEI, ticket)
    await stage.settle()
    await after_a_window(stage, 2)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    await stage.stand_by(HEBEI, ticket)
    await stage.settle()
    assert stage.offer_made(TIANJIN, ticket).stand_by_until is not None, (
        "another offer, another one"
    )


async def test_it_is_not_said_when_the_window_is_over_or_the_time_is() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    with pytest.raises(FieldInvalid):
        await stage.stand_by(HEBEI, ticket, windows=-1)
    stage.clock.advance(WINDOW + SECOND)
    with pytest.raises(TransitionNotAllowed, match="past the window"):
        await stage.stand_by(HEBEI, ticket)


async def test_without_an_open_invitation_there_is_nothing_to_stand_by() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    key = ChainKey(AuthorityCode(SHANGHAI), ticket, NATION, 1)
    node = stage.node_of(SHANGHAI)
    async with node.database.unit() as uow:
        with pytest.raises(ResourceNotFound):
            await node.custody.stand_by(
                uow, key, decider="dispatcher", until=None, now=node.clock.now()
            )


async def test_a_resent_one_changes_nothing_more() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    await stage.stand_by(HEBEI, ticket)
    late = await stage.hold_back("hebei", "StandBy")
    await stage.let_go("hebei", [*late])
    before = stage.snapshot()
    await stage.let_go("hebei", [*late])
    assert stage.snapshot() == before


def test_the_same_bytes_without_an_envelope_are_no_row_either() -> None:
    """Between two hosted on one node no inbox tells."""
    given = a_received(before=(digest(b"said"),))
    step = stand_by.receive_stand_by(a_chain(Holding.OFFERED), an_offer_made(), given, now=NOW)
    assert (step.records, step.made) == (False, ())


@pytest.mark.parametrize("holding", [Holding.REVOKING, Holding.YIELDING, Holding.RELEASED])
def test_only_a_pending_offer_that_nobody_asked_back_has_a_window_to_move(holding: Holding) -> None:
    chain = a_chain(holding)
    step = stand_by.receive_stand_by(chain, an_offer_made(), a_received(), now=NOW)
    assert (step.chain, step.made, step.events) == (chain, (), ())


def test_what_comes_after_the_window_is_kept_and_moves_nothing() -> None:
    made = an_offer_made()
    late = made.window_end + SECOND
    step = stand_by.receive_stand_by(a_chain(Holding.OFFERED), made, a_received(), now=late)
    assert step.made == ()


async def test_one_that_its_answer_overtook_changes_nothing() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    await stage.stand_by(HEBEI, ticket)
    late = await stage.hold_back("hebei", "StandBy")
    await stage.decline(HEBEI, ticket)
    await stage.settle()
    await stage.let_go("hebei", late)
    made = stage.offer_made(TIANJIN, ticket)
    assert (made.verdict, made.stand_by_until) == (Verdict.DECLINED, None)
    assert stage.chain(TIANJIN, ticket).holding is Holding.HELD


async def test_a_recall_and_a_ruling_go_through_whoever_is_deciding() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    await stage.stand_by(HEBEI, ticket)
    await stage.settle()
    await stage.revoke(TIANJIN, ticket)
    await stage.settle()
    assert stage.chain(TIANJIN, ticket).holding is Holding.HELD
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    await stage.stand_by(HEBEI, ticket)
    await stage.file(TIANJIN, ticket)
    await stage.settle()
    await stage.rule(ticket, SHANGHAI, kind=RulingKind.REASSIGN)
    await stage.settle()
    assert not stage.invitations(HEBEI)
    assert stage.chain(SHANGHAI, ticket).holding is Holding.HELD


# --- hostile, and older -----------------------------------------------------------------------


def a_received(**changes: object) -> stand_by.ReceivedStandBy:
    """Return 河北's StandBy for the offer of the builders."""
    body = bodies.StandBy(digest(b"offer"), NOW + 2 * HOUR, "dispatcher")
    given = stand_by.ReceivedStandBy(
        source=an_offer_made().target,
        epoch=FIRST,
        digest=digest(b"said"),
        body=body,
        before=(),
        latest=NOW + 2 * HOUR,
    )
    return replace(given, **changes)  # type: ignore[arg-type] # named by the test


async def test_a_second_one_in_other_words_is_refused_and_moves_nothing() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    await stage.stand_by(HEBEI, ticket, windows=1.1)
    await stage.settle()
    at = stage.chain(TIANJIN, ticket).key
    made = stage.offer_made(TIANJIN, ticket)
    second = bodies.StandBy(made.statement_digest, made.window_end + WINDOW, "supervisor")
    await is_refused(stage, second, issuer=HEBEI, at=at, epoch=FIRST)
    assert stage.offer_made(TIANJIN, ticket) == made


async def test_for_an_offer_that_was_not_made_to_its_signer_it_is_refused() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    at = stage.chain(TIANJIN, ticket).key
    offer = stage.offer_made(TIANJIN, ticket).statement_digest
    told = bodies.StandBy(offer, stage.clock.now() + WINDOW, "dispatcher")
    await is_refused(stage, told, issuer=SHANGHAI, at=at, epoch=FIRST)
    await is_refused(stage, told, issuer=HEBEI, at=at, epoch=Epoch(0, 2))
    other = replace(told, offer_digest=digest(b"another offer"))
    await is_refused(stage, other, issuer=HEBEI, at=at, epoch=FIRST)


async def test_a_name_in_place_of_a_role_is_refused() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    at = stage.chain(TIANJIN, ticket).key
    offer = stage.offer_made(TIANJIN, ticket).statement_digest
    named = bodies.StandBy(offer, stage.clock.now() + WINDOW, "某某某（测试）")
    await is_refused(stage, named, issuer=HEBEI, at=at, epoch=FIRST)


async def test_a_hostile_time_is_cut_to_the_bound() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    made = stage.offer_made(TIANJIN, ticket)
    at = stage.chain(TIANJIN, ticket).key
    far = bodies.StandBy(made.statement_digest, made.window_end + 100 * WINDOW, "dispatcher")
    signed = stage.forge(HEBEI, far, at, epoch=FIRST)
    receipt = await stage.hand_in(signed, source=HEBEI, target=TIANJIN)
    assert receipt.outcome is Outcome.RECEIVED
    assert stage.offer_made(TIANJIN, ticket).stand_by_until == made.window_end + WINDOW


async def test_towards_an_older_version_the_window_ends_as_before_and_custody_goes_on() -> None:
    """It defers the kind that it does not know; what is said after it goes through."""
    assert "StandBy" in LATER_KINDS
    stage = Stage()
    ticket = await offered(stage)
    older = stage.node_of(TIANJIN)
    older.is_earlier_version = True
    older.start()
    await stage.stand_by(HEBEI, ticket)
    await stage.only("hebei")
    assert stage.waiting("hebei") == ["StandBy"], "it is deferred, and waits"
    stage.clock.advance(WINDOW + SECOND)
    await stage.timers()
    await stage.only("tianjin")
    await stage.only("hebei")
    assert stage.chain(TIANJIN, ticket).holding is Holding.HELD
    await stage.offer(TIANJIN, ticket, SHANGHAI)
    await stage.only("tianjin")
    await stage.accept(SHANGHAI, ticket)
    await stage.only("shanghai")
    assert stage.chain(TIANJIN, ticket).holding is Holding.RELEASED
    older.is_earlier_version = False
    older.start()
    await stage.settle()
    assert stage.offer_made(TIANJIN, ticket).stand_by_until is None
    assert stage.chain(SHANGHAI, ticket).holding is Holding.HELD


def test_no_window_ends_where_no_time_can_be_said() -> None:
    far = datetime(2900, 1, 1, tzinfo=UTC)
    assert stand_by.latest_end(offered=NOW, window_end=far) == stand_by.LAST
    assert stand_by.latest_end(offered=NOW, window_end=stand_by.LAST) == stand_by.LAST
    assert instant_from_pb(instant_to_pb(stand_by.LAST)) == stand_by.LAST


def test_a_word_that_is_no_role_is_not_kept() -> None:
    body = bodies.StandBy(digest(b"offer"), NOW + HOUR, "zhang-san")
    made = an_offer_made()
    given = stand_by.ReceivedStandBy(
        made.target, made.epoch, digest(b"said"), body, (), made.window_end + HOUR
    )
    step = stand_by.receive_stand_by(a_chain(Holding.OFFERED), made, given, now=NOW)
    assert [offer.decider for offer in step.made] == [""]
