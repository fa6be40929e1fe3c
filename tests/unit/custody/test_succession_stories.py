"""What follows what: rulings that name the one before, and chains that end.

Stories of the real services, as in test_ruling_stories.py.
"""

from __future__ import annotations

import pytest

from gateway.custody import bodies, codec, store
from gateway.custody.model import BY_CONSENT, ChainKey, Holding, Verdict
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import SignedBytes
from gateway.kernel.codes import RulingKind
from gateway.kernel.errors import NotCustodian
from gateway.kernel.ids import AuthorityCode, Epoch, TicketNumber
from tests.simulation import backups
from tests.simulation.checkers import Checkers
from tests.simulation.stage import Stage
from tests.unit.custody.stories import (
    HEBEI,
    LANGFANG,
    SHANGHAI,
    SHIJIAZHUANG,
    TIANJIN,
    a_ruling,
    a_stage,
    disputed,
    holds,
    outer,
    refused,
)

NATION = "100000"


@pytest.fixture
def stage() -> Stage:
    """A fresh stage."""
    return a_stage()


async def test_a_ruling_names_the_ruling_before_it(stage: Stage) -> None:
    ticket = await disputed(stage)
    key, other = outer(TIANJIN, ticket), bytes(32)
    await stage.rule(ticket, SHANGHAI)
    await stage.settle()
    second = Epoch(2, 0)
    await refused(stage, a_ruling(HEBEI, 2), issuer=NATION, at=key, epoch=second)
    denies = a_ruling(HEBEI, 2, previous=other)
    await refused(stage, denies, issuer=NATION, at=key, epoch=second, reason="CHAIN_FORKED")


async def test_the_first_ruling_names_none_before_it(stage: Stage) -> None:
    ticket = await disputed(stage)
    first = a_ruling(HEBEI, previous=bytes(32))
    await refused(stage, first, issuer=NATION, at=outer(TIANJIN, ticket), epoch=Epoch(1, 0))


async def test_a_ruling_that_the_next_one_denies_is_fork_evidence(stage: Stage) -> None:
    """上海 gets ruling 2 first; the first ruling that comes after is not the one it names."""
    ticket = await disputed(stage)
    await stage.rule(ticket, HEBEI)
    await stage.hold_back("arbiter", "Ruling")
    await stage.rule(ticket, SHANGHAI)
    await stage.only("arbiter", "shanghai")
    assert stage.chain(SHANGHAI, ticket).ruling == 2
    await refused(
        stage,
        a_ruling(TIANJIN),
        issuer=NATION,
        at=outer(SHANGHAI, ticket),
        epoch=Epoch(1, 0),
        reason="CHAIN_FORKED",
    )


async def test_an_answer_counts_only_for_its_own_epoch(stage: Stage) -> None:
    """天津's offer 0.1 lies with 河北; upheld, it offers 1.1 to 上海; then 河北's answer comes."""
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.only("tianjin")
    await stage.file(TIANJIN, ticket, target=HEBEI)
    await stage.only("tianjin", "arbiter")
    await stage.accept(HEBEI, ticket)
    answers = await stage.hold_back("hebei", "Answer")
    updates = await stage.hold_back("hebei", "TicketUpdate")
    await stage.rule(ticket, TIANJIN, kind=RulingKind.UPHOLD, offers_allowed=True)
    await stage.only("arbiter", "tianjin")
    await stage.offer(TIANJIN, ticket, SHANGHAI)
    await stage.let_go("hebei", [*answers, *updates])
    chain = stage.chain(TIANJIN, ticket)
    assert (chain.holding, chain.pending_epoch) == (Holding.OFFERED, Epoch(1, 1))
    await stage.accept(SHANGHAI, ticket)
    await stage.settle()
    holds(stage, SHANGHAI, ticket, Epoch(1, 1))
    Checkers(stage).check_settled()


async def test_who_was_not_told_learns_of_a_closed_chain_from_an_answer(stage: Stage) -> None:
    """Rule 5: 廊坊 holds on in a chain whose end 石家庄 knows; its offer is answered with it."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.hand_over(HEBEI, ticket, SHIJIAZHUANG)
    await stage.hand_over(SHIJIAZHUANG, ticket, LANGFANG)
    await stage.file(LANGFANG, ticket)
    await stage.settle()
    await stage.assume(SHIJIAZHUANG, ticket)
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.settle()
    await stage.rule(ticket, TIANJIN, kind=RulingKind.REASSIGN)
    await stage.only("arbiter")
    await stage.only("tianjin")  # TAKEN goes to the arbiter
    await stage.only("arbiter", "hebei")  # which closes the inner chain; 石家庄 is on the same node
    assert stage.chain(SHIJIAZHUANG, ticket).closed
    await stage.change(LANGFANG, ticket)
    await stage.offer(LANGFANG, ticket, SHIJIAZHUANG)
    for kind in sorted(set(stage.waiting("hebei"))):
        await stage.hold_back("hebei", kind)
    await stage.only("langfang", "hebei")
    answer = stage.said(SHIJIAZHUANG, "Answer")[-1]
    body = codec.body_from_bytes("Answer", statement_from_bytes(answer.statement).body)
    assert isinstance(body, bodies.Answer)
    assert body.verdict is Verdict.SUPERSEDED
    kinds = [statement_from_bytes(item.statement).kind for item in body.attached]
    assert kinds[-1] == "ChainClosed"
    await stage.only("hebei", "langfang")
    chain = stage.chain(LANGFANG, ticket)
    assert (chain.holding, chain.closed) == (Holding.RELEASED, True)
    assert stage.said(LANGFANG, "StandDown"), "its acts are reported before it lets go"


async def test_a_case_ends_when_the_ticket_moves_by_consent(stage: Stage) -> None:
    """上海 assumes the ticket during the case: its acceptance tells the arbiter."""
    ticket = await disputed(stage)
    [filed] = stage.filed
    await stage.rule(ticket, TIANJIN, kind=RulingKind.INTERIM, case=filed.case)
    await stage.settle()
    await stage.assume(SHANGHAI, ticket)
    await stage.settle()
    await stage.offer(TIANJIN, ticket, SHANGHAI)
    await stage.settle()
    holds(stage, SHANGHAI, ticket, Epoch(1, 1))
    assert stage.void == {filed.case}
    assert stage.chain(NATION, ticket).custodian == SHANGHAI, "the arbiter knows who holds it"
    assert not stage.chain(TIANJIN, ticket).case
    assert not stage.chain(SHANGHAI, ticket).case
    Checkers(stage).check_settled()


async def test_a_consent_that_nobody_gave_ends_no_case(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.file(TIANJIN, ticket, target=SHANGHAI)
    await stage.settle()
    records = [
        row
        for digest in stage.chain(HEBEI, ticket).records
        for row in stage.node_of(HEBEI).database.rows(store.STATEMENTS)
        if (row.authority, row.digest.hex()) == (HEBEI, digest)
    ]
    body = bodies.CaseFiling(
        ground=5,
        case=stage.filed[0].case,
        last_record=stage.chain(HEBEI, ticket).record_digest,
        cause=BY_CONSENT,
        proposed_target="",
        header=stage.filed[0].header,
        attached=tuple(SignedBytes(row.statement, row.key_id, row.signature) for row in records),
    )
    await refused(stage, body, issuer=HEBEI, at=outer(NATION, ticket), epoch=Epoch(0, 1))
    assert not stage.void


async def a_forked_hand_over(stage: Stage) -> TicketNumber:
    """天津 hands its ticket to 河北, and then signs another offer of the same epoch."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    return ticket


async def hear_of_the_fork(stage: Stage, ticket: TicketNumber) -> None:
    """Let 河北 hear the twin of the offer by which it holds the ticket."""
    stage.node_of(HEBEI).inbox.accused = stage.node_of(HEBEI).custody.forks.learned
    [offer] = stage.said(TIANJIN, "Offer")
    body = codec.body_from_bytes("Offer", statement_from_bytes(offer.statement).body)
    twin = stage.forge(TIANJIN, body, outer(HEBEI, ticket), epoch=Epoch(0, 1))
    receipt = await stage.hand_in(twin, source=TIANJIN, target=HEBEI)
    assert receipt.reason == "CHAIN_FORKED"


async def test_who_learns_that_its_own_term_is_forked_acts_no_more_and_files(stage: Stage) -> None:
    stage.at_rest = lambda: None  # here somebody is accused
    ticket = await a_forked_hand_over(stage)
    await stage.hand_over(HEBEI, ticket, LANGFANG)
    await hear_of_the_fork(stage, ticket)
    chain = stage.chain(HEBEI, ticket)
    assert (chain.holding, bool(chain.case)) == (Holding.YIELDING, True)
    with pytest.raises(NotCustodian):
        await stage.act(HEBEI, ticket, is_care=False)
    await stage.act(HEBEI, ticket, is_care=True)
    await hear_of_the_fork(stage, ticket)  # the evidence is there already
    await stage.settle()
    holds(stage, HEBEI, ticket, Epoch(1, 0), scope=HEBEI)  # C1: it went home
    [filed] = stage.filed
    assert (filed.cause, filed.filer) == ("fork", HEBEI)
    await stage.rule(ticket, HEBEI, kind=RulingKind.UPHOLD, case=filed.case)
    await stage.settle()
    holds(stage, HEBEI, ticket, Epoch(1, 0))
    await stage.change(HEBEI, ticket)


async def test_a_restored_custodian_that_said_its_term_is_forked_acts_no_more(
    stage: Stage,
) -> None:
    """Its filing comes back; what proved the fork lay on the disk that is lost."""
    stage.at_rest = lambda: None
    ticket = await a_forked_hand_over(stage)
    await stage.settle()
    hebei = stage.node_of(HEBEI)
    backup = hebei.database.snapshot()
    await hear_of_the_fork(stage, ticket)
    await stage.settle()
    await backups.restore(hebei, backup)
    await backups.recover(hebei)
    await stage.settle()
    chain = stage.chain(HEBEI, ticket)
    assert (chain.holding, bool(chain.case)) == (Holding.YIELDING, True)
    await stage.rule(ticket, HEBEI, kind=RulingKind.UPHOLD, case=chain.case)
    await stage.settle()
    holds(stage, HEBEI, ticket, Epoch(1, 0))


async def test_a_fork_of_another_term_stops_nobody(stage: Stage) -> None:
    """天津 is told of a twin of an offer that is not among what its own term rests on."""
    stage.at_rest = lambda: None
    ticket = await a_forked_hand_over(stage)
    await stage.file(TIANJIN, ticket, target=TIANJIN)
    await stage.settle()
    await stage.rule(ticket, HEBEI, kind=RulingKind.UPHOLD)
    await stage.settle()
    await hear_of_the_fork(stage, ticket)
    holds(stage, HEBEI, ticket, Epoch(1, 0))


async def test_only_the_province_closes_a_chain_also_attached(stage: Stage) -> None:
    ticket = await stage.create(HEBEI)
    await stage.hand_over(HEBEI, ticket, LANGFANG)
    key = ChainKey(AuthorityCode(HEBEI), ticket, AuthorityCode(HEBEI), 1)
    closed = stage.forge(SHIJIAZHUANG, bodies.ChainClosed(bytes(32)), key)
    answer = bodies.Answer(Verdict.SUPERSEDED, bytes(32), attached=(closed,))
    at = ChainKey(AuthorityCode(LANGFANG), ticket, AuthorityCode(HEBEI), 1)
    await refused(stage, answer, issuer=SHIJIAZHUANG, at=at, epoch=Epoch(0, 5))
