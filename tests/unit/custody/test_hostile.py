"""What a hostile authority says, signed with its own good keys, changes nothing here.

Each test forges one statement, hands it in as the authority's own node would, and compares all
that is stored before and after. A refusal leaves the receipt and the evidence, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from gateway.custody import bodies, codec, store
from gateway.custody.model import ChainKey, Holding, OfferReason, Verdict
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import Outcome, SealedBlock, SignedBytes
from gateway.delivery.store import EVIDENCE
from gateway.kernel.ids import GENESIS, NATION, AuthorityCode, Epoch, TicketNumber
from gateway.trust.statements import digest, record
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1.ticket_pb2 import RouteDecision, TicketContent
from tests.simulation.stage import Stage
from tests.simulation.world import Defect
from tests.unit.custody.builders import a_header

TIANJIN, HEBEI, SHANGHAI = (AuthorityCode(code) for code in ("120000", "130000", "310000"))
SHIJIAZHUANG, LANGFANG = AuthorityCode("130100"), AuthorityCode("131000")
FIRST = Epoch(0, 1)
STATE = custody_pb2.StateBlock(decision=RouteDecision(rule="99")).SerializeToString()


@pytest.fixture
def stage() -> Stage:
    """A faultless federation of four nodes."""
    return Stage()


@dataclass
class Forger:
    """A hostile authority at work on one ticket."""

    stage: Stage
    issuer: AuthorityCode
    key: ChainKey

    def genesis(self, uid: str) -> SignedBytes:
        """Return a Genesis of the forger's own."""
        return self.sign(bodies.Genesis(origin=self.issuer, ticket_uid=uid))

    def sign(
        self, body: bodies.Body, epoch: Epoch = GENESIS, *, by: AuthorityCode | None = None
    ) -> SignedBytes:
        return self.stage.forge(by or self.issuer, body, self.key, epoch=epoch)

    def offer(
        self, attached: tuple[SignedBytes, ...], prior: bytes, uid: str, epoch: Epoch = FIRST
    ) -> tuple[bodies.Offer, tuple[SealedBlock, ...]]:
        """Return an offer to the authority of the key, with a sealed case."""
        commitment, block = self.stage.sealed(
            self.issuer, self.key, epoch=epoch, kind="case_block", block=a_case()
        )
        body = bodies.Offer(
            target=self.key.authority,
            prior_record=prior,
            path=(self.issuer,),
            hops=0,
            refusals=0,
            case="",
            window_end=self.stage.clock.now(),
            reason=OfferReason.PLACE,
            rule="",
            trace_digest=b"",
            header=a_header(uid),
            commitments=(commitment,),
            attached=attached,
        )
        return body, (block,)

    def update(
        self,
        attached: tuple[SignedBytes, ...],
        epoch: Epoch = GENESIS,
        *,
        block: bytes = STATE,
        **changes: Any,
    ) -> tuple[bodies.TicketUpdate, tuple[SealedBlock, ...]]:
        """Return an update that says the ticket is closed at the forger's."""
        commitment, sealed = self.stage.sealed(
            self.issuer, self.key, epoch=epoch, kind="state_block", block=block
        )
        body = bodies.TicketUpdate(
            sequence=99,
            state=6,
            custodian=self.issuer,
            commitments=(commitment,),
            attached=attached,
        )
        return replace(body, **changes), (sealed,)

    async def is_refused(
        self,
        body: bodies.Body,
        epoch: Epoch = GENESIS,
        *,
        blocks: tuple[SealedBlock, ...] = (),
        reason: str = "STATEMENT_MALFORMED",
    ) -> None:
        """Hand in a body and check that nothing came of it but evidence."""
        await self.bytes_are_refused(self.sign(body, epoch), blocks=blocks, reason=reason)

    async def forks_the_term_of_its_reader(
        self, body: bodies.Body, epoch: Epoch, *, blocks: tuple[SealedBlock, ...]
    ) -> None:
        """Hand in a proof that the reader's own term is forked: it stops acting, and files."""
        signed, reader = self.sign(body, epoch), self.key.authority
        receipt = await self.stage.hand_in(signed, source=self.issuer, target=reader, blocks=blocks)
        assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, "CHAIN_FORKED")
        chain = self.stage.chain(reader, self.key.ticket)
        assert (chain.holding, bool(chain.case)) == (Holding.YIELDING, True)

    async def bytes_are_refused(
        self, signed: SignedBytes, *, blocks: tuple[SealedBlock, ...] = (), reason: str
    ) -> None:
        before = self.stage.snapshot()
        receipt = await self.stage.hand_in(
            signed, source=self.issuer, target=self.key.authority, blocks=blocks
        )
        assert (receipt.outcome, receipt.reason) == (Outcome.REFUSED, reason)
        assert self.stage.snapshot() == before
        evidence = self.stage.node_of(self.key.authority).database.rows(EVIDENCE)
        assert [row.source for row in evidence] == [self.issuer]


def a_case() -> bytes:
    block = custody_pb2.CaseBlock()
    block.content.title, block.content.content = "a title", "a text"
    block.content.place.region = "120101"
    return block.SerializeToString()


def outer(target: AuthorityCode, ticket: TicketNumber) -> ChainKey:
    return ChainKey(target, ticket, NATION, 1)


def record_of(genesis: SignedBytes) -> bytes:
    first = digest(genesis.statement)
    return record(previous_record=None, first_digest=first, second_digest=None)


def kept(stage: Stage, authority: str, kind: str) -> SignedBytes:
    row = stage.said(authority, kind)[0]
    return SignedBytes(row.statement, row.key_id, row.signature)


def uid_of(stage: Stage, authority: str, ticket: TicketNumber) -> str:
    return stage.copy(authority, ticket).uid


# --- speaking for a ticket that one does not hold -------------------------------------------


@pytest.mark.parametrize("victim", [TIANJIN, HEBEI])
async def test_a_genesis_of_ones_own_gives_no_voice(stage: Stage, victim: AuthorityCode) -> None:
    """上海 begins 天津's ticket for itself and tells the citizen that it is closed."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    forger = Forger(stage, SHANGHAI, outer(victim, ticket))
    genesis = forger.genesis(uid_of(stage, TIANJIN, ticket))
    body, blocks = forger.update((genesis,))
    await forger.is_refused(body, blocks=blocks)


async def test_a_genesis_of_ones_own_uses_up_no_epoch(stage: Stage) -> None:
    """Else a stranger's offer at 0.1 would make 天津's real one a fork, and the ticket stuck."""
    ticket = await stage.create(TIANJIN)
    forger = Forger(stage, SHANGHAI, outer(HEBEI, ticket))
    uid = uid_of(stage, TIANJIN, ticket)
    genesis = forger.genesis(uid)
    body, blocks = forger.offer((genesis,), record_of(genesis), uid)
    await forger.is_refused(body, FIRST, blocks=blocks)
    revoke = bodies.Revoke(digest(b"offer"), "recalled", forger.sign(body, FIRST))
    signed = forger.sign(revoke, FIRST)
    receipt = await stage.hand_in(signed, source=SHANGHAI, target=HEBEI)
    assert receipt.outcome is Outcome.REFUSED
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    assert stage.chain(HEBEI, ticket).holding is Holding.HELD


async def test_an_origin_has_one_chain_among_provinces(stage: Stage) -> None:
    """天津 may not hand one ticket to two provinces in two chains."""
    ticket = await stage.create(TIANJIN)
    forger = Forger(stage, TIANJIN, ChainKey(HEBEI, ticket, NATION, 2))
    uid = uid_of(stage, TIANJIN, ticket)
    genesis = forger.genesis(uid)
    body, blocks = forger.offer((genesis,), record_of(genesis), uid)
    await forger.is_refused(body, FIRST, blocks=blocks)


async def test_a_second_genesis_of_the_origin_is_a_fork(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    forger = Forger(stage, TIANJIN, outer(HEBEI, ticket))
    body, blocks = forger.update((forger.genesis(uid_of(stage, TIANJIN, ticket)),))
    await forger.forks_the_term_of_its_reader(body, GENESIS, blocks=blocks)


async def test_a_province_does_not_begin_its_citys_chain_again(stage: Stage) -> None:
    """Both may begin the first chain of the city's number; only one of them did."""
    ticket = await stage.create(LANGFANG)
    await stage.settle()
    await stage.hand_over(LANGFANG, ticket, SHIJIAZHUANG)
    forger = Forger(stage, HEBEI, ChainKey(LANGFANG, ticket, HEBEI, 1))
    body, blocks = forger.update((forger.genesis(uid_of(stage, LANGFANG, ticket)),))
    await forger.is_refused(body, blocks=blocks, reason="CHAIN_FORKED")


async def test_one_offer_to_two_is_a_fork_wherever_the_two_meet(stage: Stage) -> None:
    """天津 offers 0.1 to 河北 and to 上海; both accept. 河北 sees 上海's proof and knows."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    uid = uid_of(stage, TIANJIN, ticket)
    genesis = kept(stage, TIANJIN, "Genesis")
    for row in stage.said(TIANJIN, "Genesis"):
        if row.scope == NATION:
            genesis = SignedBytes(row.statement, row.key_id, row.signature)
    liar = Forger(stage, TIANJIN, outer(SHANGHAI, ticket))
    offer, _ = liar.offer((genesis,), record_of(genesis), uid)
    second = liar.sign(offer, FIRST)
    forger = Forger(stage, SHANGHAI, outer(HEBEI, ticket))
    accepted = forger.sign(bodies.Answer(Verdict.ACCEPTED, digest(second.statement)), FIRST)
    body, blocks = forger.update((genesis, second, accepted), FIRST)
    await forger.forks_the_term_of_its_reader(body, FIRST, blocks=blocks)


async def test_a_former_holder_does_not_speak_for_the_present_one(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    await stage.hand_over(HEBEI, ticket, SHANGHAI)
    forger = Forger(stage, HEBEI, outer(TIANJIN, ticket))
    attached = _records(stage, SHANGHAI, ticket)
    body, blocks = forger.update(attached, Epoch(0, 2))
    await forger.is_refused(body, Epoch(0, 2), blocks=blocks)


def _records(stage: Stage, authority: str, ticket: str) -> tuple[SignedBytes, ...]:
    rows = {row.digest: row for row in stage.node_of(authority).database.rows(store.STATEMENTS)}
    found = [rows[bytes.fromhex(item)] for item in stage.chain(authority, ticket).records]
    return tuple(SignedBytes(row.statement, row.key_id, row.signature) for row in found)


async def test_a_statement_that_we_signed_and_forgot_stops_before_a_person(stage: Stage) -> None:
    """Somebody has our key, or our disk lost what we said: that is no fault of the messenger."""
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    forger = Forger(stage, HEBEI, outer(TIANJIN, ticket))
    genesis = _records(stage, HEBEI, ticket)[0]
    stolen, _ = Forger(stage, TIANJIN, outer(HEBEI, ticket)).offer(
        (genesis,), record_of(genesis), uid_of(stage, TIANJIN, ticket), Epoch(0, 2)
    )
    offer = stage.forge(TIANJIN, stolen, outer(HEBEI, ticket), epoch=Epoch(0, 2))
    accepted = forger.sign(bodies.Answer(Verdict.ACCEPTED, digest(offer.statement)), Epoch(0, 2))
    body, blocks = forger.update((genesis, offer, accepted), Epoch(0, 2))
    before = stage.snapshot()
    with pytest.raises(Defect):
        await stage.hand_in(
            forger.sign(body, Epoch(0, 2)), source=HEBEI, target=TIANJIN, blocks=blocks
        )
    assert stage.snapshot() == before


# --- answering what was not asked -----------------------------------------------------------


async def test_an_acceptance_without_its_offer_releases_nobody(stage: Stage) -> None:
    """Else the ticket would leave by a record that no third party can follow."""
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    forger = Forger(stage, HEBEI, outer(TIANJIN, ticket))
    await forger.is_refused(bodies.Answer(Verdict.ACCEPTED), FIRST)
    assert stage.chain(TIANJIN, ticket).holding is Holding.OFFERED


@pytest.mark.parametrize("issuer", [SHANGHAI, HEBEI])
async def test_nobody_accepts_what_was_not_offered_to_it(
    stage: Stage, issuer: AuthorityCode
) -> None:
    ticket = await stage.create(TIANJIN)
    target, epoch = (HEBEI, FIRST) if issuer == SHANGHAI else (SHANGHAI, Epoch(0, 2))
    await stage.offer(TIANJIN, ticket, target)
    offer = kept(stage, TIANJIN, "Offer")
    forger = Forger(stage, issuer, outer(TIANJIN, ticket))
    body = bodies.Answer(Verdict.ACCEPTED, digest(offer.statement))
    await forger.is_refused(body, epoch, reason="CHAIN_FORKED")


async def test_a_second_answer_of_one_epoch_is_a_fork(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    await stage.settle()
    await stage.decline(HEBEI, ticket)
    await stage.settle()
    offer = kept(stage, TIANJIN, "Offer")
    forger = Forger(stage, HEBEI, outer(TIANJIN, ticket))
    body = bodies.Answer(Verdict.ACCEPTED, digest(offer.statement))
    await forger.is_refused(body, FIRST, reason="CHAIN_FORKED")


# --- content --------------------------------------------------------------------------------


async def test_an_offer_without_its_case_is_refused(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await _open_outer(stage, ticket)
    forger, genesis, uid = _origin_forger(stage, ticket)
    body, blocks = forger.offer((genesis,), record_of(genesis), uid, Epoch(0, 2))
    await forger.is_refused(body, Epoch(0, 2), reason="COMMITMENT_MISMATCH")
    nothing = Forger(stage, TIANJIN, outer(HEBEI, ticket))
    receipt = await stage.hand_in(
        nothing.sign(replace(body, commitments=()), Epoch(0, 2)), source=TIANJIN, target=HEBEI
    )
    assert receipt.reason == "COMMITMENT_MISMATCH"
    other = replace(blocks[0], ciphertext=blocks[0].ciphertext[::-1])
    again = nothing.sign(replace(body, rule="again"), Epoch(0, 2))
    receipt = await stage.hand_in(again, source=TIANJIN, target=HEBEI, blocks=(other,))
    assert receipt.reason == "COMMITMENT_MISMATCH"
    assert not stage.invitations(HEBEI)


async def _open_outer(stage: Stage, ticket: TicketNumber) -> None:
    """Let 天津 begin the outer chain with an offer to 上海 that comes back."""
    await stage.offer(TIANJIN, ticket, SHANGHAI)
    await stage.settle()
    await stage.decline(SHANGHAI, ticket)
    await stage.settle()


def _origin_forger(stage: Stage, ticket: TicketNumber) -> tuple[Forger, SignedBytes, str]:
    [row] = [row for row in stage.said(TIANJIN, "Genesis") if row.scope == NATION]
    genesis = SignedBytes(row.statement, row.key_id, row.signature)
    return Forger(stage, TIANJIN, outer(HEBEI, ticket)), genesis, uid_of(stage, TIANJIN, ticket)


async def test_a_case_that_is_no_case_is_refused_before_it_is_accepted(stage: Stage) -> None:
    """What does not parse at the acceptance would leave an invitation that nobody can accept."""
    ticket = await stage.create(TIANJIN)
    await _open_outer(stage, ticket)
    forger, genesis, uid = _origin_forger(stage, ticket)
    for block in (
        b"\xff\xff\xff",
        custody_pb2.CaseBlock(content=TicketContent(title="")).SerializeToString(),
    ):
        commitment, sealed = stage.sealed(
            TIANJIN, forger.key, epoch=Epoch(0, 2), kind="case_block", block=block
        )
        body, _ = forger.offer((genesis,), record_of(genesis), uid, Epoch(0, 2))
        signed = forger.sign(replace(body, commitments=(commitment,)), Epoch(0, 2))
        receipt = await stage.hand_in(signed, source=TIANJIN, target=HEBEI, blocks=(sealed,))
        assert receipt.reason == "STATEMENT_MALFORMED"
    assert not stage.invitations(HEBEI)


async def test_an_offer_of_another_tickets_content_is_refused(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await _open_outer(stage, ticket)
    forger, genesis, _ = _origin_forger(stage, ticket)
    other = "01958a00-0000-7000-8000-00000000000f"
    body, blocks = forger.offer((genesis,), record_of(genesis), other, Epoch(0, 2))
    await forger.is_refused(body, Epoch(0, 2), blocks=blocks)


async def test_an_update_that_is_no_state_is_refused(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    forger = Forger(stage, HEBEI, outer(TIANJIN, ticket))
    records = _records(stage, HEBEI, ticket)
    body, blocks = forger.update(records, FIRST, block=b"\xff\xff\xff")
    await forger.is_refused(body, FIRST, blocks=blocks)


async def test_an_act_of_another_term_is_not_told_as_ones_own(stage: Stage) -> None:
    ticket = await stage.create(LANGFANG)
    await stage.settle()
    forger = Forger(stage, LANGFANG, ChainKey(HEBEI, ticket, HEBEI, 1))
    act = bodies.Act(1, Epoch(0, 9), "ticket.closed", digest(b"act"))
    body, blocks = forger.update((kept(stage, LANGFANG, "Genesis"),), acts=(act,))
    await forger.is_refused(body, blocks=blocks)


# --- the small kinds ------------------------------------------------------------------------


async def test_a_release_of_another_hand_over_is_refused(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    forger = Forger(stage, SHANGHAI, outer(HEBEI, ticket))
    await forger.is_refused(bodies.Release(digest(b"acceptance")), FIRST)


async def test_a_second_release_does_not_replace_who_calls(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    forger = Forger(stage, TIANJIN, outer(HEBEI, ticket))
    first = codec.body_from_bytes(
        "Release", statement_from_bytes(kept(stage, TIANJIN, "Release").statement).body
    )
    assert isinstance(first, bodies.Release)
    block = custody_pb2.IdentityBlock().SerializeToString()
    commitment, sealed = stage.sealed(
        TIANJIN, forger.key, epoch=FIRST, kind="identity_block", block=block
    )
    second = replace(first, commitments=(commitment,))
    await forger.is_refused(second, FIRST, blocks=(sealed,), reason="CHAIN_FORKED")


async def test_only_the_province_closes_its_chain(stage: Stage) -> None:
    ticket = await stage.create(LANGFANG)
    await stage.settle()
    forger = Forger(stage, SHIJIAZHUANG, ChainKey(LANGFANG, ticket, HEBEI, 1))
    await forger.is_refused(bodies.ChainClosed(digest(b"outer")))
    assert stage.chain(LANGFANG, ticket).holding is Holding.HELD


async def test_a_closed_chain_that_was_not_known_takes_nothing_later(stage: Stage) -> None:
    """Rule 5: ChainClosed overtook the offer of a chain up to it."""
    ticket = await stage.create(HEBEI)
    key = ChainKey(LANGFANG, ticket, HEBEI, 2)
    closed = stage.forge(HEBEI, bodies.ChainClosed(digest(b"outer")), key)
    await stage.hand_in(closed, source=HEBEI, target=LANGFANG)
    assert stage.chain(LANGFANG, ticket, number=2).closed
    await stage.offer(HEBEI, ticket, LANGFANG)
    await stage.only("hebei", "langfang")
    assert not stage.invitations(LANGFANG)
    [answer] = stage.said(LANGFANG, "Answer")
    body = codec.body_from_bytes("Answer", statement_from_bytes(answer.statement).body)
    assert isinstance(body, bodies.Answer)
    assert (body.verdict, body.attached) == (Verdict.SUPERSEDED, (closed,))


@pytest.mark.parametrize(
    "change",
    [
        lambda body: replace(body, origin=SHIJIAZHUANG),
        lambda body: replace(body, header=b""),
        lambda body: replace(body, header=a_header("01958a00-0000-7000-8000-00000000000f")),
    ],
    ids=["of another", "without header", "of another ticket"],
)
async def test_a_genesis_that_is_no_report_is_refused(
    stage: Stage, change: Callable[[bodies.Genesis], bodies.Genesis]
) -> None:
    uid = "01958a00-0000-7000-8000-000000000001"
    ticket = TicketNumber("13100020260302000000999")
    key = ChainKey(HEBEI, ticket, HEBEI, 1)
    commitment, block = stage.sealed(
        LANGFANG, key, epoch=GENESIS, kind="case_block", block=a_case()
    )
    sound = bodies.Genesis(
        origin=LANGFANG, ticket_uid=uid, header=a_header(uid), commitments=(commitment,)
    )
    forger = Forger(stage, LANGFANG, key)
    await forger.is_refused(change(sound), blocks=(block,))
    receipt = await stage.hand_in(
        forger.sign(sound), source=LANGFANG, target=HEBEI, blocks=(block,)
    )
    assert receipt.outcome is Outcome.RECEIVED


@pytest.mark.parametrize(
    ("issuer", "target", "scope"),
    [(LANGFANG, TIANJIN, NATION), (TIANJIN, LANGFANG, NATION), (TIANJIN, HEBEI, HEBEI)],
    ids=["a city outside", "to a city outside", "a stranger inside"],
)
async def test_only_members_of_a_scope_speak_and_are_spoken_to_in_it(
    stage: Stage, issuer: AuthorityCode, target: AuthorityCode, scope: AuthorityCode
) -> None:
    ticket = await stage.create(LANGFANG)
    await stage.settle()
    forger = Forger(stage, issuer, ChainKey(target, ticket, scope, 1))
    await forger.is_refused(bodies.CaseFiling(1, "case", bytes(32), "hops", ""))
    [evidence] = stage.node_of(target).database.rows(EVIDENCE)
    assert "check 5" in evidence.detail


async def test_a_case_is_filed_with_the_arbiter_of_its_scope(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    forger = Forger(stage, SHANGHAI, outer(TIANJIN, ticket))
    await forger.is_refused(bodies.CaseFiling(1, "case", bytes(32), "hops", ""))


async def test_an_answer_to_an_update_that_was_never_sent_is_refused(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    forger = Forger(stage, SHANGHAI, outer(HEBEI, ticket))
    body = bodies.UpdateAnswer(1, bodies.UpdateVerdict.APPLIED, digest(b"update"))
    await forger.is_refused(body, FIRST)


async def test_a_revoke_carries_the_offer_that_it_asks_back(stage: Stage) -> None:
    ticket = await stage.create(TIANJIN)
    await _open_outer(stage, ticket)
    forger, genesis, uid = _origin_forger(stage, ticket)
    body, _ = forger.offer((genesis,), record_of(genesis), uid, Epoch(0, 2))
    offer = forger.sign(body, Epoch(0, 2))
    for named, carried in (
        (digest(b"another"), offer),
        (digest(offer.statement), forger.sign(replace(body, rule="other"), Epoch(0, 2))),
        (digest(genesis.statement), genesis),
    ):
        revoke = bodies.Revoke(named, "recalled", carried)
        receipt = await stage.hand_in(
            forger.sign(revoke, Epoch(0, 2)), source=TIANJIN, target=HEBEI
        )
        assert receipt.reason == "STATEMENT_MALFORMED"
    to_another = Forger(stage, TIANJIN, outer(SHANGHAI, ticket))
    other, _ = to_another.offer((genesis,), record_of(genesis), uid, Epoch(0, 2))
    signed = to_another.sign(other, Epoch(0, 2))
    revoke = bodies.Revoke(digest(signed.statement), "recalled", signed)
    receipt = await stage.hand_in(forger.sign(revoke, Epoch(0, 2)), source=TIANJIN, target=HEBEI)
    assert receipt.reason == "STATEMENT_MALFORMED"


async def test_a_time_outside_of_any_calendar_is_a_malformed_statement(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = await stage.create(TIANJIN)
    await _open_outer(stage, ticket)
    forger, genesis, uid = _origin_forger(stage, ticket)
    body, blocks = forger.offer((genesis,), record_of(genesis), uid, Epoch(0, 2))
    message = custody_pb2.Offer.FromString(codec.body_to_bytes(body))
    message.window_end.seconds = 2**60
    with monkeypatch.context() as patch:
        patch.setattr(codec, "body_to_bytes", lambda _body: message.SerializeToString())
        signed = forger.sign(body, Epoch(0, 2))
    receipt = await stage.hand_in(signed, source=TIANJIN, target=HEBEI, blocks=blocks)
    assert receipt.reason == "STATEMENT_MALFORMED"
