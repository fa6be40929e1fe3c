"""What `make sim` found, as stories: each failed before it was mended."""

from __future__ import annotations

import pytest

from gateway.custody.model import Holding, OfferReason
from gateway.kernel.codes import RulingKind
from gateway.kernel.errors import KeyUnknown
from gateway.kernel.ids import AuthorityCode
from tests.simulation.stage import Stage


async def test_records_of_one_struck_from_our_roster_make_a_hosted_step_wait() -> None:
    """It is nobody's breach of the protocol: our roster may be the older one."""
    stage = Stage()
    ticket = await stage.create("131000")
    await stage.settle()
    await stage.offer("131000", ticket, "130600")
    await stage.settle()
    hebei = stage.node_at("hebei")
    stage.strike_off(AuthorityCode("131000"), [hebei])
    with pytest.raises(KeyUnknown):
        await stage.accept("130600", ticket)
    hebei.old_roster = None
    await stage.accept("130600", ticket)
    await stage.settle()
    assert stage.chain("130600", ticket).holding is Holding.HELD


async def test_a_city_that_holds_again_is_not_told_its_own_news_for_ever() -> None:
    """The province tells parties of its closed chain what it learns, also from one of them."""
    stage = Stage()
    ticket = await stage.create("131000")
    await stage.settle()
    await stage.hand_over("131000", ticket, "130000", OfferReason.OUTBOUND)
    await stage.hand_over("130000", ticket, "120000")
    await stage.file("120000", ticket, target="130000")
    await stage.settle()
    await stage.rule(ticket, "130000", kind=RulingKind.REASSIGN, offers_allowed=True)
    await stage.settle()
    await stage.hand_over("130000", ticket, "131000")
    await stage.change("131000", ticket)
    await stage.settle()
    assert stage.chain("131000", ticket, number=2).holding is Holding.HELD
    assert stage.copy("120000", ticket).version == stage.copy("131000", ticket).version


async def test_a_case_after_a_consent_is_another_one_also_after_a_further_hand_over() -> None:
    """What proves a term is folded to its last hand-over; the consent stands before that one."""
    stage = Stage()
    ticket = await stage.create("130600")
    await stage.file("130600", ticket)
    await stage.assume("130000", ticket)
    await stage.settle()
    await stage.offer("130600", ticket, "130000")
    await stage.settle()
    await stage.hand_over("130000", ticket, "131000")
    await stage.file("131000", ticket)
    await stage.settle()
    first = f"{ticket}-130000-1-0"
    assert stage.void == {first}
    assert stage.filed[-1].case == f"{first}.1"


async def test_who_takes_a_ticket_again_has_no_case_that_consent_ended_elsewhere() -> None:
    """保定 files when it has let go; 廊坊 and its province agree; then 保定 is offered it again."""
    stage = Stage()
    ticket = await stage.create("130600")
    await stage.settle()
    await stage.hand_over("130600", ticket, "130000", OfferReason.OUTBOUND)
    await stage.file("130600", ticket)
    await stage.hand_over("130000", ticket, "131000")
    await stage.file("131000", ticket)
    await stage.assume("130000", ticket)
    await stage.settle()
    first = f"{ticket}-130000-1-0"
    assert stage.chain("130600", ticket).case == stage.chain("131000", ticket).case == first
    await stage.offer("131000", ticket, "130000")
    await stage.settle()
    assert stage.void == {first}
    await stage.hand_over("130000", ticket, "130600")
    assert stage.chain("130600", ticket).case == ""
    await stage.file("130600", ticket)
    await stage.settle()
    assert stage.filed[-1].case == f"{first}.3"
