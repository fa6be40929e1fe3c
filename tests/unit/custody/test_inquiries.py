"""Questions to who offers a ticket: no answer to the offer; nothing moves, and no text stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.custody import bodies, inquiries, letter_codec, store
from gateway.custody.model import Chain, Holding, OfferMade, Verdict
from gateway.database.timers import TIMERS
from gateway.delivery.model import Outcome
from gateway.kernel.errors import ResourceNotFound, TransitionNotAllowed
from gateway.kernel.ids import Epoch, TicketNumber
from gateway.trust.statements import digest
from tests.simulation.stage import Stage
from tests.unit.custody.builders import NOW, a_chain, an_invitation, an_offer_made
from tests.unit.custody.stories import BAODING, HEBEI, SHANGHAI, SHIJIAZHUANG, TIANJIN, a_stage
from tests.unit.custody.stories import refused as is_refused

FIRST = Epoch(0, 1)
QUESTION, ANSWER = "合成问题：哪一座桥？", "合成答复：北桥。"


async def offered(stage: Stage, *, at: str = TIANJIN, to: str = HEBEI) -> TicketNumber:
    """Return a ticket that waits for the answer of another authority."""
    ticket = await stage.create(at)
    await stage.offer(at, ticket, to)
    await stage.settle()
    return ticket


def what_moves(stage: Stage, ticket: str) -> tuple[list[Chain], list[object]]:
    """Return custody at both sides and every timer."""
    chains = [stage.chain(authority, ticket) for authority in (TIANJIN, HEBEI)]
    return chains, [row for node in stage.nodes.values() for row in node.database.rows(TIMERS)]


async def asked(stage: Stage, ticket: TicketNumber) -> OfferMade:
    """Let 河北 ask, and return the offer of 天津 that it is about."""
    await stage.ask(HEBEI, ticket, QUESTION)
    await stage.settle()
    return stage.offer_made(TIANJIN, ticket)


async def test_question_and_answer_arrive_and_nothing_of_custody_moves() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    before = what_moves(stage, ticket)
    made = await asked(stage, ticket)
    assert (await stage.words(TIANJIN, made)).question == QUESTION
    await stage.inform(TIANJIN, ticket, ANSWER)
    await stage.settle()
    words = await stage.words(HEBEI, made)
    assert (words.question, words.answer) == (QUESTION, ANSWER)
    assert what_moves(stage, ticket) == before, "not even the ledger: a question is no row"
    await stage.accept(HEBEI, ticket)
    await stage.settle()
    assert stage.chain(HEBEI, ticket).holding is Holding.HELD


async def test_between_two_of_one_node_it_is_sealed_all_the_same() -> None:
    stage = a_stage()
    ticket = await offered(stage, at=SHIJIAZHUANG, to=BAODING)
    await stage.ask(BAODING, ticket, QUESTION)
    made = stage.offer_made(SHIJIAZHUANG, ticket)
    assert (await stage.words(SHIJIAZHUANG, made)).question == QUESTION
    assert QUESTION.encode() not in made.sealed


async def test_no_text_stands_in_a_statement_nor_unsealed_anywhere() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    await asked(stage, ticket)
    await stage.inform(TIANJIN, ticket, ANSWER)
    await stage.settle()
    stored = stage.snapshot().encode()
    assert repr(QUESTION.encode())[2:-1].encode() not in stored
    assert repr(ANSWER.encode())[2:-1].encode() not in stored


@pytest.mark.parametrize("verb", ["accept", "decline"])
async def test_the_answer_to_the_offer_ends_the_texts_on_both_sides(verb: str) -> None:
    stage = a_stage()
    ticket = await offered(stage)
    made = await asked(stage, ticket)
    await stage.inform(TIANJIN, ticket)
    await stage.settle()
    await getattr(stage, verb)(HEBEI, ticket)
    await stage.settle()
    for authority in (TIANJIN, HEBEI):
        with pytest.raises(ResourceNotFound):
            await stage.words(authority, made)


async def test_an_answer_is_given_once_and_three_questions_are_enough() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    for number in range(1, 4):
        await stage.ask(HEBEI, ticket)
        await stage.settle()
        await stage.inform(TIANJIN, ticket)
        with pytest.raises(TransitionNotAllowed, match=f"without question {number}"):
            await stage.inform(TIANJIN, ticket)
        await stage.settle()
    with pytest.raises(TransitionNotAllowed, match="after 3 questions"):
        await stage.ask(HEBEI, ticket)


async def test_an_answer_to_an_earlier_question_is_not_taken_for_that_of_the_newest() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    await asked(stage, ticket)
    await stage.ask(HEBEI, ticket, "合成问题：还有一座？")
    await stage.settle()
    made, node = stage.offer_made(TIANJIN, ticket), stage.node_of(TIANJIN)
    async with node.database.unit() as uow:
        await uow.lock(f"ticket/{ticket}")
        with pytest.raises(TransitionNotAllowed, match="without question 1"):
            await node.custody.inquiring.answer(
                uow, made.key, made.epoch, number=1, answer=ANSWER, now=node.clock.now()
            )


async def test_a_ruling_that_overtakes_the_offer_ends_the_text() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    made = await asked(stage, ticket)
    await stage.file(TIANJIN, ticket)
    await stage.settle()
    await stage.only("tianjin")
    await stage.rule(ticket, SHANGHAI)
    for node in ("arbiter", "shanghai"):
        await stage.only(node, "tianjin")
    assert stage.chain(TIANJIN, ticket).holding is not Holding.OFFERED
    assert stage.offer_made(TIANJIN, ticket).verdict is Verdict.PENDING, "nobody answers it"
    assert not stage.offer_made(TIANJIN, ticket).sealed
    with pytest.raises(ResourceNotFound):
        await stage.words(TIANJIN, made)


async def test_what_its_answer_overtook_changes_nothing() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    await stage.ask(HEBEI, ticket)
    late = await stage.hold_back("hebei", "Inquiry")
    await stage.decline(HEBEI, ticket)
    await stage.settle()
    await stage.let_go("hebei", late)
    assert stage.offer_made(TIANJIN, ticket).asked == 0


async def test_an_answer_for_who_decided_meanwhile_is_kept_by_nobody() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    await asked(stage, ticket)
    await stage.inform(TIANJIN, ticket)
    late = await stage.hold_back("tianjin", "InquiryAnswer")
    await stage.accept(HEBEI, ticket)
    await stage.let_go("tianjin", late)
    assert not stage.node_of(HEBEI).database.rows(store.INVITATIONS)


@pytest.mark.parametrize("holding", [Holding.REVOKING, Holding.YIELDING, Holding.RELEASED])
def test_only_while_the_offer_waits_does_a_question_reach_the_desk(holding: Holding) -> None:
    given = inquiries.Received(
        an_offer_made().target, FIRST, bodies.Inquiry(1, digest(b"offer"), NOW), b"sealed"
    )
    step = inquiries.receive_inquiry(a_chain(holding), an_offer_made(), given)
    assert (step.made, step.events, step.records) == ((), (), False)


def test_a_repeat_and_an_answer_to_another_question_change_nothing() -> None:
    chain = a_chain(Holding.OFFERED)
    made = an_offer_made(asked=2)
    old = inquiries.Received(made.target, FIRST, bodies.Inquiry(1, digest(b"offer"), NOW), b"x")
    assert not inquiries.receive_inquiry(chain, made, old).made
    waits = an_invitation(asked=2)
    stale = bodies.InquiryAnswer(1, digest(b"offer"), NOW)
    told = inquiries.Received(waits.source, FIRST, stale, b"x")
    assert inquiries.receive_answer(a_chain(Holding.ABSENT), waits, told).invitation is None


# --- hostile ----------------------------------------------------------------------------------


async def test_only_whom_the_offer_was_made_to_asks_and_only_about_that_offer() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    key, made = stage.chain(TIANJIN, ticket).key, stage.offer_made(TIANJIN, ticket)
    for issuer, offer in ((SHANGHAI, made.statement_digest), (HEBEI, digest(b"another"))):
        promise, block = stage.sealed(
            issuer,
            key,
            epoch=FIRST,
            kind="inquiry_block",
            block=letter_codec.inquiry_to_bytes(QUESTION),
        )
        body = bodies.Inquiry(1, offer, stage.clock.now(), (promise,))
        signed = stage.forge(issuer, body, key, epoch=FIRST)
        before = stage.snapshot()
        receipt = await stage.hand_in(signed, source=issuer, target=TIANJIN, blocks=(block,))
        assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "STATEMENT_MALFORMED")
        assert stage.snapshot() == before


async def hostile(stage: Stage, made: OfferMade, number: int, *words: str) -> Outcome:
    """Let 河北 send what no honest node sends."""
    promise, block = stage.sealed(
        HEBEI,
        made.key,
        epoch=FIRST,
        kind="inquiry_block",
        block=letter_codec.inquiry_to_bytes(*words),
    )
    body = bodies.Inquiry(number, made.statement_digest, stage.clock.now(), (promise,))
    signed = stage.forge(HEBEI, body, made.key, epoch=FIRST)
    return (await stage.hand_in(signed, source=HEBEI, target=TIANJIN, blocks=(block,))).outcome


async def test_no_more_than_three_questions_are_kept_and_none_hides_another() -> None:
    stage = a_stage()
    made = stage.offer_made(TIANJIN, await offered(stage))
    said = [await hostile(stage, made, 1, f"合成问题 {turn}") for turn in range(12)]
    assert said.count(Outcome.REFUSED) == 9
    rows = stage.node_of(TIANJIN).database.rows(store.STATEMENTS)
    assert [row.kind for row in rows].count("Inquiry") == 3
    assert (await stage.words(TIANJIN, made)).question == "合成问题 0"


async def test_who_asks_puts_no_answer_into_the_mouth_of_who_offers() -> None:
    stage = a_stage()
    made = stage.offer_made(TIANJIN, await offered(stage))
    assert await hostile(stage, made, 1, QUESTION, ANSWER) is Outcome.REFUSED
    with pytest.raises(ResourceNotFound):
        await stage.words(TIANJIN, made)


async def test_only_who_offers_answers() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    made = await asked(stage, ticket)
    key = stage.chain(HEBEI, ticket).key
    promise, block = stage.sealed(
        SHANGHAI,
        key,
        epoch=FIRST,
        kind="inquiry_block",
        block=letter_codec.inquiry_to_bytes(QUESTION, ANSWER),
    )
    body = bodies.InquiryAnswer(1, made.statement_digest, stage.clock.now(), (promise,))
    signed = stage.forge(SHANGHAI, body, key, epoch=FIRST)
    receipt = await stage.hand_in(signed, source=SHANGHAI, target=HEBEI, blocks=(block,))
    assert receipt.outcome is Outcome.REFUSED
    [row] = stage.node_of(HEBEI).database.rows(store.INVITATIONS)
    assert row.told is None


async def test_a_question_without_its_text_is_refused() -> None:
    stage = a_stage()
    ticket = await offered(stage)
    key, made = stage.chain(TIANJIN, ticket).key, stage.offer_made(TIANJIN, ticket)
    body = bodies.Inquiry(1, made.statement_digest, stage.clock.now())
    await is_refused(stage, body, issuer=HEBEI, at=key, epoch=FIRST, reason="COMMITMENT_MISMATCH")
    many = replace(body, number=4)
    await is_refused(stage, many, issuer=HEBEI, at=key, epoch=FIRST, reason="STATEMENT_MALFORMED")
