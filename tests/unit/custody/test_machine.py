"""The steps of the protocol: what an offer, an answer and a revoke do to each side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.custody import bodies, machine
from gateway.custody.model import (
    COUNTS_PER_ERA_MAX,
    HOPS_FREE_MAX,
    BecameCustodian,
    Chain,
    Holding,
    Invitation,
    Invited,
    OfferAnswered,
    OfferMade,
    OfferReason,
    OfferReturned,
    Released,
    Verdict,
)
from gateway.kernel.errors import (
    CasePending,
    ChainForked,
    InvariantViolated,
    QuotaExceeded,
    RemoteProtocolError,
    StatementMalformed,
)
from gateway.kernel.ids import GENESIS, Epoch
from gateway.trust.statements import digest
from tests.unit.custody.builders import (
    HEBEI,
    INNER,
    LANGFANG,
    NOW,
    OUTER,
    SHANGHAI,
    SHIJIAZHUANG,
    TIANJIN,
    UID,
    a_chain,
    an_answered,
    an_invitation,
    an_offer,
    an_offer_made,
    some_terms,
)

FIRST = Epoch(0, 1)
OTHER_VERDICTS = (Verdict.DECLINED, Verdict.REVOKED, Verdict.SUPERSEDED)


# --- beginning ------------------------------------------------------------------------------


def test_genesis_makes_its_signer_custodian_at_0_0() -> None:
    step = machine.begin(
        OUTER, desk="desk", contact=True, body=bodies.Genesis(origin=TIANJIN, ticket_uid=UID)
    )
    assert (step.chain.holding, step.chain.term_epoch) == (Holding.HELD, GENESIS)
    assert step.chain.path == (TIANJIN,)
    assert step.says[0].audience == (), "a province tells nobody that it began a ticket"


def test_a_city_reports_its_genesis_to_its_province() -> None:
    step = machine.begin(
        INNER, desk="desk", contact=True, body=bodies.Genesis(origin=LANGFANG, ticket_uid=UID)
    )
    assert step.says[0].audience == (HEBEI,)
    assert step.chain.parties == (HEBEI,)


# --- offering -------------------------------------------------------------------------------


def test_an_offer_uses_up_the_next_count_and_leaves_custody_where_it_is() -> None:
    step = machine.offer(a_chain(), some_terms())
    assert step.chain.holding is Holding.OFFERED
    assert step.chain.pending_epoch == step.chain.floor == step.says[0].epoch == FIRST
    assert step.chain.term_epoch == GENESIS
    assert isinstance(step.says[0].row, OfferMade)


def test_a_refused_count_is_never_offered_again() -> None:
    step = machine.offer(a_chain(floor=Epoch(0, 7)), some_terms())
    assert step.says[0].epoch == Epoch(0, 8)


def test_counts_begin_anew_in_the_era_of_the_own_term() -> None:
    chain = a_chain(term_epoch=Epoch(2, 0), floor=Epoch(1, 9))
    assert machine.offer(chain, some_terms()).says[0].epoch == Epoch(2, 1)


def test_a_case_holds_the_ticket() -> None:
    with pytest.raises(CasePending, match="case-1"):
        machine.offer(a_chain(case="case-1"), some_terms())


def test_counts_of_an_era_are_bounded() -> None:
    with pytest.raises(QuotaExceeded):
        machine.offer(a_chain(floor=Epoch(0, COUNTS_PER_ERA_MAX)), some_terms())


def test_who_has_no_term_cannot_number_an_offer() -> None:
    with pytest.raises(ValueError, match="term"):
        a_chain(Holding.ABSENT).next_epoch()


def test_a_homeward_offer_is_counted() -> None:
    terms = some_terms(HEBEI, reason=OfferReason.OUTBOUND)
    step = machine.offer(a_chain(key=INNER), terms)
    assert step.chain.homeward == 1
    assert isinstance(step.says[0].row, OfferMade)
    assert step.says[0].row.homeward


def test_a_filed_case_leaves_the_ticket_where_it_is() -> None:
    chain = a_chain(Holding.REVOKING)
    step = machine.file_case(
        chain, case="case-1", cause="silence", target=HEBEI, arbiter=OUTER.scope
    )
    assert step.chain == replace(chain, case="case-1")
    assert isinstance(step.says[0].body, bodies.CaseFiling)


# --- being offered to -----------------------------------------------------------------------


def received(
    chain: Chain,
    *,
    epoch: Epoch = FIRST,
    body: bodies.Offer | None = None,
    answered: OfferAnswered | None = None,
    invitation: Invitation | None = None,
    name: bytes = b"offer",
) -> machine.Step:
    offered = machine.ReceivedOffer(
        source=HEBEI,
        epoch=epoch,
        digest=digest(name),
        body=body or an_offer(),
        answered=answered,
        invitation=invitation,
    )
    return machine.receive_offer(chain, offered, now=NOW)


def verdict_of(step: machine.Step) -> Verdict:
    body = step.says[0].body
    assert isinstance(body, bodies.Answer)
    return body.verdict


def test_a_new_offer_is_an_invitation_and_the_floor_waits_for_the_answer() -> None:
    chain = a_chain(Holding.ABSENT)
    step = received(chain)
    assert step.chain == chain
    assert step.invitation == an_invitation()
    assert step.events == (Invited(OUTER, FIRST, HEBEI, homeward=False),)


def test_an_answered_epoch_gets_the_stored_bytes() -> None:
    step = received(a_chain(Holding.RELEASED, floor=FIRST), answered=an_answered())
    assert step.resend == digest(b"answer")
    assert not step.says
    assert not step.records


def test_a_repeated_invitation_is_no_second_one() -> None:
    step = received(a_chain(Holding.ABSENT), invitation=an_invitation())
    assert (step.invitation, step.says, step.events) == (None, (), ())


@pytest.mark.parametrize("seen", ["answered", "invitation"])
def test_another_offer_of_a_seen_epoch_is_a_fork(seen: str) -> None:
    with pytest.raises(ChainForked):
        received(
            a_chain(Holding.ABSENT),
            name=b"another offer",
            answered=an_answered() if seen == "answered" else None,
            invitation=an_invitation() if seen == "invitation" else None,
        )


def test_two_open_offers_of_one_term_are_a_fork() -> None:
    with pytest.raises(ChainForked):
        received(a_chain(Holding.ABSENT), epoch=Epoch(0, 2), invitation=an_invitation())


@pytest.mark.parametrize("holding", [Holding.HELD, Holding.OFFERED, Holding.REVOKING])
def test_a_custodian_is_not_invited_into_its_own_term(holding: Holding) -> None:
    with pytest.raises(ChainForked):
        received(a_chain(holding), epoch=Epoch(0, 9))


@pytest.mark.parametrize(
    "chain",
    [
        a_chain(Holding.RELEASED, floor=Epoch(0, 5)),
        a_chain(Holding.RELEASED, floor=FIRST),
        a_chain(Holding.ABSENT, ruling=1),
        a_chain(Holding.ABSENT, closed=True),
    ],
    ids=["below the floor", "at the floor", "older era", "closed chain"],
)
def test_a_stale_offer_is_superseded(chain: Chain) -> None:
    step = received(chain)
    assert verdict_of(step) is Verdict.SUPERSEDED
    assert isinstance(step.says[0].row, OfferAnswered)
    assert step.chain.holding is chain.holding
    assert step.invitation is None


def test_a_loop_is_declined_by_itself() -> None:
    step = received(a_chain(Holding.RELEASED), body=an_offer(path=(TIANJIN, HEBEI)))
    assert verdict_of(step) is Verdict.DECLINED
    assert isinstance(step.says[0].body, bodies.Answer)
    assert step.says[0].body.reason == machine.LOOP


def test_a_third_hop_is_declined_by_itself() -> None:
    step = received(a_chain(Holding.ABSENT), body=an_offer(hops=HOPS_FREE_MAX))
    assert isinstance(step.says[0].body, bodies.Answer)
    assert step.says[0].body.reason == machine.HOPS


def test_a_ticket_may_come_home_past_loop_and_hops() -> None:
    home = replace(INNER, authority=HEBEI)
    body = an_offer(HEBEI, reason=OfferReason.ESCALATE, path=(HEBEI, LANGFANG), hops=HOPS_FREE_MAX)
    step = received(a_chain(Holding.RELEASED, key=home), body=body)
    assert step.events == (Invited(home, FIRST, HEBEI, homeward=True),)


# --- deciding -------------------------------------------------------------------------------


def test_acceptance_makes_the_custodian_at_the_offers_epoch() -> None:
    step = machine.accept(
        a_chain(Holding.ABSENT), an_invitation(), an_offer(), desk="desk", homeward_before=0
    )
    assert (step.chain.holding, step.chain.term_epoch) == (Holding.HELD, FIRST)
    assert step.chain.path == (HEBEI, TIANJIN)
    assert step.chain.hops == 1
    assert step.established == (digest(b"record"), digest(b"offer"))
    assert step.ends_invitation
    assert step.events == (BecameCustodian(OUTER, FIRST, HEBEI),)


def test_coming_home_is_no_hop_and_takes_the_sender_off_the_path() -> None:
    home = replace(INNER, authority=HEBEI)
    body = an_offer(HEBEI, reason=OfferReason.OUTBOUND, path=(HEBEI, LANGFANG), hops=1)
    step = machine.accept(
        a_chain(Holding.RELEASED, key=home),
        an_invitation(home, source=LANGFANG),
        body,
        desk="desk",
        homeward_before=1,
    )
    assert step.chain.path == (HEBEI,)
    assert step.chain.hops == 1
    assert step.chain.homeward == 2, "homeward offers are counted per era, whoever made them"


def test_an_inner_custodian_is_followed_by_its_province() -> None:
    step = machine.accept(
        a_chain(Holding.ABSENT, key=INNER),
        an_invitation(INNER, source=SHIJIAZHUANG),
        an_offer(LANGFANG, path=(SHIJIAZHUANG,)),
        desk="desk",
        homeward_before=0,
    )
    assert step.chain.parties == (SHIJIAZHUANG, HEBEI)


def test_a_decline_uses_the_epoch_up_and_gives_its_reasons() -> None:
    step = machine.decline(
        a_chain(Holding.ABSENT),
        an_invitation(),
        reason=1,
        clause="属地",
        proposed_owner=SHANGHAI,
    )
    assert step.chain.floor == FIRST
    assert step.ends_invitation
    assert verdict_of(step) is Verdict.DECLINED


# --- revoking -------------------------------------------------------------------------------


def revoked(
    chain: Chain,
    *,
    answered: OfferAnswered | None = None,
    invitation: Invitation | None = None,
    name: bytes = b"offer",
) -> machine.Step:
    return machine.receive_revoke(
        chain,
        source=HEBEI,
        epoch=FIRST,
        offer_digest=digest(name),
        answered=answered,
        invitation=invitation,
    )


def test_an_answer_beats_a_late_revoke() -> None:
    step = revoked(
        a_chain(Holding.HELD, term_epoch=FIRST), answered=an_answered(verdict=Verdict.ACCEPTED)
    )
    assert step.resend == digest(b"answer")
    assert not step.says


@pytest.mark.parametrize("invitation", [None, an_invitation()], ids=["offer unseen", "invited"])
def test_a_revoke_is_answered_for_ever(invitation: Invitation | None) -> None:
    step = revoked(a_chain(Holding.ABSENT), invitation=invitation)
    assert verdict_of(step) is Verdict.REVOKED
    assert isinstance(step.says[0].row, OfferAnswered)
    assert step.chain.floor == FIRST
    assert step.ends_invitation == (invitation is not None)


def test_a_revoke_leaves_another_invitation_alone() -> None:
    later = an_invitation(epoch=Epoch(0, 2))
    assert not revoked(a_chain(Holding.ABSENT), invitation=later).ends_invitation


@pytest.mark.parametrize("seen", ["answered", "invitation"])
def test_a_revoke_of_another_offer_is_a_fork(seen: str) -> None:
    with pytest.raises(ChainForked):
        revoked(
            a_chain(Holding.ABSENT),
            answered=an_answered() if seen == "answered" else None,
            invitation=an_invitation() if seen == "invitation" else None,
            name=b"another offer",
        )


# --- the answer to an own offer -------------------------------------------------------------


def answered_by(
    chain: Chain,
    made: OfferMade | None,
    verdict: Verdict,
    *,
    name: bytes = b"answer",
    **changes: object,
) -> machine.Step:
    body = bodies.Answer(verdict, digest(b"offer"))
    return machine.receive_answer(
        chain,
        made,
        source=HEBEI,
        epoch=FIRST,
        digest=digest(name),
        body=replace(body, **changes),  # type: ignore[arg-type] # a builder of tests
    )


@pytest.mark.parametrize("holding", [Holding.OFFERED, Holding.REVOKING])
def test_only_accepted_moves_custody(holding: Holding) -> None:
    step = answered_by(a_chain(holding), an_offer_made(), Verdict.ACCEPTED)
    assert step.chain.holding is Holding.RELEASED
    assert (step.chain.pending_epoch, step.chain.desk) == (None, None)
    assert step.released_to == HEBEI
    assert step.established == (digest(b"record"), digest(b"offer"))
    assert step.events == (Released(OUTER, FIRST, HEBEI),)
    assert HEBEI in step.chain.parties


@pytest.mark.parametrize("verdict", OTHER_VERDICTS)
@pytest.mark.parametrize("holding", [Holding.OFFERED, Holding.REVOKING])
def test_any_other_answer_returns_the_ticket(holding: Holding, verdict: Verdict) -> None:
    step = answered_by(a_chain(holding), an_offer_made(), verdict)
    assert step.chain.holding is Holding.HELD
    assert step.chain.pending_epoch is None
    assert isinstance(step.events[0], OfferReturned)
    assert step.made[0].verdict is verdict


@pytest.mark.parametrize(("reason", "counted"), [(1, 1), (machine.LOOP, 0), (machine.HOPS, 0)])
def test_only_a_substantive_refusal_counts(reason: int, counted: int) -> None:
    step = answered_by(a_chain(Holding.OFFERED), an_offer_made(), Verdict.DECLINED, reason=reason)
    assert step.chain.refusals == counted


def test_a_ruled_custodian_stays_ruled_whatever_the_answer() -> None:
    chain = a_chain(Holding.YIELDING, pending_epoch=FIRST, floor=FIRST, ruling=1)
    returned = answered_by(chain, an_offer_made(), Verdict.DECLINED)
    assert returned.chain.holding is Holding.YIELDING
    released = answered_by(chain, an_offer_made(), Verdict.ACCEPTED)
    assert released.chain.holding is Holding.RELEASED
    assert released.released_to is None, "a ruling above the epoch is known: no Release"


def test_the_answer_to_an_older_term_is_recorded_only() -> None:
    chain = a_chain(Holding.HELD, term_epoch=Epoch(1, 0), floor=Epoch(1, 0), ruling=1)
    step = answered_by(chain, an_offer_made(), Verdict.ACCEPTED)
    assert step.chain == chain
    assert step.made[0].verdict is Verdict.ACCEPTED


def test_a_repeated_answer_changes_nothing() -> None:
    chain = a_chain(Holding.RELEASED)
    made = an_offer_made(verdict=Verdict.ACCEPTED, answer_digest=digest(b"answer"))
    step = answered_by(chain, made, Verdict.ACCEPTED)
    assert (step.chain, step.made, step.records) == (chain, (), False)


def test_a_second_answer_is_a_fork() -> None:
    made = an_offer_made(verdict=Verdict.REVOKED, answer_digest=digest(b"answer"))
    with pytest.raises(ChainForked):
        answered_by(a_chain(), made, Verdict.ACCEPTED, name=b"second thoughts")


@pytest.mark.parametrize(
    "made", [None, an_offer_made(target=SHANGHAI)], ids=["no such offer", "of another"]
)
def test_an_answer_that_nobody_asked_for_is_evidence(made: OfferMade | None) -> None:
    with pytest.raises(ChainForked):
        answered_by(a_chain(Holding.OFFERED), made, Verdict.ACCEPTED)


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.DECLINED, Verdict.SUPERSEDED])
@pytest.mark.parametrize("named", [b"", digest(b"another offer")], ids=["none", "another"])
def test_an_answer_names_the_offer_that_it_answers(verdict: Verdict, named: bytes) -> None:
    """Without it no third party could follow the record (custody-protocol §7, H)."""
    with pytest.raises(StatementMalformed):
        answered_by(a_chain(Holding.OFFERED), an_offer_made(), verdict, offer_digest=named)


def test_revoked_may_name_no_offer_because_it_may_never_have_come() -> None:
    step = answered_by(
        a_chain(Holding.REVOKING), an_offer_made(), Verdict.REVOKED, offer_digest=b""
    )
    assert step.chain.holding is Holding.HELD


def test_a_pending_offer_of_nobody_stops_the_ticket() -> None:
    with pytest.raises(InvariantViolated):
        answered_by(a_chain(Holding.HELD, pending_epoch=FIRST), an_offer_made(), Verdict.REVOKED)


# --- closing --------------------------------------------------------------------------------


def test_a_closed_chain_has_nobody_who_cares_and_its_parties_are_told() -> None:
    home = replace(INNER, authority=HEBEI)
    chain = a_chain(key=home).with_party(LANGFANG)
    step = machine.close(chain, outer_record=digest(b"outer"))
    assert (step.chain.holding, step.chain.closed) == (Holding.RELEASED, True)
    assert step.chain.desk is None
    assert step.says[0].audience == (LANGFANG,)


@pytest.mark.parametrize("holding", Holding, ids=lambda holding: holding.value)
def test_who_learns_of_a_closed_chain_cares_no_more(holding: Holding) -> None:
    step = machine.receive_closed(a_chain(holding, key=INNER), None)
    assert not step.chain.is_caring
    assert step.chain.closed
    assert (step.chain.holding is Holding.ABSENT) == (holding is Holding.ABSENT)


def test_an_open_invitation_ends_with_its_chain() -> None:
    step = machine.receive_closed(a_chain(Holding.ABSENT, key=INNER), an_invitation(INNER))
    assert verdict_of(step) is Verdict.SUPERSEDED
    assert step.ends_invitation


# --- whatever comes -------------------------------------------------------------------------

EPOCHS = st.builds(Epoch, st.integers(0, 2), st.integers(0, 4))
CHAINS = st.builds(
    lambda holding, floor, ruling, closed: a_chain(
        holding,
        floor=None if holding is Holding.ABSENT else floor,
        term_epoch=None if holding is Holding.ABSENT else min(floor, Epoch(0, 2)),
        ruling=ruling,
        closed=closed,
    ),
    st.sampled_from(Holding),
    EPOCHS,
    st.integers(0, 2),
    st.booleans(),
)
DIGESTS = st.sampled_from([b"offer", b"another offer"])
SEEN_ANSWERS = st.none() | st.builds(lambda epoch: an_answered(epoch=epoch), EPOCHS)
SEEN_INVITATIONS = st.none() | st.builds(lambda epoch: an_invitation(epoch=epoch), EPOCHS)


@given(
    chain=CHAINS,
    epoch=EPOCHS,
    invitation=SEEN_INVITATIONS,
    answered=SEEN_ANSWERS,
    name=DIGESTS,
    hops=st.integers(0, 3),
    is_revoke=st.booleans(),
)
def test_what_others_ask_never_moves_custody(
    *,
    chain: Chain,
    epoch: Epoch,
    invitation: Invitation | None,
    answered: OfferAnswered | None,
    name: bytes,
    hops: int,
    is_revoke: bool,
) -> None:
    """S5, S12: terms and floor never fall, and an answered epoch is never answered again."""
    known = answered if answered is not None and answered.epoch == epoch else None
    try:
        if is_revoke:
            step = machine.receive_revoke(
                chain,
                source=HEBEI,
                epoch=epoch,
                offer_digest=digest(name),
                answered=known,
                invitation=invitation,
            )
        else:
            step = received(
                chain,
                epoch=epoch,
                body=an_offer(hops=hops),
                answered=known,
                invitation=invitation,
                name=name,
            )
    except RemoteProtocolError:
        return
    after = step.chain
    assert (after.holding, after.term_epoch) == (chain.holding, chain.term_epoch)
    assert (after.floor or GENESIS) >= (chain.floor or GENESIS)
    assert not (known and step.says)
    if step.says:
        assert isinstance(step.says[0].row, OfferAnswered)
        assert after.floor is not None
        assert after.floor >= epoch
    if step.invitation is not None:
        assert not chain.is_caring
        assert chain.floor is None or epoch > chain.floor
        assert epoch.era >= chain.ruling
