"""The chains of one ticket at one authority: which is open, who may act, who may begin."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.custody import chains, store
from gateway.custody.chains import TicketChains, may_begin
from gateway.custody.model import Chain, ChainKey, Holding
from gateway.custody.rows import chain_row
from gateway.database.memory import MemoryDatabase
from gateway.kernel.errors import NotCustodian, ResourceNotFound
from gateway.kernel.ids import NATION, AuthorityCode, Epoch
from tests.unit.custody.builders import (
    CITY_TICKET,
    HEBEI,
    INNER,
    LANGFANG,
    OUTER,
    SHANGHAI,
    SHIJIAZHUANG,
    TIANJIN,
    TICKET,
    a_chain,
)

HOME = replace(OUTER, scope=TIANJIN)
HELD, OFFERED, RELEASED = Holding.HELD, Holding.OFFERED, Holding.RELEASED


def held_by(*found: Chain, authority: AuthorityCode = TIANJIN) -> TicketChains:
    return TicketChains(authority, TICKET, found)


@pytest.mark.parametrize(
    ("origin", "key", "may"),
    [
        (TIANJIN, OUTER, True),
        (SHANGHAI, OUTER, False),
        (TIANJIN, replace(OUTER, number=2), False),
        (LANGFANG, INNER, True),
        (HEBEI, INNER, True),
        (SHIJIAZHUANG, INNER, False),
        (LANGFANG, replace(INNER, number=2), False),
        (HEBEI, replace(INNER, number=2), True),
        (HEBEI, ChainKey(HEBEI, TICKET, HEBEI, 1), True),
        (LANGFANG, ChainKey(HEBEI, TICKET, HEBEI, 1), False),
    ],
)
def test_who_may_begin_a_chain(origin: str, key: ChainKey, may: bool) -> None:
    assert may_begin(origin, key) == may


def test_scopes_hold_provinces_or_a_province_and_its_cities() -> None:
    assert chains.is_in_scope(TIANJIN, NATION)
    assert not chains.is_in_scope(LANGFANG, NATION)
    assert not chains.is_in_scope(NATION, NATION)
    assert chains.is_in_scope(LANGFANG, HEBEI)
    assert chains.is_in_scope(HEBEI, HEBEI)
    assert not chains.is_in_scope(LANGFANG, TIANJIN)
    assert chains.province_of(LANGFANG) == HEBEI


def test_the_open_chain_is_the_newest_that_is_not_closed() -> None:
    first = a_chain(RELEASED, key=HOME, closed=True)
    second = a_chain(key=replace(HOME, number=2))
    outer = a_chain()
    held = held_by(outer, first, second)
    assert (held.outer, held.inner, held.open_inner) == (outer, second, second)
    assert held_by(outer, first).open_inner is None
    assert held_by(first).outer is None
    assert held_by().inner is None
    assert held.find(HOME) == first
    assert held.find(INNER) is None


def test_a_closed_chain_closes_the_earlier_ones_of_its_scope() -> None:
    held = held_by(a_chain(RELEASED, key=replace(HOME, number=3), closed=True))
    assert held.is_closed_from(replace(HOME, number=2))
    assert held.is_closed_from(replace(HOME, number=3))
    assert not held.is_closed_from(replace(HOME, number=4))
    assert not held.is_closed_from(OUTER)


@pytest.mark.parametrize(
    ("inner", "is_home"),
    [
        (a_chain(key=HOME), True),
        (a_chain(OFFERED, key=HOME), False),
        (a_chain(key=HOME, pending_epoch=Epoch(0, 1)), False),
        (a_chain(key=HOME, case="case-1"), False),
        (a_chain(key=INNER), False),
        (a_chain(RELEASED, key=HOME, closed=True), False),
    ],
)
def test_a_ticket_is_home_with_nothing_pending(inner: Chain, is_home: bool) -> None:
    assert held_by(inner).is_home == is_home


def test_contact_and_case_are_those_of_any_chain() -> None:
    held = held_by(a_chain(case="case-1"), a_chain(key=HOME, contact=True))
    assert held.has_contact
    assert held.case == "case-1"
    assert not held_by(a_chain()).has_contact
    assert held_by(a_chain()).case == ""


# --- rule 3: force --------------------------------------------------------------------------


def test_a_province_acts_inside_while_it_holds_outside_or_has_no_outer_chain() -> None:
    inner = a_chain(key=HOME)
    assert held_by(inner).acting() == inner
    assert held_by(a_chain(), inner).acting() == inner
    for outside in (OFFERED, Holding.REVOKING, Holding.YIELDING, RELEASED):
        with pytest.raises(NotCustodian, match=outside.value):
            held_by(a_chain(outside), inner).acting()


def test_a_city_acts_in_its_chain_whatever_its_province_does() -> None:
    inner = a_chain(key=INNER)
    assert held_by(inner, authority=LANGFANG).acting() == inner


def test_nobody_acts_in_a_closed_chain_or_on_an_unknown_ticket() -> None:
    closed = a_chain(RELEASED, key=HOME, closed=True, custodian=None)
    with pytest.raises(NotCustodian, match="unknown"):
        held_by(closed).acting()
    with pytest.raises(NotCustodian):
        held_by(a_chain(RELEASED)).acting()
    with pytest.raises(ResourceNotFound):
        held_by().acting()


CITY_EPOCH = Epoch(0, 2)


@pytest.mark.parametrize(
    ("inner", "outer", "has_force"),
    [
        (a_chain(RELEASED, key=HOME, term_epoch=Epoch(0, 1)), None, True),
        (a_chain(RELEASED, key=HOME, term_epoch=Epoch(0, 1)), a_chain(), True),
        (a_chain(Holding.ABSENT, key=HOME), None, True),
        (a_chain(RELEASED, key=HOME, term_epoch=Epoch(0, 1)), a_chain(OFFERED), False),
        (a_chain(RELEASED, key=HOME, term_epoch=Epoch(0, 1), closed=True), None, False),
        (a_chain(RELEASED, key=HOME, term_epoch=Epoch(0, 1), ruling=1), None, False),
        (a_chain(key=HOME, term_epoch=Epoch(0, 3)), None, False),
        (a_chain(key=HOME, term_epoch=CITY_EPOCH), None, False),
    ],
    ids=[
        "no outer chain",
        "held outside",
        "only followed inside",
        "not held outside",
        "closed chain",
        "older era",
        "before the own term",
        "at the own term",
    ],
)
def test_a_citys_act_has_force_under_all_of_rule_3(
    inner: Chain, outer: Chain | None, has_force: bool
) -> None:
    held = held_by(*([outer] if outer else []), inner)
    assert held.has_force(inner, CITY_EPOCH) == has_force


def test_an_act_in_an_older_chain_has_no_force() -> None:
    older = a_chain(RELEASED, key=HOME, term_epoch=Epoch(0, 1))
    newer = a_chain(key=replace(HOME, number=2))
    assert not held_by(older, newer).has_force(older, CITY_EPOCH)


# --- rows -----------------------------------------------------------------------------------


async def test_chains_are_read_as_they_were_written() -> None:
    database = MemoryDatabase()
    chain = a_chain(
        OFFERED,
        key=INNER,
        ruling_target=HEBEI,
        release_due=HEBEI,
        shown_epoch=Epoch(1, 2),
        parties=(HEBEI,),
        records=("aa", "bb"),
        mandates=(SHIJIAZHUANG,),
    )
    async with database.unit() as uow:
        uow.put(store.CHAINS, chain_row(chain))
        uow.put(store.CHAINS, chain_row(replace(chain, key=OUTER)))
        held = await chains.load(uow, LANGFANG, CITY_TICKET)
        assert held.chains == (chain,)
        assert await chains.find_chain(uow, INNER) == chain
        assert await chains.find_chain(uow, HOME) is None
