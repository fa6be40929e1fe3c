"""Faults that a random run meets too rarely: each spoils the story that tells its rule."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import STORY_MUTANTS, Mutant
from tests.simulation.world import Defect
from tests.unit.custody import test_hostile as hostile
from tests.unit.custody import test_ruling_stories as rulings
from tests.unit.custody import test_succession_stories as succession
from tests.unit.custody.stories import a_stage

CAUGHT_BY_STORY = {
    "answer of another epoch": succession.test_an_answer_counts_only_for_its_own_epoch,
    "nobody tells downstream": rulings.test_hard_case_4_downstream_of_a_silent_holder,
    "no fence": rulings.test_silence_makes_the_arbiter_tell_the_whole_scope,
    "old offer invites": rulings.test_an_offer_below_the_ruling_invites_nobody,
    "old acceptance ends": rulings.test_hard_case_6_upheld_with_an_offer_out,
    "previous not checked": succession.test_a_ruling_that_the_next_one_denies_is_fork_evidence,
    "fork ignored": (succession.test_who_learns_that_its_own_term_is_forked_acts_no_more_and_files),
    "closed chain takes offers": hostile.test_a_closed_chain_that_was_not_known_takes_nothing_later,
    "closing not attached": (
        succession.test_who_was_not_told_learns_of_a_closed_chain_from_an_answer
    ),
    "consent ends no case": succession.test_a_case_ends_when_the_ticket_moves_by_consent,
}


@pytest.mark.parametrize("mutant", STORY_MUTANTS, ids=lambda mutant: mutant.name)
async def test_a_dropped_rule_spoils_its_story(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await CAUGHT_BY_STORY[mutant.name](a_stage())
    mutant.apply(monkeypatch)
    with pytest.raises((AssertionError, Defect, ValueError)):  # of a row that is not there
        await CAUGHT_BY_STORY[mutant.name](a_stage())
