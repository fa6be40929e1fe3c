"""An invalid return is refused with what it lacks, and recorded although nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.dispatch.handling import Target
from gateway.dispatch.returning import Plea
from gateway.kernel.codes import ReturnReason
from gateway.kernel.errors import (
    FieldInvalid,
    PeerUnreachable,
    ResourceNotFound,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.kernel.ids import AuthorityCode, mint_ticket_number
from gateway.trust.principal import Principal
from hotline.ticket.v1 import ticket_service_pb2
from tests.fixtures.nodes import IDS, NOW, a_call, a_person, a_platform
from tests.unit.dispatch.unit_stories import TIANJIN, Disputed, a_disputed

SECOND = "units/120000-CG-1"
PB = ticket_service_pb2.ReturnTicketRequest


async def a_story_for(late: timedelta = timedelta(0)) -> Disputed:
    story = await a_disputed()
    story.federation.clock.advance(late)
    return story


async def invalid(story: Disputed) -> list[dict[str, str]]:
    return [facts for kind, facts in await story.events() if kind == "return.invalid"]


def over_the_wire(story: Disputed, **changes: object) -> PB:
    values = {
        "name": f"tickets/{story.target.number}",
        "reason": ReturnReason.WRONG_FUNCTION.value,
        "clause": "清单（测试）",
        "proposed_owner": SECOND,
        "request_id": IDS.uuid7(NOW),
    }
    return PB(**(values | changes))  # type: ignore[arg-type] # of a table


async def test_a_late_one_is_an_event_and_an_audit_row_and_nothing_else() -> None:
    story = await a_story_for(timedelta(days=3))
    before = await story.copy()
    with pytest.raises(TransitionNotAllowed, match="tell the desk"):
        await story.file(SECOND)
    [facts] = await invalid(story)
    assert facts["reason"] == "TRANSITION_NOT_ALLOWED"
    assert "returnable until" in facts["missing"]
    assert await story.copy() == before
    assert ("ticket.return", "TRANSITION_NOT_ALLOWED") in story.audited()
    assert ("ticket.return", "DONE") not in story.audited()


async def test_a_second_one_of_the_unit_is_recorded() -> None:
    story = await a_story_for()
    await story.file(SECOND)
    await story.review(1, is_granted=False)
    with pytest.raises(TransitionNotAllowed, match="already"):
        await story.file(SECOND)
    [facts] = await invalid(story)
    assert "returned by" in facts["missing"]


async def test_a_wrong_party_is_recorded_also_when_it_may_not_see_the_ticket() -> None:
    story = await a_story_for()
    for who, error in (
        (a_platform(TIANJIN, "120000-p9"), ResourceNotFound),
        (replace(a_person(TIANJIN), roles=frozenset()), RoleMissing),
    ):
        assert isinstance(who, Principal)
        with pytest.raises(error):
            await story.file(SECOND, who=who)
    reasons = [facts["reason"] for facts in await invalid(story)]
    assert reasons == ["RESOURCE_NOT_FOUND", "ROLE_MISSING"]
    assert (await story.copy()).returns == ()


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"clause": ""}, "clause"),
        ({"reason": 0}, "reason"),
        ({"reason": 99}, "reason"),
        ({"proposed_owner": ""}, "proposed_owner"),
        ({"clause": "", "reason": 0}, "reason,clause"),
    ],
)
async def test_what_is_missing_on_the_wire_is_recorded_by_name(
    changes: dict[str, object], missing: str
) -> None:
    story = await a_story_for()
    servicer = story.node.dispatch.servicer
    with pytest.raises(FieldInvalid):
        await servicer.ReturnTicket(over_the_wire(story, **changes), None)  # type: ignore[arg-type] # not reached
    [facts] = await invalid(story)
    assert sorted(facts["missing"].split(",")) == sorted(missing.split(","))
    assert ("ticket.return", "FIELD_INVALID") in story.audited()


@pytest.mark.parametrize("reason", [ReturnReason.LOOP, ReturnReason.UNSPECIFIED])
async def test_a_reason_that_is_no_units_is_named(reason: ReturnReason) -> None:
    story = await a_story_for()
    plea = Plea(reason=reason, clause=" ", proposed_owner=SECOND)
    with pytest.raises(FieldInvalid):
        await story.node.dispatch.units.returning.file(
            a_call(story.platform, "ReturnTicket"), story.target, plea=plea
        )
    [facts] = await invalid(story)
    assert facts["missing"] == "reason,clause"


async def test_a_repeated_request_is_recorded_once_and_a_corrected_one_goes_through() -> None:
    story = await a_story_for()
    returning = story.node.dispatch.units.returning
    wrong = Plea(reason=ReturnReason.LOOP, clause="清单（测试）", proposed_owner=SECOND)
    call = a_call(story.platform, "ReturnTicket", request_id=IDS.uuid7(NOW), body=b"wrong")
    for _ in range(2):
        with pytest.raises(FieldInvalid):
            await returning.file(call, story.target, plea=wrong)
    assert len(await invalid(story)) == 1
    right = replace(wrong, reason=ReturnReason.OVERLAP)
    await returning.file(replace(call, body=b"right"), story.target, plea=right)
    assert (await story.copy()).open_return is not None


async def test_what_names_no_ticket_or_no_request_leaves_only_the_refusal() -> None:
    story = await a_story_for()
    servicer = story.node.dispatch.servicer
    for changes in ({"name": "tickets/1"}, {"request_id": "1"}):
        with pytest.raises(FieldInvalid):
            await servicer.ReturnTicket(over_the_wire(story, **changes), None)  # type: ignore[arg-type] # not reached
    assert await invalid(story) == []


async def test_a_return_of_an_unknown_ticket_is_an_audit_row() -> None:
    story = await a_story_for()
    unknown = mint_ticket_number(AuthorityCode(TIANJIN), NOW.date(), 99)
    story.target = Target(number=unknown)
    with pytest.raises(ResourceNotFound):
        await story.file(SECOND)
    assert ("ticket.return", "RESOURCE_NOT_FOUND") in story.audited()


async def test_a_record_that_cannot_be_written_hides_no_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = await a_story_for(timedelta(days=3))
    returning = story.node.dispatch.units.returning

    async def away(*_: object, **__: object) -> bytes:
        raise PeerUnreachable(peer="postgresql")

    monkeypatch.setattr(returning, "_once", type("Away", (), {"run": away})())
    with pytest.raises(TransitionNotAllowed):
        await story.file(SECOND)
