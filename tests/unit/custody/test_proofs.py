"""Nobody speaks for a ticket without the statements that made it custodian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.custody import bodies, proofs
from gateway.custody.model import ChainKey, OfferReason, Verdict
from gateway.custody.proofs import Proof, check_offer, open_attached, prove
from gateway.delivery.model import SignedBytes
from gateway.kernel.errors import KeyUnknown, SignatureInvalid, StatementMalformed
from gateway.kernel.ids import GENESIS, Epoch
from gateway.trust.roster import KeyEntry
from gateway.trust.statements import digest
from tests.unit.custody.builders import (
    CITY_TICKET,
    HEBEI,
    HOUR,
    INNER,
    LANGFANG,
    NOW,
    OUTER,
    SHANGHAI,
    SHIJIAZHUANG,
    TIANJIN,
    UID,
    Federation,
    Story,
    a_header,
)

FEDERATION = Federation()


def proven(story: Story, attached: tuple[SignedBytes, ...] | None = None) -> Proof:
    return prove(attached or story.attached, story.key, roster=lambda: FEDERATION.roster)


def a_story(key: ChainKey = OUTER) -> Story:
    return Story(FEDERATION, key)


def refused(check: int) -> pytest.RaisesExc[StatementMalformed]:
    return pytest.raises(StatementMalformed, match=f"check {check}")


# --- what a sound chain establishes ---------------------------------------------------------


def test_genesis_alone_establishes_the_first_term() -> None:
    story = a_story()
    proof = proven(story)
    assert (proof.holder, proof.epoch, proof.record) == (TIANJIN, GENESIS, story.record)
    assert proof.genesis_digest == story.genesis_digest
    assert proof.answers() == ()


def test_each_hand_over_moves_the_holder_and_extends_the_record() -> None:
    story = a_story().handed_to(HEBEI).handed_to(SHANGHAI)
    proof = proven(story)
    assert (proof.holder, proof.epoch) == (SHANGHAI, Epoch(0, 2))
    assert (proof.record, proof.hops, proof.path) == (story.record, 2, story.path)
    assert [item.statement.kind for item in proof.answers()] == ["Answer", "Answer"]
    assert len(proof.digests()) == 5
    assert proof.homeward == 0


def test_coming_home_is_no_hop() -> None:
    story = a_story(INNER).handed_to(HEBEI, reason=OfferReason.OUTBOUND)
    proof = proven(story)
    assert (proof.hops, proof.homeward, proof.path) == (0, 1, (HEBEI,))
    again = proven(story.handed_to(SHIJIAZHUANG).handed_to(HEBEI, reason=OfferReason.ESCALATE))
    assert (again.hops, again.homeward, again.path) == (1, 2, (HEBEI,))


# --- what is no chain -----------------------------------------------------------------------


def test_an_even_number_of_records_is_no_chain() -> None:
    story = a_story().handed_to(HEBEI)
    with refused(9):
        proven(story, story.attached[:2])


def test_a_chain_begins_with_a_genesis() -> None:
    story = a_story().handed_to(HEBEI)
    with refused(9):
        proven(story, story.attached[1:2])


def test_a_genesis_is_at_0_0_and_of_its_signer() -> None:
    body = bodies.Genesis(origin=TIANJIN, ticket_uid=UID)
    late = FEDERATION.sign(TIANJIN, body, epoch=Epoch(0, 1))
    with refused(9):
        proven(a_story(), (late,))
    of_another = FEDERATION.sign(HEBEI, body)
    with refused(9):
        proven(a_story(), (of_another,))


@pytest.mark.parametrize("origin", [HEBEI, SHANGHAI])
def test_nobody_begins_the_chain_of_anothers_ticket(origin: str) -> None:
    """Else anybody could write a Genesis of its own and speak for the ticket at 0.0."""
    body = bodies.Genesis(origin=HEBEI if origin == HEBEI else SHANGHAI, ticket_uid=UID)
    forged = FEDERATION.sign(body.origin, body)
    with refused(9):
        proven(a_story(), (forged,))


def _other_holder(story: Story) -> Story:
    forged = Story(FEDERATION, story.key)
    forged.attached, forged.record, forged.holder = story.attached, story.record, SHANGHAI
    forged.path = story.path
    return forged.handed_to(HEBEI)


def _not_accepted(story: Story) -> Story:
    offer = story.signed_offer(story.offer(HEBEI))
    answer = FEDERATION.sign(
        HEBEI,
        bodies.Answer(Verdict.DECLINED, digest(offer.statement)),
        epoch=Epoch(0, 1),
    )
    story.attached = (*story.attached, offer, answer)
    return story


def _accepted_by_another(story: Story) -> Story:
    offer = story.signed_offer(story.offer(HEBEI))
    answer = FEDERATION.sign(
        SHANGHAI,
        bodies.Answer(Verdict.ACCEPTED, digest(offer.statement)),
        epoch=Epoch(0, 1),
    )
    story.attached = (*story.attached, offer, answer)
    return story


def _of_another_offer(story: Story) -> Story:
    offer = story.signed_offer(story.offer(HEBEI))
    answer = FEDERATION.sign(
        HEBEI, bodies.Answer(Verdict.ACCEPTED, digest(b"another")), epoch=Epoch(0, 1)
    )
    story.attached = (*story.attached, offer, answer)
    return story


def _at_another_epoch(story: Story) -> Story:
    offer = story.signed_offer(story.offer(HEBEI))
    answer = FEDERATION.sign(
        HEBEI,
        bodies.Answer(Verdict.ACCEPTED, digest(offer.statement)),
        epoch=Epoch(0, 2),
    )
    story.attached = (*story.attached, offer, answer)
    return story


def _in_another_era(story: Story) -> Story:
    story.epoch = Epoch(1, 0)
    return story.handed_to(HEBEI)


def _not_after_the_term_before(story: Story) -> Story:
    story.handed_to(HEBEI)
    story.epoch = GENESIS
    return story.handed_to(SHANGHAI)


def _out_of_another_record(story: Story) -> Story:
    return story.handed_to(HEBEI, prior_record=digest(b"another"))


@pytest.mark.parametrize(
    "forge",
    [
        _other_holder,
        _not_accepted,
        _accepted_by_another,
        _of_another_offer,
        _at_another_epoch,
        _in_another_era,
        _not_after_the_term_before,
        _out_of_another_record,
    ],
)
def test_a_hand_over_that_does_not_fit_establishes_nothing(
    forge: Callable[[Story], Story],
) -> None:
    with refused(9):
        proven(forge(a_story()))


def test_statements_of_other_kinds_establish_nothing() -> None:
    story = a_story()
    revoke = FEDERATION.sign(
        TIANJIN,
        bodies.Revoke(digest(b"offer"), "recalled", story.signed_offer(story.offer(HEBEI))),
        epoch=Epoch(0, 1),
    )
    with refused(9):
        proven(story, (*story.attached, revoke, revoke))
    with refused(9):
        proven(story, (revoke,))


# --- one attached statement -----------------------------------------------------------------


def opened(signed: SignedBytes, federation: Federation = FEDERATION) -> proofs.Attached:
    return open_attached(signed, OUTER, roster=lambda: federation.roster)


def test_bytes_that_are_no_statement_fail_check_8() -> None:
    [genesis] = a_story().attached
    for raw in (b"\xff\xff", b""):
        with refused(8):
            opened(replace(genesis, statement=raw))


def test_a_changed_byte_breaks_the_signature() -> None:
    [genesis] = a_story().attached
    forged = genesis.statement.replace(UID.encode(), UID.replace("1", "2").encode())
    with pytest.raises(SignatureInvalid):
        opened(replace(genesis, statement=forged))


def test_a_key_that_our_roster_lacks_may_be_newer_than_it() -> None:
    """It is no refusal for ever: the peer's roster may be the newer one."""
    with pytest.raises(KeyUnknown):
        opened(a_story().attached[0], Federation())


def test_a_key_signs_only_the_kinds_that_the_roster_lists() -> None:
    federation = Federation()
    entry = federation.roster.authorities[TIANJIN]
    limited = KeyEntry.of(
        federation.keys.signing_key(TIANJIN).public,
        valid_from=NOW - HOUR,
        valid_to=NOW + HOUR,
        statement_kinds=frozenset({"TicketUpdate"}),
    )
    federation.roster = replace(
        federation.roster,
        authorities={
            **federation.roster.authorities,
            TIANJIN: replace(entry, statement_keys=(limited,)),
        },
    )
    with pytest.raises(KeyUnknown):
        opened(Story(federation).attached[0], federation)


def test_a_statement_of_another_chain_proves_nothing_here() -> None:
    other = replace(OUTER, number=2)
    signed = FEDERATION.sign(TIANJIN, bodies.Genesis(origin=TIANJIN, ticket_uid=UID), key=other)
    with refused(8):
        opened(signed)


def test_an_unknown_kind_proves_nothing() -> None:
    signed = FEDERATION.sign(
        TIANJIN, bodies.Genesis(origin=TIANJIN, ticket_uid=UID), kind="ContentRequest"
    )
    with refused(8):
        opened(signed)


# --- an offer rests on its signer's term ----------------------------------------------------


def test_a_sound_offer_passes() -> None:
    story = a_story().handed_to(HEBEI)
    check_offer(proven(story), OUTER, issuer=HEBEI, epoch=Epoch(0, 2), body=story.offer(SHANGHAI))


@pytest.mark.parametrize(
    "changes",
    [
        {"prior_record": digest(b"another")},
        {"hops": 0},
        {"path": (HEBEI,)},
        {"header": a_header("01958a00-0000-7000-8000-00000000000f")},
        {"acts": (bodies.Act(1, Epoch(0, 7), "ticket.closed", digest(b"act")),)},
    ],
    ids=["record", "hops", "path", "another ticket", "acts of another term"],
)
def test_an_offer_that_misstates_its_term_fails(changes: dict[str, object]) -> None:
    story = a_story().handed_to(HEBEI)
    body = replace(story.offer(SHANGHAI), **changes)  # type: ignore[arg-type] # a table of changes
    with refused(9):
        check_offer(proven(story), OUTER, issuer=HEBEI, epoch=Epoch(0, 2), body=body)


@pytest.mark.parametrize(
    ("issuer", "epoch"),
    [(TIANJIN, Epoch(0, 2)), (HEBEI, Epoch(0, 1)), (HEBEI, Epoch(1, 1))],
    ids=["a former holder", "an epoch used up", "an era without ruling"],
)
def test_only_the_holder_offers_and_only_later(issuer: str, epoch: Epoch) -> None:
    story = a_story().handed_to(HEBEI)
    with refused(9):
        check_offer(
            proven(story),
            OUTER,
            issuer=HEBEI if issuer == HEBEI else TIANJIN,
            epoch=epoch,
            body=story.offer(SHANGHAI),
        )


def test_a_city_begins_the_first_chain_of_its_own_number_only() -> None:
    story = Story(FEDERATION, replace(INNER, authority=LANGFANG))
    assert proven(story).holder == LANGFANG
    stranger = Story(FEDERATION, INNER, origin=SHIJIAZHUANG)
    with refused(9):
        proven(stranger)
    second = Story(FEDERATION, ChainKey(LANGFANG, CITY_TICKET, HEBEI, 2))
    with refused(9):
        proven(second)
