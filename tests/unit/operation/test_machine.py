"""What is alarming, and what a person may do about it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.model import Item, ItemState
from gateway.kernel.errors import TransitionNotAllowed
from gateway.operation.machine import (
    INFORMING,
    Act,
    Alarm,
    AlarmPolicy,
    acts_of,
    after,
    alarm_of,
)
from gateway.trust.roster import ARBITER_KINDS, CUSTODIAN_KINDS

POLICY = AlarmPolicy(warn=timedelta(minutes=15), alarm=timedelta(hours=2))


@pytest.mark.parametrize(
    ("age", "alarm"),
    [
        (timedelta(0), Alarm.NONE),
        (timedelta(minutes=15) - timedelta(microseconds=1), Alarm.NONE),
        (timedelta(minutes=15), Alarm.WARNING),
        (timedelta(hours=2) - timedelta(microseconds=1), Alarm.WARNING),
        (timedelta(hours=2), Alarm.OVERDUE),
        (timedelta(days=400), Alarm.OVERDUE),
    ],
)
def test_age_is_judged_by_two_thresholds(age: timedelta, alarm: Alarm) -> None:
    assert alarm_of(age, POLICY) is alarm


@pytest.mark.parametrize("kind", sorted((CUSTODIAN_KINDS | ARBITER_KINDS) - INFORMING))
def test_no_statement_on_which_custody_rests_is_ever_discarded(kind: str) -> None:
    for item in (Item.REFUSED, Item.SET_ASIDE, Item.STUCK, Item.QUARANTINED):
        for state in ItemState:
            assert Act.DISCARD not in acts_of(item, state, kind)


@given(st.sampled_from(Item), st.sampled_from(ItemState), st.text(max_size=20))
def test_an_unknown_kind_is_never_discarded(item: Item, state: ItemState, kind: str) -> None:
    if kind not in INFORMING and item is not Item.EVIDENCE:
        assert Act.DISCARD not in acts_of(item, state, kind)


@given(st.sampled_from(Item), st.sampled_from(ItemState), st.sampled_from(Act))
def test_every_act_is_allowed_or_says_what_is(item: Item, state: ItemState, act: Act) -> None:
    allowed = acts_of(item, state, "Offer")
    if act in allowed:
        assert after(act, item, state, "Offer", item="x") is not ItemState.RESOLVED
        return
    with pytest.raises(TransitionNotAllowed) as refused:
        after(act, item, state, "Offer", item="x")
    assert all(each.value in refused.value.metadata["allowed"] for each in allowed)


def test_who_may_not_discard_is_told_the_protocols_own_remedy() -> None:
    with pytest.raises(TransitionNotAllowed) as refused:
        after(Act.DISCARD, Item.SET_ASIDE, ItemState.OPEN, "Offer", item="set-aside-1")
    assert "revoke the transfer" in refused.value.hint


def test_what_a_person_discarded_may_be_sent_after_all() -> None:
    assert acts_of(Item.SET_ASIDE, ItemState.DISCARDED, "Lead") == (Act.RESEND,)
    assert acts_of(Item.SET_ASIDE, ItemState.RESENT, "Lead") == ()


def test_a_queue_ends_only_by_being_delivered() -> None:
    for item in (Item.OVERDUE, Item.STUCK):
        state = after(Act.RESEND, item, ItemState.OPEN, "Offer", item="x")
        assert state is ItemState.ACKNOWLEDGED
