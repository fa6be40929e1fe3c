"""Letters from the wrong side change nothing: acts come from the origin, questions go to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.custody import bodies, store
from gateway.custody.letter_codec import block_to_bytes
from gateway.custody.letters import origin_of
from gateway.custody.model import ChainKey, OfferReason
from gateway.delivery.model import Outcome, SealedBlock
from gateway.kernel.ids import GENESIS, NATION, AuthorityCode, Epoch, TicketNumber
from tests.simulation.stage import Stage

TIANJIN, HEBEI, SHANGHAI = (AuthorityCode(code) for code in ("120000", "130000", "310000"))
SHIJIAZHUANG, LANGFANG = AuthorityCode("130100"), AuthorityCode("131000")
FIRST = Epoch(0, 1)


@pytest.fixture
def stage() -> Stage:
    """A faultless federation of four nodes."""
    return Stage()


def an_act(stage: Stage) -> bodies.CitizenAct:
    return bodies.CitizenAct(1, 3, stage.clock.now())


def a_question(stage: Stage, asker: str) -> bodies.InformationRequest:
    return bodies.InformationRequest(1, AuthorityCode(asker), stage.clock.now())


def an_answer(stage: Stage, asker: str) -> bodies.InformationAnswer:
    return bodies.InformationAnswer(1, AuthorityCode(asker), stage.clock.now())


Letter = bodies.CitizenAct | bodies.InformationRequest | bodies.InformationAnswer


async def reason_of(
    stage: Stage,
    source: str,
    key: ChainKey,
    body: Letter,
    *,
    epoch: Epoch = FIRST,
    is_sealed: bool = True,
) -> tuple[Outcome, str]:
    """Hand a letter in as its source's node would; a refusal must leave everything as it was."""
    blocks: tuple[SealedBlock, ...] = ()
    if is_sealed:
        commitment, block = stage.sealed(
            source, key, epoch=epoch, kind="letter_block", block=block_to_bytes("a text")
        )
        body, blocks = replace(body, commitments=(commitment,)), (block,)
    before = stage.snapshot()
    signed = stage.forge(source, body, key, epoch=epoch)
    receipt = await stage.hand_in(signed, source=source, target=key.authority, blocks=blocks)
    if receipt.outcome is not Outcome.RECEIVED:
        assert stage.snapshot() == before
    return receipt.outcome, receipt.reason


REFUSED = (Outcome.REFUSED, "STATEMENT_MALFORMED")


def outer(target: AuthorityCode, ticket: TicketNumber) -> ChainKey:
    return ChainKey(target, ticket, NATION, 1)


async def handed_over(stage: Stage) -> TicketNumber:
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    return ticket


async def test_the_custodian_does_not_speak_for_the_citizen(stage: Stage) -> None:
    ticket = await handed_over(stage)
    key = outer(TIANJIN, ticket)
    assert await reason_of(stage, HEBEI, key, an_act(stage)) == REFUSED
    assert await reason_of(stage, HEBEI, key, an_answer(stage, HEBEI)) == REFUSED


async def test_a_stranger_speaks_for_nobody(stage: Stage) -> None:
    ticket = await handed_over(stage)
    for body in (an_act(stage), an_answer(stage, HEBEI)):
        assert await reason_of(stage, SHANGHAI, outer(HEBEI, ticket), body) == REFUSED


async def test_a_later_custodian_does_not_speak_for_the_citizen(stage: Stage) -> None:
    ticket = await handed_over(stage)
    await stage.hand_over(HEBEI, ticket, SHANGHAI)
    key, epoch = outer(HEBEI, ticket), Epoch(0, 2)
    assert await reason_of(stage, SHANGHAI, key, an_act(stage), epoch=epoch) == REFUSED


async def test_an_earlier_custodian_passes_on_what_came_late(stage: Stage) -> None:
    ticket = await handed_over(stage)
    await stage.hand_over(HEBEI, ticket, SHANGHAI)
    key = outer(SHANGHAI, ticket)
    outcome, _ = await reason_of(stage, HEBEI, key, an_act(stage))
    assert outcome is Outcome.RECEIVED


async def test_a_city_that_never_held_it_speaks_for_nobody_at_home(stage: Stage) -> None:
    ticket = await handed_over(stage)
    key = ChainKey(HEBEI, ticket, HEBEI, 1)
    assert await reason_of(stage, LANGFANG, key, an_act(stage), epoch=GENESIS) == REFUSED
    asked = a_question(stage, LANGFANG)
    assert await reason_of(stage, LANGFANG, key, asked, epoch=GENESIS) == REFUSED


async def test_the_origin_asks_itself_nothing_through_others(stage: Stage) -> None:
    ticket = await handed_over(stage)
    key = outer(HEBEI, ticket)
    assert await reason_of(stage, TIANJIN, key, a_question(stage, TIANJIN)) == REFUSED


async def test_nobody_tells_the_origin_what_its_citizen_did(stage: Stage) -> None:
    """Also when the ticket came back to the origin, from one who held it between."""
    ticket = await stage.create(LANGFANG)
    await stage.settle()
    await stage.offer(LANGFANG, ticket, HEBEI, OfferReason.OUTBOUND)
    await stage.settle()
    if stage.invitations(HEBEI):
        await stage.accept(HEBEI, ticket)
        await stage.settle()
    await stage.hand_over(HEBEI, ticket, LANGFANG)
    key = ChainKey(LANGFANG, ticket, HEBEI, 1)
    assert stage.chain(LANGFANG, ticket).path == (HEBEI, LANGFANG)
    assert await reason_of(stage, HEBEI, key, an_act(stage)) == REFUSED


async def test_nobody_asks_for_another_province(stage: Stage) -> None:
    ticket = await handed_over(stage)
    key = outer(TIANJIN, ticket)
    assert await reason_of(stage, HEBEI, key, a_question(stage, SHANGHAI)) == REFUSED
    assert (await reason_of(stage, HEBEI, key, a_question(stage, LANGFANG)))[0] is Outcome.RECEIVED


async def test_a_question_of_a_stranger_is_refused_and_of_a_later_term_comes_again(
    stage: Stage,
) -> None:
    """Only an update can tell that a later term exists; until then the question waits outside."""
    ticket = await handed_over(stage)
    key, body = outer(TIANJIN, ticket), a_question(stage, SHANGHAI)
    assert await reason_of(stage, SHANGHAI, key, body) == REFUSED
    outcome, _ = await reason_of(stage, SHANGHAI, key, body, epoch=Epoch(0, 2))
    assert outcome is Outcome.DEFERRED


async def test_a_letter_without_its_text_is_refused(stage: Stage) -> None:
    ticket = await handed_over(stage)
    refused = await reason_of(
        stage, TIANJIN, outer(HEBEI, ticket), an_act(stage), epoch=GENESIS, is_sealed=False
    )
    assert refused == (Outcome.REFUSED, "COMMITMENT_MISMATCH")


async def test_letters_are_no_rows_of_the_ledger(stage: Stage) -> None:
    ticket = await handed_over(stage)
    rows = len(stage.node_of(HEBEI).database.rows(store.CUSTODY_ROWS))
    outcome, _ = await reason_of(stage, TIANJIN, outer(HEBEI, ticket), an_act(stage), epoch=GENESIS)
    assert outcome is Outcome.RECEIVED
    assert len(stage.node_of(HEBEI).database.rows(store.CUSTODY_ROWS)) == rows


async def test_the_origin_of_a_number_is_who_received_the_message(stage: Stage) -> None:
    assert origin_of(await stage.create(LANGFANG)) == LANGFANG
    assert origin_of(await stage.create(TIANJIN)) == TIANJIN
