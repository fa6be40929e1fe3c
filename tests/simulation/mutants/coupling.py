"""Mutants of the two levels, of consent, and of who knows who calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.custody import chains, docket, machine, rulings
from gateway.custody.arbiter import Arbiter
from gateway.custody.coupling import Coupling
from gateway.custody.model import Holding
from gateway.custody.ruled import Ruled
from gateway.custody.telling import Telling
from tests.simulation.mutants.base import Mutant, caught, nothing, stepping


def _inner_chain_left_open(patch: pytest.MonkeyPatch) -> None:
    """[rule 5] A province that let go outside leaves its inner chain open."""
    patch.setattr(Coupling, "close_inner", nothing)


def _two_inner_chains(patch: pytest.MonkeyPatch) -> None:
    """[rules 1 and 5] It does not close it, and opens another one when it takes again."""
    _inner_chain_left_open(patch)
    original = Coupling.open_inner
    is_open = chains.TicketChains.open_inner

    async def open_inner(self: Coupling, uow: Any, **given: Any) -> None:
        with pytest.MonkeyPatch.context() as blind:
            if given["outer"] is not None:
                blind.setattr(chains.TicketChains, "open_inner", None)
            await original(self, uow, **given)

    assert is_open is not None
    patch.setattr(Coupling, "open_inner", open_inner)


def _not_home_at_an_outer_offer(patch: pytest.MonkeyPatch) -> None:
    """[rule 2] A province offers outside while a city has the ticket or is asked for it."""
    patch.setattr(chains.TicketChains, "is_home", property(lambda self: self.inner is not None))

    def acting(self: Any) -> Any:
        return self.inner

    patch.setattr(chains.TicketChains, "acting", acting)


def _acts_have_force_anyway(patch: pytest.MonkeyPatch) -> None:
    """[rule 3] A city's act has force whatever the province is outside."""
    patch.setattr(chains.TicketChains, "has_force", lambda *_given: True)


def _not_taken_home(patch: pytest.MonkeyPatch) -> None:
    """[rule 4] A province that is overruled outside leaves the ticket in its city."""
    patch.setattr(Arbiter, "home_at_once", nothing)


def _no_inner_chain_at_taken(patch: pytest.MonkeyPatch) -> None:
    """[rule 1] TAKEN outside opens no inner chain."""
    original = Ruled._keep_levels

    async def keep(self: Ruled, uow: Any, chain: Any, body: Any, now: Any) -> Any:
        if chain.holding is Holding.HELD:
            return ()
        return await original(self, uow, chain, body, now)

    patch.setattr(Ruled, "_keep_levels", keep)


def _closing_is_not_told(patch: pytest.MonkeyPatch) -> None:
    """[rule 5] Neither ChainClosed nor the HOME ruling before it is told to the cities.

    Each alone survives: the one does again what the other has done.
    """

    def change(_chain: Any, step: machine.Step) -> machine.Step:
        says = tuple(replace(say, audience=()) for say in step.says)
        return replace(step, says=says)

    stepping(patch, machine, "close", change)
    _answers_do_not_tell_of_the_closing(patch)
    first_told, reach = Telling.first_told, Telling.reach

    async def first(self: Telling, uow: Any, chain: Any, target: Any, earlier: Any) -> Any:
        told = await first_told(self, uow, chain, target, earlier)
        return told if chain.key.is_outer or target != chain.key.scope else (target,)

    async def reached(self: Telling, uow: Any, key: Any, to: Any, now: Any) -> None:
        if key.is_outer:
            await reach(self, uow, key, to, now)

    patch.setattr(Telling, "first_told", first)
    patch.setattr(Telling, "reach", reached)
    forwarded_to = rulings.forwarded_to
    patch.setattr(
        rulings,
        "forwarded_to",
        lambda made: forwarded_to(made) if made and made[0].key.is_outer else (),
    )


def _answers_do_not_tell_of_the_closing(patch: pytest.MonkeyPatch) -> None:
    """[rule 5] An answer in a closed chain does not carry what closed it."""

    async def closing_of(*_given: Any) -> tuple[()]:
        return ()

    patch.setattr(chains, "closing_of", closing_of)


def _late_inner_answer_counts(patch: pytest.MonkeyPatch) -> None:
    """[rules 4 and 5] A city's late ACCEPTED of an older era moves the inner chain."""
    original = machine.receive_answer

    def receive_answer(chain: Any, made: Any, **given: Any) -> machine.Step:
        is_late = made is not None and made.epoch.era < chain.ruling
        if is_late and chain.key.is_home and chain.holding is Holding.HELD:
            chain = replace(chain, holding=Holding.OFFERED, pending_epoch=made.epoch)
        return original(chain, made, **given)

    patch.setattr(machine, "receive_answer", receive_answer)


def _closed_chain_takes_offers(patch: pytest.MonkeyPatch) -> None:
    """[rule 5] Who knows a chain closed takes an offer in it all the same."""
    patch.setattr(chains.TicketChains, "is_closed_from", lambda *_given: False)


def _caller_is_not_forgotten(patch: pytest.MonkeyPatch) -> None:
    """[rule 6] Who let go keeps who calls."""
    patch.setattr(chains.TicketChains, "may_know_caller", property(lambda _self: True))


def _contact_never_released(patch: pytest.MonkeyPatch) -> None:
    """[rule 6] The new custodian is never told who calls."""
    patch.setattr(Coupling, "_release", nothing)


def _contact_released_at_the_offer(patch: pytest.MonkeyPatch) -> None:
    """[rule 6] Who calls goes to whom the ticket is offered, before it accepts."""

    def change(_chain: Any, step: machine.Step) -> machine.Step:
        [say] = step.says
        return replace(step, chain=replace(step.chain, release_due=say.audience[0]))

    stepping(patch, machine, "offer", change)


def _contact_waits_for_nothing(patch: pytest.MonkeyPatch) -> None:
    """[rule 6] A Release goes out before it is known here who calls."""
    patch.setattr(chains.TicketChains, "has_contact", property(lambda _self: True))


def _acts_are_not_told_home(patch: pytest.MonkeyPatch) -> None:
    """A homeward offer and an update tell acts of another term than their signer's."""
    original = Coupling.acts_of_term

    async def acts_of_term(self: Coupling, uow: Any, chain: Any) -> Any:
        acts = await original(self, uow, chain)
        return tuple(
            replace(act, epoch=replace(act.epoch, count=act.epoch.count + 1)) for act in acts
        )

    patch.setattr(Coupling, "acts_of_term", acts_of_term)


def _consent_ends_no_case(patch: pytest.MonkeyPatch) -> None:
    """A case of which the ticket moved by consent stays with the panel."""

    async def is_settled(*_given: Any) -> bool:
        return False

    patch.setattr(docket, "is_settled", is_settled)


MUTANTS = (
    Mutant(
        "inner chain left open", _inner_chain_left_open, caught("L1", "L0", "L3", "S2", "S4", "L2")
    ),
    Mutant("two inner chains", _two_inner_chains, caught("C2")),
    Mutant("not home", _not_home_at_an_outer_offer, caught("C1", "ASSERTION")),
    Mutant("force anyway", _acts_have_force_anyway, caught("C3"), seed=7),
    Mutant("not taken home", _not_taken_home, caught("C1"), seed=4),
    Mutant("no inner chain", _no_inner_chain_at_taken, caught("L1", "L0", "L3", "L2"), seed=1),
    Mutant("closing not told", _closing_is_not_told, caught("L1"), seed=54),
    Mutant(
        "late inner answer", _late_inner_answer_counts, caught("C1", "S4", "S11", "I6"), seed=50
    ),
    Mutant("caller not forgotten", _caller_is_not_forgotten, caught("I7")),
    Mutant("contact never released", _contact_never_released, caught("L3")),
    Mutant(
        "contact at the offer", _contact_released_at_the_offer, caught("ASSERTION", "S13", "I7")
    ),
    Mutant("release without contact", _contact_waits_for_nothing, caught("L3"), seed=2),
    Mutant("acts of another term", _acts_are_not_told_home, caught("S13", "ASSERTION")),
)

STORY_MUTANTS = (
    Mutant("closed chain takes offers", _closed_chain_takes_offers, caught("L1")),
    Mutant("closing not attached", _answers_do_not_tell_of_the_closing, caught("L1")),
    Mutant("consent ends no case", _consent_ends_no_case, caught("I6")),
)
