"""Every cell of the table of local events: the table's transition, or a typed error and nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.custody import inquiries, machine, stand_by
from gateway.custody.bodies import Commitment
from gateway.custody.model import CARING, Chain, Holding
from gateway.custody.states import ANSWER_ACCEPTED, ANSWER_OTHER, LOCAL, Local
from gateway.kernel.errors import LubiaoError, NotCustodian, TransitionNotAllowed
from gateway.trust.statements import digest
from tests.unit.custody.builders import (
    HEBEI,
    HOUR,
    NOW,
    SHANGHAI,
    a_chain,
    an_invitation,
    an_offer,
    an_offer_made,
    some_terms,
)

PROMISE = Commitment("inquiry_block", digest(b"block"))


def _after(step: machine.Step) -> Chain:
    return step.chain


EVENTS: dict[Local, Callable[[Chain], Chain]] = {
    Local.OFFER: lambda chain: _after(machine.offer(chain, some_terms(SHANGHAI))),
    Local.REVOKE: lambda chain: _after(machine.revoke(chain, an_offer_made(), reason="recalled")),
    Local.EXCLUSIVE_ACT: lambda chain: _required(chain, Local.EXCLUSIVE_ACT),
    Local.CARE_ACT: lambda chain: _required(chain, Local.CARE_ACT),
    Local.FILE_CASE: lambda chain: _after(
        machine.file_case(chain, case="c", cause="hops", target=SHANGHAI, arbiter=HEBEI)
    ),
    Local.ACCEPT: lambda chain: _after(
        machine.accept(chain, an_invitation(), an_offer(), desk="d", homeward_before=0)
    ),
    Local.DECLINE: lambda chain: _after(
        machine.decline(chain, an_invitation(), reason=1, clause="c", proposed_owner=SHANGHAI)
    ),
    Local.STAND_BY: lambda chain: _after(
        stand_by.stand_by(
            chain, an_invitation(), until=NOW, decider="dispatcher", latest=NOW + HOUR
        )
    ),
    Local.ASK: lambda chain: _after(
        inquiries.ask(chain, an_invitation(), said=0, promise=PROMISE, now=NOW)
    ),
    Local.INFORM: lambda chain: _after(
        inquiries.answer(
            replace(chain, pending_epoch=an_offer_made().epoch),
            an_offer_made(asked=1),
            1,
            promise=PROMISE,
            now=NOW,
        )
    ),
    Local.FORKED: lambda chain: replace(chain, holding=machine.require(chain, Local.FORKED)),
}


def _required(chain: Chain, event: Local) -> Chain:
    holding = machine.require(chain, event)
    assert holding is chain.holding, "an act never moves custody"
    return chain


@pytest.mark.parametrize("event", Local, ids=lambda event: event.value)
@pytest.mark.parametrize("holding", Holding, ids=lambda holding: holding.value)
def test_every_cell_is_a_transition_or_a_typed_error(holding: Holding, event: Local) -> None:
    chain = a_chain(holding)
    before = repr(chain)
    if (holding, event) in LOCAL:
        after = EVENTS[event](chain)
        assert after.holding is LOCAL[holding, event]
        assert not after.is_caring or after.desk, "who cares names a desk (I2)"
    else:
        with pytest.raises(LubiaoError) as raised:
            EVENTS[event](chain)
        assert isinstance(raised.value, NotCustodian | TransitionNotAllowed)
        assert holding.value in raised.value.text()
        assert event.value in raised.value.text()
    assert repr(chain) == before


def test_only_a_custodian_acts_and_only_who_had_a_part_files() -> None:
    assert {holding for holding, event in LOCAL if event is Local.CARE_ACT} == CARING
    assert {holding for holding, event in LOCAL if event is Local.EXCLUSIVE_ACT} == {Holding.HELD}
    filing = {holding for holding, event in LOCAL if event is Local.FILE_CASE}
    assert filing - CARING == {Holding.RELEASED}, "a party against one that is silent"


def test_no_local_event_but_an_acceptance_makes_a_custodian() -> None:
    made = {
        event
        for (before, event), after in LOCAL.items()
        if before not in CARING and after in CARING
    }
    assert made == {Local.ACCEPT}


def test_no_local_event_ends_care() -> None:
    assert not [cell for cell, after in LOCAL.items() if cell[0] in CARING and after not in CARING]


def test_an_answer_is_awaited_in_the_same_states_whatever_it_is() -> None:
    assert ANSWER_ACCEPTED.keys() == ANSWER_OTHER.keys()
    assert set(ANSWER_ACCEPTED.values()) == {Holding.RELEASED}
    assert Holding.YIELDING in ANSWER_OTHER.values(), "a ruling is not undone by an answer"


def test_a_refused_event_says_what_is_allowed() -> None:
    with pytest.raises(TransitionNotAllowed) as raised:
        machine.require(a_chain(Holding.YIELDING), Local.ACCEPT)
    assert raised.value.metadata["allowed"] == "care act,learn that its term is forked"
