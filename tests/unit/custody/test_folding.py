"""Proofs grow by one hand-over a hand-over: each record of an era travels once."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.custody import bodies
from gateway.custody.model import Verdict
from gateway.custody.proofs import FOLDS_MAX, folded, prove, unfolded
from gateway.delivery.model import SignedBytes
from gateway.kernel.errors import StatementMalformed
from gateway.kernel.ids import Epoch
from tests.unit.custody.builders import HEBEI, OUTER, SHANGHAI, TIANJIN, Federation, Story

FEDERATION = Federation()
TARGETS = (HEBEI, SHANGHAI, TIANJIN, HEBEI, SHANGHAI, TIANJIN)


def a_story(hand_overs: int, *, folds: bool = True) -> tuple[Story, tuple[SignedBytes, ...]]:
    """Return a story, and the whole list of its records; its offers attach folded ones, or not."""
    story = Story(FEDERATION, OUTER)
    whole = story.attached
    for target in TARGETS[:hand_overs]:
        story.attached = folded(whole) if folds else whole
        before = len(story.attached)
        story.handed_to(target)
        whole = (*whole, *story.attached[before:])
    story.attached = folded(whole)
    return story, whole


def size_of(attached: tuple[SignedBytes, ...]) -> int:
    """Return how many bytes travel."""
    return sum(len(signed.statement) + len(signed.signature) for signed in attached)


@pytest.mark.parametrize("hand_overs", range(7))
def test_a_folded_proof_says_what_the_whole_one_says(hand_overs: int) -> None:
    story, whole = a_story(hand_overs)
    assert unfolded(story.attached) == whole
    proof = prove(story.attached, OUTER, roster=lambda: FEDERATION.roster)
    assert proof == prove(whole, OUTER, roster=lambda: FEDERATION.roster)
    assert (proof.holder, proof.record) == (story.holder, story.record)
    assert [item.signed for item in proof.attached] == list(whole)


def test_a_proof_grows_by_the_same_amount_a_hand_over() -> None:
    sizes = [size_of(a_story(hand_overs)[0].attached) for hand_overs in range(2, 7)]
    steps = [later - earlier for earlier, later in pairwise(sizes)]
    assert max(steps) < 1.05 * min(steps)  # a longer path is a few bytes
    assert sizes[-1] < 6 * size_of(a_story(1)[0].attached)


def test_whole_lists_of_an_older_version_still_verify_and_may_be_folded_onto() -> None:
    story, whole = a_story(4, folds=False)
    assert size_of(whole) > 4 * size_of(a_story(4)[0].attached)  # they double a hand-over
    for attached in (whole, story.attached):
        proof = prove(attached, OUTER, roster=lambda: FEDERATION.roster)
        assert (proof.holder, proof.record) == (story.holder, story.record)


def test_the_first_hand_over_is_attached_as_an_older_version_reads_it() -> None:
    story, whole = a_story(1)
    assert story.attached == whole


def test_an_offer_that_carries_other_records_is_not_folded_and_proves_nothing() -> None:
    story, whole = a_story(1)
    other, _ = a_story(1)
    last_offer = story.signed_offer(story.offer(SHANGHAI, attached=other.attached))
    answer = FEDERATION.sign(
        SHANGHAI,
        bodies.Answer(Verdict.ACCEPTED, b"\x01" * 32),
        key=OUTER,
        epoch=Epoch(0, 2),
        audience=(story.holder,),
    )
    records = (*whole, last_offer, answer)
    if unfolded(other.attached) != whole:
        assert folded(records) == records
    with pytest.raises(StatementMalformed):
        prove((last_offer, answer), OUTER, roster=lambda: FEDERATION.roster)


def test_lists_in_each_other_are_bounded() -> None:
    story = Story(FEDERATION, OUTER)
    for _ in range(FOLDS_MAX + 2):
        offer = story.signed_offer(story.offer(HEBEI), Epoch(0, 1))
        story.attached = (offer,)
    with pytest.raises(StatementMalformed) as raised:
        prove(story.attached, OUTER, roster=lambda: FEDERATION.roster)
    assert "lists in each other" in raised.value.text()
